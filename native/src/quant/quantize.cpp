// Reference quantisation for tests, fixtures, reprise-synth and the KV cache. Scales come from the extremes of each
// group, then every weight rounds to nearest under the scales as they are stored.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "quant/blocks.h"
#include "quant/tensor_type.h"

namespace reprise {

/// The value of largest magnitude, with its sign.
static float signed_extreme(const float* in, int n) {
    float extreme = 0;
    for (int i = 0; i < n; ++i) {
        if (std::fabs(in[i]) > std::fabs(extreme)) extreme = in[i];
    }
    return extreme;
}

static float inverse(float x) { return x != 0 ? 1 / x : 0; }

static int nearest(float x, int low, int high) {
    return static_cast<int>(std::clamp(std::nearbyint(x), static_cast<float>(low), static_cast<float>(high)));
}

static void quantize_block(const float* in, BlockQ4_0& block) {
    // The extreme maps to -8, the longer side of the range.
    block.d = float_to_half(signed_extreme(in, 32) / -8);
    const float inv = inverse(half_to_float(block.d));
    for (int i = 0; i < 16; ++i) {
        const int low = nearest(in[i] * inv, -8, 7) + 8;
        const int high = nearest(in[i + 16] * inv, -8, 7) + 8;
        block.qs[i] = static_cast<uint8_t>(low | high << 4);
    }
}

static void quantize_block(const float* in, BlockQ4_1& block) {
    const auto [min, max] = std::minmax_element(in, in + 32);
    block.m = float_to_half(*min);
    const float m = half_to_float(block.m);
    block.d = float_to_half((*max - m) / 15);
    const float inv = inverse(half_to_float(block.d));
    for (int i = 0; i < 16; ++i) {
        const int low = nearest((in[i] - m) * inv, 0, 15);
        const int high = nearest((in[i + 16] - m) * inv, 0, 15);
        block.qs[i] = static_cast<uint8_t>(low | high << 4);
    }
}

/// Sets weight i of a block of Q5_0 or Q5_1; qs and qh are 0 before.
template <typename Block>
static void set_five_bits(Block& block, int i, int q) {
    block.qs[i % 16] |= static_cast<uint8_t>((q & 15) << (i / 16 * 4));
    block.qh[i / 8] |= static_cast<uint8_t>(q >> 4 << i % 8);
}

static void quantize_block(const float* in, BlockQ5_0& block) {
    block = {};
    block.d = float_to_half(signed_extreme(in, 32) / -16);
    const float inv = inverse(half_to_float(block.d));
    for (int i = 0; i < 32; ++i) set_five_bits(block, i, nearest(in[i] * inv, -16, 15) + 16);
}

static void quantize_block(const float* in, BlockQ5_1& block) {
    const auto [min, max] = std::minmax_element(in, in + 32);
    block = {};
    block.m = float_to_half(*min);
    const float m = half_to_float(block.m);
    block.d = float_to_half((*max - m) / 31);
    const float inv = inverse(half_to_float(block.d));
    for (int i = 0; i < 32; ++i) set_five_bits(block, i, nearest((in[i] - m) * inv, 0, 31));
}

/// The nibble whose value is nearest to x.
static int nearest_value(const int8_t* values, float x) {
    int best = 0;
    for (int i = 1; i < 16; ++i) {
        if (std::fabs(x - static_cast<float>(values[i])) < std::fabs(x - static_cast<float>(values[best]))) best = i;
    }
    return best;
}

static void set_nibble_values(const float* in, int n_weights, float d, const int8_t* values, uint8_t* qs) {
    const float inv = inverse(d);
    for (int i = 0; i < n_weights / 2; ++i) {
        const int low = nearest_value(values, in[i] * inv);
        const int high = nearest_value(values, in[i + n_weights / 2] * inv);
        qs[i] = static_cast<uint8_t>(low | high << 4);
    }
}

static void quantize_block(const float* in, BlockIQ4_NL& block) {
    block.d = float_to_half(signed_extreme(in, 32) / IQ4_VALUES[0]);
    set_nibble_values(in, 32, half_to_float(block.d), IQ4_VALUES, block.qs);
}

static void quantize_block(const float* in, BlockMXFP4& block) {
    // As the specification has it: the exponent of the largest value becomes that of the largest number, 6.
    const float largest = std::fabs(signed_extreme(in, 32));
    block.e = static_cast<uint8_t>(largest > 0 ? std::clamp(std::ilogb(largest) - 2 + 127, 0, 254) : 0);
    set_nibble_values(in, 32, half_of_e8m0(block.e), FP4_VALUES, block.qs);
}

static void quantize_block(const float* in, BlockNVFP4& block) {
    for (int g = 0; g < 4; ++g) {
        block.d[g] = float_to_ue4m3(std::fabs(signed_extreme(in + 16 * g, 16)) / 6);
        set_nibble_values(in + 16 * g, 16, ue4m3_to_float(block.d[g]) / 2, FP4_VALUES, block.qs + 8 * g);
    }
}

static void quantize_block(const float* in, BlockQ8_0& block) {
    // A KV cache may be given anything; no integer stands for NaN, so the factor has to show it.
    const bool finite = std::all_of(in, in + 32, [](float x) { return std::isfinite(x); });
    block.d = float_to_half(finite ? std::fabs(signed_extreme(in, 32)) / 127 : NAN);
    const float inv = inverse(half_to_float(block.d));
    for (int i = 0; i < 32; ++i) block.qs[i] = static_cast<int8_t>(finite ? nearest(in[i] * inv, -127, 127) : 0);
}

/// Scales and minima of a Q4_K or Q5_K block, and its 256 weights as integers 0 to max_q.
template <typename Block>
static void quantize_groups(const float* in, int max_q, Block& block, uint8_t* q) {
    float scale[8], min[8];
    for (int g = 0; g < 8; ++g) {
        const auto [low, high] = std::minmax_element(in + g * 32, in + g * 32 + 32);
        min[g] = std::max(0.0f, -*low);  // the format subtracts a minimum that is not negative
        scale[g] = std::max(0.0f, *high + min[g]) / static_cast<float>(max_q);
    }
    block.d = float_to_half(*std::max_element(scale, scale + 8) / 63);
    block.dmin = float_to_half(*std::max_element(min, min + 8) / 63);
    const float d = half_to_float(block.d);
    const float dmin = half_to_float(block.dmin);
    uint8_t scales[8], mins[8];
    for (int g = 0; g < 8; ++g) {
        scales[g] = static_cast<uint8_t>(nearest(scale[g] * inverse(d), 0, 63));
        mins[g] = static_cast<uint8_t>(nearest(min[g] * inverse(dmin), 0, 63));
        const float inv = inverse(d * scales[g]);
        for (int i = 0; i < 32; ++i) {
            q[g * 32 + i] = static_cast<uint8_t>(nearest((in[g * 32 + i] + dmin * mins[g]) * inv, 0, max_q));
        }
    }
    pack_scales_mins(scales, mins, block.scales);
}

static void quantize_block(const float* in, BlockQ4_K& block) {
    uint8_t q[256];
    quantize_groups(in, 15, block, q);
    for (int i = 0; i < 128; ++i) {
        const int even = i / 32 * 64 + i % 32;
        block.qs[i] = static_cast<uint8_t>(q[even] | q[even + 32] << 4);
    }
}

static void quantize_block(const float* in, BlockQ5_K& block) {
    uint8_t q[256];
    quantize_groups(in, 31, block, q);
    std::memset(block.qh, 0, sizeof block.qh);
    for (int i = 0; i < 256; ++i) block.qh[i % 32] |= static_cast<uint8_t>((q[i] >> 4) << (i / 32));
    for (int i = 0; i < 128; ++i) {
        const int even = i / 32 * 64 + i % 32;
        block.qs[i] = static_cast<uint8_t>((q[even] & 15) | (q[even + 32] & 15) << 4);
    }
}

static void quantize_block(const float* in, BlockQ6_K& block) {
    float scale[16];
    for (int g = 0; g < 16; ++g) scale[g] = signed_extreme(in + g * 16, 16) / -32;
    block.d = float_to_half(signed_extreme(scale, 16) / -128);
    const float d = half_to_float(block.d);
    std::memset(block.ql, 0, sizeof block.ql);
    std::memset(block.qh, 0, sizeof block.qh);
    for (int g = 0; g < 16; ++g) {
        block.scales[g] = static_cast<int8_t>(nearest(scale[g] * inverse(d), -128, 127));
        const float inv = inverse(d * block.scales[g]);
        for (int i = g * 16; i < g * 16 + 16; ++i) {
            const int q = nearest(in[i] * inv, -32, 31) + 32;
            const int half = i / 128;
            const int quarter = i / 32 % 4;
            const int column = i % 32;
            block.ql[half * 64 + quarter % 2 * 32 + column] |= static_cast<uint8_t>((q & 15) << (quarter / 2 * 4));
            block.qh[half * 32 + column] |= static_cast<uint8_t>((q >> 4) << (quarter * 2));
        }
    }
}

static void set_two_bits(uint8_t* qs, int i, int q) {
    qs[i / 128 * 32 + i % 32] |= static_cast<uint8_t>(q << (i / 32 % 4 * 2));
}

static void quantize_block(const float* in, BlockQ2_K& block) {
    float scale[16], min[16];
    for (int g = 0; g < 16; ++g) {
        const auto [low, high] = std::minmax_element(in + g * 16, in + g * 16 + 16);
        min[g] = std::max(0.0f, -*low);
        scale[g] = std::max(0.0f, *high + min[g]) / 3;
    }
    block = {};
    block.d = float_to_half(*std::max_element(scale, scale + 16) / 15);
    block.dmin = float_to_half(*std::max_element(min, min + 16) / 15);
    const float d = half_to_float(block.d);
    const float dmin = half_to_float(block.dmin);
    for (int g = 0; g < 16; ++g) {
        const int group_scale = nearest(scale[g] * inverse(d), 0, 15);
        const int group_min = nearest(min[g] * inverse(dmin), 0, 15);
        block.scales[g] = static_cast<uint8_t>(group_scale | group_min << 4);
        const float inv = inverse(d * static_cast<float>(group_scale));
        for (int i = g * 16; i < g * 16 + 16; ++i) {
            set_two_bits(block.qs, i, nearest((in[i] + dmin * static_cast<float>(group_min)) * inv, 0, 3));
        }
    }
}

static void quantize_block(const float* in, BlockQ3_K& block) {
    float scale[16];
    for (int g = 0; g < 16; ++g) scale[g] = signed_extreme(in + g * 16, 16) / -4;
    block = {};
    block.d = float_to_half(signed_extreme(scale, 16) / -32);
    const float d = half_to_float(block.d);
    uint8_t scales[16];
    for (int g = 0; g < 16; ++g) {
        const int group_scale = nearest(scale[g] * inverse(d), -32, 31);
        scales[g] = static_cast<uint8_t>(group_scale + 32);
        const float inv = inverse(d * static_cast<float>(group_scale));
        for (int i = g * 16; i < g * 16 + 16; ++i) {
            const int q = nearest(in[i] * inv, -4, 3) + 4;
            set_two_bits(block.qs, i, q & 3);
            block.hmask[i % 32] |= static_cast<uint8_t>(q >> 2 << i / 32);
        }
    }
    pack_scales_q3_k(scales, block.scales);
}

static void quantize_block(const float* in, BlockIQ4_XS& block) {
    float scale[8];
    for (int g = 0; g < 8; ++g) scale[g] = signed_extreme(in + g * 32, 32) / IQ4_VALUES[0];
    block = {};
    block.d = float_to_half(signed_extreme(scale, 8) / -32);
    const float d = half_to_float(block.d);
    for (int g = 0; g < 8; ++g) {
        const int group_scale = nearest(scale[g] * inverse(d), -32, 31);
        const int stored = group_scale + 32;
        block.scales_l[g / 2] |= static_cast<uint8_t>((stored & 15) << (g % 2 * 4));
        block.scales_h |= static_cast<uint16_t>(stored >> 4 << (2 * g));
        set_nibble_values(in + g * 32, 32, d * static_cast<float>(group_scale), IQ4_VALUES, block.qs + g * 16);
    }
}

static void quantize_block(const float* in, BlockTQ2_0& block) {
    block = {};
    block.d = float_to_half(std::fabs(signed_extreme(in, 256)));
    const float inv = inverse(half_to_float(block.d));
    for (int i = 0; i < 256; ++i) set_two_bits(block.qs, i, nearest(in[i] * inv, -1, 1) + 1);
}

/// A byte of TQ1_0 from n digits of base 3, step weights apart: as a fraction of 256, rounded up, so that multiplying
/// it by 3 brings one digit after the other above 256.
static uint8_t pack_trits(const float* in, float inv, int n, int step) {
    int value = 0;
    for (int i = 0; i < 5; ++i) value = value * 3 + (i < n ? nearest(in[i * step] * inv, -1, 1) + 1 : 0);
    return static_cast<uint8_t>((value * 256 + 242) / 243);
}

static void quantize_block(const float* in, BlockTQ1_0& block) {
    block.d = float_to_half(std::fabs(signed_extreme(in, 256)));
    const float inv = inverse(half_to_float(block.d));
    for (int l = 0; l < 32; ++l) block.qs[l] = pack_trits(in + l, inv, 5, 32);
    for (int l = 0; l < 16; ++l) block.qs[32 + l] = pack_trits(in + 160 + l, inv, 5, 16);
    for (int l = 0; l < 4; ++l) block.qh[l] = pack_trits(in + 240 + l, inv, 4, 4);
}

template <typename Block>
static void quantize_blocks(const float* in, void* blocks, size_t n, size_t block_size) {
    uint8_t* bytes = static_cast<uint8_t*>(blocks);
    for (size_t i = 0; i < n / block_size; ++i) {
        Block block;
        quantize_block(in + i * block_size, block);
        std::memcpy(bytes + i * sizeof(Block), &block, sizeof(Block));
    }
}

template <uint16_t (*narrow)(float)>
static void narrow_all(const float* in, void* values, size_t n) {
    uint8_t* bytes = static_cast<uint8_t*>(values);
    for (size_t i = 0; i < n; ++i) {
        const uint16_t value = narrow(in[i]);
        std::memcpy(bytes + 2 * i, &value, 2);
    }
}

void quantize(TensorType type, const float* in, void* blocks, size_t n) {
    const size_t block_size = traits(type).block_size;
    if (n % block_size != 0) {
        fail(REPRISE_INTERNAL, "%zu weights do not fill whole blocks of %zu for type %s", n, block_size,
             traits(type).name);
    }
    switch (type) {
        case TensorType::F32:
            std::memcpy(blocks, in, n * sizeof(float));
            return;
        case TensorType::F16:
            narrow_all<float_to_half>(in, blocks, n);
            return;
        case TensorType::BF16:
            narrow_all<float_to_bf16>(in, blocks, n);
            return;
        case TensorType::Q4_0:
            quantize_blocks<BlockQ4_0>(in, blocks, n, block_size);
            return;
        case TensorType::Q4_1:
            quantize_blocks<BlockQ4_1>(in, blocks, n, block_size);
            return;
        case TensorType::Q8_0:
            quantize_blocks<BlockQ8_0>(in, blocks, n, block_size);
            return;
        case TensorType::Q4_K:
            quantize_blocks<BlockQ4_K>(in, blocks, n, block_size);
            return;
        case TensorType::Q5_K:
            quantize_blocks<BlockQ5_K>(in, blocks, n, block_size);
            return;
        case TensorType::Q6_K:
            quantize_blocks<BlockQ6_K>(in, blocks, n, block_size);
            return;
        case TensorType::Q5_0:
            quantize_blocks<BlockQ5_0>(in, blocks, n, block_size);
            return;
        case TensorType::Q5_1:
            quantize_blocks<BlockQ5_1>(in, blocks, n, block_size);
            return;
        case TensorType::Q2_K:
            quantize_blocks<BlockQ2_K>(in, blocks, n, block_size);
            return;
        case TensorType::Q3_K:
            quantize_blocks<BlockQ3_K>(in, blocks, n, block_size);
            return;
        case TensorType::IQ4_NL:
            quantize_blocks<BlockIQ4_NL>(in, blocks, n, block_size);
            return;
        case TensorType::IQ4_XS:
            quantize_blocks<BlockIQ4_XS>(in, blocks, n, block_size);
            return;
        case TensorType::TQ1_0:
            quantize_blocks<BlockTQ1_0>(in, blocks, n, block_size);
            return;
        case TensorType::TQ2_0:
            quantize_blocks<BlockTQ2_0>(in, blocks, n, block_size);
            return;
        case TensorType::MXFP4:
            quantize_blocks<BlockMXFP4>(in, blocks, n, block_size);
            return;
        case TensorType::NVFP4:
            quantize_blocks<BlockNVFP4>(in, blocks, n, block_size);
            return;
        case TensorType::IQ2_XXS:
        case TensorType::IQ2_XS:
        case TensorType::IQ3_XXS:
        case TensorType::IQ1_S:
        case TensorType::IQ3_S:
        case TensorType::IQ2_S:
        case TensorType::IQ1_M:
            break;
    }
    fail(REPRISE_INTERNAL, "no quantisation for tensor type %d", static_cast<int>(type));
}

}  // namespace reprise
