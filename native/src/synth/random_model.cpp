#include "synth/random_model.h"

#include <cmath>
#include <numbers>

#include "core/error.h"
#include "synth/random_rows.h"

namespace reprise {

namespace {

struct NamedMix {
    const char* name;
    TensorType base;
    std::optional<TensorType> more_bits;
    bool six_bit_output;  // output.weight, or the embedding that serves as output, is Q6_K
    uint32_t file_type;
};

constexpr NamedMix kMixes[] = {
    {"Q4_K_M", TensorType::Q4_K, TensorType::Q6_K, true, 15}, {"Q5_K_M", TensorType::Q5_K, TensorType::Q6_K, true, 17},
    {"Q6_K", TensorType::Q6_K, std::nullopt, true, 18},       {"Q8_0", TensorType::Q8_0, std::nullopt, false, 7},
    {"Q4_0", TensorType::Q4_0, std::nullopt, true, 2},        {"Q4_1", TensorType::Q4_1, std::nullopt, true, 3},
    {"F16", TensorType::F16, std::nullopt, false, 1},         {"BF16", TensorType::BF16, std::nullopt, false, 32},
    {"F32", TensorType::F32, std::nullopt, false, 0},         {"Q5_0", TensorType::Q5_0, std::nullopt, true, 8},
    {"Q5_1", TensorType::Q5_1, std::nullopt, true, 9},        {"Q2_K_S", TensorType::Q2_K, std::nullopt, true, 21},
    {"Q3_K_S", TensorType::Q3_K, std::nullopt, true, 11},     {"IQ4_NL", TensorType::IQ4_NL, std::nullopt, true, 25},
    {"IQ4_XS", TensorType::IQ4_XS, std::nullopt, true, 30},   {"IQ3_XXS", TensorType::IQ3_XXS, std::nullopt, true, 23},
    {"IQ3_S", TensorType::IQ3_S, std::nullopt, true, 26},     {"IQ2_XXS", TensorType::IQ2_XXS, std::nullopt, true, 19},
    {"IQ2_XS", TensorType::IQ2_XS, std::nullopt, true, 20},   {"IQ2_S", TensorType::IQ2_S, std::nullopt, true, 28},
    {"IQ1_S", TensorType::IQ1_S, std::nullopt, true, 24},     {"IQ1_M", TensorType::IQ1_M, std::nullopt, true, 31},
    {"TQ1_0", TensorType::TQ1_0, std::nullopt, true, 36},     {"TQ2_0", TensorType::TQ2_0, std::nullopt, true, 37},
    {"MXFP4", TensorType::MXFP4, std::nullopt, true, 38},     {"NVFP4", TensorType::NVFP4, std::nullopt, true, 39},
};

bool has_more_bits(uint32_t layer, uint32_t n_layers) {
    const uint32_t eighth = n_layers / 8;
    return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

class ModelWriter {
  public:
    ModelWriter(const ModelSpec& spec, const TypeMix& types, uint64_t seed)
        : spec_(spec), types_(types), seeds_(seed) {}

    GgufWriter write() {
        add_metadata();
        add_vocabulary(writer_, spec_.vocabulary, spec_.n_vocab);
        const float unit = 1 / std::sqrt(static_cast<float>(spec_.n_embd));  // keeps the variance of a normalised input
        add_matrix("token_embd.weight", types_.token_embd, spec_.n_embd, spec_.n_vocab, kLogitDeviation * unit);
        if (!spec_.rope_factors.empty()) {
            const uint64_t dims[] = {spec_.rope_factors.size()};
            writer_.add_tensor("rope_freqs.weight", TensorType::F32, dims, spec_.rope_factors);
        }
        for (uint32_t layer = 0; layer < spec_.n_layers; ++layer) add_layer(layer, unit);
        add_vector("output_norm.weight", spec_.n_embd, 1, kNormDeviation);
        if (!spec_.tied_output) {
            add_matrix("output.weight", types_.output, spec_.n_embd, spec_.n_vocab, kLogitDeviation * unit);
        }
        return std::move(writer_);
    }

  private:
    static constexpr float kLogitDeviation = 2;
    static constexpr float kNormDeviation = 0.1f;
    static constexpr float kBiasDeviation = 0.2f;
    static constexpr float kGatedDeviation = 0.6f;  // of silu(g) * u for standard normal g and u

    void add_metadata() {
        const std::string& a = spec_.architecture;
        writer_.set("general.architecture", EncodedValue::string(a));
        writer_.set("general.name", EncodedValue::string(spec_.name));
        writer_.set("general.file_type", EncodedValue::uint32(types_.file_type));
        writer_.set("general.quantization_version", EncodedValue::uint32(2));
        const auto set = [&](const char* key, uint32_t value) { writer_.set(a + key, EncodedValue::uint32(value)); };
        set(".block_count", spec_.n_layers);
        set(".context_length", spec_.context_length);
        set(".embedding_length", spec_.n_embd);
        set(".feed_forward_length", spec_.n_ff);
        set(".attention.head_count", spec_.n_heads);
        set(".attention.head_count_kv", spec_.n_kv_heads);
        set(".attention.key_length", spec_.head_dim);
        set(".attention.value_length", spec_.head_dim);
        set(".rope.dimension_count", spec_.head_dim);
        set(".vocab_size", spec_.n_vocab);
        writer_.set(a + ".attention.layer_norm_rms_epsilon", EncodedValue::float32(spec_.rms_eps));
        writer_.set(a + ".rope.freq_base", EncodedValue::float32(spec_.rope_freq_base));
    }

    void add_layer(uint32_t layer, float unit) {
        const std::string prefix = "blk." + std::to_string(layer) + ".";
        const bool more = types_.more_bits && has_more_bits(layer, spec_.n_layers);
        const uint64_t n_embd = spec_.n_embd, n_ff = spec_.n_ff;
        const uint64_t q_dim = uint64_t{spec_.n_heads} * spec_.head_dim;
        const uint64_t kv_dim = uint64_t{spec_.n_kv_heads} * spec_.head_dim;
        // Two additions per layer bring the residual stream to a variance of about 1.
        const float residual = 1 / std::sqrt(2 * static_cast<float>(spec_.n_layers));

        add_vector(prefix + "attn_norm.weight", n_embd, 1, kNormDeviation);
        add_matrix(prefix + "attn_q.weight", types_.attn_q, n_embd, q_dim, unit);
        add_matrix(prefix + "attn_k.weight", types_.attn_k, n_embd, kv_dim, unit);
        add_matrix(prefix + "attn_v.weight", more ? *types_.more_bits : types_.attn_v, n_embd, kv_dim, unit);
        if (spec_.qkv_bias) {
            add_vector(prefix + "attn_q.bias", q_dim, 0, kBiasDeviation);
            add_vector(prefix + "attn_k.bias", kv_dim, 0, kBiasDeviation);
            add_vector(prefix + "attn_v.bias", kv_dim, 0, kBiasDeviation);
        }
        if (spec_.qk_norm) {
            add_vector(prefix + "attn_q_norm.weight", spec_.head_dim, 1, kNormDeviation);
            add_vector(prefix + "attn_k_norm.weight", spec_.head_dim, 1, kNormDeviation);
        }
        add_matrix(prefix + "attn_output.weight", types_.attn_output, q_dim, n_embd,
                   residual / std::sqrt(static_cast<float>(q_dim)));
        add_vector(prefix + "ffn_norm.weight", n_embd, 1, kNormDeviation);
        add_matrix(prefix + "ffn_gate.weight", types_.ffn_gate, n_embd, n_ff, unit);
        add_matrix(prefix + "ffn_up.weight", types_.ffn_up, n_embd, n_ff, unit);
        add_matrix(prefix + "ffn_down.weight", more ? *types_.more_bits : types_.ffn_down, n_ff, n_embd,
                   residual / (kGatedDeviation * std::sqrt(static_cast<float>(n_ff))));
    }

    void add_matrix(const std::string& name, TensorType type, uint64_t n_in, uint64_t n_out, float deviation) {
        const uint64_t dims[] = {n_in, n_out};
        writer_.add_tensor(name, type, dims, random_rows(type, n_in, deviation, seeds_.next()));
    }

    void add_vector(const std::string& name, uint64_t n, float mean, float deviation) {
        const uint64_t dims[] = {n};
        writer_.add_tensor(name, TensorType::F32, dims, random_vector(n, mean, deviation, seeds_.next()));
    }

    const ModelSpec& spec_;
    const TypeMix& types_;
    RandomBits seeds_;
    GgufWriter writer_;
};

}  // namespace

TypeMix uniform_types(TensorType type) {
    for (const NamedMix& mix : kMixes) {
        if (mix.base == type)
            return {type, type, type, type, type, type, type, type, type, std::nullopt, mix.file_type};
    }
    fail(REPRISE_INTERNAL, "no file type for tensor type %s", traits(type).name);
}

TypeMix named_types(const std::string& name, const ModelSpec& spec) {
    for (const NamedMix& mix : kMixes) {
        if (name != mix.name) continue;
        const uint32_t block = traits(mix.base).block_size;
        const uint32_t q_dim = spec.n_heads * spec.head_dim;
        for (const uint32_t row : {spec.n_embd, q_dim, spec.n_ff}) {
            if (row % block != 0) {
                fail(REPRISE_INVALID_ARGUMENT,
                     "%s cannot be made as %s: it has rows of %u weights, which are not whole blocks of %u; "
                     "take Q8_0, Q4_0, F16 or another type of small blocks",
                     spec.name.c_str(), name.c_str(), row, block);
            }
        }
        TypeMix types = uniform_types(mix.base);
        types.more_bits = mix.more_bits;
        types.file_type = mix.file_type;
        if (mix.six_bit_output) types.output = spec.n_embd % 256 == 0 ? TensorType::Q6_K : TensorType::Q8_0;
        if (spec.tied_output) types.token_embd = types.output;
        return types;
    }
    fail(REPRISE_INVALID_ARGUMENT, "no type '%s'; there are %s", name.c_str(), type_names().c_str());
}

std::string type_names() {
    std::string names;
    for (const NamedMix& mix : kMixes) {
        if (!names.empty()) names += ", ";
        names += mix.name;
    }
    return names;
}

// Grattafiori et al. 2024 (https://arxiv.org/abs/2407.21783); constants from the published config.json: long waves are
// stretched by the factor, short ones kept, those between interpolated.
std::vector<float> llama3_rope_factors(uint32_t head_dim, float freq_base, float factor) {
    constexpr float kOriginalContext = 8192, kLowFreqFactor = 1, kHighFreqFactor = 4;
    std::vector<float> factors;
    for (uint32_t i = 0; i < head_dim / 2; ++i) {
        const float exponent = 2 * static_cast<float>(i) / static_cast<float>(head_dim);
        const float wavelength = 2 * std::numbers::pi_v<float> * std::pow(freq_base, exponent);
        if (wavelength < kOriginalContext / kHighFreqFactor) {
            factors.push_back(1);
        } else if (wavelength > kOriginalContext / kLowFreqFactor) {
            factors.push_back(factor);
        } else {
            const float smooth = (kOriginalContext / wavelength - kLowFreqFactor) / (kHighFreqFactor - kLowFreqFactor);
            factors.push_back(1 / ((1 - smooth) / factor + smooth));
        }
    }
    return factors;
}

GgufWriter random_model(const ModelSpec& spec, const TypeMix& types, uint64_t seed) {
    return ModelWriter(spec, types, seed).write();
}

}  // namespace reprise
