// How a row of the float16 KV cache lies in memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace reprise::cuda {

/// Where chunk number chunk (eight values) of the row at a position is, in chunks. Eight consecutive rows have the same
/// chunk in different places, so that tiles can be copied to shared memory as they are and read there without bank
/// conflicts. Heads that are no multiple of 64 lie straight.
__host__ __device__ constexpr uint32_t kv_chunk(uint32_t position, uint32_t chunk, uint32_t head_dim) {
    return head_dim % 64 == 0 ? chunk ^ (position & 7) : chunk;
}

}  // namespace reprise::cuda
