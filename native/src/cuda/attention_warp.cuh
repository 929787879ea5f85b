// How one warp attends to a share of the context for up to 8 heads that have their keys and values in common: online
// softmax (Milakov and Gimelshein, https://arxiv.org/abs/1805.02867) over tiles of 16 keys.
//
// A warp type keeps its queries, maxima, sums and outputs in registers and finally writes them to WarpResult.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/tensor_core.cuh"

namespace reprise::cuda {

constexpr uint32_t HEADS = 8;       // of a block: the columns of a tensor-core product
constexpr uint32_t TILE_KEYS = 16;  // of a warp: its rows

/// exp2 of what follows never sees (-inf) - (-inf).
constexpr float LOWEST = -1e30f;

/// In shared memory. out is not yet divided by sum; a warp without keys leaves max = LOWEST, sum = 0, out = 0.
template <int DIM>
struct WarpResult {
    float max[HEADS], sum[HEADS];
    /// Where a dimension lies: apart so that lanes that write different heads and every eighth dimension meet different banks.
    float out[HEADS][DIM + DIM / 8 + 1];
    __device__ __forceinline__ float& at(uint32_t head, uint32_t dim) { return out[head][dim + dim / 8]; }
};

__device__ __forceinline__ uint4 load16(const __half* from, bool valid) {
    return valid ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
}

/// float16 keys and values straight from global memory into the fragments of tensor-core products, no shared memory.
///
/// Scores are K Q^T (16 keys by 8 heads). The order in which the products sum the dimensions is free as long as both
/// operands share it: a lane's 16 bytes of a row, dimensions 32 s + 8 t to + 7, are what it needs of two products.
/// Outputs are V^T P^T (dimensions by heads): row r of tile i is dimension r * (DIM / 16) + i, so that a lane loads
/// contiguous pieces of a row there too, and pairs up those of two keys.
template <int DIM>
struct HalfWarp {
    static constexpr int SLABS = DIM / 32;
    static constexpr int TILES = DIM / 16;
    using Element = __half;

    /// q / q_scale in two halves, whose sum it is: its rounding would show in the scores. A lane's operands of each slab.
    struct Queries {
        uint4 high[SLABS][32], low[SLABS][32];
    };
    const Queries* queries;                      // in shared memory, all warps' own
    float score_scale[2];                        // of heads 2t and 2t + 1: q_scale * scale * log2(e)
    float max[2], sum[2];                        // sum: of this lane's keys alone
    float out[TILES][4];
    uint32_t head_dim, lane;

    /// q: the first head's; n_heads of them, stride values apart. Every warp of the block writes some of shared, and the
    /// block meets at a barrier before attend().
    __device__ void begin(const float* q, uint32_t stride, uint32_t n_heads, uint32_t dim, float scale, Queries& shared) {
        head_dim = dim;
        lane = threadIdx.x % 32;
        queries = &shared;
        const uint32_t g = lane / 4, t = lane % 4;
        float values[SLABS][8];
        float largest = 0;
#pragma unroll
        for (int s = 0; s < SLABS; ++s) {
            const uint32_t first = s * 32 + t * 8;
            const bool valid = g < n_heads && first < dim;
#pragma unroll
            for (int i = 0; i < 8; i += 4) {
                const float4 four = valid ? *reinterpret_cast<const float4*>(q + g * stride + first + i) : make_float4(0, 0, 0, 0);
                *reinterpret_cast<float4*>(values[s] + i) = four;
            }
#pragma unroll
            for (int i = 0; i < 8; ++i) largest = fmaxf(largest, fabsf(values[s][i]));
        }
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
        const float q_scale = power_of_two_above(largest), inverse = 1.f / q_scale;  // exact both
#pragma unroll
        for (int s = 0; s < SLABS; ++s) {
            if (s % (blockDim.x / 32) != threadIdx.x / 32) continue;
            uint32_t high_words[4], low_words[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float x = values[s][2 * i] * inverse, y = values[s][2 * i + 1] * inverse;
                const __half2 high = __floats2half2_rn(x, y);
                high_words[i] = *reinterpret_cast<const uint32_t*>(&high);
                low_words[i] = pack_half2(x - __low2float(high), y - __high2float(high));
            }
            shared.high[s][lane] = make_uint4(high_words[0], high_words[1], high_words[2], high_words[3]);
            shared.low[s][lane] = make_uint4(low_words[0], low_words[1], low_words[2], low_words[3]);
        }
        const float own = q_scale * scale * 1.44269504f;
        score_scale[0] = __shfl_sync(~0u, own, 2 * t * 4);
        score_scale[1] = __shfl_sync(~0u, own, (2 * t + 1) * 4);
        max[0] = max[1] = LOWEST;
        sum[0] = sum[1] = 0;
#pragma unroll
        for (int i = 0; i < TILES; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) out[i][j] = 0;
        }
    }

    struct Keys {
        uint4 rows[SLABS][2];
    };
    __device__ Keys load_keys(const __half* k, uint32_t first, uint32_t end) const {
        Keys keys;
        const uint32_t g = lane / 4, t = lane % 4;
#pragma unroll
        for (int s = 0; s < SLABS; ++s) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const uint32_t key = first + g + half * 8, dim = s * 32 + t * 8;
                keys.rows[s][half] = load16(k + size_t{key} * head_dim + dim, key < end && dim < head_dim);
            }
        }
        return keys;
    }

    /// Words of 2 dimensions each of TILES consecutive dimensions of a row of v.
    __device__ void load_value_piece(uint32_t* words, const __half* v, uint32_t key, uint32_t piece, uint32_t end) const {
        const uint32_t dim = piece * TILES;
        const __half* from = v + size_t{key} * head_dim + dim;
        if constexpr (TILES == 4) {
            uint2 x = make_uint2(0, 0);
            if (key < end && dim < head_dim) x = *reinterpret_cast<const uint2*>(from);
            words[0] = x.x;
            words[1] = x.y;
        } else {
#pragma unroll
            for (int i = 0; i < TILES / 8; ++i) {
                const uint4 x = load16(from + i * 8, key < end && dim + i * 8 < head_dim);
                words[i * 4] = x.x;
                words[i * 4 + 1] = x.y;
                words[i * 4 + 2] = x.z;
                words[i * 4 + 3] = x.w;
            }
        }
    }

    /// Attends to keys first to first + 15 (those before end), which lie in keys.
    __device__ void step(const Keys& keys, const __half* v, uint32_t first, uint32_t end) {
        const uint32_t g = lane / 4, t = lane % 4;
        uint32_t values[4][TILES / 2];  // keys 2t, 2t + 1, 2t + 8, 2t + 9; pieces g (first two below) and g + 8
        uint32_t values_behind[4][TILES / 2];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const uint32_t key = first + 2 * t + i % 2 + i / 2 * 8;
            load_value_piece(values[i], v, key, g, end);
            load_value_piece(values_behind[i], v, key, g + 8, end);
        }

        // Four sums, so that no product waits for the one before it.
        float sums[4][4] = {};
#pragma unroll
        for (int s = 0; s < SLABS; ++s) {
            const uint4 &a = keys.rows[s][0], &b = keys.rows[s][1];
            const uint32_t even[4] = {a.x, b.x, a.y, b.y}, odd[4] = {a.z, b.z, a.w, b.w};
            const uint4 high = queries->high[s][lane], low = queries->low[s][lane];
            const uint32_t high_even[2] = {high.x, high.y}, high_odd[2] = {high.z, high.w};
            const uint32_t low_even[2] = {low.x, low.y}, low_odd[2] = {low.z, low.w};
            multiply(sums[0], even, high_even);
            multiply(sums[1], odd, high_odd);
            multiply(sums[2], even, low_even);
            multiply(sums[3], odd, low_odd);
        }
        float scores[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[i] = (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
        const bool low_valid = first + g < end, high_valid = first + g + 8 < end;
        float p[4];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            const float low = low_valid ? scores[j] * score_scale[j] : LOWEST;
            const float high = high_valid ? scores[j + 2] * score_scale[j] : LOWEST;
            float largest = fmaxf(low, high);
#pragma unroll
            for (int offset = 4; offset < 32; offset *= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, offset));
            largest = fmaxf(largest, max[j]);
            const float decay = exp2f(max[j] - largest);
            max[j] = largest;
            p[j] = low_valid ? exp2f(low - largest) : 0.f;
            p[j + 2] = high_valid ? exp2f(high - largest) : 0.f;
            sum[j] = sum[j] * decay + p[j] + p[j + 2];
#pragma unroll
            for (int i = 0; i < TILES; ++i) {
                out[i][j] *= decay;
                out[i][j + 2] *= decay;
            }
        }
        const uint32_t weights[2] = {transpose_matrix(pack_half2(p[0], p[1])), transpose_matrix(pack_half2(p[2], p[3]))};
#pragma unroll
        for (int w = 0; w < TILES / 2; ++w) {
#pragma unroll
            for (int odd = 0; odd < 2; ++odd) {
                const uint32_t select = odd ? 0x7632 : 0x5410;
                const uint32_t a[4] = {__byte_perm(values[0][w], values[1][w], select),
                                       __byte_perm(values_behind[0][w], values_behind[1][w], select),
                                       __byte_perm(values[2][w], values[3][w], select),
                                       __byte_perm(values_behind[2][w], values_behind[3][w], select)};
                multiply(out[2 * w + odd], a, weights);
            }
        }
    }

    /// Attends to the tiles first, first + stride, ... that begin before end.
    __device__ void attend(const __half* k, const __half* v, uint32_t first, uint32_t stride, uint32_t end) {
        for (; first < end; first += stride) step(load_keys(k, first, end), v, first, end);
    }

    __device__ void finish(WarpResult<DIM>& result) {
        const uint32_t g = lane / 4, t = lane % 4;
#pragma unroll
        for (int j = 0; j < 2; ++j) {
#pragma unroll
            for (int offset = 4; offset < 32; offset *= 2) sum[j] += __shfl_xor_sync(~0u, sum[j], offset);
            if (g == 0) {
                result.max[2 * t + j] = max[j];
                result.sum[2 * t + j] = sum[j];
            }
#pragma unroll
            for (int i = 0; i < TILES; ++i) {
                result.at(2 * t + j, g * TILES + i) = out[i][j];
                result.at(2 * t + j, (g + 8) * TILES + i) = out[i][j + 2];
            }
        }
    }

    /// At least largest and at most twice it; 1 for zero, infinities and NaN.
    static __device__ float power_of_two_above(float largest) {
        const uint32_t exponent = __float_as_uint(largest) >> 23;
        if (exponent == 0 || exponent >= 0xfe) return 1.f;
        return __uint_as_float((exponent + 1) << 23);
    }
};

/// float32 keys and values, float32 arithmetic: the reference, and sessions that ask for it.
template <int DIM>
struct FloatWarp {
    static constexpr int VALUES = DIM / 32;  // of a lane: dimensions lane, lane + 32, ...
    using Element = float;

    struct Queries {};
    float q[HEADS][VALUES], out[HEADS][VALUES];
    float max[HEADS], sum[HEADS];
    float score_scale;
    uint32_t n_heads, head_dim, lane;

    __device__ void begin(const float* first_q, uint32_t stride, uint32_t heads, uint32_t dim, float scale, Queries&) {
        n_heads = heads;
        head_dim = dim;
        lane = threadIdx.x % 32;
        score_scale = scale * 1.44269504f;
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
            max[h] = LOWEST;
            sum[h] = 0;
#pragma unroll
            for (int i = 0; i < VALUES; ++i) {
                const uint32_t d = lane + i * 32;
                q[h][i] = h < n_heads && d < dim ? first_q[h * stride + d] : 0.f;
                out[h][i] = 0;
            }
        }
    }

    __device__ void attend(const float* k, const float* v, uint32_t first, uint32_t stride, uint32_t end) {
        for (; first < end; first += stride) {
            const uint32_t tile_end = first + TILE_KEYS < end ? first + TILE_KEYS : end;
            for (uint32_t key = first; key < tile_end; ++key) step(k + size_t{key} * head_dim, v + size_t{key} * head_dim);
        }
    }

    __device__ void step(const float* k, const float* v) {
        float key[VALUES], value[VALUES];
#pragma unroll
        for (int i = 0; i < VALUES; ++i) {
            const uint32_t d = lane + i * 32;
            key[i] = d < head_dim ? k[d] : 0.f;
            value[i] = d < head_dim ? v[d] : 0.f;
        }
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
            if (h >= n_heads) break;
            float score = 0;
#pragma unroll
            for (int i = 0; i < VALUES; ++i) score = fmaf(q[h][i], key[i], score);
#pragma unroll
            for (int offset = 16; offset > 0; offset /= 2) score += __shfl_xor_sync(~0u, score, offset);
            score *= score_scale;
            const float largest = fmaxf(max[h], score);
            const float decay = exp2f(max[h] - largest), p = exp2f(score - largest);
            max[h] = largest;
            sum[h] = fmaf(sum[h], decay, p);
#pragma unroll
            for (int i = 0; i < VALUES; ++i) out[h][i] = fmaf(out[h][i], decay, p * value[i]);
        }
    }

    __device__ void finish(WarpResult<DIM>& result) {
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
            if (lane == 0) {
                result.max[h] = max[h];
                result.sum[h] = sum[h];
            }
#pragma unroll
            for (int i = 0; i < VALUES; ++i) result.at(h, lane + i * 32) = out[h][i];
        }
    }
};

}  // namespace reprise::cuda
