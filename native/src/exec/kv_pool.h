// Who holds which blocks of keys and values. A block has the keys and values of all layers at KV_BLOCK positions of a
// sequence; sequences with the same beginning share blocks. A full block that somebody published is kept when nobody
// holds it any more, for sequences to come, until its memory is needed. The memory itself is the backend's.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <span>
#include <vector>

#include "exec/kv_block.h"
#include "exec/kv_index.h"

namespace reprise {

class KvPool;

/// Bytes for the keys and values of all sequences of a model, whatever their types. Any thread.
class KvBudget {
  public:
    /// Blocks that nobody holds are kept up to kept_limit bytes of them.
    explicit KvBudget(uint64_t limit, uint64_t kept_limit = UINT64_MAX) : limit_(limit), kept_limit_(kept_limit) {}
    bool take(uint64_t n_bytes);
    void give_back(uint64_t n_bytes) { taken_.fetch_sub(n_bytes); }
    uint64_t limit() const { return limit_; }
    /// Held by sequences.
    uint64_t used() const;
    /// Of blocks that nobody holds and that may be found again.
    uint64_t kept() const { return kept_.load(); }

    // ---- for pools ----

    void keep(uint64_t n_bytes) { kept_.fetch_add(n_bytes); }
    void hold_again(uint64_t n_bytes) { kept_.fetch_sub(n_bytes); }
    bool keeps_too_much() const { return kept_.load() > kept_limit_; }
    void enter(KvPool& pool);
    void leave(KvPool& pool);
    /// Has pools give up blocks that nobody holds. False if there is none.
    bool reclaim();

  private:
    const uint64_t limit_, kept_limit_;
    std::atomic<uint64_t> taken_{0};  // kept or held
    std::atomic<uint64_t> kept_{0};
    std::mutex mutex_;
    std::vector<KvPool*> pools_;
};

/// Blocks of one size, counted. Any thread.
class KvPool {
  public:
    /// The budget outlives the pool. forget(block) is called when nobody holds a block any more and nobody will find
    /// it, before it is given to anybody else.
    KvPool(uint64_t n_blocks, uint64_t block_bytes, KvBudget& budget, std::function<void(uint32_t)> forget);
    ~KvPool();

    /// A block that nobody holds, the first of them; where there is none, that which nobody has held for longest.
    /// Throws REPRISE_OUT_OF_MEMORY where all are held.
    uint32_t take();
    /// One more holds it.
    void share(uint32_t block);
    /// One fewer holds it.
    void release(uint32_t block);
    bool is_shared(uint32_t block) const;
    /// False if somebody else holds it. Else its one holder may write to it, and nobody finds it any more.
    bool make_own(uint32_t block);
    uint64_t block_bytes() const { return block_bytes_; }
    /// Blocks that somebody holds.
    uint64_t n_held() const;
    /// Blocks that nobody holds and that may be found again.
    uint64_t n_kept() const;
    /// Gives up the block that nobody has held for longest. False if there is none.
    bool give_up_one();

    // ---- full blocks by what they hold (kv_index.h) ----

    struct Found {
        enum {
            HELD,       // by the caller too, from now on
            AWAITED,    // another sequence computes it
            CLAIMED,    // nobody had it: the caller computes it, and publishes it or withdraws
            UNKNOWABLE  // the block before is not known any more
        } state;
        KvIndex::Id id;
        uint32_t block;  // of HELD
    };
    Found find(KvIndex::Id before, const KvContent& content);
    /// Returns when what is awaited is there, withdrawn, or after that time.
    void await(KvIndex::Id id, std::chrono::milliseconds at_most);
    /// The caller holds the block, whose keys and values are complete, and writes to it no more before make_own().
    /// Where another block is known by the same content that one stays the one that is found. NONE if the block before
    /// is not known any more.
    KvIndex::Id publish(KvIndex::Id before, const KvContent& content, uint32_t block);
    /// What was claimed is not going to be published.
    void withdraw(KvIndex::Id id);

  private:
    [[noreturn]] void fail_exhausted() const;
    bool give_up_one_locked();
    /// Of a block that is in the list: nobody finds it any more.
    void forget_content(uint32_t block, std::list<uint32_t>& list);
    void free(uint32_t block);

    struct Block {
        uint32_t n_holders = 0;
        KvIndex::Id known_as = KvIndex::NONE;
        std::list<uint32_t>::iterator place;  // in held_ or kept_, of those that are known
    };

    const uint64_t n_blocks_, block_bytes_;
    KvBudget& budget_;
    const std::function<void(uint32_t)> forget_;
    mutable std::mutex mutex_;
    std::vector<Block> blocks_;        // that were ever taken
    std::vector<uint32_t> free_;       // of those, as a heap with the first on top; has room for all
    std::list<uint32_t> held_, kept_;  // of those that are known: held by somebody; by nobody, the longest kept first
    KvIndex index_;
    std::condition_variable changed_;  // something awaited
};

/// The blocks of one sequence in the order of positions. One thread at a time.
class KvTable {
  public:
    /// The pool outlives the table.
    explicit KvTable(KvPool& pool) : pool_(pool) {}
    ~KvTable() { truncate(0); }
    KvTable(const KvTable&) = delete;
    KvTable& operator=(const KvTable&) = delete;

    KvPool& pool() const { return pool_; }
    std::span<const uint32_t> blocks() const { return blocks_; }
    /// Makes room at positions begin to end - 1 in blocks that no other sequence reads: copy(from, to) copies a block
    /// that one does. Positions up to begin are held. Throws REPRISE_OUT_OF_MEMORY, and holds what it held.
    void make_writable(uint32_t begin, uint32_t end, const std::function<void(uint32_t, uint32_t)>& copy);
    /// Gives back what lies behind the first n positions.
    void truncate(uint32_t n);
    /// Holds the first n positions of another table of the same pool and nothing else.
    void share(const KvTable& other, uint32_t n);
    /// Takes over a block that the caller holds as the one at index i, in place of what is there and behind.
    void put(size_t i, uint32_t block);

  private:
    KvPool& pool_;
    std::vector<uint32_t> blocks_;
};

}  // namespace reprise
