// How many positions of a sequence share a block of keys and values.
#pragma once

#include <cstdint>

namespace reprise {

constexpr uint32_t KV_BLOCK = 128;
constexpr uint64_t kv_blocks(uint64_t n_positions) { return (n_positions + KV_BLOCK - 1) / KV_BLOCK; }

}  // namespace reprise
