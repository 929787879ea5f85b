#include "cpu/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace reprise::cpu {

namespace {

constexpr uint64_t PAGE = 4096;

}  // namespace

KvLayout::KvLayout(const HyperParams& h, TensorType type) : type(type), position_bytes(0) {
    for (const KvSpec& spec : h.kv) {
        Layer layer{};
        layer.n_heads = spec.n_heads;
        layer.has_values = spec.value_dim != 0;
        layer.row_bytes[0] = reprise::row_bytes(type, spec.key_dim);
        layer.row_bytes[1] = layer.has_values ? reprise::row_bytes(type, spec.value_dim) : layer.row_bytes[0];
        layer.begin[0] = layer.begin[1] = position_bytes * KV_BLOCK;
        position_bytes += spec.n_heads * layer.row_bytes[0];
        if (!layer.has_values) {
            layers.push_back(layer);
            continue;
        }
        layer.begin[1] = position_bytes * KV_BLOCK;
        position_bytes += spec.n_heads * layer.row_bytes[1];
        layers.push_back(layer);
    }
    block_bytes = std::max<uint64_t>(PAGE, (KV_BLOCK * position_bytes + PAGE - 1) / PAGE * PAGE);
}

KvCache::KvCache(const HyperParams& h, TensorType type, KvBudget& budget)
    : layout_(h, type),
      region_(budget.limit() / layout_.block_bytes * layout_.block_bytes, layout_.block_bytes, "the KV cache"),
      pool_(region_.size() / layout_.block_bytes, layout_.block_bytes, budget,
            [this](uint32_t id) { region_.forget(id * layout_.block_bytes, layout_.block_bytes); }) {}

void KvCache::provide(uint32_t id) {
    std::lock_guard lock(growing_);
    if (region_.grow((id + uint64_t{1}) * layout_.block_bytes)) return;
    fail(REPRISE_OUT_OF_MEMORY,
         "the system has no %llu bytes for keys and values of %u more tokens: close or rewind sessions, or other "
         "programs",
         static_cast<unsigned long long>(layout_.block_bytes), KV_BLOCK);
}

void KvSequence::make_writable(uint32_t begin, uint32_t end) {
    const size_t before = blocks_.size();
    try {
        table_.make_writable(begin, end, [&](uint32_t from, uint32_t to) {
            cache_->provide(to);
            std::memcpy(cache_->block(to), cache_->block(from), cache_->layout().block_bytes);
        });
        for (size_t i = before; i < table_.blocks().size(); ++i) cache_->provide(table_.blocks()[i]);
    } catch (...) {
        table_.truncate(static_cast<uint32_t>(before * KV_BLOCK));
        follow_table();
        throw;
    }
    follow_table();
}

void KvSequence::truncate(uint32_t n) {
    trail_.truncate(n);
    table_.truncate(n);
    follow_table();
}

void KvSequence::share(const KvSequence& other, uint32_t n) {
    table_.share(other.table_, n);
    trail_.share(other.trail_, n);
    follow_table();
}

uint32_t KvSequence::adopt(std::span<const int32_t> history, const std::atomic<bool>& cancel) {
    const uint32_t n = trail_.adopt(history, cancel);
    follow_table();
    return n;
}

void KvSequence::follow_table() {
    const std::span<const uint32_t> ids = table_.blocks();
    blocks_.resize(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) blocks_[i] = cache_->block(ids[i]);
}

}  // namespace reprise::cpu
