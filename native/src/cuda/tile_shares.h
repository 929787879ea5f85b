// How a kernel's blocks share the tiles of its matrices: each has a run of them, those in front one more than the
// others.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace reprise::cuda {

struct TileShares {
    uint32_t most = 0, blocks_with_most = 0;  // tiles of a block

    static TileShares of(uint32_t n_tiles, uint32_t n_blocks) {
        const uint32_t most = (n_tiles + n_blocks - 1) / n_blocks;
        return {most, n_tiles - (most - 1) * n_blocks};
    }
    __host__ __device__ constexpr uint32_t count(uint32_t block) const { return most - (block >= blocks_with_most); }
    __host__ __device__ constexpr uint32_t first(uint32_t block) const {
        return block * count(block) + (block >= blocks_with_most ? blocks_with_most : 0);
    }
};

}  // namespace reprise::cuda
