// Rows of the KV cache in Q8_0, in and out of 8 bits. The rule is that of quant/quantize.cpp.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/kv_layout.h"

namespace reprise::cuda {

/// body(dimension, quant, scale) for every value of a row in shared memory, by all lanes of a warp.
template <class Body>
__device__ __forceinline__ void quantize_kv_row(const float* row, uint32_t head_dim, Body body) {
    for (uint32_t dim = threadIdx.x % 32; dim < head_dim; dim += KV_BLOCK) {
        const float x = row[dim];
        const uint32_t largest = __reduce_max_sync(~0u, __float_as_uint(fabsf(x)));
        const bool finite = largest < 0x7f800000u;
        const __half scale =
            finite ? __float2half_rn(__fdiv_rn(__uint_as_float(largest), 127.f)) : __ushort_as_half(0x7e00);
        const float d = __half2float(scale);
        const float inverse = d == 0.f ? 0.f : __fdiv_rn(1.f, d);
        const int q = finite ? max(-127, min(127, __float2int_rn(x * inverse))) : 0;
        body(dim, static_cast<int8_t>(q), scale);
    }
}

/// The value that a quant stands for.
__device__ __forceinline__ __half kv_value(int8_t q, __half scale) { return __hmul(__int2half_rn(q), scale); }

/// Sixteen quants to sixteen values, as two chunks.
__device__ __forceinline__ void expand_quants(const uint4& quants, __half scale, uint4* chunks) {
    const uint32_t* in = reinterpret_cast<const uint32_t*>(&quants);
    __half2* out = reinterpret_cast<__half2*>(chunks);
    // A byte above the exponent of 1024 is 1024 + byte as a half.
    const __half2 bias = __float2half2_rn(1024.f + 128.f), factor = __half2half2(scale);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const uint32_t bytes = in[i] ^ 0x80808080u;
        const uint32_t low = __byte_perm(bytes, 0x64646464u, 0x4140), high = __byte_perm(bytes, 0x64646464u, 0x4342);
        out[2 * i] = __hmul2(__hsub2(*reinterpret_cast<const __half2*>(&low), bias), factor);
        out[2 * i + 1] = __hmul2(__hsub2(*reinterpret_cast<const __half2*>(&high), bias), factor);
    }
}

/// A tile as float16 rows in the cache's layout for those: from and to are in shared or global memory. Lane of n_lanes.
__device__ __forceinline__ void expand_tile(const uint8_t* from, uint8_t* to, uint32_t head_dim, uint32_t lane,
                                            uint32_t n_lanes) {
    const uint32_t per_row = head_dim / 16, row_step = n_lanes / per_row, step = n_lanes % per_row;
    uint32_t row = lane / per_row, in_row = lane % per_row;
#pragma unroll 1
    for (uint32_t i = lane; i < head_dim; i += n_lanes) {
        const __half scale =
            reinterpret_cast<const __half*>(from + KV_TILE * head_dim)[row * (head_dim / KV_BLOCK) + in_row / 2];
        uint4 chunks[2];
        expand_quants(reinterpret_cast<const uint4*>(from)[i], scale, chunks);
        uint4* to_row = reinterpret_cast<uint4*>(to + row * head_dim * 2);
        to_row[kv_chunk(row, 2 * in_row, head_dim)] = chunks[0];
        to_row[kv_chunk(row, 2 * in_row + 1, head_dim)] = chunks[1];
        row += row_step;
        in_row += step;
        if (in_row >= per_row) {
            in_row -= per_row;
            ++row;
        }
    }
}

}  // namespace reprise::cuda
