// How weights lie in device memory.
//
// Rows are stored in tiles of TILE_ROWS, one tile after the other, so that any range of tiles is one contiguous piece.
// A tile is a sequence of bricks of 32 units of each of its rows (the last one of what remains), each a contiguous
// piece of a multiple of 16 bytes. A unit is 16 bytes of a float type, the row's last padded with zeros, or a group of
// 32 weights of a quantised one. With n units a brick is, of a float type,
//
//   values  [row][n]         16 bytes
//
// and of a quantised one
//
//   quants  [planes][row][n] 16 bytes    4 to 6 bits: byte i holds the low nibbles of weights i and i + 16, low one
//                                        first; 8 bits: plane 0 holds weights 0-15, plane 1 weights 16-31
//   high    [words][n][row]  4 bytes     Q5_K: byte b bit w is the fifth bit of weight 4w + b, bit w + 4 that of
//                                        weight 16 + 4w + b
//                                        Q6_K: byte b bits 2w, 2w + 1 are the upper bits of weight 4w + b (word 0) and
//                                        of 16 + 4w + b (word 1)
//   scales  [n][row]         2, 4 bytes  Q4_0, Q8_0: half d; Q4_1: half d, half m; Q4_K, Q5_K: six-bit scale and
//                                        minimum, a byte each; Q6_K: int8 scales of weights 0-15 and 16-31
//   supers  [n / 8][row]     2, 4 bytes  Q4_K, Q5_K: half d, half dmin; Q6_K: half d
//
// so that a lane with one group of four rows makes 16-byte loads of quants and one load each of the rest, and a warp's
// worth of weights arrives by one bulk copy. Against the file that is 148 bytes for 144 (Q4_K), 180 for 176 (Q5_K), and
// the same bytes for the others. Behind the tiles lies one word: the bits, as a float32, of the largest absolute value
// among weights and, of quantised ones, what else a product in float16 reckons with.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/linear.h"
#include "quant/blocks.h"

namespace reprise::cuda {

constexpr uint32_t BRICK_UNITS = 32;

struct TileLayout {
    uint32_t units;        // of a row: groups of 32 weights (quantised) or 16-byte words (float types)
    uint32_t brick_bytes;  // of a full brick
    uint32_t bytes;        // of a whole tile; a multiple of 16
};

struct QuantShape {
    uint32_t planes, high_words, scale_bytes, super_bytes;
};

__host__ __device__ constexpr bool is_quantized(TensorType type) {
    return type != TensorType::F32 && type != TensorType::F16 && type != TensorType::BF16;
}

__host__ __device__ constexpr QuantShape quant_shape(TensorType type) {
    switch (type) {
        case TensorType::Q4_0:
            return {1, 0, 2, 0};
        case TensorType::Q4_1:
            return {1, 0, 4, 0};
        case TensorType::Q8_0:
            return {2, 0, 2, 0};
        case TensorType::Q4_K:
            return {1, 0, 2, 4};
        case TensorType::Q5_K:
            return {1, 1, 2, 4};
        case TensorType::Q6_K:
            return {1, 2, 2, 2};
        default:
            return {0, 0, 0, 0};
    }
}

/// Where the parts of a brick of n groups are: offsets in bytes from its start.
struct BrickLayout {
    uint32_t high, scales, supers;
    uint32_t bytes;
};
__host__ __device__ constexpr BrickLayout brick_layout(const QuantShape& shape, uint32_t n) {
    BrickLayout layout = {};
    layout.high = TILE_ROWS * n * 16 * shape.planes;
    layout.scales = layout.high + TILE_ROWS * n * 4 * shape.high_words;
    layout.supers = layout.scales + TILE_ROWS * n * shape.scale_bytes;
    layout.bytes = (layout.supers + TILE_ROWS * (n / 8) * shape.super_bytes + 15) / 16 * 16;
    return layout;
}

__host__ __device__ constexpr TileLayout tile_layout(TensorType type, uint32_t cols) {
    TileLayout layout = {};
    if (!is_quantized(type)) {
        const uint32_t per_word = type == TensorType::F32 ? 4 : 8;
        layout.units = (cols + per_word - 1) / per_word;
        layout.brick_bytes = TILE_ROWS * BRICK_UNITS * 16;
        layout.bytes = TILE_ROWS * layout.units * 16;
        return layout;
    }
    layout.units = cols / 32;
    layout.brick_bytes = brick_layout(quant_shape(type), BRICK_UNITS).bytes;
    const uint32_t rest = layout.units % BRICK_UNITS;
    layout.bytes =
        layout.units / BRICK_UNITS * layout.brick_bytes + (rest != 0 ? brick_layout(quant_shape(type), rest).bytes : 0);
    return layout;
}

/// Unit number unit of a tile's rows: its brick, and where in it.
struct UnitPlace {
    uint32_t brick;  // offset in bytes from the tile's start
    uint32_t n;      // units of that brick
    uint32_t index;  // of the unit among them
};
__host__ __device__ constexpr UnitPlace place_of(const TileLayout& layout, uint32_t unit) {
    const uint32_t brick = unit / BRICK_UNITS, rest = layout.units - brick * BRICK_UNITS;
    return {brick * layout.brick_bytes, rest < BRICK_UNITS ? rest : BRICK_UNITS, unit % BRICK_UNITS};
}

/// Of a float type: where 16-byte word number word of a row of a tile lies, in bytes from the tile's start.
__host__ __device__ constexpr uint32_t float_word_offset(const TileLayout& layout, uint32_t row, uint32_t word) {
    const UnitPlace place = place_of(layout, word);
    return place.brick + (row * place.n + place.index) * 16;
}

__host__ __device__ constexpr uint32_t tile_count(uint32_t rows) { return (rows + TILE_ROWS - 1) / TILE_ROWS; }

/// The word behind the tiles.
inline uint32_t* absmax_word(const DeviceMatrix& m) {
    return reinterpret_cast<uint32_t*>(m.data + size_t{tile_count(m.rows)} * tile_layout(m.type, m.cols).bytes);
}

/// One group of 32 weights of one row, in the layout above.
struct QuantGroup {
    uint4 quants[2];
    uint32_t high[2];
    uint32_t scale;
    uint32_t super;
};

template <TensorType T>
__device__ __forceinline__ void store_group(uint8_t* tile, const TileLayout& layout, uint32_t row, uint32_t group,
                                            const QuantGroup& g) {
    constexpr QuantShape shape = quant_shape(T);
    const UnitPlace place = place_of(layout, group);
    const BrickLayout parts = brick_layout(shape, place.n);
    uint8_t* brick = tile + place.brick;
    const uint32_t slot = place.index * TILE_ROWS + row;
#pragma unroll
    for (uint32_t p = 0; p < shape.planes; ++p) {
        reinterpret_cast<uint4*>(brick)[(p * TILE_ROWS + row) * place.n + place.index] = g.quants[p];
    }
    uint32_t* high = reinterpret_cast<uint32_t*>(brick + parts.high) + slot;
    if constexpr (shape.high_words > 0) high[0] = g.high[0];
    if constexpr (shape.high_words > 1) high[TILE_ROWS * place.n] = g.high[1];
    if constexpr (shape.scale_bytes == 4) {
        reinterpret_cast<uint32_t*>(brick + parts.scales)[slot] = g.scale;
    } else {
        reinterpret_cast<uint16_t*>(brick + parts.scales)[slot] = static_cast<uint16_t>(g.scale);
    }
    const uint32_t super_slot = place.index / 8 * TILE_ROWS + row;
    if constexpr (shape.super_bytes == 4) {
        if (group % 8 == 0) reinterpret_cast<uint32_t*>(brick + parts.supers)[super_slot] = g.super;
    } else if constexpr (shape.super_bytes == 2) {
        if (group % 8 == 0)
            reinterpret_cast<uint16_t*>(brick + parts.supers)[super_slot] = static_cast<uint16_t>(g.super);
    }
}

/// Group number index of a row in a brick of n. Cheap where n is a constant.
template <TensorType T>
__device__ __forceinline__ QuantGroup load_group_of_brick(const uint8_t* brick, uint32_t n, uint32_t row,
                                                          uint32_t index) {
    constexpr QuantShape shape = quant_shape(T);
    const BrickLayout parts = brick_layout(shape, n);
    const uint32_t slot = index * TILE_ROWS + row;
    QuantGroup g = {};
#pragma unroll
    for (uint32_t p = 0; p < shape.planes; ++p) {
        g.quants[p] = reinterpret_cast<const uint4*>(brick)[(p * TILE_ROWS + row) * n + index];
    }
    const uint32_t* high = reinterpret_cast<const uint32_t*>(brick + parts.high) + slot;
    if constexpr (shape.high_words > 0) g.high[0] = high[0];
    if constexpr (shape.high_words > 1) g.high[1] = high[TILE_ROWS * n];
    if constexpr (shape.scale_bytes == 4) {
        g.scale = reinterpret_cast<const uint32_t*>(brick + parts.scales)[slot];
    } else {
        g.scale = reinterpret_cast<const uint16_t*>(brick + parts.scales)[slot];
    }
    const uint32_t super_slot = index / 8 * TILE_ROWS + row;
    if constexpr (shape.super_bytes == 4) {
        g.super = reinterpret_cast<const uint32_t*>(brick + parts.supers)[super_slot];
    } else if constexpr (shape.super_bytes == 2) {
        g.super = reinterpret_cast<const uint16_t*>(brick + parts.supers)[super_slot];
    }
    return g;
}

template <TensorType T>
__device__ __forceinline__ QuantGroup load_group(const uint8_t* tile, const TileLayout& layout, uint32_t row,
                                                 uint32_t group) {
    const UnitPlace place = place_of(layout, group);
    return load_group_of_brick<T>(tile + place.brick, place.n, row, place.index);
}

__device__ __forceinline__ float half_bits_to_float(uint32_t bits) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
}
__device__ __forceinline__ uint32_t word_of(const uint4& v, int i) {
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

/// w = d * q - m for the weights of one half (0-15 or 16-31) of a group, each product and the difference rounded: the
/// arithmetic of the reference dequantisation.
struct HalfScale {
    float d, m;
};
template <TensorType T>
__device__ __forceinline__ HalfScale half_scale(const QuantGroup& g, int half) {
    const float d = half_bits_to_float(g.scale & 0xffff);
    if constexpr (T == TensorType::Q4_0 || T == TensorType::Q8_0) return {d, 0.f};
    if constexpr (T == TensorType::Q4_1) return {d, -half_bits_to_float(g.scale >> 16)};
    const float super = half_bits_to_float(g.super & 0xffff);
    if constexpr (T == TensorType::Q4_K || T == TensorType::Q5_K) {
        return {__fmul_rn(super, static_cast<float>(g.scale & 0xff)),
                __fmul_rn(half_bits_to_float(g.super >> 16), static_cast<float>(g.scale >> 8))};
    }
    return {__fmul_rn(super, static_cast<float>(static_cast<int8_t>(g.scale >> (half * 8)))), 0.f};
}

/// The value nearest to m / d among those that a type has, of a type that has an m. In float16 a weight is d (q -
/// centre) + (d centre - m): the summand is less than d, or has the sign of the rest, so that rounding it is no matter.
template <TensorType T>
constexpr bool HAS_MINIMUM = T == TensorType::Q4_1 || T == TensorType::Q4_K || T == TensorType::Q5_K;
template <TensorType T>
__device__ __forceinline__ float centre_of(const HalfScale& s) {
    if constexpr (!HAS_MINIMUM<T>) return 0.f;
    return s.d == 0.f ? 0.f : fminf(fmaxf(rintf(__fdividef(s.m, s.d)), 0.f), 31.f);
}

/// Weight half * 16 + 4 * word + byte of a group, before scaling.
template <TensorType T>
__device__ __forceinline__ int quant_value(const QuantGroup& g, int half, int word, int byte) {
    if constexpr (T == TensorType::Q8_0) {
        return static_cast<int8_t>(word_of(g.quants[half], word) >> (byte * 8));
    } else {
        int q = static_cast<int>(word_of(g.quants[0], word) >> (byte * 8 + half * 4)) & 15;
        if constexpr (T == TensorType::Q5_K)
            q |= static_cast<int>((g.high[0] >> (byte * 8 + half * 4 + word)) & 1) << 4;
        if constexpr (T == TensorType::Q6_K) q |= static_cast<int>((g.high[half] >> (byte * 8 + word * 2)) & 3) << 4;
        if constexpr (T == TensorType::Q4_0) q -= 8;
        if constexpr (T == TensorType::Q6_K) q -= 32;
        return q;
    }
}

__device__ __forceinline__ float scaled(const HalfScale& s, int q) {
    return __fsub_rn(__fmul_rn(s.d, static_cast<float>(q)), s.m);
}

/// A power of two 2^e such that values of at most max fit into float16 after division by it, with 14 bits to spare
/// below before precision is lost. 1 for zero; infinities and NaN stay what they are.
__device__ __forceinline__ float half_range_scale(float max) {
    const int exponent = static_cast<int>((__float_as_uint(max) >> 23) & 0xff);
    if (exponent == 0 || exponent == 0xff) return 1.f;
    const int biased = exponent - 14;
    return __uint_as_float(static_cast<uint32_t>(biased < 1 ? 1 : biased) << 23);
}

}  // namespace reprise::cuda
