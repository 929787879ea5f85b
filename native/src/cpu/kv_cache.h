// Keys and values of the CPU backend: blocks of a pool, a table for each sequence.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "cpu/buffer.h"
#include "exec/kv_pool.h"
#include "exec/kv_trail.h"
#include "model/plan.h"

namespace reprise::cpu {

/// How the keys and values of KV_BLOCK positions lie in a block: by layer of the KV cache, keys before values, by head,
/// KV_BLOCK rows.
struct KvLayout {
    struct Layer {
        uint64_t begin[2];      // of keys, of values
        uint64_t row_bytes[2];  // of a head at a position
        uint32_t n_heads;
        bool has_values;
    };
    TensorType type;
    std::vector<Layer> layers;
    uint64_t position_bytes;  // keys and values of all layers at a position
    uint64_t block_bytes;     // of KV_BLOCK positions, in whole pages

    KvLayout(const HyperParams& h, TensorType type);
    uint64_t row_bytes(bool values, uint32_t layer) const { return layers[layer].row_bytes[values ? 1 : 0]; }
    /// Of the row of a head at the first position of a block.
    uint64_t offset(bool values, uint32_t layer, uint32_t head) const {
        const Layer& of = layers[layer];
        return of.begin[values ? 1 : 0] + head * KV_BLOCK * of.row_bytes[values ? 1 : 0];
    }
};

/// The blocks of all sequences of a model whose keys and values are of one type. Any thread.
class KvCache {
  public:
    /// The budget outlives the cache.
    KvCache(const HyperParams& h, TensorType type, KvBudget& budget);
    const KvLayout& layout() const { return layout_; }
    KvPool& pool() { return pool_; }
    uint8_t* block(uint32_t id) const { return region_.bytes() + id * layout_.block_bytes; }
    /// Makes the memory of a block usable. Throws REPRISE_OUT_OF_MEMORY.
    void provide(uint32_t id);

  private:
    const KvLayout layout_;
    Region region_;
    std::mutex growing_;
    KvPool pool_;
};

/// What a step needs to know of a sequence.
struct KvView {
    const KvLayout* layout;
    uint8_t* const* blocks;          // in the order of positions
    float* const* states = nullptr;  // HyperParams::state_values; what comes behind the step's rows replaces them
    bool is_long = false;            // RoPE of long contexts
    uint8_t* row(bool values, uint32_t layer, uint32_t head, uint32_t position) const {
        return blocks[position / KV_BLOCK] + layout->offset(values, layer, head) +
               position % KV_BLOCK * layout->row_bytes(values, layer);
    }
};

/// The keys and values of one sequence. One thread at a time.
class KvSequence {
  public:
    // A row's bits do not depend on the rows computed with it, so that prompts and decode steps give the same.
    explicit KvSequence(std::shared_ptr<KvCache> cache, bool sharing = false)
        : cache_(std::move(cache)),
          table_(cache_->pool()),
          trail_(table_, sharing ? KvTrail::Sharing::SAME_TOKENS : KvTrail::Sharing::NOTHING) {}
    KvView view() const { return {&cache_->layout(), blocks_.data()}; }
    /// Whether make_writable() takes a block, from the positions that it holds on.
    bool needs_memory(uint32_t begin, uint32_t end) const {
        if (begin == end) return false;
        return kv_blocks(end) > blocks_.size() || cache_->pool().is_shared(table_.blocks()[begin / KV_BLOCK]);
    }
    /// As KvTable's.
    void make_writable(uint32_t begin, uint32_t end);
    void truncate(uint32_t n);
    void share(const KvSequence& other, uint32_t n);
    /// As KvTrail's.
    uint32_t adopt(std::span<const int32_t> history, const std::atomic<bool>& cancel);
    uint32_t size() const { return trail_.size(); }
    void restore(uint32_t n) { trail_.restore(n); }
    void withdraw() { trail_.withdraw(); }
    void append(uint32_t position, std::span<const int32_t> ids, KvTrail::Origin origin) {
        trail_.append(position, ids, origin);
    }

  private:
    void follow_table();

    std::shared_ptr<KvCache> cache_;
    KvTable table_;
    KvTrail trail_;
    std::vector<uint8_t*> blocks_;
};

}  // namespace reprise::cpu
