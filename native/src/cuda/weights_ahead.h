// Weights that a kernel brings into the L2 for one to come: evenly spread pieces of them, one to a block. Its blocks do
// not begin exactly where the pieces do: see bench/NOTES.md, row 37.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace reprise::cuda {

struct WeightsAhead {
    const uint8_t* data[2] = {};
    uint32_t stride = 0;  // bytes of a matrix that a block reads, about
    uint32_t bytes = 0;   // of these, per matrix; 0: nothing is brought
    uint32_t blocks = 0;  // of the kernel to come
};

/// Of a kernel that reads two matrices of n_bytes each, and begins when one that reads bytes_between has begun. The
/// amounts are those that were fastest on an H100: the less the longer what is between takes, since the rings are filled
/// meanwhile.
inline WeightsAhead weights_ahead(const uint8_t* first, const uint8_t* second, size_t n_bytes, size_t bytes_between, uint32_t blocks) {
    constexpr size_t MOST = 32 * 1024, BETWEEN = 72 * 1024;
    const size_t stride = n_bytes / blocks / 16 * 16, between = bytes_between / blocks;
    const size_t bytes = std::min({stride / 3, MOST, between < BETWEEN ? BETWEEN - between : 0});
    return {{first, second}, static_cast<uint32_t>(stride), static_cast<uint32_t>(bytes), blocks};
}

}  // namespace reprise::cuda
