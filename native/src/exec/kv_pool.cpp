#include "exec/kv_pool.h"

#include <algorithm>

#include "core/error.h"

namespace reprise {

bool KvBudget::take(uint64_t n_bytes) {
    uint64_t used = used_.load();
    do {
        if (n_bytes > limit_ - used) return false;
    } while (!used_.compare_exchange_weak(used, used + n_bytes));
    return true;
}

KvPool::KvPool(uint64_t n_blocks, uint64_t block_bytes, KvBudget& budget, std::function<void(uint32_t)> forget)
    : n_blocks_(n_blocks), block_bytes_(block_bytes), budget_(budget), forget_(std::move(forget)) {}

void KvPool::fail_exhausted() const {
    const auto mib = [](uint64_t n_bytes) { return static_cast<double>(n_bytes) / (1 << 20); };
    fail(REPRISE_OUT_OF_MEMORY,
         "the memory for keys and values is used up: %.1f MiB more are needed for %u tokens, and %.1f of %.1f MiB are "
         "held by the model's sessions: close or rewind some of them, or load the model with a larger kv_memory",
         mib(block_bytes_), KV_BLOCK, mib(budget_.used()), mib(budget_.limit()));
}

uint32_t KvPool::take() {
    std::lock_guard lock(mutex_);
    if (free_.empty() && holders_.size() == n_blocks_) fail_exhausted();
    if (!budget_.take(block_bytes_)) fail_exhausted();
    if (free_.empty()) {
        holders_.push_back(1);
        return static_cast<uint32_t>(holders_.size() - 1);
    }
    std::ranges::pop_heap(free_, std::greater<>());
    const uint32_t block = free_.back();
    free_.pop_back();
    holders_[block] = 1;
    return block;
}

void KvPool::share(uint32_t block) {
    std::lock_guard lock(mutex_);
    ++holders_[block];
}

void KvPool::release(uint32_t block) {
    std::lock_guard lock(mutex_);
    if (--holders_[block] > 0) return;
    forget_(block);
    free_.push_back(block);
    std::ranges::push_heap(free_, std::greater<>());
    budget_.give_back(block_bytes_);
}

bool KvPool::is_shared(uint32_t block) const {
    std::lock_guard lock(mutex_);
    return holders_[block] > 1;
}

uint64_t KvPool::n_held() const {
    std::lock_guard lock(mutex_);
    return holders_.size() - free_.size();
}

void KvTable::make_writable(uint32_t begin, uint32_t end, const std::function<void(uint32_t, uint32_t)>& copy) {
    const size_t before = blocks_.size();
    try {
        for (size_t i = begin / KV_BLOCK; i < kv_blocks(end); ++i) {
            if (i == blocks_.size()) {
                blocks_.reserve(i + 1);
                blocks_.push_back(pool_.take());
            } else if (pool_.is_shared(blocks_[i])) {
                const uint32_t shared = blocks_[i];
                const uint32_t own = pool_.take();
                try {
                    copy(shared, own);
                } catch (...) {
                    pool_.release(own);
                    throw;
                }
                blocks_[i] = own;
                pool_.release(shared);
            }
        }
    } catch (...) {
        truncate(static_cast<uint32_t>(before * KV_BLOCK));
        throw;
    }
}

void KvTable::truncate(uint32_t n) {
    while (blocks_.size() > kv_blocks(n)) {
        pool_.release(blocks_.back());
        blocks_.pop_back();
    }
}

void KvTable::share(const KvTable& other, uint32_t n) {
    truncate(0);
    const auto first = other.blocks().first(kv_blocks(n));
    blocks_.reserve(first.size());
    for (const uint32_t block : first) {
        pool_.share(block);
        blocks_.push_back(block);
    }
}

}  // namespace reprise
