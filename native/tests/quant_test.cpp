#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "quant/blocks.h"
#include "quant/tensor_type.h"
#include "synth/random_rows.h"

namespace reprise {
namespace {

/// Types that quantize() makes, and those that are read only.
constexpr TensorType kQuantizable[] = {TensorType::F32,   TensorType::F16,    TensorType::BF16,   TensorType::Q4_0,
                                       TensorType::Q4_1,  TensorType::Q5_0,   TensorType::Q5_1,   TensorType::Q8_0,
                                       TensorType::Q2_K,  TensorType::Q3_K,   TensorType::Q4_K,   TensorType::Q5_K,
                                       TensorType::Q6_K,  TensorType::IQ4_NL, TensorType::IQ4_XS, TensorType::TQ1_0,
                                       TensorType::TQ2_0, TensorType::MXFP4,  TensorType::NVFP4};
constexpr TensorType kReadOnly[] = {TensorType::IQ2_XXS, TensorType::IQ2_XS, TensorType::IQ3_XXS, TensorType::IQ1_S,
                                    TensorType::IQ3_S,   TensorType::IQ2_S,  TensorType::IQ1_M};

std::vector<TensorType> supported() {
    std::vector<TensorType> types(std::begin(kQuantizable), std::end(kQuantizable));
    types.insert(types.end(), std::begin(kReadOnly), std::end(kReadOnly));
    return types;
}

std::vector<float> normal_values(size_t n, float deviation, uint64_t seed) {
    std::vector<float> values(n);
    random_vector(n, 0, deviation, seed)(0, 1, reinterpret_cast<uint8_t*>(values.data()));
    return values;
}

std::vector<float> round_trip(TensorType type, const std::vector<float>& weights) {
    std::vector<uint8_t> blocks(row_bytes(type, weights.size()));
    quantize(type, weights.data(), blocks.data(), weights.size());
    std::vector<float> back(weights.size());
    dequantize(type, blocks.data(), back.data(), weights.size());
    return back;
}

template <typename Block>
std::vector<float> expand(TensorType type, const Block& block) {
    std::vector<float> out(traits(type).block_size);
    dequantize(type, &block, out.data(), out.size());
    return out;
}

TEST(TensorTypes, SupportedOnesAreTheSpecifications) {
    EXPECT_EQ(
        "F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ2_XXS, IQ2_XS, IQ3_XXS, IQ1_S, "
        "IQ4_NL, IQ3_S, IQ2_S, IQ4_XS, IQ1_M, BF16, TQ1_0, TQ2_0, MXFP4, NVFP4",
        supported_types());
    EXPECT_EQ(18u, traits(TensorType::Q4_0).block_bytes);
    EXPECT_EQ(20u, traits(TensorType::Q4_1).block_bytes);
    EXPECT_EQ(34u, traits(TensorType::Q8_0).block_bytes);
    EXPECT_EQ(144u, traits(TensorType::Q4_K).block_bytes);
    EXPECT_EQ(176u, traits(TensorType::Q5_K).block_bytes);
    EXPECT_EQ(210u, traits(TensorType::Q6_K).block_bytes);
    EXPECT_EQ(256u, traits(TensorType::Q6_K).block_size);
    EXPECT_EQ(2u * 144, row_bytes(TensorType::Q4_K, 512));
}

TEST(TensorTypes, KnownButUnsupportedOnesHaveNamesAndSizes) {
    const TypeTraits* type = find_type(41);
    ASSERT_NE(nullptr, type);
    EXPECT_STREQ("Q1_0", type->name);
    EXPECT_EQ(18u, type->block_bytes);
    EXPECT_FALSE(type->supported);
    EXPECT_STREQ("Q8_1", find_type(9)->name);
}

TEST(TensorTypes, RetiredAndUnknownNumbersAreNone) {
    for (const int32_t number : {-1, 4, 5, 31, 32, 33, 36, 37, 38, 1000, INT32_MAX, INT32_MIN}) {
        EXPECT_EQ(nullptr, find_type(number)) << number;
    }
}

TEST(Dequantize, Q4_0BlockByHand) {
    BlockQ4_0 block{};
    block.d = float_to_half(0.5f);
    block.qs[0] = 0x0f;   // weight 0: 15, weight 16: 0
    block.qs[15] = 0x83;  // weight 15: 3, weight 31: 8
    const std::vector<float> w = expand(TensorType::Q4_0, block);
    EXPECT_EQ(3.5f, w[0]);
    EXPECT_EQ(-4.0f, w[16]);
    EXPECT_EQ(-2.5f, w[15]);
    EXPECT_EQ(0.0f, w[31]);
    EXPECT_EQ(-4.0f, w[1]);
}

TEST(Dequantize, Q4_1BlockByHand) {
    BlockQ4_1 block{};
    block.d = float_to_half(0.25f);
    block.m = float_to_half(-1);
    block.qs[3] = 0xa4;  // weight 3: 4, weight 19: 10
    const std::vector<float> w = expand(TensorType::Q4_1, block);
    EXPECT_EQ(0.0f, w[3]);
    EXPECT_EQ(1.5f, w[19]);
    EXPECT_EQ(-1.0f, w[0]);
}

TEST(Dequantize, Q8_0BlockByHand) {
    BlockQ8_0 block{};
    block.d = float_to_half(0.125f);
    block.qs[0] = -128;
    block.qs[31] = 127;
    const std::vector<float> w = expand(TensorType::Q8_0, block);
    EXPECT_EQ(-16.0f, w[0]);
    EXPECT_EQ(15.875f, w[31]);
    EXPECT_EQ(0.0f, w[1]);
}

TEST(Dequantize, Q4_KBlockByHand) {
    BlockQ4_K block{};
    block.d = float_to_half(0.5f);
    block.dmin = float_to_half(0.25f);
    // Group 1: scale 3, minimum 5. Group 6: scale 0b101101 = 45, minimum 0b010011 = 19.
    block.scales[1] = 3;
    block.scales[5] = 5;
    block.scales[10] = 0b00111101;  // low four bits of scale and minimum
    block.scales[2] |= 0b10 << 6;   // high bits of the scale
    block.scales[6] |= 0b01 << 6;   // high bits of the minimum
    block.qs[7] = 0xb0;             // group 0 weight 7: 0; group 1 weight 7: 11
    block.qs[96 + 31] = 0x0d;       // group 6 weight 31: 13; group 7: 0
    const std::vector<float> w = expand(TensorType::Q4_K, block);
    EXPECT_EQ(0.5f * 3 * 11 - 0.25f * 5, w[32 + 7]);
    EXPECT_EQ(-0.25f * 5, w[32 + 8]);
    EXPECT_EQ(0.5f * 45 * 13 - 0.25f * 19, w[6 * 32 + 31]);
    EXPECT_EQ(0.0f, w[7]);
    EXPECT_EQ(0.0f, w[7 * 32 + 31]);
}

TEST(Dequantize, Q5_KBlockByHand) {
    BlockQ5_K block{};
    block.d = float_to_half(2);
    block.scales[0] = 1;            // group 0: scale 1, minimum 0
    block.scales[8] = 2;            // group 4: scale 2
    block.qs[5] = 0x03;             // group 0 weight 5: low bits 3
    block.qh[5] = 1 << 0 | 1 << 4;  // the fifth bit of weight 5 of groups 0 and 4
    block.qs[64 + 5] = 0x0f;        // group 4 weight 5: low bits 15
    const std::vector<float> w = expand(TensorType::Q5_K, block);
    EXPECT_EQ(2.0f * 1 * 19, w[5]);
    EXPECT_EQ(2.0f * 2 * 31, w[4 * 32 + 5]);
    EXPECT_EQ(0.0f, w[32 + 5]);
}

TEST(Dequantize, Q6_KBlockByHand) {
    BlockQ6_K block{};
    block.d = float_to_half(0.5f);
    std::fill(block.scales, block.scales + 16, static_cast<int8_t>(1));
    block.scales[9] = -3;      // weights 144 to 159
    block.ql[64 + 20] = 0x5;   // half 1, column 20, low nibble: weight 128 + 20
    block.qh[32 + 20] = 0b10;  // its high bits: q = 5 + 2 * 16 = 37
    block.ql[32 + 4] = 0x70;   // half 0, weight 96 + 4
    block.qh[4] = 0b11 << 6;   // q = 7 + 3 * 16 = 55
    const std::vector<float> w = expand(TensorType::Q6_K, block);
    EXPECT_EQ(0.5f * -3 * (37 - 32), w[148]);
    EXPECT_EQ(0.5f * (55 - 32), w[100]);
    EXPECT_EQ(0.5f * -32, w[0]);
    EXPECT_EQ(0.5f * -3 * -32, w[149]);
}

TEST(Dequantize, Q5_0AndQ5_1BlocksByHand) {
    BlockQ5_0 block{};
    block.d = float_to_half(0.5f);
    block.qs[2] = 0x3f;    // weight 2: low bits 15; weight 18: 3
    block.qh[0] = 1 << 2;  // the fifth bit of weight 2: 31
    block.qh[2] = 1 << 2;  // and of weight 18: 19
    const std::vector<float> w = expand(TensorType::Q5_0, block);
    EXPECT_EQ(0.5f * (31 - 16), w[2]);
    EXPECT_EQ(0.5f * (19 - 16), w[18]);
    EXPECT_EQ(0.5f * -16, w[0]);
    const BlockQ5_1 shifted{block.d, float_to_half(-3), {1 << 2, 0, 1 << 2, 0}, {0, 0, 0x3f}};
    const std::vector<float> s = expand(TensorType::Q5_1, shifted);
    EXPECT_EQ(0.5f * 31 - 3, s[2]);
    EXPECT_EQ(0.5f * 19 - 3, s[18]);
    EXPECT_EQ(-3.0f, s[31]);
}

TEST(Dequantize, Q2_KBlockByHand) {
    BlockQ2_K block{};
    block.d = float_to_half(0.5f);
    block.dmin = float_to_half(0.25f);
    block.scales[3] = 0x5a;      // weights 48 to 63: scale 10, minimum 5
    block.scales[8 + 6] = 0x03;  // weights 224 to 239: scale 3
    block.qs[16 + 1] = 3 << 2;   // half 0, weight 32 + 17: 3
    block.qs[32] = 2 << 6;       // half 1, weight 128 + 96: 2
    const std::vector<float> w = expand(TensorType::Q2_K, block);
    EXPECT_EQ(0.5f * 10 * 3 - 0.25f * 5, w[49]);
    EXPECT_EQ(-0.25f * 5, w[48]);
    EXPECT_EQ(0.5f * 3 * 2, w[224]);
    EXPECT_EQ(0.0f, w[0]);
}

TEST(Dequantize, Q3_KBlockByHand) {
    BlockQ3_K block{};
    block.d = float_to_half(2);
    uint8_t scales[16];
    std::fill(scales, scales + 16, static_cast<uint8_t>(32));
    scales[2] = 37;  // weights 32 to 47: 5
    scales[13] = 1;  // weights 208 to 223: -31
    pack_scales_q3_k(scales, block.scales);
    EXPECT_EQ(5, block.scales[2] & 15);
    EXPECT_EQ(1, block.scales[5] >> 4);
    block.qs[4] = 3 << 2;            // half 0, weight 32 + 4
    block.hmask[4] = 1 << 1;         // q = 7
    block.qs[32 + 16 + 9] = 1 << 4;  // half 1, weight 128 + 64 + 25: q = 1
    const std::vector<float> w = expand(TensorType::Q3_K, block);
    EXPECT_EQ(2.0f * 5 * (7 - 4), w[36]);
    EXPECT_EQ(2.0f * 5 * -4, w[37]);
    EXPECT_EQ(2.0f * -31 * (1 - 4), w[217]);
    EXPECT_EQ(0.0f, w[0]);
}

TEST(Dequantize, IQ4BlocksByHand) {
    BlockIQ4_NL block{};
    block.d = float_to_half(0.5f);
    block.qs[1] = 0xf0;
    const std::vector<float> w = expand(TensorType::IQ4_NL, block);
    EXPECT_EQ(0.5f * -127, w[1]);
    EXPECT_EQ(0.5f * 113, w[17]);
    BlockIQ4_XS large{};
    large.d = float_to_half(0.5f);
    large.scales_l[1] = 0x70;  // group 3: low bits 7
    large.scales_h = 3 << 6;   // high bits 3: 55 - 32 = 23
    large.qs[48 + 15] = 0x80;
    const std::vector<float> v = expand(TensorType::IQ4_XS, large);
    EXPECT_EQ(0.5f * 23 * -127, v[96 + 15]);
    EXPECT_EQ(0.5f * 23 * 1, v[96 + 31]);
    EXPECT_EQ(0.5f * -32 * -127, v[0]);
}

TEST(Dequantize, FP4BlocksByHand) {
    BlockMXFP4 block{};
    block.e = 126;  // half of 2^-1
    block.qs[0] = 0xf7;
    block.qs[15] = 0x19;
    const std::vector<float> w = expand(TensorType::MXFP4, block);
    EXPECT_EQ(3.0f, w[0]);  // 0.5 * 6
    EXPECT_EQ(-3.0f, w[16]);
    EXPECT_EQ(-0.25f, w[15]);  // 0.5 * 0.5
    EXPECT_EQ(0.25f, w[31]);
    BlockNVFP4 other{};
    other.d[2] = 0x38 + 4;  // 1.5
    other.qs[16] = 0x62;    // weight 32: 1; weight 40: 4
    const std::vector<float> v = expand(TensorType::NVFP4, other);
    EXPECT_EQ(1.5f, v[32]);
    EXPECT_EQ(6.0f, v[40]);
    EXPECT_EQ(0.0f, v[33]);
}

TEST(Dequantize, TernaryBlocksByHand) {
    BlockTQ2_0 two{};
    two.d = float_to_half(0.25f);
    two.qs[32 + 3] = 2 << 4;  // half 1, weight 128 + 64 + 3
    const std::vector<float> w = expand(TensorType::TQ2_0, two);
    EXPECT_EQ(0.25f, w[195]);
    EXPECT_EQ(-0.25f, w[194]);
    BlockTQ1_0 one{};
    one.d = float_to_half(0.25f);
    one.qs[5] = (2 * 81 + 0 * 27 + 1 * 9 + 2 * 3 + 1) * 256 / 243 + 1;  // weights 5, 37, 69, 101, 133: 2, 0, 1, 2, 1
    one.qh[1] = 2 * 27 * 256 / 243 + 1;                                 // weights 241, 245: 0, 2
    const std::vector<float> v = expand(TensorType::TQ1_0, one);
    EXPECT_EQ((std::vector<float>{0.25f, -0.25f, 0, 0.25f, 0}),
              (std::vector<float>{v[5], v[37], v[69], v[101], v[133]}));
    EXPECT_EQ(-0.25f, v[241]);
    EXPECT_EQ(0.25f, v[245]);
}

TEST(Scales, EightBitFloatsRoundToNearest) {
    for (int x = 0; x < 0x7f; ++x) {
        const auto bits = static_cast<uint8_t>(x);
        EXPECT_EQ(bits, float_to_ue4m3(ue4m3_to_float(bits))) << x;
    }
    EXPECT_EQ(0.0f, ue4m3_to_float(0x7f));
    EXPECT_EQ(448.0f, ue4m3_to_float(0x7e));
    EXPECT_EQ(0x1p-9f, ue4m3_to_float(1));
    EXPECT_EQ(0x7e, float_to_ue4m3(1e9f));
    EXPECT_EQ(0x38, float_to_ue4m3(1.06f));
    EXPECT_EQ(0x39, float_to_ue4m3(1.07f));
    EXPECT_EQ(0x40, float_to_ue4m3(1.95f));
    EXPECT_EQ(1.0f, half_of_e8m0(128));
    EXPECT_EQ(0x1p-128f, half_of_e8m0(0));
    EXPECT_EQ(0x1p127f, half_of_e8m0(255));
}

TEST(Dequantize, ReadsUnalignedBlocks) {
    const std::vector<float> weights = normal_values(512, 1, 3);
    for (const TensorType type : kQuantizable) {
        std::vector<uint8_t> storage(row_bytes(type, weights.size()) + 1);
        quantize(type, weights.data(), storage.data() + 1, weights.size());
        std::vector<float> back(weights.size());
        dequantize(type, storage.data() + 1, back.data(), back.size());
        EXPECT_EQ(round_trip(type, weights), back) << traits(type).name;
    }
}

TEST(Dequantize, RefusesPartsOfBlocks) {
    uint8_t block[256] = {};
    float out[256];
    EXPECT_THROW(dequantize(TensorType::Q4_K, block, out, 32), Error);
    EXPECT_THROW(quantize(TensorType::Q8_0, out, block, 33), Error);
}

TEST(Scales, PackingIsTheInverseOfUnpacking) {
    RandomBits bits(11);
    for (int round = 0; round < 1000; ++round) {
        uint8_t scales[8], mins[8], packed[12];
        for (int g = 0; g < 8; ++g) {
            scales[g] = static_cast<uint8_t>(bits.below(64));
            mins[g] = static_cast<uint8_t>(bits.below(64));
        }
        pack_scales_mins(scales, mins, packed);
        for (int g = 0; g < 8; ++g) {
            uint8_t scale, min;
            unpack_scale_min(packed, g, scale, min);
            ASSERT_EQ(scales[g], scale) << g;
            ASSERT_EQ(mins[g], min) << g;
        }
    }
}

struct ErrorBound {
    TensorType type;
    double rms;  // of normal weights with deviation 1
    double max;
};

class QuantizeError : public ::testing::TestWithParam<ErrorBound> {};

// Bounds: a little above what rounding to nearest under scales from the extremes gives for these weights.
TEST_P(QuantizeError, StaysWithinTheBoundForNormalWeights) {
    const auto [type, rms_bound, max_bound] = GetParam();
    const std::vector<float> weights = normal_values(1 << 16, 1, 5);
    const std::vector<float> back = round_trip(type, weights);
    double sum = 0, max = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
        const double error = std::fabs(weights[i] - back[i]);
        sum += error * error;
        max = std::max(max, error);
    }
    const double rms = std::sqrt(sum / static_cast<double>(weights.size()));
    RecordProperty("rms", std::to_string(rms));
    RecordProperty("max", std::to_string(max));
    EXPECT_LE(rms, rms_bound) << traits(type).name;
    EXPECT_LE(max, max_bound) << traits(type).name;
}

INSTANTIATE_TEST_SUITE_P(
    AllTypes, QuantizeError,
    ::testing::Values(ErrorBound{TensorType::F32, 0, 0}, ErrorBound{TensorType::F16, 2.2e-4, 2e-3},
                      ErrorBound{TensorType::BF16, 1.8e-3, 1.6e-2}, ErrorBound{TensorType::Q4_0, 0.09, 0.36},
                      ErrorBound{TensorType::Q4_1, 0.082, 0.24}, ErrorBound{TensorType::Q8_0, 5.6e-3, 1.75e-2},
                      ErrorBound{TensorType::Q4_K, 0.082, 0.24}, ErrorBound{TensorType::Q5_K, 0.04, 0.12},
                      ErrorBound{TensorType::Q6_K, 0.02, 0.085}, ErrorBound{TensorType::Q5_0, 0.045, 0.18},
                      ErrorBound{TensorType::Q5_1, 0.04, 0.12}, ErrorBound{TensorType::Q2_K, 0.34, 1.1},
                      ErrorBound{TensorType::Q3_K, 0.16, 0.75}, ErrorBound{TensorType::IQ4_NL, 0.082, 0.33},
                      ErrorBound{TensorType::IQ4_XS, 0.082, 0.33}, ErrorBound{TensorType::TQ1_0, 0.81, 2.1},
                      ErrorBound{TensorType::TQ2_0, 0.81, 2.1}, ErrorBound{TensorType::MXFP4, 0.12, 0.67},
                      ErrorBound{TensorType::NVFP4, 0.1, 0.53}),
    [](const auto& row) { return std::string(traits(row.param.type).name); });

TEST(Quantize, ZerosStayZeros) {
    const std::vector<float> zeros(512, 0.0f);
    for (const TensorType type : kQuantizable) EXPECT_EQ(zeros, round_trip(type, zeros)) << traits(type).name;
}

/// How far a weight between 1 and 2 may be off: half of the largest step between the values there are for it.
double largest_error_of_one_sign(TensorType type) {
    switch (type) {
        case TensorType::TQ1_0:
        case TensorType::TQ2_0:
            return 1;
        case TensorType::MXFP4:
            return 0.5;
        case TensorType::Q2_K:
        case TensorType::NVFP4:
            return 0.35;
        case TensorType::Q3_K:
            return 0.25;
        case TensorType::IQ4_NL:
        case TensorType::IQ4_XS:
            return 0.17;
        default:
            return 0.14;
    }
}

TEST(Quantize, BlocksOfOneSignKeepTheirRange) {
    std::vector<float> weights(512);
    for (const float sign : {1.0f, -1.0f}) {
        for (size_t i = 0; i < weights.size(); ++i) weights[i] = sign * (1 + static_cast<float>(i % 32) / 32);
        for (const TensorType type : kQuantizable) {
            const std::vector<float> back = round_trip(type, weights);
            for (size_t i = 0; i < weights.size(); ++i) {
                ASSERT_NEAR(weights[i], back[i], largest_error_of_one_sign(type)) << traits(type).name << " " << i;
            }
        }
    }
}

TEST(Quantize, RefusesWhatOnlyASearchMakes) {
    const std::vector<float> zeros(256, 0.0f);
    uint8_t block[256];
    for (const TensorType type : kReadOnly) {
        EXPECT_THROW(quantize(type, zeros.data(), block, zeros.size()), Error) << traits(type).name;
    }
}

TEST(Quantize, IsDeterministicAndIdempotentOnItsOwnValues) {
    const std::vector<float> weights = normal_values(4096, 0.02f, 9);
    for (const TensorType type : {TensorType::F32, TensorType::F16, TensorType::BF16, TensorType::Q8_0}) {
        const std::vector<float> once = round_trip(type, weights);
        EXPECT_EQ(once, round_trip(type, weights)) << traits(type).name;
        EXPECT_EQ(once, round_trip(type, once)) << traits(type).name;
    }
}

TEST(RandomRows, HaveTheDeviationAskedForInEveryType) {
    constexpr size_t kColumns = 1024, kRows = 64;
    for (const TensorType type : supported()) {
        const RowSource rows = random_rows(type, kColumns, 0.05f, 17);
        std::vector<uint8_t> bytes(row_bytes(type, kColumns) * kRows);
        rows(0, kRows, bytes.data());
        std::vector<float> w(kColumns * kRows);
        dequantize(type, bytes.data(), w.data(), w.size());
        double sum = 0, squares = 0;
        for (const float x : w) {
            ASSERT_TRUE(std::isfinite(x)) << traits(type).name;
            sum += x;
            squares += double{x} * x;
        }
        const double n = static_cast<double>(w.size());
        EXPECT_NEAR(0, sum / n, 0.002) << traits(type).name;
        EXPECT_NEAR(0.05, std::sqrt(squares / n), 0.002) << traits(type).name;
    }
}

TEST(RandomRows, DoNotDependOnHowRowsAreGrouped) {
    for (const TensorType type : supported()) {
        const RowSource rows = random_rows(type, 256, 1, 23);
        const size_t bytes = row_bytes(type, 256);
        std::vector<uint8_t> together(bytes * 4), apart(bytes * 4);
        rows(0, 4, together.data());
        for (const uint64_t row : {3, 1, 0, 2}) rows(row, 1, apart.data() + row * bytes);
        EXPECT_EQ(together, apart) << traits(type).name;
    }
}

}  // namespace
}  // namespace reprise
