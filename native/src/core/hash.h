// XXH64 of a stream of bytes, with seed 0: finds damage and tells files apart, at the speed of memory. It is no
// signature. https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace reprise {

class Hash64 {
  public:
    void add(std::span<const uint8_t> bytes);
    void add(const void* data, size_t n_bytes) { add({static_cast<const uint8_t*>(data), n_bytes}); }
    /// Of all bytes so far; more may follow.
    uint64_t value() const;

  private:
    static constexpr size_t STRIPE = 32;  // bytes that the four lanes take at once
    void take_stripe(const uint8_t* stripe);
    uint64_t lanes_[4] = {0x60ea27eeadc0b5d6, 0xc2b2ae3d27d4eb4f, 0, 0x61c8864e7a143579};
    uint8_t rest_[STRIPE] = {};  // of a stripe that is not full
    uint64_t n_bytes_ = 0;
};

inline uint64_t hash64(const void* data, size_t n_bytes) {
    Hash64 hash;
    hash.add(data, n_bytes);
    return hash.value();
}

}  // namespace reprise
