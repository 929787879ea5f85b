#include "exec/kv_index.h"

#include "core/hash.h"

namespace reprise {

uint64_t KvIndex::hash(Id before, const KvContent& content) const {
    Hash64 hash;
    const uint64_t chain = before == ROOT ? 0 : entries_.at(before).hash;
    hash.add(&chain, sizeof chain);
    hash.add(content.ids.data(), sizeof content.ids);
    for (size_t i = 0; i < KV_BLOCK; ++i) {
        const uint8_t position = static_cast<uint8_t>(i);
        if (content.drawn[i]) hash.add(&position, 1);
    }
    return hash.value() & mask_;
}

KvIndex::Id KvIndex::find(Id before, const KvContent& content) const {
    if (!contains(before)) return NONE;
    const auto [first, last] = by_hash_.equal_range(hash(before, content));
    for (auto i = first; i != last; ++i) {
        const Entry& entry = entries_.at(i->second);
        if (entry.before == before && entry.content == content) return i->second;
    }
    return NONE;
}

KvIndex::Id KvIndex::add(Id before, const KvContent& content, uint32_t block) {
    if (!contains(before)) return NONE;
    const uint64_t h = hash(before, content);
    const Id id = ++last_;
    entries_.emplace(id, Entry{before, h, content, block});
    try {
        by_hash_.emplace(h, id);
    } catch (...) {
        entries_.erase(id);
        throw;
    }
    return id;
}

void KvIndex::remove(Id id) {
    const auto [first, last] = by_hash_.equal_range(entries_.at(id).hash);
    for (auto i = first; i != last; ++i) {
        if (i->second != id) continue;
        by_hash_.erase(i);
        break;
    }
    entries_.erase(id);
}

}  // namespace reprise
