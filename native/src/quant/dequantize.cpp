// Reference dequantisation: the definition that every fast path is tested against.
#include <cstring>

#include "core/error.h"
#include "quant/blocks.h"
#include "quant/tensor_type.h"

namespace reprise {

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
    }
    fail(REPRISE_INTERNAL, "no dequantisation for tensor type %d", static_cast<int>(type));
}

}  // namespace reprise
