// The device's side of weights_ahead.h.
#pragma once

#include <cuda_runtime.h>

#include "cuda/weights_ahead.h"

namespace reprise::cuda {

/// Asks for the block's pieces; nothing before Hopper. By all warps, before the predecessor has finished: weights never
/// change.
__device__ __forceinline__ void bring_weights(const WeightsAhead& ahead, uint32_t warp, uint32_t n_warps, uint32_t lane) {
#if __CUDA_ARCH__ >= 900
    if (ahead.piece_bytes == 0 || lane != 0 || blockIdx.x >= ahead.blocks) return;
    const size_t first_tile = ahead.shares.first(blockIdx.x);
#pragma unroll 1
    for (uint32_t piece = warp; piece < WeightsAhead::PIECES; piece += n_warps) {
#pragma unroll
        for (uint32_t m = 0; m < 2; ++m) {
            if (ahead.data[m] == nullptr) continue;
            const uint8_t* source = ahead.data[m] + first_tile * ahead.tile_bytes[m] + piece * ahead.stride;
            asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(source), "r"(ahead.piece_bytes) : "memory");
        }
    }
#endif
}

}  // namespace reprise::cuda
