// What the keys and values of one sequence follow from, and what comes of knowing it: a beginning that another sequence
// has computed is not computed again, nor kept twice.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "exec/kv_pool.h"

namespace reprise {

class KvTrail {
  public:
    /// How a token's keys and values were come by.
    enum class Origin : uint8_t {
        HANDED_IN,  // computed as part of a prompt
        DRAWN,      // computed by a decode step
        FOREIGN     // copied from a file: another device may have computed them
    };

    /// What a sequence takes over from others, or has again after a rewind, and what others take over from it.
    enum class Sharing : uint8_t {
        NOTHING,
        SAME_ORIGIN,  // what came in the same way
        SAME_TOKENS   // prompts and decode steps give the same bits: a prompt may have what another sequence drew
    };

    /// Of the sequence with that table, which outlives it.
    KvTrail(KvTable& table, Sharing sharing) : table_(table), sharing_(sharing) {}
    ~KvTrail() { withdraw(); }
    KvTrail(const KvTrail&) = delete;
    KvTrail& operator=(const KvTrail&) = delete;

    /// Positions that the sequence holds.
    uint32_t size() const { return static_cast<uint32_t>(ids_.size()); }

    /// history: what the sequence holds and the tokens that are going to be handed in behind. Takes over blocks that
    /// others have computed of it, waiting for those that somebody is computing, and returns how many tokens it holds
    /// then, fewer than history has. Others that have the same to compute wait from then on until append() brings it or
    /// withdraw() says that it does not come. Throws REPRISE_CANCELLED if cancel becomes true while it waits.
    uint32_t adopt(std::span<const int32_t> history, const std::atomic<bool>& cancel);
    /// What was said to be handed in is not, or not now.
    void withdraw();
    /// The keys and values of ids from position on are complete; what was known behind position is not true any more.
    void append(uint32_t position, std::span<const int32_t> ids, Origin origin);
    /// The first n positions are copied from a file.
    void restore(uint32_t n);
    void truncate(uint32_t n);
    /// The table holds what the other's does of the first n positions.
    void share(const KvTrail& other, uint32_t n);

  private:
    /// Of the block at index i, where it is full and all of it was computed here.
    bool describe(size_t i, std::span<const int32_t> history, KvContent& content) const;
    KvIndex::Id before(size_t i) const { return i == 0 ? KvIndex::ROOT : known_[i - 1]; }

    KvTable& table_;
    const Sharing sharing_;
    std::vector<int32_t> ids_;
    std::vector<Origin> origins_;
    std::vector<KvIndex::Id> known_;    // of the leading blocks that others can find
    std::vector<KvIndex::Id> claimed_;  // of blocks that others wait for
};

}  // namespace reprise
