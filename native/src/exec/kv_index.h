// Which blocks hold which beginnings of sequences. A block is known by what it holds and by the block before it, so
// that a chain of blocks is a beginning. Not for several threads at a time.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <unordered_map>

#include "exec/kv_block.h"

namespace reprise {

/// What the keys and values of a full block follow from, given the blocks before it: its tokens, and how each came. A
/// token that a decode step computed may have other bits than one that was handed in with a prompt.
struct KvContent {
    std::array<int32_t, KV_BLOCK> ids;
    std::bitset<KV_BLOCK> drawn;
    bool operator==(const KvContent&) const = default;
};

class KvIndex {
  public:
    using Id = uint64_t;  // of an entry; never given again
    static constexpr Id ROOT = 0, NONE = UINT64_MAX;
    static constexpr uint32_t NO_BLOCK = UINT32_MAX;

    struct Entry {
        Id before;      // ROOT: the first block of a sequence
        uint64_t hash;  // of the content and of the hash before
        KvContent content;
        uint32_t block;  // NO_BLOCK: somebody is computing it
    };

    /// Hashes are cut to the bits of mask: with few of them contents collide, which tests want.
    explicit KvIndex(uint64_t mask = UINT64_MAX) : mask_(mask) {}

    /// NONE where there is no such entry, or none for the block before. The content is compared, whatever the hash.
    Id find(Id before, const KvContent& content) const;
    /// NONE where there is no entry for the block before.
    Id add(Id before, const KvContent& content, uint32_t block);
    bool contains(Id id) const { return id == ROOT || entries_.contains(id); }
    /// Of an entry that it contains, but the root.
    const Entry& operator[](Id id) const { return entries_.at(id); }
    void set_block(Id id, uint32_t block) { entries_.at(id).block = block; }
    /// What comes behind it is found no more.
    void remove(Id id);

  private:
    uint64_t hash(Id before, const KvContent& content) const;

    const uint64_t mask_;
    std::unordered_map<Id, Entry> entries_;
    std::unordered_multimap<uint64_t, Id> by_hash_;
    Id last_ = ROOT;
};

}  // namespace reprise
