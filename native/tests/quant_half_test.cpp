#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "quant/tensor_type.h"

namespace reprise {
namespace {

/// The value of a half by its definition: sign, five exponent bits of bias 15, ten of mantissa.
double half_value(uint16_t h) {
    const int exponent = h >> 10 & 31;
    const int mantissa = h & 1023;
    const double sign = h >> 15 ? -1 : 1;
    if (exponent == 31) return mantissa ? std::numeric_limits<double>::quiet_NaN() : sign * INFINITY;
    if (exponent == 0) return sign * std::ldexp(mantissa, -24);
    return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Half, EveryValueWidensToItsDefinition) {
    for (uint32_t h = 0; h < 65536; ++h) {
        const double expected = half_value(static_cast<uint16_t>(h));
        const float actual = half_to_float(static_cast<uint16_t>(h));
        if (std::isnan(expected)) {
            ASSERT_TRUE(std::isnan(actual)) << h;
        } else {
            ASSERT_EQ(expected, static_cast<double>(actual)) << h;
            ASSERT_EQ(h >> 15, std::signbit(actual)) << h;
        }
    }
}

TEST(Half, EveryValueSurvivesTheRoundTrip) {
    for (uint32_t h = 0; h < 65536; ++h) {
        const float f = half_to_float(static_cast<uint16_t>(h));
        const uint16_t back = float_to_half(f);
        if (std::isnan(f)) {
            ASSERT_TRUE(std::isnan(half_to_float(back))) << h;
        } else {
            ASSERT_EQ(h, back);
        }
    }
}

TEST(Half, RoundsToNearestEvenBetweenEveryPairOfNeighbours) {
    for (uint32_t h = 0; h < 0x7bff; ++h) {  // every finite half but the largest
        const double low = half_value(static_cast<uint16_t>(h));
        const double high = half_value(static_cast<uint16_t>(h + 1));
        const float middle = static_cast<float>((low + high) / 2);  // exact: it needs one bit more
        ASSERT_EQ(h + (h & 1), float_to_half(middle)) << h;
        ASSERT_EQ(h, float_to_half(std::nextafter(middle, 0.0f))) << h;
        ASSERT_EQ(h + 1, float_to_half(std::nextafter(middle, INFINITY))) << h;
        ASSERT_EQ((h + 1) | 0x8000, float_to_half(-std::nextafter(middle, INFINITY))) << h;
    }
}

TEST(Half, OverflowsToInfinityAndUnderflowsToZero) {
    EXPECT_EQ(0x7bff, float_to_half(65519.996f));
    EXPECT_EQ(0x7c00, float_to_half(65520.0f));
    EXPECT_EQ(0x7c00, float_to_half(std::numeric_limits<float>::max()));
    EXPECT_EQ(0xfc00, float_to_half(-INFINITY));
    EXPECT_EQ(0x0000, float_to_half(0x1p-25f));  // halfway to the smallest subnormal: even is zero
    EXPECT_EQ(0x0001, float_to_half(0x1.000002p-25f));
    EXPECT_EQ(0x8000, float_to_half(-1e-30f));
    EXPECT_TRUE(std::isnan(half_to_float(float_to_half(std::numeric_limits<float>::quiet_NaN()))));
    // A NaN whose payload has only low bits must not become an infinity.
    EXPECT_TRUE(std::isnan(half_to_float(float_to_half(std::bit_cast<float>(0x7f800001u)))));
}

TEST(BFloat16, EveryValueSurvivesTheRoundTrip) {
    for (uint32_t b = 0; b < 65536; ++b) {
        const float f = bf16_to_float(static_cast<uint16_t>(b));
        ASSERT_EQ(b << 16, std::bit_cast<uint32_t>(f));
        const uint16_t back = float_to_bf16(f);
        if (std::isnan(f)) {
            ASSERT_TRUE(std::isnan(bf16_to_float(back))) << b;
        } else {
            ASSERT_EQ(b, back);
        }
    }
}

TEST(BFloat16, RoundsToNearestEven) {
    EXPECT_EQ(0x3f80, float_to_bf16(std::bit_cast<float>(0x3f808000u)));  // halfway, even below
    EXPECT_EQ(0x3f82, float_to_bf16(std::bit_cast<float>(0x3f818000u)));  // halfway, even above
    EXPECT_EQ(0x3f81, float_to_bf16(std::bit_cast<float>(0x3f808001u)));
    EXPECT_EQ(0x7f80, float_to_bf16(std::numeric_limits<float>::max()));
    EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::bit_cast<float>(0x7f800001u)))));
}

}  // namespace
}  // namespace reprise
