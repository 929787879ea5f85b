// The way into a product of one row: every block quantises the input for itself, a warp a block of 256 columns.
#pragma once

#include "cuda/fused_input.cuh"
#include "cuda/rows/layout.cuh"

namespace reprise::cuda::rows {

constexpr uint32_t MAX_NORM_BLOCKS = 128;  // of 256 columns, of an input with a norm

/// The scale of a block whose largest absolute value is max, and what values are multiplied by: all kernels reckon them
/// so.
__device__ __forceinline__ float block_scale(float max) { return __fmul_rn(max, 1.f / 127.f); }
__device__ __forceinline__ float block_inverse(float max) { return max > 0.f ? __fdividef(127.f, max) : 0.f; }

/// Eight values of a block of 256 in 8 bits.
__device__ __forceinline__ uint2 quantise_eight(const float* v, float inverse) {
    // Adding 1.5 * 2^23 rounds to an integer in the low bits: cheaper than a conversion.
    constexpr float ROUND = 12582912.f;
    uint32_t words[2];
#pragma unroll
    for (int w = 0; w < 2; ++w) {
        uint32_t q[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) q[i] = __float_as_uint(fmaf(v[4 * w + i], inverse, ROUND));
        words[w] = __byte_perm(__byte_perm(q[0], q[1], 0x0040), __byte_perm(q[2], q[3], 0x0040), 0x5410);
    }
    return make_uint2(words[0], words[1]);
}

/// A whole warp quantises a block, eight consecutive values a lane.
__device__ __forceinline__ void store_block(uint8_t* row, const RowInput& at, uint32_t block, uint32_t lane,
                                            const float* v) {
    float max = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) max = fmaxf(max, fabsf(v[i]));
    max = __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(max)));
    const uint2 q = quantise_eight(v, block_inverse(max));
    int sum = __dp4a(static_cast<int>(q.x), 0x01010101, __dp4a(static_cast<int>(q.y), 0x01010101, 0));
    sum += __shfl_xor_sync(~0u, sum, 1);
    const int other = __shfl_xor_sync(~0u, sum, 2);
    // Lane 4G + m has columns 8m .. 8m + 7 of group G: t = 2m % 4 and the next, first half of the group or second.
    const uint32_t group = lane / 4, m = lane % 4;
    uint8_t* const to = row + block * 256 + group / 2 * 64 + m % 2 * 32 + group % 2 * 8 + m / 2 * 4;
    *reinterpret_cast<uint32_t*>(to) = q.x;
    *reinterpret_cast<uint32_t*>(to + 16) = q.y;
    if (m % 2 == 0) reinterpret_cast<int16_t*>(row + at.sums16() + block * 32)[lane / 2] = static_cast<int16_t>(sum);
    if (m == 0) reinterpret_cast<int16_t*>(row + at.sums32() + block * 16)[group] = static_cast<int16_t>(sum + other);
    if (lane == 0) reinterpret_cast<float*>(row + at.scales())[block] = block_scale(max);
}

/// The sum of squares of a lane's values of a block, and of all lanes', the same in all.
__device__ __forceinline__ float lane_squares(const float* v) {
    float squares = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) squares = fmaf(v[j], v[j], squares);
    return squares;
}
__device__ __forceinline__ float block_squares(float of_lane) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) of_lane += __shfl_xor_sync(~0u, of_lane, offset);
    return of_lane;
}

/// Writes the input into shared memory as RowInput says, without the norm's factor, and the sums of squares of its
/// blocks. Loads as much as registers hold at once, since a round trip takes a microsecond while
/// the next kernel's weights stream in; the loop over what came is not unrolled, since a kernel's code streams in too.
/// thread: threadIdx.x.
__device__ __forceinline__ void take_row(const FusedInput& input, EarlyNorms norms, uint32_t cols, uint8_t* out,
                                         float* squares, uint32_t thread) {
    constexpr uint32_t LOADS = 5;  // of 16 bytes: five eights of bfloat16, two of float32
    const bool bf16 = input.bf16;
    const uint32_t n_eights = cols / 8, per_round = bf16 ? LOADS : LOADS / 2;
    const auto* x = static_cast<const uint4*>(input.x);
    const RowInput at{cols / 256};
    if (input.norm != nullptr && at.blocks + thread < (at.blocks + 3) / 4 * 4) squares[at.blocks + thread] = 0;
#pragma unroll 1
    for (uint32_t first = 0; first < n_eights; first += per_round * blockDim.x) {
        uint4 raw[LOADS];
        if (bf16) {
#pragma unroll
            for (uint32_t u = 0; u < LOADS; ++u) {
                const uint32_t eight = first + u * blockDim.x + thread;
                if (eight < n_eights) raw[u] = __ldcg(x + eight);
            }
        } else {
#pragma unroll
            for (uint32_t u = 0; u < LOADS / 2; ++u) {
                const uint32_t eight = first + u * blockDim.x + thread;
                if (eight < n_eights) {
                    raw[2 * u] = __ldcg(x + 2 * eight);
                    raw[2 * u + 1] = __ldcg(x + 2 * eight + 1);
                }
            }
        }
        // A round has at most two blocks of float32, and only those have norms.
        float squares_before = 0, squares_last = 0;
        uint32_t n_taken = 0;
#pragma unroll 1
        for (uint32_t u = 0; u < per_round; ++u) {
            const uint32_t eight = first + u * blockDim.x + thread;
            if (eight >= n_eights) break;  // whole warps
            const uint32_t i = eight * 8;
            float v[8];
            decode_eight(raw, bf16, v);
            if (input.norm != nullptr) {
                if (u >= EarlyNorms::EIGHTS || first > 0) EarlyNorms::load_one(input, i, norms.weights[0]);
                const float* weight = reinterpret_cast<const float*>(norms.weights[0]);
                squares_before = squares_last;
                squares_last = lane_squares(v);
                ++n_taken;
#pragma unroll
                for (int j = 0; j < 8; ++j) v[j] *= weight[j];
                norms.next();
            }
            store_block(out, at, eight / 32, thread % 32, v);
#pragma unroll
            for (uint32_t load = 0; load + 1 < LOADS; ++load)
                raw[load] = bf16 || load + 2 >= LOADS ? raw[load + 1] : raw[load + 2];
        }
        if (n_taken > 0) {
            const float before = block_squares(squares_before), last = block_squares(squares_last);
            if (thread % 32 == 0) {
                const uint32_t block = (first + thread) / 32;
                squares[block + (n_taken - 1) * blockDim.x / 32] = last;
                if (n_taken > 1) squares[block] = before;
            }
        }
    }
}

}  // namespace reprise::cuda::rows
