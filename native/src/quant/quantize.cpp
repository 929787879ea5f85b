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
    }
    fail(REPRISE_INTERNAL, "no quantisation for tensor type %d", static_cast<int>(type));
}

}  // namespace reprise
