// The arithmetic of one token's product: one unit (a group of 32 weights, or 16 bytes of float weights) of the four
// rows of a tile, held in registers, against the input's values of that unit.
//
// Dot<T>::load() only copies 16-byte words into registers, so that it can run long before the input exists.
#pragma once

#include "cuda/quant_input.cuh"
#include "cuda/quant_layout.cuh"

namespace reprise::cuda {

/// Weights are read once per token: keep them out of L1.
__device__ __forceinline__ uint4 load_weights16(const uint8_t* p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}
__device__ __forceinline__ uint2 load_weights8(const uint8_t* p) {
    uint2 v;
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
    return v;
}

struct GlobalSource {
    __device__ static uint4 load16(const uint8_t* p) { return load_weights16(p); }
    __device__ static uint2 load8(const uint8_t* p) { return load_weights8(p); }
};
struct SharedSource {
    __device__ static uint4 load16(const uint8_t* p) { return *reinterpret_cast<const uint4*>(p); }
    __device__ static uint2 load8(const uint8_t* p) { return *reinterpret_cast<const uint2*>(p); }
};

struct Int8Unit {
    int q[8];  // values 0-15, 16-31
    float d;
    int sums;  // two int16
    __device__ int sum(int half) const { return half == 0 ? static_cast<int16_t>(sums) : sums >> 16; }
    __device__ int sum() const { return sum(0) + sum(1); }
};

__device__ __forceinline__ Int8Unit load_int8_unit(const uint8_t* row, uint32_t groups, uint32_t group) {
    Int8Unit unit;
    *reinterpret_cast<uint4*>(unit.q) = reinterpret_cast<const uint4*>(row)[group];
    *reinterpret_cast<uint4*>(unit.q + 4) = reinterpret_cast<const uint4*>(row)[groups + group];
    const uint2 scale = *reinterpret_cast<const uint2*>(row + int8_scales_offset(groups) + group * 8);
    unit.d = __uint_as_float(scale.x);
    unit.sums = static_cast<int>(scale.y);
    return unit;
}

/// acc + sum over four bytes of a weight's, unsigned, times an input's, signed.
__device__ __forceinline__ int dot_bytes(uint32_t weights, int x, int acc) {
    asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(acc) : "r"(weights), "r"(x));
    return acc;
}

/// Sum of q * x over the 32 nibbles of 16 bytes, the low ones with x[0..3]. The high ones stay where they are, 16 times
/// too large, which saves their shifts.
__device__ __forceinline__ int dot_nibbles(const uint4& v, const int* x) {
    int low = 0, high = 0;
#pragma unroll
    for (int w = 0; w < 4; ++w) {
        low = dot_bytes(word_of(v, w) & 0x0f0f0f0fu, x[w], low);
        high = dot_bytes(word_of(v, w) & 0xf0f0f0f0u, x[4 + w], high);
    }
    return low + (high >> 4);
}

template <TensorType T>
struct Dot;

/// What the quantised types have in common.
template <TensorType T>
struct QuantDot {
    using Unit = Int8Unit;
    static constexpr TensorType TYPE = T;
    __device__ static Unit load_input(const void* x, uint32_t, uint32_t groups, uint32_t unit) {
        return load_int8_unit(static_cast<const uint8_t*>(x), groups, unit);
    }
    /// The words of a lane's group: a brick of n groups at brick, read by Source (global or shared memory).
    template <class Source>
    __device__ static void load_quants(uint4* raw, const uint8_t* brick, uint32_t n, uint32_t index) {
        constexpr uint32_t planes = quant_shape(T).planes;
#pragma unroll
        for (uint32_t i = 0; i < TILE_ROWS * planes; ++i) raw[i] = Source::load16(brick + (i * n + index) * 16);
    }
    template <class Source>
    __device__ static uint4 load_high(const uint8_t* brick, uint32_t n, uint32_t index, uint32_t word) {
        return Source::load16(brick + brick_layout(quant_shape(TYPE), n).high + (word * n + index) * TILE_ROWS * 4);
    }
    template <class Source>
    __device__ static uint2 load_scales(const uint8_t* brick, uint32_t n, uint32_t index) {
        return Source::load8(brick + brick_layout(quant_shape(TYPE), n).scales + index * TILE_ROWS * 2);
    }
    __device__ static const uint8_t* supers(const uint8_t* brick, uint32_t n, uint32_t index) {
        return brick + brick_layout(quant_shape(TYPE), n).supers +
               index / 8 * TILE_ROWS * quant_shape(TYPE).super_bytes;
    }
    /// 16 bits of row r in four.
    __device__ static uint32_t of_row(uint32_t x, uint32_t y, int r) {
        return ((r < 2 ? x : y) >> (r % 2 * 16)) & 0xffff;
    }
};

template <>
struct Dot<TensorType::Q4_0> : QuantDot<TensorType::Q4_0> {
    static constexpr int WORDS = 5;
    template <class Source>
    __device__ static void load(uint4* raw, const uint8_t* brick, uint32_t n, uint32_t index) {
        load_quants<Source>(raw, brick, n, index);
        const uint2 s = load_scales<Source>(brick, n, index);
        raw[4] = make_uint4(s.x, s.y, 0, 0);
    }
    __device__ static void add(const uint4* raw, const Unit& x, float* acc) {
        const int offset = -8 * x.sum();
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            const int dot = dot_nibbles(raw[r], x.q) + offset;
            acc[r] += half_bits_to_float(of_row(raw[4].x, raw[4].y, r)) * x.d * static_cast<float>(dot);
        }
    }
};

template <>
struct Dot<TensorType::Q4_1> : QuantDot<TensorType::Q4_1> {
    static constexpr int WORDS = 5;
    template <class Source>
    __device__ static void load(uint4* raw, const uint8_t* brick, uint32_t n, uint32_t index) {
        load_quants<Source>(raw, brick, n, index);
        raw[4] = Source::load16(brick + brick_layout(quant_shape(TYPE), n).scales + index * TILE_ROWS * 4);
    }
    __device__ static void add(const uint4* raw, const Unit& x, float* acc) {
        const float sum = static_cast<float>(x.sum());
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            const int dot = dot_nibbles(raw[r], x.q);
            const uint32_t dm = word_of(raw[4], r);
            acc[r] +=
                x.d * (half_bits_to_float(dm & 0xffff) * static_cast<float>(dot) + half_bits_to_float(dm >> 16) * sum);
        }
    }
};

template <>
struct Dot<TensorType::Q8_0> : QuantDot<TensorType::Q8_0> {
    static constexpr int WORDS = 9;
    template <class Source>
    __device__ static void load(uint4* raw, const uint8_t* brick, uint32_t n, uint32_t index) {
        load_quants<Source>(raw, brick, n, index);
        const uint2 s = load_scales<Source>(brick, n, index);
        raw[8] = make_uint4(s.x, s.y, 0, 0);
    }
    __device__ static void add(const uint4* raw, const Unit& x, float* acc) {
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            int dot = 0;
#pragma unroll
            for (int w = 0; w < 4; ++w) {
                dot = __dp4a(static_cast<int>(word_of(raw[r], w)), x.q[w], dot);
                dot = __dp4a(static_cast<int>(word_of(raw[4 + r], w)), x.q[4 + w], dot);
            }
            acc[r] += half_bits_to_float(of_row(raw[8].x, raw[8].y, r)) * x.d * static_cast<float>(dot);
        }
    }
};

/// Row r of a Q4_K or Q5_K group whose integer dot product is dot.
__device__ __forceinline__ float scale_min(uint32_t super, uint32_t scale, int dot, int sum, float d) {
    const float scaled_dot = static_cast<float>(static_cast<int>(scale & 0xff) * dot);
    const float scaled_sum = static_cast<float>(static_cast<int>(scale >> 8) * sum);
    return d * (half_bits_to_float(super & 0xffff) * scaled_dot - half_bits_to_float(super >> 16) * scaled_sum);
}

template <>
struct Dot<TensorType::Q4_K> : QuantDot<TensorType::Q4_K> {
    static constexpr int WORDS = 6;
    template <class Source>
    __device__ static void load(uint4* raw, const uint8_t* brick, uint32_t n, uint32_t index) {
        load_quants<Source>(raw, brick, n, index);
        raw[4] = Source::load16(supers(brick, n, index));
        const uint2 s = load_scales<Source>(brick, n, index);
        raw[5] = make_uint4(s.x, s.y, 0, 0);
    }
    __device__ static void add(const uint4* raw, const Unit& x, float* acc) {
        const int sum = x.sum();
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            const int dot = dot_nibbles(raw[r], x.q);
            acc[r] += scale_min(word_of(raw[4], r), of_row(raw[5].x, raw[5].y, r), dot, sum, x.d);
        }
    }
};

template <>
struct Dot<TensorType::Q5_K> : QuantDot<TensorType::Q5_K> {
    static constexpr int WORDS = 7;
    template <class Source>
    __device__ static void load(uint4* raw, const uint8_t* brick, uint32_t n, uint32_t index) {
        load_quants<Source>(raw, brick, n, index);
        raw[4] = load_high<Source>(brick, n, index, 0);
        raw[5] = Source::load16(supers(brick, n, index));
        const uint2 s = load_scales<Source>(brick, n, index);
        raw[6] = make_uint4(s.x, s.y, 0, 0);
    }
    __device__ static void add(const uint4* raw, const Unit& x, float* acc) {
        const int sum = x.sum();
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            const uint32_t high = word_of(raw[4], r);
            int dot = 0;
#pragma unroll
            for (int w = 0; w < 4; ++w) {
                const uint32_t v = word_of(raw[r], w);
                const uint32_t low_half = (v & 0x0f0f0f0fu) | ((high << (4 - w)) & 0x10101010u);
                const uint32_t high_half = ((v >> 4) & 0x0f0f0f0fu) | ((high >> w) & 0x10101010u);
                dot = __dp4a(static_cast<int>(low_half), x.q[w], dot);
                dot = __dp4a(static_cast<int>(high_half), x.q[4 + w], dot);
            }
            acc[r] += scale_min(word_of(raw[5], r), of_row(raw[6].x, raw[6].y, r), dot, sum, x.d);
        }
    }
};

template <>
struct Dot<TensorType::Q6_K> : QuantDot<TensorType::Q6_K> {
    static constexpr int WORDS = 7;
    template <class Source>
    __device__ static void load(uint4* raw, const uint8_t* brick, uint32_t n, uint32_t index) {
        load_quants<Source>(raw, brick, n, index);
        raw[4] = load_high<Source>(brick, n, index, 0);
        raw[5] = load_high<Source>(brick, n, index, 1);
        const uint2 s = load_scales<Source>(brick, n, index);
        const uint2 d = Source::load8(supers(brick, n, index));
        raw[6] = make_uint4(s.x, s.y, d.x, d.y);
    }
    __device__ static uint32_t upper(uint32_t high, int w) { return w < 2 ? high << (4 - 2 * w) : high >> (2 * w - 4); }
    __device__ static void add(const uint4* raw, const Unit& x, float* acc) {
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            int dot0 = -32 * x.sum(0), dot1 = -32 * x.sum(1);
#pragma unroll
            for (int w = 0; w < 4; ++w) {
                const uint32_t v = word_of(raw[r], w);
                const uint32_t q0 = (v & 0x0f0f0f0fu) | (upper(word_of(raw[4], r), w) & 0x30303030u);
                const uint32_t q1 = ((v >> 4) & 0x0f0f0f0fu) | (upper(word_of(raw[5], r), w) & 0x30303030u);
                dot0 = __dp4a(static_cast<int>(q0), x.q[w], dot0);
                dot1 = __dp4a(static_cast<int>(q1), x.q[4 + w], dot1);
            }
            const uint32_t scales = of_row(raw[6].x, raw[6].y, r);
            const int dot = static_cast<int8_t>(scales) * dot0 + static_cast<int8_t>(scales >> 8) * dot1;
            acc[r] += half_bits_to_float(of_row(raw[6].z, raw[6].w, r)) * x.d * static_cast<float>(dot);
        }
    }
};

/// Float types against a float32 input.
template <TensorType T>
struct FloatDot {
    static constexpr int WORDS = 4;
    static constexpr uint32_t N = T == TensorType::F32 ? 4 : 8;
    struct Unit {
        float x[N];
    };
    __device__ static Unit load_input(const void* x, uint32_t cols, uint32_t, uint32_t unit) {
        Unit out;
        const float* p = static_cast<const float*>(x) + unit * N;
        if (unit * N + N <= cols) {
#pragma unroll
            for (uint32_t i = 0; i < N; i += 4)
                *reinterpret_cast<float4*>(out.x + i) = *reinterpret_cast<const float4*>(p + i);
        } else {
#pragma unroll
            for (uint32_t i = 0; i < N; ++i) out.x[i] = unit * N + i < cols ? p[i] : 0.f;
        }
        return out;
    }
    template <class Source>
    __device__ static void load(uint4* raw, const uint8_t* brick, uint32_t n, uint32_t index) {
#pragma unroll
        for (uint32_t r = 0; r < TILE_ROWS; ++r) raw[r] = Source::load16(brick + (r * n + index) * 16);
    }
    __device__ static void add(const uint4* raw, const Unit& x, float* acc) {
#pragma unroll
        for (uint32_t r = 0; r < TILE_ROWS; ++r) {
            float sum = acc[r];
#pragma unroll
            for (int w = 0; w < 4; ++w) {
                const uint32_t bits = word_of(raw[r], w);
                if constexpr (T == TensorType::F32) {
                    sum = fmaf(__uint_as_float(bits), x.x[w], sum);
                } else if constexpr (T == TensorType::F16) {
                    sum = fmaf(half_bits_to_float(bits & 0xffff), x.x[2 * w], sum);
                    sum = fmaf(half_bits_to_float(bits >> 16), x.x[2 * w + 1], sum);
                } else {
                    sum = fmaf(__uint_as_float(bits << 16), x.x[2 * w], sum);
                    sum = fmaf(__uint_as_float(bits & 0xffff0000u), x.x[2 * w + 1], sum);
                }
            }
            acc[r] = sum;
        }
    }
};
template <>
struct Dot<TensorType::F32> : FloatDot<TensorType::F32> {};
template <>
struct Dot<TensorType::F16> : FloatDot<TensorType::F16> {};
template <>
struct Dot<TensorType::BF16> : FloatDot<TensorType::BF16> {};

/// Unit number unit of a tile in global memory.
template <TensorType T>
__device__ __forceinline__ void load_unit(uint4* raw, const uint8_t* tile, const TileLayout& layout, uint32_t unit) {
    const UnitPlace place = place_of(layout, unit);
    Dot<T>::template load<GlobalSource>(raw, tile + place.brick, place.n, place.index);
}

/// Sums v[0..3] over the warp. The lanes with lane % 8 == 0 get row (lane / 16) * 2 + lane / 8 % 2.
__device__ __forceinline__ float reduce_rows(const float* v, uint32_t lane) {
    const bool upper = lane & 16;
    const float a = (upper ? v[2] : v[0]) + __shfl_xor_sync(~0u, upper ? v[0] : v[2], 16);
    const float b = (upper ? v[3] : v[1]) + __shfl_xor_sync(~0u, upper ? v[1] : v[3], 16);
    const bool odd = lane & 8;
    float sum = (odd ? b : a) + __shfl_xor_sync(~0u, odd ? a : b, 8);
    sum += __shfl_xor_sync(~0u, sum, 4);
    sum += __shfl_xor_sync(~0u, sum, 2);
    return sum + __shfl_xor_sync(~0u, sum, 1);
}

}  // namespace reprise::cuda
