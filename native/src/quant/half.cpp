// 16-bit floats, IEEE 754 binary16 (F16) and bfloat16 (BF16, the upper half of a binary32), and the 8-bit floats that
// are scales: E8M0 (OCP Microscaling Formats specification 1.0) and unsigned E4M3 (of OCP's 8-bit floats, without
// sign).
#include <algorithm>
#include <bit>
#include <cmath>

#include "quant/blocks.h"
#include "quant/tensor_type.h"

namespace reprise {

float half_to_float(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
    const uint32_t exponent = (h >> 10) & 31;
    const uint32_t mantissa = h & 0x3ff;
    if (exponent == 0) {
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    // Biases: 15 in a half, 127 in a float.
    const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
    return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

uint16_t float_to_half(float f) {
    const uint32_t bits = std::bit_cast<uint32_t>(f);
    const uint32_t sign = (bits >> 16) & 0x8000;
    const uint32_t magnitude = bits & 0x7fffffff;
    constexpr uint32_t kInfinity = 0x7f800000;
    constexpr uint32_t kOverflow = 0x477ff000;        // 65520, halfway between the largest half and 2^16
    constexpr uint32_t kSmallestNormal = 0x38800000;  // 2^-14
    uint32_t half;
    if (magnitude > kInfinity) {
        half = 0x7e00 | ((magnitude >> 13) & 0x1ff);  // quiet, as much of the payload as fits
    } else if (magnitude >= kOverflow) {
        half = 0x7c00;
    } else if (magnitude < kSmallestNormal) {
        // The last place of 0.5f is 2^-24, that of a subnormal half: the addition rounds there.
        half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - std::bit_cast<uint32_t>(0.5f);
    } else {
        const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
        half = (rounded - (112u << 23)) >> 13;
    }
    return static_cast<uint16_t>(sign | half);
}

float bf16_to_float(uint16_t b) { return std::bit_cast<float>(static_cast<uint32_t>(b) << 16); }

uint16_t float_to_bf16(float f) {
    const uint32_t bits = std::bit_cast<uint32_t>(f);
    if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float ue4m3_to_float(uint8_t x) {
    const int exponent = x >> 3 & 15, mantissa = x & 7;
    if ((x & 0x7f) == 0x7f) return 0;
    return exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                         : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
}

uint8_t float_to_ue4m3(float x) {
    if (!(x > 0)) return 0;
    if (x >= 448) return 0x7e;
    const int exponent = std::max(std::ilogb(x), -6);  // of the smallest normal number and below
    const auto units = static_cast<int>(std::round(std::ldexp(x, 3 - exponent)));  // of the last place: 0 to 16
    // The implicit one carries into the exponent, as does rounding up to 16.
    return static_cast<uint8_t>(std::min(((exponent + 6) << 3) + units, 0x7e));
}

float half_of_e8m0(uint8_t e) { return std::ldexp(1.0f, e - 128); }

}  // namespace reprise
