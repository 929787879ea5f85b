// The arithmetic of products of rows (cuda/rows/layout.cuh), as a plain loop over the blocks of a file.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "quant/blocks.h"
#include "quant/tensor_type.h"

namespace reprise {

/// An input's row in 8 bits: x[i] is about q[i] * scales[i / 256].
struct QuantisedRow {
    std::vector<int8_t> q;
    std::vector<float> scales;
};

/// Weights of a block of 256 as integers: w[i] = d * scale * q - dmin * minimum.
struct IntegerBlock {
    int q[256], scale[256], minimum[256];
    float d, dmin;
};
inline IntegerBlock integer_block(TensorType type, const uint8_t* bytes) {
    IntegerBlock out = {};
    if (type == TensorType::Q4_K) {
        BlockQ4_K block;
        std::memcpy(&block, bytes, sizeof block);
        out.d = half_to_float(block.d);
        out.dmin = half_to_float(block.dmin);
        for (int i = 0; i < 256; ++i) {
            const int group = i / 32;
            uint8_t scale, minimum;
            unpack_scale_min(block.scales, group, scale, minimum);
            out.q[i] = block.qs[group / 2 * 32 + i % 32] >> (group % 2 * 4) & 15;
            out.scale[i] = scale;
            out.minimum[i] = minimum;
        }
    } else {
        BlockQ6_K block;
        std::memcpy(&block, bytes, sizeof block);
        out.d = half_to_float(block.d);
        for (int i = 0; i < 256; ++i) {
            const int half = i / 128, l = i % 32, quarter = i % 128 / 32;
            const int low = block.ql[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
            out.q[i] = (low | (block.qh[half * 32 + l] >> (quarter * 2) & 3) << 4) - 32;
            out.scale[i] = block.scales[i / 16];
        }
    }
    return out;
}

/// A row of weights times a row of input: each float operation is rounded once, in this order.
inline float rows_reference(TensorType type, const uint8_t* row, const QuantisedRow& x) {
    constexpr size_t PARTS = 8;
    const size_t n_blocks = x.scales.size(), n_pairs = (n_blocks + 1) / 2;
    std::vector<float> pairs(n_pairs);
    for (size_t b = 0; b < n_blocks; ++b) {
        const IntegerBlock w = integer_block(type, row + b * traits(type).block_bytes);
        int64_t products = 0, minima = 0;
        for (int i = 0; i < 256; ++i) {
            const int q = x.q[b * 256 + i];
            products += int64_t{w.scale[i]} * w.q[i] * q;
            minima += int64_t{w.minimum[i]} * q;
        }
        const float scaled = w.d * static_cast<float>(products);
        const float v = type == TensorType::Q4_K ? std::fma(-w.dmin, static_cast<float>(minima), scaled) : scaled;
        float& pair = pairs[b / 2];
        pair = b % 2 == 0 ? x.scales[b] * v : std::fma(x.scales[b], v, pair);
    }
    float y = 0;
    for (size_t p = 0; p < PARTS; ++p) {
        float part = 0;
        for (size_t i = n_pairs * p / PARTS; i < n_pairs * (p + 1) / PARTS; ++i) part += pairs[i];
        y = p == 0 ? part : y + part;
    }
    return y;
}

}  // namespace reprise
