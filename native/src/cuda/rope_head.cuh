// One head of q, k or v on its way to attention: its norm, its rotation, its place in the KV cache. By one warp.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "cuda/kv_q8.cuh"
#include "cuda/rope.h"

namespace reprise::cuda {

constexpr uint32_t MAX_HEAD_PAIRS = 4;  // of a lane: heads of up to 256

template <class T>
__device__ T to_cache(float value);
template <>
__device__ __forceinline__ float to_cache<float>(float value) {
    return value;
}
template <>
__device__ __forceinline__ __half to_cache<__half>(float value) {
    return __float2half_rn(value);
}

/// Where pair p of a head has its two elements.
struct HeadPair {
    uint32_t a, b;
};
__device__ __forceinline__ HeadPair pair_of(const RopeKvArgs& args, uint32_t p) {
    const uint32_t half = args.n_rot / 2;
    // Those behind the turned ones are neighbours in either style; n_rot is even.
    if (args.style == RopeStyle::ADJACENT || p >= half) return {2 * p, 2 * p + 1};
    return {p, p + half};
}

/// A lane has up to PAIRS pairs in registers: lane, lane + 32, ...
template <uint32_t PAIRS>
struct TurnedHead {
    float a[PAIRS], b[PAIRS];

    /// body(dimension, value) for each of the lane's.
    template <class Body>
    __device__ __forceinline__ void for_each(const RopeKvArgs& args, Body body) const {
#pragma unroll
        for (uint32_t i = 0; i < PAIRS; ++i) {
            const uint32_t p = threadIdx.x % 32 + i * 32;
            if (p >= args.head_dim / 2) break;
            const HeadPair at = pair_of(args, p);
            body(at.a, a[i]);
            body(at.b, b[i]);
        }
    }

    template <class T>
    __device__ __forceinline__ void store(const RopeKvArgs& args, T* out) const {
        for_each(args, [&](uint32_t dim, float value) { out[dim] = to_cache<T>(value); });
    }
};

/// Cosine and sine of pair p at a position, times the magnitude.
__device__ __forceinline__ float2 cos_sin_of(const RopeKvArgs& args, uint32_t p, uint32_t position) {
    // In double: at position 100,000 a float angle is off by 0.004 radians.
    const double turned = static_cast<double>(position) * args.turns[p];
    float sin, cos;
    sincospif(2.f * static_cast<float>(turned - rint(turned)), &sin, &cos);
    return make_float2(args.magnitude * cos, args.magnitude * sin);
}

/// The values of a head as the products left them.
template <uint32_t PAIRS>
__device__ __forceinline__ TurnedHead<PAIRS> load_head(const RopeKvArgs& args, const float* values) {
    TurnedHead<PAIRS> head;
#pragma unroll
    for (uint32_t i = 0; i < PAIRS; ++i) {
        const uint32_t p = threadIdx.x % 32 + i * 32;
        if (p >= args.head_dim / 2) break;
        const HeadPair at = pair_of(args, p);
        head.a[i] = __ldcg(values + at.a);
        head.b[i] = __ldcg(values + at.b);
    }
    return head;
}

/// The norm of head number head of [q heads, k heads, v heads]: null where it has none.
__device__ __forceinline__ const float* head_norm(const RopeKvArgs& args, uint32_t head) {
    if (head < args.n_heads) return args.q_norm;
    return head < args.n_heads + args.n_kv_heads ? args.k_norm : nullptr;
}

/// The weights of a head's norm, which never change.
template <uint32_t PAIRS>
struct HeadNorm {
    float a[PAIRS], b[PAIRS];

    __device__ __forceinline__ void load(const RopeKvArgs& args, uint32_t head) {
        const float* norm = head_norm(args, head);
        if (norm == nullptr) return;
#pragma unroll
        for (uint32_t i = 0; i < PAIRS; ++i) {
            const uint32_t p = threadIdx.x % 32 + i * 32;
            if (p >= args.head_dim / 2) break;
            const HeadPair at = pair_of(args, p);
            a[i] = __ldg(norm + at.a);
            b[i] = __ldg(norm + at.b);
        }
    }
};

/// Cosines and sines of a lane's pairs at one position.
template <uint32_t PAIRS>
struct HeadAngles {
    float2 cos_sin[PAIRS];

    __device__ __forceinline__ void compute(const RopeKvArgs& args, uint32_t position) {
#pragma unroll
        for (uint32_t i = 0; i < PAIRS; ++i) {
            const uint32_t p = threadIdx.x % 32 + i * 32;
            if (p >= args.n_rot / 2) break;
            cos_sin[i] = cos_sin_of(args, p, position);
        }
    }
};

/// Head number head of [q heads, k heads, v heads]: rms_norm where the norms are there, RoPE.
template <uint32_t PAIRS>
__device__ __forceinline__ void turn_head(const RopeKvArgs& args, uint32_t head, const HeadNorm<PAIRS>& norm,
                                          const HeadAngles<PAIRS>& angles, TurnedHead<PAIRS>& values) {
    const uint32_t lane = threadIdx.x % 32;
    if (head >= args.n_heads + args.n_kv_heads) return;
    const bool has_norm = head_norm(args, head) != nullptr;
    float factor = 1.f;
    if (has_norm) {
        float sum = 0;
#pragma unroll
        for (uint32_t i = 0; i < PAIRS; ++i) {
            if (lane + i * 32 >= args.head_dim / 2) break;
            sum = fmaf(values.a[i], values.a[i], fmaf(values.b[i], values.b[i], sum));
        }
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
        factor = rsqrtf(__fdividef(sum, static_cast<float>(args.head_dim)) + args.rms_eps);
    }
#pragma unroll
    for (uint32_t i = 0; i < PAIRS; ++i) {
        const uint32_t p = lane + i * 32;
        if (p >= args.head_dim / 2) break;
        float& x = values.a[i];
        float& y = values.b[i];
        if (has_norm) {
            x = x * factor * norm.a[i];
            y = y * factor * norm.b[i];
        }
        if (p >= args.n_rot / 2) continue;
        const float2 cs = angles.cos_sin[i];
        const float turned = x * cs.x - y * cs.y;
        y = x * cs.y + y * cs.x;
        x = turned;
    }
}

/// A k or v head to its row of the cache, of elements T; nothing at or beyond the capacity. row: shared memory of the
/// warp, head_dim values, for KvQ8 alone. also(dimension, value) gets the values that float16 arithmetic will find
/// there, unless T is float.
template <class T, uint32_t PAIRS, class Also>
__device__ __forceinline__ void store_to_cache(const RopeKvArgs& args, uint32_t head, const TurnedHead<PAIRS>& turned,
                                               uint32_t position, float* row, Also also) {
    if (position >= args.capacity) return;
    const bool is_v = head >= args.n_heads + args.n_kv_heads;
    const uint32_t kv_head = head - args.n_heads - (is_v ? args.n_kv_heads : 0);
    uint8_t* of_head = static_cast<uint8_t*>(is_v ? args.v_cache : args.k_cache) +
                       kv_head * kv_rows(args.capacity) * kv_row_bytes<T>(args.head_dim);
    if constexpr (std::is_same_v<T, KvQ8>) {
        turned.store(args, row);
        __syncwarp();
        auto* quants = reinterpret_cast<int8_t*>(of_head + kv_q8_quants(position, args.head_dim));
        auto* scales = reinterpret_cast<__half*>(of_head + kv_q8_scales(position, args.head_dim));
        quantize_kv_row(row, args.head_dim, [&](uint32_t dim, int8_t q, __half scale) {
            quants[dim] = q;
            if (dim % KV_BLOCK == 0) scales[dim / KV_BLOCK] = scale;
            also(dim, kv_value(q, scale));
        });
        __syncwarp();
    } else {
        T* cache = reinterpret_cast<T*>(of_head) + size_t{position} * args.head_dim;
        turned.for_each(args, [&](uint32_t dim, float value) {
            const T stored = to_cache<T>(value);
            if constexpr (std::is_same_v<T, __half>) {
                cache[kv_chunk(position, dim / 8, args.head_dim) * 8 + dim % 8] = stored;
                also(dim, stored);
            } else {
                cache[dim] = stored;
            }
        });
    }
}

}  // namespace reprise::cuda
