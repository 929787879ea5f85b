// Reference dequantisation of the types whose blocks hold indices into a codebook.
#include "quant/blocks.h"
#include "quant/grids.h"
#include "quant/tensor_type.h"

namespace reprise {

/// The eighth sign of seven: there is an even number of them.
static int with_parity(int signs) { return signs | (__builtin_popcount(static_cast<unsigned>(signs)) & 1) << 7; }

/// n weights d * magnitude, minus where bit i of signs is set.
template <typename AnyGrid>
static void signed_entry(const AnyGrid& grid, size_t entry, int signs, float d, float* out) {
    for (size_t i = 0; i < AnyGrid::kValues; ++i) {
        const auto magnitude = static_cast<float>(grid.value(entry, i));
        out[i] = d * (signs >> i & 1 ? -magnitude : magnitude);
    }
}

static int nibble(const uint8_t* bytes, int i) { return bytes[i / 2] >> (i % 2 * 4) & 15; }

static float odd(int scale) { return static_cast<float>(2 * scale + 1); }

void dequantize_block(const BlockIQ2_XXS& block, float* out) {
    const float d = half_to_float(block.d) / 8;
    for (int g = 0; g < 8; ++g) {
        const uint32_t signs = block.groups[g].signs_and_scale;
        for (int l = 0; l < 4; ++l) {
            signed_entry(IQ2_XXS_GRID, block.groups[g].entries[l], with_parity(signs >> (7 * l) & 127),
                         d * odd(static_cast<int>(signs >> 28)), out + 32 * g + 8 * l);
        }
    }
}

void dequantize_block(const BlockIQ2_XS& block, float* out) {
    const float d = half_to_float(block.d) / 8;
    for (int l = 0; l < 32; ++l) {
        signed_entry(IQ2_XS_GRID, block.qs[l] & 511, with_parity(block.qs[l] >> 9),
                     d * odd(nibble(block.scales, l / 2)), out + 8 * l);
    }
}

void dequantize_block(const BlockIQ2_S& block, float* out) {
    const float d = half_to_float(block.d) / 8;
    for (int l = 0; l < 32; ++l) {
        const int entry = block.qs[l] | (block.qh[l / 4] >> (l % 4 * 2) & 3) << 8;
        signed_entry(IQ2_S_GRID, static_cast<size_t>(entry), block.signs[l], d * odd(nibble(block.scales, l / 2)),
                     out + 8 * l);
    }
}

void dequantize_block(const BlockIQ3_XXS& block, float* out) {
    const float d = half_to_float(block.d) / 4;
    for (int g = 0; g < 8; ++g) {
        const uint32_t signs = block.signs_and_scales[g];
        for (int l = 0; l < 8; ++l) {
            signed_entry(IQ3_XXS_GRID, block.qs[8 * g + l], with_parity(signs >> (7 * (l / 2)) & 127) >> (l % 2 * 4),
                         d * odd(static_cast<int>(signs >> 28)), out + 32 * g + 4 * l);
        }
    }
}

void dequantize_block(const BlockIQ3_S& block, float* out) {
    const float d = half_to_float(block.d);
    for (int l = 0; l < 64; ++l) {
        const int entry = block.qs[l] | (block.qh[l / 8] >> (l % 8) & 1) << 8;
        signed_entry(IQ3_S_GRID, static_cast<size_t>(entry), block.signs[l / 2] >> (l % 2 * 4),
                     d * odd(nibble(block.scales, l / 8)), out + 4 * l);
    }
}

/// Eight weights of IQ1_S and IQ1_M: d * (value + 1/8), or - 1/8.
static void shifted_entry(int entry, bool down, float d, float* out) {
    for (size_t i = 0; i < 8; ++i) {
        const float value = static_cast<float>(IQ1_GRID.value(static_cast<size_t>(entry), i)) / 8 - 1;
        out[i] = d * (value + (down ? -0.125f : 0.125f));
    }
}

void dequantize_block(const BlockIQ1_S& block, float* out) {
    const float d = half_to_float(block.d);
    for (int g = 0; g < 8; ++g) {
        const uint16_t high = block.qh[g];
        for (int l = 0; l < 4; ++l) {
            shifted_entry(block.qs[4 * g + l] | (high >> (3 * l) & 7) << 8, (high & 0x8000) != 0,
                          d * odd(high >> 12 & 7), out + 32 * g + 8 * l);
        }
    }
}

void dequantize_block(const BlockIQ1_M& block, float* out) {
    const float d = half_to_float(iq1_m_factor(block.scales));
    for (int l = 0; l < 32; ++l) {
        const int high = block.qh[l / 2] >> (l % 2 * 4);
        const int group = l / 2;  // of 16
        const int scale = block.scales[group / 4] >> (group % 4 * 3) & 7;
        shifted_entry(block.qs[l] | (high & 7) << 8, (high & 8) != 0, d * odd(scale), out + 8 * l);
    }
}

}  // namespace reprise
