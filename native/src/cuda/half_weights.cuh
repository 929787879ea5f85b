// Weights that become float16 in registers, for the tensor cores: 32 of a row at a time.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "cuda/quant_layout.cuh"
#include "cuda/tensor_core.cuh"

namespace reprise::cuda {

constexpr uint32_t GROUP_PAIRS = 16;  // of neighbours among a group's 32 weights

struct Bf16Group {
    uint4 words[4];
};
template <TensorType T>
using WeightGroup = std::conditional_t<is_quantized(T), QuantGroup, Bf16Group>;

/// Groups of a row of units units.
template <TensorType T>
__device__ __forceinline__ uint32_t group_count(uint32_t units) {
    return is_quantized(T) ? units : (units + 3) / 4;
}

/// Group number group of a row of a tile. Beyond the row's end: other weights.
template <TensorType T>
__device__ __forceinline__ WeightGroup<T> load_weights(const uint8_t* tile, const TileLayout& layout, uint32_t row,
                                                       uint32_t group) {
    if constexpr (is_quantized(T)) {
        const UnitPlace place = place_of(layout, min(group, layout.units - 1));
        const uint8_t* brick = tile + place.brick;
        // Places in a whole brick are cheap to reckon.
        return place.n == BRICK_UNITS ? load_group_of_brick<T>(brick, BRICK_UNITS, row, place.index)
                                      : load_group_of_brick<T>(brick, place.n, row, place.index);
    } else {
        Bf16Group g;
#pragma unroll
        for (uint32_t i = 0; i < 4; ++i)
            g.words[i] = *reinterpret_cast<const uint4*>(
                tile + float_word_offset(layout, row, min(group * 4 + i, layout.units - 1)));
        return g;
    }
}

__device__ __forceinline__ uint32_t bits_of(__half2 v) { return *reinterpret_cast<const uint32_t*>(&v); }
__device__ __forceinline__ __half2 half2_of(uint32_t bits) { return *reinterpret_cast<const __half2*>(&bits); }

/// Weights 4 * word to 4 * word + 3 of half number half of a group, a byte each and not negative.
template <TensorType T>
__device__ __forceinline__ uint32_t quant_bytes(const QuantGroup& g, int half, int word) {
    if constexpr (T == TensorType::Q8_0) return word_of(g.quants[half], word) ^ 0x80808080u;
    uint32_t bytes = word_of(g.quants[0], word) >> (half * 4) & 0x0f0f0f0fu;
    if constexpr (T == TensorType::Q5_K) {
        const int bit = half * 4 + word;  // to bit 4
        bytes |= (bit < 4 ? g.high[0] << (4 - bit) : g.high[0] >> (bit - 4)) & 0x10101010u;
    }
    if constexpr (T == TensorType::Q6_K)
        bytes |= (word < 2 ? g.high[half] << (4 - 2 * word) : g.high[half] >> (2 * word - 4)) & 0x30303030u;
    return bytes;
}

/// What those bytes are more than quant_value().
template <TensorType T>
constexpr int OFFSET = T == TensorType::Q4_0   ? 8
                       : T == TensorType::Q6_K ? 32
                       : T == TensorType::Q8_0 ? 128
                                               : 0;

/// The weights of a group, times factor, in float16. What rounding d leaves is taken along.
template <TensorType T>
__device__ __forceinline__ void half_weights(const QuantGroup& g, float factor, uint32_t (&pairs)[GROUP_PAIRS]) {
    constexpr bool TWO_SCALES = T == TensorType::Q6_K;
    __half2 d, d_rest, m, zero;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        if (half == 0 || TWO_SCALES) {
            const HalfScale scale = half_scale<T>(g, half);
            const float centre = centre_of<T>(scale), scaled_d = scale.d * factor;
            d = __float2half2_rn(scaled_d);
            d_rest = __float2half2_rn(scaled_d - __low2float(d));
            m = __float2half2_rn(fmaf(scale.d, centre, -scale.m) * factor);
            zero = __float2half2_rn(1024.f + OFFSET<T> + centre);
        }
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            const uint32_t bytes = quant_bytes<T>(g, half, word);
#pragma unroll
            for (int pair = 0; pair < 2; ++pair) {
                // A byte below the byte 0x64 is the float16 of 1024 more.
                const __half2 q = __hsub2(half2_of(__byte_perm(bytes, 0x64646464u, pair == 0 ? 0x4140 : 0x4342)), zero);
                const __half2 rest = HAS_MINIMUM<T> ? __hfma2(q, d_rest, m) : __hmul2(q, d_rest);
                pairs[half * 8 + word * 2 + pair] = bits_of(__hfma2(q, d, rest));
            }
        }
    }
}

template <TensorType T>
__device__ __forceinline__ void half_weights(const Bf16Group& g, float factor, uint32_t (&pairs)[GROUP_PAIRS]) {
    static_assert(T == TensorType::BF16);
#pragma unroll
    for (uint32_t i = 0; i < GROUP_PAIRS; ++i) {
        const uint32_t pair = word_of(g.words[i / 4], i % 4);
        pairs[i] = pack_half2(__uint_as_float(pair << 16) * factor, __uint_as_float(pair & 0xffff0000u) * factor);
    }
}

}  // namespace reprise::cuda
