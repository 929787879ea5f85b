// Models of a given shape with random weights: for measuring without downloads, and for tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gguf/gguf_writer.h"
#include "synth/vocabulary.h"

namespace reprise {

/// Tensor types by role. Norms and biases are F32.
struct TypeMix {
    TensorType token_embd, output;
    TensorType attn_q, attn_k, attn_v, attn_output;
    TensorType ffn_gate, ffn_up, ffn_down;
    /// Type of attn_v and ffn_down in the first and the last eighth of the layers and in every third between.
    std::optional<TensorType> more_bits;
    uint32_t file_type;  // general.file_type
};

TypeMix uniform_types(TensorType type);

struct ModelSpec {
    std::string architecture = "llama";  // llama, qwen2 or qwen3
    std::string name;
    uint32_t n_layers = 0, n_embd = 0, n_ff = 0;
    uint32_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
    uint32_t n_vocab = 0;
    uint32_t context_length = 0;
    float rms_eps = 1e-5f;
    float rope_freq_base = 10000;
    std::vector<float> rope_factors;  // rope_freqs.weight, head_dim / 2 values; empty: none
    bool tied_output = true;          // no output.weight: the embedding serves
    bool qkv_bias = false;
    bool qk_norm = false;
    VocabularySpec vocabulary;
};

/// The mixes of published files: "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "Q4_0", "Q4_1", "F16", "BF16", "F32".
/// REPRISE_INVALID_ARGUMENT for another name, and where the model's rows are not whole blocks.
TypeMix named_types(const std::string& name, const ModelSpec& spec);
/// "Q4_K_M, Q5_K_M, ..."
std::string type_names();

/// rope_freqs.weight of Llama 3.1 and later, with its published constants but for the factor.
std::vector<float> llama3_rope_factors(uint32_t head_dim, float freq_base, float factor);

/// All metadata and tensors. Activations and logits stay in a normal range: each projection keeps the variance, the
/// residual stream grows to about 1, logits have a standard deviation of about 2.
GgufWriter random_model(const ModelSpec& spec, const TypeMix& types, uint64_t seed);

}  // namespace reprise
