#include "exec/kv_trail.h"

#include <algorithm>

#include "core/error.h"

namespace reprise {

namespace {

// How often who waits looks whether it is still wanted.
constexpr std::chrono::milliseconds PATIENCE(5);

}  // namespace

bool KvTrail::describe(size_t i, std::span<const int32_t> history, KvContent& content) const {
    const size_t begin = i * KV_BLOCK, end = begin + KV_BLOCK;
    if (sharing_ == Sharing::NOTHING || end > history.size()) return false;
    content = {};
    std::copy_n(history.begin() + static_cast<std::ptrdiff_t>(begin), KV_BLOCK, content.ids.begin());
    for (size_t at = begin; at < std::min(end, origins_.size()); ++at) {
        if (origins_[at] == Origin::FOREIGN) return false;
        content.drawn[at - begin] = origins_[at] == Origin::DRAWN && sharing_ == Sharing::SAME_ORIGIN;
    }
    return true;
}

uint32_t KvTrail::adopt(std::span<const int32_t> history, const std::atomic<bool>& cancel) {
    KvPool& pool = table_.pool();
    withdraw();
    KvContent content;
    // At least one token is left to be computed: its logits are wanted.
    for (size_t i = size() / KV_BLOCK;
         known_.size() == i && (i + 1) * KV_BLOCK < history.size() && describe(i, history, content);) {
        const KvPool::Found found = pool.find(before(i), content);
        if (found.state == KvPool::Found::AWAITED) {
            if (cancel.load()) fail(REPRISE_CANCELLED, "cancelled");
            pool.await(found.id, PATIENCE);
        } else if (found.state == KvPool::Found::HELD) {
            table_.put(i, found.block);
            // How the tokens came stays true: equal contents came in the same way.
            origins_.resize((i + 1) * KV_BLOCK, Origin::HANDED_IN);
            ids_.assign(history.begin(), history.begin() + static_cast<std::ptrdiff_t>((i + 1) * KV_BLOCK));
            known_.push_back(found.id);
            ++i;
        } else if (found.state == KvPool::Found::CLAIMED) {
            // Nobody has what comes behind, unless somebody who claimed nothing publishes this block just now.
            KvPool::Found next = found;
            while (next.state == KvPool::Found::CLAIMED) {
                claimed_.push_back(next.id);
                if (!describe(++i, history, content)) break;
                next = pool.find(next.id, content);
            }
            if (next.state == KvPool::Found::HELD) pool.release(next.block);
            break;
        } else {
            break;
        }
    }
    return size();
}

void KvTrail::withdraw() {
    while (!claimed_.empty()) {
        table_.pool().withdraw(claimed_.back());
        claimed_.pop_back();
    }
}

void KvTrail::append(uint32_t position, std::span<const int32_t> ids, Origin origin) {
    ids_.resize(position);
    origins_.resize(position);
    known_.resize(std::min<size_t>(known_.size(), position / KV_BLOCK));
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    origins_.resize(ids_.size(), origin);
    KvContent content;
    for (size_t i = known_.size(); i >= position / KV_BLOCK && describe(i, ids_, content); ++i) {
        const KvIndex::Id id = table_.pool().publish(before(i), content, table_.blocks()[i]);
        if (id == KvIndex::NONE) break;
        known_.push_back(id);
        std::erase(claimed_, id);
    }
}

void KvTrail::restore(uint32_t n) {
    truncate(0);
    ids_.resize(n);
    origins_.resize(n, Origin::FOREIGN);
}

void KvTrail::truncate(uint32_t n) {
    withdraw();
    if (n >= ids_.size()) return;
    ids_.resize(n);
    origins_.resize(n);
    known_.resize(std::min<size_t>(known_.size(), n / KV_BLOCK));
}

void KvTrail::share(const KvTrail& other, uint32_t n) {
    withdraw();
    const auto end = static_cast<std::ptrdiff_t>(n);
    ids_.assign(other.ids_.begin(), other.ids_.begin() + end);
    origins_.assign(other.origins_.begin(), other.origins_.begin() + end);
    known_.assign(other.known_.begin(), other.known_.begin() + static_cast<std::ptrdiff_t>(std::min<size_t>(
                                                                   other.known_.size(), n / KV_BLOCK)));
}

}  // namespace reprise
