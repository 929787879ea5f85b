// Reference dequantisation: the definition that every fast path is tested against.
#include <cstring>

#include "core/error.h"
#include "quant/blocks.h"
#include "quant/tensor_type.h"

namespace reprise {

// dequantize_grid.cpp
void dequantize_block(const BlockIQ2_XXS& block, float* out);
void dequantize_block(const BlockIQ2_XS& block, float* out);
void dequantize_block(const BlockIQ3_XXS& block, float* out);
void dequantize_block(const BlockIQ1_S& block, float* out);
void dequantize_block(const BlockIQ3_S& block, float* out);
void dequantize_block(const BlockIQ2_S& block, float* out);
void dequantize_block(const BlockIQ1_M& block, float* out);

static void dequantize_block(const BlockQ4_0& block, float* out) {
    const float d = half_to_float(block.d);
    for (int i = 0; i < 16; ++i) {
        out[i] = d * static_cast<float>((block.qs[i] & 15) - 8);
        out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) - 8);
    }
}

static void dequantize_block(const BlockQ4_1& block, float* out) {
    const float d = half_to_float(block.d);
    const float m = half_to_float(block.m);
    for (int i = 0; i < 16; ++i) {
        out[i] = d * static_cast<float>(block.qs[i] & 15) + m;
        out[i + 16] = d * static_cast<float>(block.qs[i] >> 4) + m;
    }
}

/// Weight i of a block of Q5_0 or Q5_1 as an integer from 0 to 31.
template <typename Block>
static int five_bits(const Block& block, int i) {
    return (block.qs[i % 16] >> (i / 16 * 4) & 15) | (block.qh[i / 8] >> (i % 8) & 1) << 4;
}

static void dequantize_block(const BlockQ5_0& block, float* out) {
    const float d = half_to_float(block.d);
    for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(five_bits(block, i) - 16);
}

static void dequantize_block(const BlockQ5_1& block, float* out) {
    const float d = half_to_float(block.d);
    const float m = half_to_float(block.m);
    for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(five_bits(block, i)) + m;
}

/// The two bits of weight i in the packing of Q2_K, Q3_K and TQ2_0.
static int two_bits(const uint8_t* qs, int i) { return qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3; }

static void dequantize_block(const BlockQ2_K& block, float* out) {
    const float d = half_to_float(block.d);
    const float dmin = half_to_float(block.dmin);
    for (int i = 0; i < 256; ++i) {
        const uint8_t scale = block.scales[i / 16];
        out[i] = d * static_cast<float>((scale & 15) * two_bits(block.qs, i)) - dmin * static_cast<float>(scale >> 4);
    }
}

static void dequantize_block(const BlockQ3_K& block, float* out) {
    const float d = half_to_float(block.d);
    uint8_t scales[16];
    unpack_scales_q3_k(block.scales, scales);
    for (int i = 0; i < 256; ++i) {
        const int q = two_bits(block.qs, i) | (block.hmask[i % 32] >> (i / 32) & 1) << 2;
        out[i] = d * static_cast<float>((scales[i / 16] - 32) * (q - 4));
    }
}

static void dequantize_block(const BlockTQ2_0& block, float* out) {
    const float d = half_to_float(block.d);
    for (int i = 0; i < 256; ++i) out[i] = d * static_cast<float>(two_bits(block.qs, i) - 1);
}

/// Digit n of the five of base 3 in a byte of TQ1_0.
static int trit(uint8_t byte, int n) {
    static constexpr int POWERS[] = {1, 3, 9, 27, 81};
    return (byte * POWERS[n] & 255) * 3 >> 8;
}

static void dequantize_block(const BlockTQ1_0& block, float* out) {
    const float d = half_to_float(block.d);
    for (int i = 0; i < 256; ++i) {
        const int digit = i < 160   ? trit(block.qs[i % 32], i / 32)
                          : i < 240 ? trit(block.qs[32 + i % 16], (i - 160) / 16)
                                    : trit(block.qh[i % 4], (i - 240) / 4);
        out[i] = d * static_cast<float>(digit - 1);
    }
}

/// n_weights weights whose nibbles stand for values, the low ones first.
static void nibble_values(const uint8_t* qs, int n_weights, float d, const int8_t* values, float* out) {
    for (int i = 0; i < n_weights / 2; ++i) {
        out[i] = d * static_cast<float>(values[qs[i] & 15]);
        out[i + n_weights / 2] = d * static_cast<float>(values[qs[i] >> 4]);
    }
}

static void dequantize_block(const BlockIQ4_NL& block, float* out) {
    nibble_values(block.qs, 32, half_to_float(block.d), IQ4_VALUES, out);
}

static void dequantize_block(const BlockIQ4_XS& block, float* out) {
    const float d = half_to_float(block.d);
    for (int g = 0; g < 8; ++g) {
        const int scale = (block.scales_l[g / 2] >> (g % 2 * 4) & 15) | (block.scales_h >> (2 * g) & 3) << 4;
        nibble_values(block.qs + 16 * g, 32, d * static_cast<float>(scale - 32), IQ4_VALUES, out + 32 * g);
    }
}

static void dequantize_block(const BlockMXFP4& block, float* out) {
    nibble_values(block.qs, 32, half_of_e8m0(block.e), FP4_VALUES, out);
}

static void dequantize_block(const BlockNVFP4& block, float* out) {
    for (int g = 0; g < 4; ++g) {
        nibble_values(block.qs + 8 * g, 16, ue4m3_to_float(block.d[g]) / 2, FP4_VALUES, out + 16 * g);
    }
}

static void dequantize_block(const BlockQ8_0& block, float* out) {
    const float d = half_to_float(block.d);
    for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.qs[i]);
}

static void dequantize_block(const BlockQ4_K& block, float* out) {
    const float d = half_to_float(block.d);
    const float dmin = half_to_float(block.dmin);
    for (int g = 0; g < 8; ++g) {
        uint8_t scale, min;
        unpack_scale_min(block.scales, g, scale, min);
        const float group_d = d * scale;
        const float group_min = dmin * min;
        const uint8_t* qs = block.qs + g / 2 * 32;
        const int shift = g % 2 * 4;
        for (int i = 0; i < 32; ++i) {
            out[g * 32 + i] = group_d * static_cast<float>((qs[i] >> shift) & 15) - group_min;
        }
    }
}

static void dequantize_block(const BlockQ5_K& block, float* out) {
    const float d = half_to_float(block.d);
    const float dmin = half_to_float(block.dmin);
    for (int g = 0; g < 8; ++g) {
        uint8_t scale, min;
        unpack_scale_min(block.scales, g, scale, min);
        const float group_d = d * scale;
        const float group_min = dmin * min;
        const uint8_t* qs = block.qs + g / 2 * 32;
        const int shift = g % 2 * 4;
        for (int i = 0; i < 32; ++i) {
            const int q = ((qs[i] >> shift) & 15) | ((block.qh[i] >> g) & 1) << 4;
            out[g * 32 + i] = group_d * static_cast<float>(q) - group_min;
        }
    }
}

static void dequantize_block(const BlockQ6_K& block, float* out) {
    const float d = half_to_float(block.d);
    for (int i = 0; i < 256; ++i) {
        // Weight i lies in half i / 128, quarter i / 32 % 4 of it, column i % 32.
        const int half = i / 128;
        const int quarter = i / 32 % 4;
        const int column = i % 32;
        const int low = (block.ql[half * 64 + quarter % 2 * 32 + column] >> (quarter / 2 * 4)) & 15;
        const int high = (block.qh[half * 32 + column] >> (quarter * 2)) & 3;
        out[i] = d * block.scales[i / 16] * static_cast<float>((low | high << 4) - 32);
    }
}

template <typename Block>
static void dequantize_blocks(const void* blocks, float* out, size_t n, size_t block_size) {
    const uint8_t* bytes = static_cast<const uint8_t*>(blocks);
    for (size_t i = 0; i < n / block_size; ++i) {
        Block block;
        std::memcpy(&block, bytes + i * sizeof(Block), sizeof(Block));  // the file promises no alignment for blocks
        dequantize_block(block, out + i * block_size);
    }
}

template <float (*widen)(uint16_t)>
static void widen_all(const void* values, float* out, size_t n) {
    const uint8_t* bytes = static_cast<const uint8_t*>(values);
    for (size_t i = 0; i < n; ++i) {
        uint16_t value;
        std::memcpy(&value, bytes + 2 * i, 2);
        out[i] = widen(value);
    }
}

void dequantize(TensorType type, const void* blocks, float* out, size_t n) {
    const size_t block_size = traits(type).block_size;
    if (n % block_size != 0) {
        fail(REPRISE_INTERNAL, "%zu weights of type %s are not whole blocks of %zu", n, traits(type).name, block_size);
    }
    switch (type) {
        case TensorType::F32:
            std::memcpy(out, blocks, n * sizeof(float));
            return;
        case TensorType::F16:
            widen_all<half_to_float>(blocks, out, n);
            return;
        case TensorType::BF16:
            widen_all<bf16_to_float>(blocks, out, n);
            return;
        case TensorType::Q4_0:
            dequantize_blocks<BlockQ4_0>(blocks, out, n, block_size);
            return;
        case TensorType::Q4_1:
            dequantize_blocks<BlockQ4_1>(blocks, out, n, block_size);
            return;
        case TensorType::Q8_0:
            dequantize_blocks<BlockQ8_0>(blocks, out, n, block_size);
            return;
        case TensorType::Q4_K:
            dequantize_blocks<BlockQ4_K>(blocks, out, n, block_size);
            return;
        case TensorType::Q5_K:
            dequantize_blocks<BlockQ5_K>(blocks, out, n, block_size);
            return;
        case TensorType::Q6_K:
            dequantize_blocks<BlockQ6_K>(blocks, out, n, block_size);
            return;
        case TensorType::Q5_0:
            dequantize_blocks<BlockQ5_0>(blocks, out, n, block_size);
            return;
        case TensorType::Q5_1:
            dequantize_blocks<BlockQ5_1>(blocks, out, n, block_size);
            return;
        case TensorType::Q2_K:
            dequantize_blocks<BlockQ2_K>(blocks, out, n, block_size);
            return;
        case TensorType::Q3_K:
            dequantize_blocks<BlockQ3_K>(blocks, out, n, block_size);
            return;
        case TensorType::IQ4_NL:
            dequantize_blocks<BlockIQ4_NL>(blocks, out, n, block_size);
            return;
        case TensorType::IQ4_XS:
            dequantize_blocks<BlockIQ4_XS>(blocks, out, n, block_size);
            return;
        case TensorType::TQ1_0:
            dequantize_blocks<BlockTQ1_0>(blocks, out, n, block_size);
            return;
        case TensorType::TQ2_0:
            dequantize_blocks<BlockTQ2_0>(blocks, out, n, block_size);
            return;
        case TensorType::MXFP4:
            dequantize_blocks<BlockMXFP4>(blocks, out, n, block_size);
            return;
        case TensorType::NVFP4:
            dequantize_blocks<BlockNVFP4>(blocks, out, n, block_size);
            return;
        case TensorType::IQ2_XXS:
            dequantize_blocks<BlockIQ2_XXS>(blocks, out, n, block_size);
            return;
        case TensorType::IQ2_XS:
            dequantize_blocks<BlockIQ2_XS>(blocks, out, n, block_size);
            return;
        case TensorType::IQ3_XXS:
            dequantize_blocks<BlockIQ3_XXS>(blocks, out, n, block_size);
            return;
        case TensorType::IQ1_S:
            dequantize_blocks<BlockIQ1_S>(blocks, out, n, block_size);
            return;
        case TensorType::IQ3_S:
            dequantize_blocks<BlockIQ3_S>(blocks, out, n, block_size);
            return;
        case TensorType::IQ2_S:
            dequantize_blocks<BlockIQ2_S>(blocks, out, n, block_size);
            return;
        case TensorType::IQ1_M:
            dequantize_blocks<BlockIQ1_M>(blocks, out, n, block_size);
            return;
    }
    fail(REPRISE_INTERNAL, "no dequantisation for tensor type %d", static_cast<int>(type));
}

}  // namespace reprise
