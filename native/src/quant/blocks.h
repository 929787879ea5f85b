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

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

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

}  // namespace reprise
