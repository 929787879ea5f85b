// Random tensors and the instruction sets under test, for the CPU kernel tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <iostream>
#include <random>
#include <vector>

#include "cpu/kernels.h"
#include "quant/blocks.h"

namespace reprise::cpu {

inline const std::vector<TensorType> kAllTypes = {
    TensorType::F32,    TensorType::F16,     TensorType::BF16,  TensorType::Q4_0,   TensorType::Q4_1,
    TensorType::Q5_0,   TensorType::Q5_1,    TensorType::Q8_0,  TensorType::Q2_K,   TensorType::Q3_K,
    TensorType::Q4_K,   TensorType::Q5_K,    TensorType::Q6_K,  TensorType::IQ4_NL, TensorType::IQ4_XS,
    TensorType::TQ1_0,  TensorType::TQ2_0,   TensorType::MXFP4, TensorType::NVFP4,  TensorType::IQ2_XXS,
    TensorType::IQ2_XS, TensorType::IQ3_XXS, TensorType::IQ1_S, TensorType::IQ3_S,  TensorType::IQ2_S,
    TensorType::IQ1_M};

inline bool is_float(TensorType type) { return traits(type).block_size == 1; }

/// The kernels this machine can run; names the others.
inline std::vector<const Kernels*> runnable_kernels() {
    std::vector<const Kernels*> result;
    for (const IsaEntry& set : instruction_sets()) {
        if (set.available) {
            result.push_back(set.kernels);
        } else {
            std::cout << "skipped: this machine lacks " << set.kernels->name << "\n";
        }
    }
    return result;
}

class Random {
  public:
    explicit Random(uint64_t seed) : engine_(seed) {}
    float normal() { return normal_(engine_); }
    uint8_t byte() { return static_cast<uint8_t>(engine_()); }
    float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(engine_); }

    std::vector<float> normals(size_t n) {
        std::vector<float> result(n);
        for (float& x : result) x = normal();
        return result;
    }

    /// n_rows rows of k weights: every bit pattern of quants and scales, with block factors of ordinary size.
    std::vector<uint8_t> weights(TensorType type, size_t n_rows, size_t k) {
        std::vector<uint8_t> result(n_rows * row_bytes(type, k));
        for (uint8_t& x : result) x = byte();
        for (size_t at = 0; at < result.size(); at += traits(type).block_bytes) set_factors(type, &result[at]);
        return result;
    }

    /// Gives a block factors of ordinary size; its quants and scales stay.
    void set_factors(TensorType type, uint8_t* block) {
        const float value = normal();
        switch (type) {
            case TensorType::F32:
                *reinterpret_cast<float*>(block) = value;
                break;
            case TensorType::F16:
                *reinterpret_cast<uint16_t*>(block) = float_to_half(value);
                break;
            case TensorType::BF16:
                *reinterpret_cast<uint16_t*>(block) = float_to_bf16(value);
                break;
            case TensorType::Q4_0:
                one_factor<BlockQ4_0>(block);
                break;
            case TensorType::Q8_0:
                one_factor<BlockQ8_0>(block);
                break;
            case TensorType::Q6_K:
                one_factor<BlockQ6_K>(block);
                break;
            case TensorType::Q4_1:
                one_factor<BlockQ4_1>(block);
                reinterpret_cast<BlockQ4_1*>(block)->m = float_to_half(uniform(-1, 1));
                break;
            case TensorType::Q5_0:
                one_factor<BlockQ5_0>(block);
                break;
            case TensorType::Q3_K:
                one_factor<BlockQ3_K>(block);
                break;
            case TensorType::IQ4_NL:
                one_factor<BlockIQ4_NL>(block);
                break;
            case TensorType::IQ4_XS:
                one_factor<BlockIQ4_XS>(block);
                break;
            case TensorType::TQ1_0:
                one_factor<BlockTQ1_0>(block);
                break;
            case TensorType::TQ2_0:
                one_factor<BlockTQ2_0>(block);
                break;
            case TensorType::IQ2_XXS:
                one_factor<BlockIQ2_XXS>(block);
                break;
            case TensorType::IQ2_XS:
                one_factor<BlockIQ2_XS>(block);
                break;
            case TensorType::IQ3_XXS:
                one_factor<BlockIQ3_XXS>(block);
                break;
            case TensorType::IQ1_S:
                one_factor<BlockIQ1_S>(block);
                break;
            case TensorType::IQ3_S:
                one_factor<BlockIQ3_S>(block);
                break;
            case TensorType::IQ2_S:
                one_factor<BlockIQ2_S>(block);
                break;
            case TensorType::IQ1_M:
                set_iq1_m_factor(reinterpret_cast<BlockIQ1_M*>(block)->scales, float_to_half(uniform(-0.1f, 0.1f)));
                break;
            case TensorType::MXFP4:  // 2^-8 to 2^3
                *block = static_cast<uint8_t>(120 + byte() % 12);
                break;
            case TensorType::NVFP4:  // every pattern is a scale
                break;
            case TensorType::Q5_1:
                one_factor<BlockQ5_1>(block);
                reinterpret_cast<BlockQ5_1*>(block)->m = float_to_half(uniform(-1, 1));
                break;
            case TensorType::Q2_K:
                one_factor<BlockQ2_K>(block);
                reinterpret_cast<BlockQ2_K*>(block)->dmin = float_to_half(uniform(-0.1f, 0.1f));
                break;
            case TensorType::Q4_K:
                one_factor<BlockQ4_K>(block);
                reinterpret_cast<BlockQ4_K*>(block)->dmin = float_to_half(uniform(-0.1f, 0.1f));
                break;
            case TensorType::Q5_K:
                one_factor<BlockQ5_K>(block);
                reinterpret_cast<BlockQ5_K*>(block)->dmin = float_to_half(uniform(-0.1f, 0.1f));
                break;
        }
    }

  private:
    template <class Block>
    void one_factor(uint8_t* block) {
        reinterpret_cast<Block*>(block)->d = float_to_half(uniform(-0.1f, 0.1f));
    }

    std::mt19937_64 engine_;
    std::normal_distribution<float> normal_;
};

/// What the kernels make of activations: for quantised weights int8 in blocks of 32, to nearest even.
inline std::vector<float> rounded_activations(TensorType type, const std::vector<float>& x) {
    if (is_float(type)) return x;
    std::vector<float> result(x.size());
    for (size_t begin = 0; begin < x.size(); begin += 32) {
        float largest = 0;
        for (size_t i = begin; i < begin + 32; ++i) largest = std::max(largest, std::fabs(x[i]));
        const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
        for (size_t i = begin; i < begin + 32; ++i) result[i] = std::nearbyint(x[i] * inverse) * (largest / 127.0f);
    }
    return result;
}

/// Activation rows prepared by the kernels, as an executor holds them.
struct Prepared {
    size_t stride;
    std::vector<uint8_t> bytes;

    Prepared(const Kernels& kernels, TensorType type, const std::vector<float>& x, size_t k)
        : stride(kernels.activation_bytes(type, k)), bytes(x.size() / k * stride) {
        for (size_t c = 0; c < x.size() / k; ++c) kernels.prepare(type, &x[c * k], k, &bytes[c * stride]);
    }
};

}  // namespace reprise::cpu
