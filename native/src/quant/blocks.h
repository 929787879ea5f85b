// Block layouts of the supported quantised types, as they lie in a GGUF file (little-endian, packed).
#pragma once

#include <cstdint>

namespace reprise {

// w = d * (q - 8); q[i] holds weight i in its low nibble and weight i + 16 in its high one.
struct BlockQ4_0 {
    uint16_t d;
    uint8_t qs[16];
};
// w = d * q + m, nibbles as in Q4_0.
struct BlockQ4_1 {
    uint16_t d, m;
    uint8_t qs[16];
};
// w = d * q.
struct BlockQ8_0 {
    uint16_t d;
    int8_t qs[32];
};
// 256 weights in 8 groups of 32: w = d * scale[g] * q - dmin * min[g].
// scales: 8 six-bit scales and 8 six-bit minima in 12 bytes (see unpack_scale_min).
// qs: 32 bytes per pair of groups; the low nibbles are the even group, the high ones the odd group.
struct BlockQ4_K {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qs[128];
};
// As Q4_K with a fifth bit per weight: bit g of qh[i] belongs to weight i of group g.
struct BlockQ5_K {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
};
// 256 weights in 16 groups of 16: w = d * scale[g] * (q - 32), q of six bits: four in ql, two in qh.
// Per half of 128: ql[l] low nibble = weight l, ql[l + 32] low = l + 32, the high nibbles l + 64 and l + 96;
// qh[l] bits 0-1, 2-3, 4-5, 6-7 belong to weights l, l + 32, l + 64, l + 96.
struct BlockQ6_K {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d;
};
// As Q4_0 with a fifth bit: w = d * (q - 16); bit i of qh (little-endian) is the fifth of weight i.
struct BlockQ5_0 {
    uint16_t d;
    uint8_t qh[4];
    uint8_t qs[16];
};
// w = d * q + m, q as in Q5_0.
struct BlockQ5_1 {
    uint16_t d, m;
    uint8_t qh[4];
    uint8_t qs[16];
};
// 256 weights in 16 groups of 16: w = d * (scales[g] & 15) * q - dmin * (scales[g] >> 4), q of two bits.
// Per half of 128: bits 0-1, 2-3, 4-5, 6-7 of qs[l] belong to weights l, l + 32, l + 64, l + 96.
struct BlockQ2_K {
    uint8_t scales[16];
    uint8_t qs[64];
    uint16_t d, dmin;
};
// 256 weights in 16 groups of 16: w = d * (scale[g] - 32) * (q - 4), q of three bits: two in qs as in Q2_K, and bit g
// of hmask[i] the third of weight i of the g-th 32. scales: 16 of six bits in 12 bytes (see unpack_scales_q3_k).
struct BlockQ3_K {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    uint16_t d;
};
// w = d * IQ4_VALUES[q], nibbles as in Q4_0.
struct BlockIQ4_NL {
    uint16_t d;
    uint8_t qs[16];
};
// 256 weights in 8 groups of 32, each with nibbles as in IQ4_NL: w = d * (scale[g] - 32) * IQ4_VALUES[q]. Of a scale's
// six bits, four are nibble g of scales_l and two are bits 2g and 2g + 1 of scales_h.
struct BlockIQ4_XS {
    uint16_t d, scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
};
// w = 2^(e - 128) * FP4_VALUES[q], nibbles as in Q4_0: E2M1 numbers under an E8M0 scale, of the OCP Microscaling
// Formats specification 1.0, with the numbers doubled.
struct BlockMXFP4 {
    uint8_t e;
    uint8_t qs[16];
};
// 64 weights in 4 groups of 16: w = ue4m3_to_float(d[g]) / 2 * FP4_VALUES[q]. Bytes 8g to 8g + 7 of qs are group g: its
// first 8 weights are their low nibbles, its last 8 the high ones.
struct BlockNVFP4 {
    uint8_t d[4];
    uint8_t qs[32];
};
// 256 weights of -1, 0 or 1: w = d * (digit - 1), five digits of base 3 in a byte b of qs: digit n is
// (b * 3^n mod 256) * 3 / 256. Digit n of qs[l] is weight 32n + l, of qs[32 + l] weight 160 + 16n + l; qh, which holds
// four digits in a byte, has weights 240 + 4n + l.
struct BlockTQ1_0 {
    uint8_t qs[48];
    uint8_t qh[4];
    uint16_t d;
};
// w = d * (q - 1), q of two bits, packed as in Q2_K.
struct BlockTQ2_0 {
    uint8_t qs[64];
    uint16_t d;
};
// The IQ types have 256 weights a block, in 8 groups of 32, and indices into codebooks (quant/grids.h). Where seven
// signs are stored for eight weights, bit i for weight i, the eighth makes the number of minuses even.
//
// w = d / 8 * (2 * scale + 1) * +-grid; eight bits of index per 8 weights; of signs_and_scale the low 28 bits are four
// times seven signs, the upper four the scale.
struct BlockIQ2_XXS {
    uint16_t d;
    struct [[gnu::packed]] {
        uint8_t entries[4];
        uint32_t signs_and_scale;
    } groups[8];
};
// As IQ2_XXS with nine bits of index and seven of signs in each of qs, and a scale, nibble i of scales, per 16 weights.
struct BlockIQ2_XS {
    uint16_t d;
    uint16_t qs[32];
    uint8_t scales[8];
};
// As IQ2_XS with ten bits of index, two of them in qh, and eight signs.
struct BlockIQ2_S {
    uint16_t d;
    uint8_t qs[32], signs[32];
    uint8_t qh[8];
    uint8_t scales[8];
};
// w = d / 4 * (2 * scale + 1) * +-grid; eight bits of index per 4 weights, signs and scales as in IQ2_XXS.
struct [[gnu::packed]] BlockIQ3_XXS {
    uint16_t d;
    uint8_t qs[64];
    uint32_t signs_and_scales[8];
};
// w = d * (2 * scale + 1) * +-grid; nine bits of index per 4 weights, bit l of qh[g] the ninth of entry 8g + l; a sign
// for every weight; a scale, nibble g, per 32.
struct BlockIQ3_S {
    uint16_t d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
};
// w = d * (2 * scale + 1) * (grid +- 1/8); eleven bits of index per 8 weights, of which qh[g] has four times three,
// then three of scale and, in its highest, whether it is minus.
struct BlockIQ1_S {
    uint16_t d;
    uint8_t qs[32];
    uint16_t qh[8];
};
// As IQ1_S with a scale of three bits per 16 weights, minus or plus per 8 (bits 3 and 7 of qh), and the factor's four
// nibbles in the highest bits of the scales.
struct BlockIQ1_M {
    uint8_t qs[32];
    uint8_t qh[16];
    uint16_t scales[4];
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24 && sizeof(BlockQ2_K) == 84);
static_assert(sizeof(BlockQ3_K) == 110 && sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136);
static_assert(sizeof(BlockMXFP4) == 17 && sizeof(BlockNVFP4) == 36);
static_assert(sizeof(BlockIQ2_XXS) == 66 && sizeof(BlockIQ2_XS) == 74 && sizeof(BlockIQ2_S) == 82);
static_assert(sizeof(BlockIQ3_XXS) == 98 && sizeof(BlockIQ3_S) == 110);
static_assert(sizeof(BlockIQ1_S) == 50 && sizeof(BlockIQ1_M) == 56);
static_assert(sizeof(BlockTQ1_0) == 54 && sizeof(BlockTQ2_0) == 66);

/// What the nibbles of IQ4_NL and IQ4_XS stand for.
constexpr int8_t IQ4_VALUES[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
/// Twice what the nibbles of MXFP4 and NVFP4 stand for: E2M1 numbers, the sign in the highest bit.
constexpr int8_t FP4_VALUES[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// Six-bit scale and minimum of group g (0 to 7) of a Q4_K or Q5_K block.
inline void unpack_scale_min(const uint8_t* scales, int g, uint8_t& scale, uint8_t& min) {
    if (g < 4) {
        scale = scales[g] & 63;
        min = scales[g + 4] & 63;
    } else {
        scale = static_cast<uint8_t>((scales[g + 4] & 15) | ((scales[g - 4] >> 6) << 4));
        min = static_cast<uint8_t>((scales[g + 4] >> 4) | ((scales[g] >> 6) << 4));
    }
}

/// Inverse of unpack_scale_min for all eight groups.
inline void pack_scales_mins(const uint8_t* scales, const uint8_t* mins, uint8_t* packed) {
    for (int g = 0; g < 4; ++g) {
        packed[g] = static_cast<uint8_t>(scales[g] | (scales[g + 4] >> 4) << 6);
        packed[g + 4] = static_cast<uint8_t>(mins[g] | (mins[g + 4] >> 4) << 6);
        packed[g + 8] = static_cast<uint8_t>((scales[g + 4] & 15) | (mins[g + 4] & 15) << 4);
    }
}

/// The 16 six-bit scales of a Q3_K block: four bits are a nibble of the first 8 bytes, two lie in the last 4.
inline void unpack_scales_q3_k(const uint8_t* packed, uint8_t* scales) {
    for (int g = 0; g < 16; ++g) {
        const int low = packed[g % 8] >> (g / 8 * 4) & 15;
        const int high = packed[8 + g % 4] >> (g / 4 * 2) & 3;
        scales[g] = static_cast<uint8_t>(low | high << 4);
    }
}

/// Inverse of unpack_scales_q3_k.
inline void pack_scales_q3_k(const uint8_t* scales, uint8_t* packed) {
    for (int i = 0; i < 8; ++i) packed[i] = static_cast<uint8_t>((scales[i] & 15) | (scales[i + 8] & 15) << 4);
    for (int i = 0; i < 4; ++i) {
        packed[8 + i] = static_cast<uint8_t>(scales[i] >> 4 | scales[i + 4] >> 4 << 2 | scales[i + 8] >> 4 << 4 |
                                             scales[i + 12] >> 4 << 6);
    }
}

/// The float16 whose nibbles are the highest of the scales of IQ1_M, the lowest first.
inline uint16_t iq1_m_factor(const uint16_t* scales) {
    return static_cast<uint16_t>(scales[0] >> 12 | scales[1] >> 12 << 4 | scales[2] >> 12 << 8 | scales[3] >> 12 << 12);
}
inline void set_iq1_m_factor(uint16_t* scales, uint16_t d) {
    for (int i = 0; i < 4; ++i) scales[i] = static_cast<uint16_t>((scales[i] & 0xfff) | (d >> (4 * i) & 15) << 12);
}

/// An unsigned float of four exponent and three mantissa bits, bias 7; the largest pattern, which is none, counts as 0.
float ue4m3_to_float(uint8_t x);
/// To nearest, ties away from zero; 448, the largest, for what is larger.
uint8_t float_to_ue4m3(float x);
/// 2^(e - 128): half of the E8M0 number e, for values that are doubled.
float half_of_e8m0(uint8_t e);

}  // namespace reprise
