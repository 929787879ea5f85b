#include "synth/random_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>

#include "core/error.h"
#include "quant/blocks.h"
#include "quant/grids.h"

namespace reprise {

namespace {

constexpr int kHeaders = 256;  // one random byte picks one

/// A quantised block is random bits with a header of scales at header_offset, taken from a small table, in one piece
/// but for types that keep the last of it elsewhere.
struct BlockPattern {
    size_t block_bytes;
    size_t header_offset;
    size_t header_bytes;
    std::vector<uint8_t> headers;
    bool symmetric_int8 = false;  // quantisers to int8 never store -128
    size_t rest_offset = 0;
    size_t rest_bytes = 0;
    std::vector<uint8_t> rests;
};

template <typename Block, typename Make>
BlockPattern pattern(size_t header_offset, size_t header_bytes, Make make, size_t rest_offset = 0,
                     size_t rest_bytes = 0) {
    BlockPattern p{sizeof(Block), header_offset, header_bytes, {}, false, rest_offset, rest_bytes, {}};
    RandomBits bits(0x5eed);  // which headers there are is no part of the randomness
    for (int i = 0; i < kHeaders; ++i) {
        Block block{};
        make(bits, block);
        const uint8_t* header = reinterpret_cast<const uint8_t*>(&block) + header_offset;
        p.headers.insert(p.headers.end(), header, header + header_bytes);
        const uint8_t* rest = reinterpret_cast<const uint8_t*>(&block) + rest_offset;
        p.rests.insert(p.rests.end(), rest, rest + rest_bytes);
    }
    return p;
}

/// A factor with mean square 1, so that scales differ between blocks and the deviation holds over a row.
float spread(RandomBits& bits) { return (0.75f + 0.5f * bits.uniform()) / std::sqrt(1.0f + 0.25f / 12); }

float random_sign(RandomBits& bits) { return bits.next() & 1 ? 1.0f : -1.0f; }

/// Standard deviation of an integer drawn evenly from n values.
float deviation_of_uniform(int n) { return std::sqrt((static_cast<float>(n) * static_cast<float>(n) - 1) / 12); }

/// Of the integers from low to high.
float root_mean_square(int low, int high) {
    float sum = 0;
    for (int i = low; i <= high; ++i) sum += static_cast<float>(i * i);
    return std::sqrt(sum / static_cast<float>(high - low + 1));
}

float root_mean_square(const int8_t (&values)[16]) {
    float sum = 0;
    for (const int8_t value : values) sum += static_cast<float>(value * value);
    return std::sqrt(sum / 16);
}

/// One factor d, of either sign because the quants, whose root mean square is given, have a mean that is not 0.
template <typename Block>
BlockPattern factor_pattern(size_t offset, float deviation, float quants) {
    return pattern<Block>(offset, 2, [&](RandomBits& bits, Block& block) {
        block.d = float_to_half(deviation / quants * spread(bits) * random_sign(bits));
    });
}

/// Of the scales 2 * i + 1, i from first and below n.
float root_mean_square_of_odd(int n, int first = 0) {
    float sum = 0;
    for (int i = first; i < n; ++i) sum += static_cast<float>((2 * i + 1) * (2 * i + 1));
    return std::sqrt(sum / static_cast<float>(n - first));
}

/// A factor d first, and scales of four bits, 8 to 15, from scales_offset on.
template <typename Block>
BlockPattern scaled_pattern(size_t scales_offset, float deviation, float quants) {
    return pattern<Block>(
        0, 2,
        [&](RandomBits& bits, Block& block) {
            block.d = float_to_half(deviation / (quants * root_mean_square_of_odd(16, 8)) * spread(bits));
            for (uint8_t& scales : block.scales) scales = static_cast<uint8_t>(bits.next() | 0x88);
        },
        scales_offset, sizeof(Block::scales));
}

/// Of a codebook's values, less an offset.
template <typename AnyGrid>
float root_mean_square(const AnyGrid& grid, int offset = 0) {
    float sum = 0;
    for (size_t i = 0; i < AnyGrid::kEntries; ++i) {
        for (size_t k = 0; k < AnyGrid::kValues; ++k) {
            const int value = grid.value(i, k) - offset;
            sum += static_cast<float>(value * value);
        }
    }
    return std::sqrt(sum / static_cast<float>(AnyGrid::kEntries * AnyGrid::kValues));
}

/// Of the values of IQ1_S and IQ1_M, an eighth up or down.
float root_mean_square_of_iq1() {
    const float eighths = root_mean_square(IQ1_GRID, 8);
    return std::sqrt(eighths * eighths + 1) / 8;
}

/// Random exponents of MXFP4: the mean square of two powers of two that are neighbours.
BlockPattern mxfp4_pattern(float deviation) {
    const float wanted = deviation / root_mean_square(FP4_VALUES);
    const int exponent = std::ilogb(wanted);
    const float ratio = std::ldexp(wanted, -exponent);  // 1 to 2
    const float share = (ratio * ratio - 1) / 3;        // of the larger one
    return pattern<BlockMXFP4>(0, 1, [&](RandomBits& bits, BlockMXFP4& block) {
        block.e = static_cast<uint8_t>(128 + exponent + (bits.uniform() < share ? 1 : 0));
    });
}

/// Q4_K and Q5_K with quants of n_values: the minimum of each group is the middle of its range, so its mean is 0.
template <typename Block>
BlockPattern k_pattern(int n_values, float deviation) {
    constexpr float kRootMeanSquareScale = 48.38f;  // of the integers 32 to 63
    return pattern<Block>(0, 16, [&](RandomBits& bits, Block& block) {
        const float d = deviation / (deviation_of_uniform(n_values) * kRootMeanSquareScale) * spread(bits);
        block.d = float_to_half(d);
        block.dmin = float_to_half(half_to_float(block.d) * static_cast<float>(n_values - 1) / 2);
        uint8_t scales[8];
        for (uint8_t& scale : scales) scale = static_cast<uint8_t>(32 + bits.below(32));
        pack_scales_mins(scales, scales, block.scales);
    });
}

BlockPattern make_pattern(TensorType type, float deviation) {
    switch (type) {
        case TensorType::Q4_0:
            return pattern<BlockQ4_0>(0, 2, [&](RandomBits& bits, BlockQ4_0& block) {
                block.d = float_to_half(deviation / deviation_of_uniform(16) * spread(bits) * random_sign(bits));
            });
        case TensorType::Q4_1:
            return pattern<BlockQ4_1>(0, 4, [&](RandomBits& bits, BlockQ4_1& block) {
                block.d = float_to_half(deviation / deviation_of_uniform(16) * spread(bits));
                block.m = float_to_half(half_to_float(block.d) * -7.5f);
            });
        case TensorType::Q8_0: {
            BlockPattern p = pattern<BlockQ8_0>(0, 2, [&](RandomBits& bits, BlockQ8_0& block) {
                block.d = float_to_half(deviation / deviation_of_uniform(255) * spread(bits));
            });
            p.symmetric_int8 = true;
            return p;
        }
        case TensorType::Q5_0:
            return factor_pattern<BlockQ5_0>(0, deviation, root_mean_square(-16, 15));
        case TensorType::Q5_1:
            return pattern<BlockQ5_1>(0, 4, [&](RandomBits& bits, BlockQ5_1& block) {
                block.d = float_to_half(deviation / deviation_of_uniform(32) * spread(bits));
                block.m = float_to_half(half_to_float(block.d) * -15.5f);
            });
        case TensorType::Q2_K:
            return pattern<BlockQ2_K>(
                0, 16,
                [&](RandomBits& bits, BlockQ2_K& block) {
                    block.d =
                        float_to_half(deviation / (deviation_of_uniform(4) * root_mean_square(8, 15)) * spread(bits));
                    block.dmin = float_to_half(half_to_float(block.d) * 1.5f);
                    for (uint8_t& scale : block.scales) scale = static_cast<uint8_t>((8 + bits.below(8)) * 17);
                },
                80, 4);
        case TensorType::Q3_K:
            return pattern<BlockQ3_K>(96, 14, [&](RandomBits& bits, BlockQ3_K& block) {
                uint8_t scales[16];
                for (uint8_t& scale : scales) scale = static_cast<uint8_t>(48 + bits.below(16));
                pack_scales_q3_k(scales, block.scales);
                block.d = float_to_half(deviation / (root_mean_square(-4, 3) * root_mean_square(16, 31)) *
                                        spread(bits) * random_sign(bits));
            });
        case TensorType::IQ4_NL:
            return factor_pattern<BlockIQ4_NL>(0, deviation, root_mean_square(IQ4_VALUES));
        case TensorType::IQ4_XS:
            return pattern<BlockIQ4_XS>(0, 8, [&](RandomBits& bits, BlockIQ4_XS& block) {
                block.d = float_to_half(deviation / (root_mean_square(IQ4_VALUES) * root_mean_square(16, 31)) *
                                        spread(bits) * random_sign(bits));
                block.scales_h = 0xffff;  // scales of 48 to 63, before 32 is taken off
                for (uint8_t& scales : block.scales_l) scales = static_cast<uint8_t>(bits.next());
            });
        case TensorType::IQ2_XXS:
            return factor_pattern<BlockIQ2_XXS>(0, deviation,
                                                root_mean_square_of_odd(16) * root_mean_square(IQ2_XXS_GRID) / 8);
        case TensorType::IQ2_XS:
            return scaled_pattern<BlockIQ2_XS>(66, deviation, root_mean_square(IQ2_XS_GRID) / 8);
        case TensorType::IQ2_S:
            return scaled_pattern<BlockIQ2_S>(74, deviation, root_mean_square(IQ2_S_GRID) / 8);
        case TensorType::IQ3_XXS:
            return factor_pattern<BlockIQ3_XXS>(0, deviation,
                                                root_mean_square_of_odd(16) * root_mean_square(IQ3_XXS_GRID) / 4);
        case TensorType::IQ3_S:
            return scaled_pattern<BlockIQ3_S>(106, deviation, root_mean_square(IQ3_S_GRID));
        case TensorType::IQ1_S:
            return factor_pattern<BlockIQ1_S>(0, deviation, root_mean_square_of_odd(8) * root_mean_square_of_iq1());
        case TensorType::IQ1_M:
            return pattern<BlockIQ1_M>(48, 8, [&](RandomBits& bits, BlockIQ1_M& block) {
                for (uint16_t& scales : block.scales) scales = static_cast<uint16_t>(bits.below(1 << 12));
                set_iq1_m_factor(block.scales,
                                 float_to_half(deviation / (root_mean_square_of_odd(8) * root_mean_square_of_iq1()) *
                                               spread(bits) * random_sign(bits)));
            });
        case TensorType::MXFP4:
            return mxfp4_pattern(deviation);
        case TensorType::NVFP4:
            return pattern<BlockNVFP4>(0, 4, [&](RandomBits& bits, BlockNVFP4& block) {
                for (uint8_t& d : block.d) {
                    d = float_to_ue4m3(2 * deviation / root_mean_square(FP4_VALUES) * spread(bits));
                }
            });
        case TensorType::TQ1_0:
            return factor_pattern<BlockTQ1_0>(52, deviation, root_mean_square(-1, 1));
        case TensorType::TQ2_0:
            return factor_pattern<BlockTQ2_0>(64, deviation, root_mean_square(-1, 2));
        case TensorType::Q4_K:
            return k_pattern<BlockQ4_K>(16, deviation);
        case TensorType::Q5_K:
            return k_pattern<BlockQ5_K>(32, deviation);
        case TensorType::Q6_K:
            return pattern<BlockQ6_K>(192, 18, [&](RandomBits& bits, BlockQ6_K& block) {
                constexpr float kRootMeanSquareScale = 97.26f;  // of the integers 64 to 127
                block.d = float_to_half(deviation / (deviation_of_uniform(64) * kRootMeanSquareScale) * spread(bits));
                for (int8_t& scale : block.scales) {
                    scale = static_cast<int8_t>(random_sign(bits) * static_cast<float>(64 + bits.below(64)));
                }
            });
        case TensorType::F32:
        case TensorType::F16:
        case TensorType::BF16:
            break;
    }
    fail(REPRISE_INTERNAL, "%s has no blocks", traits(type).name);
}

void fill_random(RandomBits& bits, uint8_t* out, size_t n) {
    for (; n >= 8; n -= 8, out += 8) {
        const uint64_t word = bits.next();
        std::memcpy(out, &word, 8);
    }
    const uint64_t word = bits.next();
    std::memcpy(out, &word, n);
}

/// 65536 standard normal values (Box-Muller), from which 16 random bits draw one.
const std::vector<float>& normal_values() {
    static const std::vector<float> values = [] {
        std::vector<float> v(65536);
        RandomBits bits(0x6a055);
        for (size_t i = 0; i < v.size(); i += 2) {
            const float radius = std::sqrt(-2 * std::log(1 - bits.uniform()));
            const float angle = 2 * std::numbers::pi_v<float> * bits.uniform();
            v[i] = radius * std::cos(angle);
            v[i + 1] = radius * std::sin(angle);
        }
        return v;
    }();
    return values;
}

/// The generator of one row: rows are independent of how they are grouped.
RandomBits row_bits(uint64_t seed, uint64_t row) {
    return RandomBits(RandomBits(seed ^ row * 0xd1342543de82ef95).next());
}

template <typename T, typename Encode>
RowSource draw_from_table(uint64_t n_cols, uint64_t seed, Encode encode) {
    auto table = std::make_shared<std::vector<T>>();
    for (const float value : normal_values()) table->push_back(encode(value));
    return [=](uint64_t first, uint64_t n, uint8_t* out) {
        for (uint64_t row = first; row < first + n; ++row) {
            RandomBits bits = row_bits(seed, row);
            uint64_t word = 0;
            for (uint64_t i = 0; i < n_cols; ++i, out += sizeof(T)) {
                word = i % 4 == 0 ? bits.next() : word >> 16;
                std::memcpy(out, table->data() + (word & 0xffff), sizeof(T));
            }
        }
    };
}

}  // namespace

RowSource random_vector(uint64_t n, float mean, float deviation, uint64_t seed) {
    return draw_from_table<float>(n, seed, [=](float z) { return mean + deviation * z; });
}

RowSource random_rows(TensorType type, uint64_t n_cols, float deviation, uint64_t seed) {
    if (type == TensorType::F32) return random_vector(n_cols, 0, deviation, seed);
    if (type == TensorType::F16) {
        return draw_from_table<uint16_t>(n_cols, seed, [=](float z) { return float_to_half(deviation * z); });
    }
    if (type == TensorType::BF16) {
        return draw_from_table<uint16_t>(n_cols, seed, [=](float z) { return float_to_bf16(deviation * z); });
    }
    const size_t bytes = row_bytes(type, n_cols);
    return [=, p = std::make_shared<const BlockPattern>(make_pattern(type, deviation))](uint64_t first, uint64_t n,
                                                                                        uint8_t* out) {
        for (uint64_t row = first; row < first + n; ++row) {
            RandomBits bits = row_bits(seed, row);
            fill_random(bits, out, bytes);
            for (uint8_t* end = out + bytes; out < end; out += p->block_bytes) {
                if (p->symmetric_int8) {
                    for (size_t i = p->header_bytes; i < p->block_bytes; ++i) out[i] = out[i] == 0x80 ? 0x81 : out[i];
                }
                // The first byte of the header's place is random until now; it picks the header.
                const uint8_t pick = out[p->header_offset];
                // Of a type without a header or rest there is no table.
                std::copy_n(p->headers.data() + pick * p->header_bytes, p->header_bytes, out + p->header_offset);
                std::copy_n(p->rests.data() + pick * p->rest_bytes, p->rest_bytes, out + p->rest_offset);
            }
        }
    };
}

}  // namespace reprise
