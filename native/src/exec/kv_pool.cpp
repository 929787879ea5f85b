#include "exec/kv_pool.h"

#include <algorithm>

#include "core/error.h"

namespace reprise {

// ---- budget ----

bool KvBudget::take(uint64_t n_bytes) {
    uint64_t taken = taken_.load();
    do {
        if (n_bytes > limit_ - taken) return false;
    } while (!taken_.compare_exchange_weak(taken, taken + n_bytes));
    return true;
}

uint64_t KvBudget::used() const {
    const uint64_t kept = kept_.load(), taken = taken_.load();
    return taken - std::min(kept, taken);
}

void KvBudget::enter(KvPool& pool) {
    std::lock_guard lock(mutex_);
    pools_.push_back(&pool);
}

void KvBudget::leave(KvPool& pool) {
    std::lock_guard lock(mutex_);
    std::erase(pools_, &pool);
}

bool KvBudget::reclaim() {
    std::lock_guard lock(mutex_);
    return std::ranges::any_of(pools_, [](KvPool* pool) { return pool->give_up_one(); });
}

// ---- pool ----

KvPool::KvPool(uint64_t n_blocks, uint64_t block_bytes, KvBudget& budget, std::function<void(uint32_t)> forget)
    : n_blocks_(n_blocks), block_bytes_(block_bytes), budget_(budget), forget_(std::move(forget)) {
    budget_.enter(*this);
}

KvPool::~KvPool() {
    budget_.leave(*this);
    while (give_up_one()) {
    }
}

void KvPool::fail_exhausted() const {
    const auto mib = [](uint64_t n_bytes) { return static_cast<double>(n_bytes) / (1 << 20); };
    fail(REPRISE_OUT_OF_MEMORY,
         "the memory for keys and values is used up: %.1f MiB more are needed for %u tokens, and %.1f of %.1f MiB are "
         "held by the model's sessions: close or rewind some of them, or load the model with a larger kv_memory",
         mib(block_bytes_), KV_BLOCK, mib(budget_.used()), mib(budget_.limit()));
}

uint32_t KvPool::take() {
    std::unique_lock lock(mutex_);
    for (;;) {
        const bool has_block = !free_.empty() || blocks_.size() < n_blocks_;
        if (has_block && budget_.take(block_bytes_)) break;
        if (give_up_one_locked()) continue;
        lock.unlock();  // other pools take their own lock
        if (!has_block || !budget_.reclaim()) fail_exhausted();
        lock.lock();
    }
    if (free_.empty()) {
        try {
            if (free_.capacity() == blocks_.size()) free_.reserve(2 * blocks_.size() + 16);
            blocks_.emplace_back().n_holders = 1;
        } catch (...) {
            budget_.give_back(block_bytes_);
            throw;
        }
        return static_cast<uint32_t>(blocks_.size() - 1);
    }
    std::ranges::pop_heap(free_, std::greater<>());
    const uint32_t block = free_.back();
    free_.pop_back();
    blocks_[block].n_holders = 1;
    return block;
}

void KvPool::share(uint32_t block) {
    std::lock_guard lock(mutex_);
    ++blocks_[block].n_holders;
}

void KvPool::forget_content(uint32_t block, std::list<uint32_t>& list) {
    index_.remove(std::exchange(blocks_[block].known_as, KvIndex::NONE));
    list.erase(blocks_[block].place);
}

void KvPool::free(uint32_t block) {
    forget_(block);
    free_.push_back(block);
    std::ranges::push_heap(free_, std::greater<>());
    budget_.give_back(block_bytes_);
}

void KvPool::release(uint32_t block) {
    std::lock_guard lock(mutex_);
    Block& b = blocks_[block];
    if (--b.n_holders > 0) return;
    if (b.known_as == KvIndex::NONE) return free(block);
    if (!index_.contains(index_[b.known_as].before)) {  // nobody comes by here any more
        forget_content(block, held_);
        return free(block);
    }
    kept_.splice(kept_.end(), held_, b.place);
    budget_.keep(block_bytes_);
    while (budget_.keeps_too_much() && give_up_one_locked()) {
    }
}

bool KvPool::give_up_one_locked() {
    if (kept_.empty()) return false;
    const uint32_t block = kept_.front();
    forget_content(block, kept_);
    budget_.hold_again(block_bytes_);
    free(block);
    return true;
}

bool KvPool::give_up_one() {
    std::lock_guard lock(mutex_);
    return give_up_one_locked();
}

bool KvPool::is_shared(uint32_t block) const {
    std::lock_guard lock(mutex_);
    return blocks_[block].n_holders > 1;
}

bool KvPool::make_own(uint32_t block) {
    std::lock_guard lock(mutex_);
    Block& b = blocks_[block];
    if (b.n_holders > 1) return false;
    if (b.known_as != KvIndex::NONE) forget_content(block, held_);
    return true;
}

uint64_t KvPool::n_held() const {
    std::lock_guard lock(mutex_);
    return blocks_.size() - free_.size() - kept_.size();
}

uint64_t KvPool::n_kept() const {
    std::lock_guard lock(mutex_);
    return kept_.size();
}

KvPool::Found KvPool::find(KvIndex::Id before, const KvContent& content) {
    std::lock_guard lock(mutex_);
    if (!index_.contains(before)) return {Found::UNKNOWABLE, KvIndex::NONE, KvIndex::NO_BLOCK};
    const KvIndex::Id id = index_.find(before, content);
    if (id == KvIndex::NONE) return {Found::CLAIMED, index_.add(before, content, KvIndex::NO_BLOCK), KvIndex::NO_BLOCK};
    const uint32_t block = index_[id].block;
    if (block == KvIndex::NO_BLOCK) return {Found::AWAITED, id, block};
    Block& b = blocks_[block];
    if (b.n_holders++ == 0) {
        held_.splice(held_.end(), kept_, b.place);
        budget_.hold_again(block_bytes_);
    }
    return {Found::HELD, id, block};
}

void KvPool::await(KvIndex::Id id, std::chrono::milliseconds at_most) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, at_most, [&] { return !index_.contains(id) || index_[id].block != KvIndex::NO_BLOCK; });
}

KvIndex::Id KvPool::publish(KvIndex::Id before, const KvContent& content, uint32_t block) {
    std::lock_guard lock(mutex_);
    if (!index_.contains(before)) return KvIndex::NONE;
    KvIndex::Id id = index_.find(before, content);
    if (id != KvIndex::NONE && index_[id].block != KvIndex::NO_BLOCK) return id;
    std::list<uint32_t> place(1, block);
    if (id == KvIndex::NONE) id = index_.add(before, content, block);
    index_.set_block(id, block);
    blocks_[block].known_as = id;
    blocks_[block].place = place.begin();
    held_.splice(held_.end(), place);
    changed_.notify_all();
    return id;
}

void KvPool::withdraw(KvIndex::Id id) {
    std::lock_guard lock(mutex_);
    if (!index_.contains(id) || index_[id].block != KvIndex::NO_BLOCK) return;
    index_.remove(id);
    changed_.notify_all();
}

// ---- table ----

void KvTable::make_writable(uint32_t begin, uint32_t end, const std::function<void(uint32_t, uint32_t)>& copy) {
    const size_t before = blocks_.size();
    try {
        for (size_t i = begin / KV_BLOCK; i < kv_blocks(end); ++i) {
            if (i == blocks_.size()) {
                blocks_.reserve(i + 1);
                blocks_.push_back(pool_.take());
            } else if (!pool_.make_own(blocks_[i])) {
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

void KvTable::put(size_t i, uint32_t block) {
    truncate(static_cast<uint32_t>(i * KV_BLOCK));
    try {
        blocks_.push_back(block);
    } catch (...) {
        pool_.release(block);
        throw;
    }
}

}  // namespace reprise
