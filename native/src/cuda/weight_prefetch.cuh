// The device's side of weight_prefetch.h.
#pragma once

#include <cuda_runtime.h>

#include "cuda/weight_prefetch.h"

namespace reprise::cuda {

/// Asks for the block's pieces; nothing before Hopper. By all warps, before the predecessor has finished: weights never
/// change.
__device__ __forceinline__ void prefetch_weights(const WeightPrefetch& prefetch, uint32_t warp, uint32_t n_warps,
                                                 uint32_t lane) {
#if __CUDA_ARCH__ >= 900
    if (prefetch.piece_bytes == 0 || lane != 0 || blockIdx.x >= prefetch.blocks) return;
    const size_t first_tile = prefetch.shares.first(blockIdx.x);
#pragma unroll 1
    for (uint32_t piece = warp; piece < WeightPrefetch::PIECES; piece += n_warps) {
#pragma unroll
        for (uint32_t m = 0; m < 2; ++m) {
            if (prefetch.data[m] == nullptr) continue;
            const uint8_t* source = prefetch.data[m] + first_tile * prefetch.tile_bytes[m] + piece * prefetch.stride;
            asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(source), "r"(prefetch.piece_bytes)
                         : "memory");
        }
    }
#endif
}

}  // namespace reprise::cuda
