// Who holds which blocks of keys and values. A block has the keys and values of all layers at KV_BLOCK positions of a
// sequence; sequences with the same beginning share blocks. The memory itself is the backend's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "exec/kv_block.h"

namespace reprise {

/// Bytes for the keys and values of all sequences of a model, whatever their types. Any thread.
class KvBudget {
  public:
    explicit KvBudget(uint64_t limit) : limit_(limit) {}
    bool take(uint64_t n_bytes);
    void give_back(uint64_t n_bytes) { used_.fetch_sub(n_bytes); }
    uint64_t limit() const { return limit_; }
    uint64_t used() const { return used_.load(); }

  private:
    const uint64_t limit_;
    std::atomic<uint64_t> used_{0};
};

/// Blocks of one size, counted. Any thread.
class KvPool {
  public:
    /// The budget outlives the pool. forget(block) is called when nobody holds a block any more, before it is given to
    /// anybody else.
    KvPool(uint64_t n_blocks, uint64_t block_bytes, KvBudget& budget, std::function<void(uint32_t)> forget);

    /// A block that nobody holds, the first of them. Throws REPRISE_OUT_OF_MEMORY where there is none.
    uint32_t take();
    /// One more holds it.
    void share(uint32_t block);
    /// One fewer holds it.
    void release(uint32_t block);
    bool is_shared(uint32_t block) const;
    uint64_t block_bytes() const { return block_bytes_; }
    /// Blocks that somebody holds.
    uint64_t n_held() const;

  private:
    [[noreturn]] void fail_exhausted() const;

    const uint64_t n_blocks_, block_bytes_;
    KvBudget& budget_;
    const std::function<void(uint32_t)> forget_;
    mutable std::mutex mutex_;
    std::vector<uint32_t> holders_;  // of blocks that were ever taken
    std::vector<uint32_t> free_;     // of those, as a heap with the first on top
};

/// The blocks of one sequence in the order of positions. One thread at a time.
class KvTable {
  public:
    /// The pool outlives the table.
    explicit KvTable(KvPool& pool) : pool_(pool) {}
    ~KvTable() { truncate(0); }
    KvTable(const KvTable&) = delete;
    KvTable& operator=(const KvTable&) = delete;

    std::span<const uint32_t> blocks() const { return blocks_; }
    /// Makes room at positions begin to end - 1 in blocks that no other sequence reads: copy(from, to) copies a block
    /// that one does. Positions up to begin are held. Throws REPRISE_OUT_OF_MEMORY, and holds what it held.
    void make_writable(uint32_t begin, uint32_t end, const std::function<void(uint32_t, uint32_t)>& copy);
    /// Gives back what lies behind the first n positions.
    void truncate(uint32_t n);
    /// Holds the first n positions of another table of the same pool and nothing else.
    void share(const KvTable& other, uint32_t n);

  private:
    KvPool& pool_;
    std::vector<uint32_t> blocks_;
};

}  // namespace reprise
