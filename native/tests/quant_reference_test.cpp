// Every quantised type against the Python package gguf, by data/dequantize.json (data/dequantize.py makes it).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "quant/tensor_type.h"
#include "synth/random_rows.h"

namespace reprise {
namespace {

const TypeTraits* type_named(const std::string& name) {
    for (int32_t number = 0; number < 64; ++number) {
        const TypeTraits* type = find_type(number);
        if (type != nullptr && type->name == name) return type;
    }
    return nullptr;
}

/// n_blocks blocks of random bits whose factors are those of the file.
std::vector<uint8_t> make_blocks(const TypeTraits& type, const nlohmann::json& reference) {
    const size_t n_blocks = reference["blocks"].get<size_t>(), bytes = type.block_bytes;
    std::vector<uint8_t> blocks(n_blocks * bytes + 8);
    RandomBits bits(reference["seed"].get<uint64_t>());
    for (size_t i = 0; i < n_blocks * bytes; i += 8) {
        const uint64_t word = bits.next();
        std::memcpy(&blocks[i], &word, 8);
    }
    for (size_t b = 0; b < n_blocks; ++b) {
        uint8_t* block = &blocks[b * bytes];
        for (const auto& [offset, values] : reference["factors"][type.name].items()) {
            for (size_t i = 0; i < values.size(); ++i) block[std::stoul(offset) + i] = values[i].get<uint8_t>();
        }
        if (type.number == static_cast<int32_t>(TensorType::IQ1_M)) {  // nibbles of 1 as float16 lie in its scales
            for (const size_t i : {49, 51, 53, 55}) block[i] &= 0x0f;
            block[53] |= 0xc0;
            block[55] |= 0x30;
        }
    }
    return blocks;
}

TEST(QuantReference, WeightsAreThoseOfTheFormatsAuthors) {
    std::ifstream in(REPRISE_DEQUANTIZED);
    const nlohmann::json reference = nlohmann::json::parse(in);
    for (const nlohmann::json& row : reference["rows"]) {
        const TypeTraits* type = type_named(row["type"]);
        ASSERT_NE(nullptr, type) << row["type"];
        ASSERT_TRUE(type->supported) << type->name;
        const std::vector<uint8_t> blocks = make_blocks(*type, reference);
        std::vector<float> weights(reference["blocks"].get<size_t>() * type->block_size);
        dequantize(static_cast<TensorType>(type->number), blocks.data(), weights.data(), weights.size());
        for (size_t i = 0; i < 8; ++i) {
            const auto first = row["first"][i].get<double>();
            EXPECT_NEAR(first, weights[i], 1e-6 * std::fabs(first)) << type->name << " " << i;
        }
        double squares = 0, by_place = 0;
        for (size_t i = 0; i < weights.size(); ++i) {
            const double w = weights[i];
            squares += w * w;
            by_place += w * (static_cast<double>(i * 7919 % 10007) - 5003) / 5003;
        }
        const auto all = row["squares"].get<double>();
        const double rms = std::sqrt(all / static_cast<double>(weights.size()));
        EXPECT_NEAR(all, squares, 1e-7 * all) << type->name;
        // One entry of a codebook that is wrong moves this by several times rms.
        EXPECT_NEAR(row["by_place"].get<double>(), by_place, 1e-3 * rms) << type->name;
    }
    EXPECT_EQ(23u, reference["rows"].size());
}

}  // namespace
}  // namespace reprise
