#include "core/hash.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace reprise {

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint64_t PRIME_1 = 0x9e3779b185ebca87, PRIME_2 = 0xc2b2ae3d27d4eb4f, PRIME_3 = 0x165667b19e3779f9,
                   PRIME_4 = 0x85ebca77c2b2ae63, PRIME_5 = 0x27d4eb2f165667c5;

template <class T>
T load(const uint8_t* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

uint64_t round(uint64_t lane, uint64_t input) { return std::rotl(lane + input * PRIME_2, 31) * PRIME_1; }

}  // namespace

void Hash64::take_stripe(const uint8_t* stripe) {
    for (int i = 0; i < 4; ++i) lanes_[i] = round(lanes_[i], load<uint64_t>(stripe + 8 * i));
}

void Hash64::add(std::span<const uint8_t> bytes) {
    const size_t held = n_bytes_ % STRIPE;
    n_bytes_ += bytes.size();
    if (held > 0) {
        const size_t n = std::min(STRIPE - held, bytes.size());
        std::copy_n(bytes.begin(), n, rest_ + held);
        if (held + n < STRIPE) return;
        take_stripe(rest_);
        bytes = bytes.subspan(n);
    }
    for (; bytes.size() >= STRIPE; bytes = bytes.subspan(STRIPE)) take_stripe(bytes.data());
    std::copy(bytes.begin(), bytes.end(), rest_);
}

uint64_t Hash64::value() const {
    uint64_t h = PRIME_5;
    if (n_bytes_ >= STRIPE) {
        h = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
        for (const uint64_t lane : lanes_) h = (h ^ round(0, lane)) * PRIME_1 + PRIME_4;
    }
    h += n_bytes_;
    const uint8_t *at = rest_, *const end = rest_ + n_bytes_ % STRIPE;
    for (; end - at >= 8; at += 8) h = std::rotl(h ^ round(0, load<uint64_t>(at)), 27) * PRIME_1 + PRIME_4;
    for (; end - at >= 4; at += 4) h = std::rotl(h ^ load<uint32_t>(at) * PRIME_1, 23) * PRIME_2 + PRIME_3;
    for (; at < end; ++at) h = std::rotl(h ^ *at * PRIME_5, 11) * PRIME_1;
    h = (h ^ h >> 33) * PRIME_2;
    h = (h ^ h >> 29) * PRIME_3;
    return h ^ h >> 32;
}

}  // namespace reprise
