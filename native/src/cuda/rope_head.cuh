// One head of q, k or v on its way to attention: its norm, its rotation, its place in the KV cache. By one warp.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

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

/// A lane has up to MAX_HEAD_PAIRS pairs in registers: lane, lane + 32, ...
struct TurnedHead {
    float a[MAX_HEAD_PAIRS], b[MAX_HEAD_PAIRS];

    template <class T>
    __device__ __forceinline__ void store(const RopeKvArgs& args, T* out) const {
#pragma unroll
        for (uint32_t i = 0; i < MAX_HEAD_PAIRS; ++i) {
            const uint32_t p = threadIdx.x % 32 + i * 32;
            if (p >= args.head_dim / 2) break;
            const HeadPair at = pair_of(args, p);
            out[at.a] = to_cache<T>(a[i]);
            out[at.b] = to_cache<T>(b[i]);
        }
    }
};

/// Head number head of [q heads, k heads, v heads], whose values are given: rms_norm where the norms are there, RoPE.
__device__ __forceinline__ TurnedHead turn_head(const RopeKvArgs& args, uint32_t head, const float* values, uint32_t position) {
    const uint32_t lane = threadIdx.x % 32;
    const bool is_v = head >= args.n_heads + args.n_kv_heads;
    const float* norm = head < args.n_heads ? args.q_norm : is_v ? nullptr : args.k_norm;
    TurnedHead head_values;
    float sum = 0;
#pragma unroll
    for (uint32_t i = 0; i < MAX_HEAD_PAIRS; ++i) {
        const uint32_t p = lane + i * 32;
        if (p >= args.head_dim / 2) break;
        const HeadPair at = pair_of(args, p);
        const float x = __ldcg(values + at.a), y = __ldcg(values + at.b);
        head_values.a[i] = x;
        head_values.b[i] = y;
        sum = fmaf(x, x, fmaf(y, y, sum));
    }
    float factor = 1.f;
    if (norm != nullptr) {
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
        factor = 1.f / sqrtf(sum / static_cast<float>(args.head_dim) + args.rms_eps);
    }
#pragma unroll
    for (uint32_t i = 0; i < MAX_HEAD_PAIRS; ++i) {
        const uint32_t p = lane + i * 32;
        if (p >= args.head_dim / 2) break;
        float& x = head_values.a[i];
        float& y = head_values.b[i];
        if (norm != nullptr) {
            const HeadPair at = pair_of(args, p);
            x = x * factor * norm[at.a];
            y = y * factor * norm[at.b];
        }
        if (is_v || p >= args.n_rot / 2) continue;
        const double turns = static_cast<double>(position) * args.turns[p];
        float sin, cos;
        sincospif(2.f * static_cast<float>(turns - rint(turns)), &sin, &cos);
        const float turned = x * cos - y * sin;
        y = x * sin + y * cos;
        x = turned;
    }
    return head_values;
}

/// A k or v head to its row of the cache; nothing at or beyond the capacity.
template <class T>
__device__ __forceinline__ void store_to_cache(const RopeKvArgs& args, uint32_t head, const TurnedHead& turned, uint32_t position) {
    if (position >= args.capacity) return;
    const bool is_v = head >= args.n_heads + args.n_kv_heads;
    const uint32_t kv_head = head - args.n_heads - (is_v ? args.n_kv_heads : 0);
    T* cache = static_cast<T*>(is_v ? args.v_cache : args.k_cache) + (size_t{kv_head} * args.capacity + position) * args.head_dim;
    turned.store(args, cache);
}

}  // namespace reprise::cuda
