// What a model computes for one token, as data. arch/<name>.cpp writes it, the backends execute it.
//
// A layer of the llama family is five steps, which backends fuse. Whatever else a model computes is said in the words
// of words.h: smaller steps over values that the plan names.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "gguf/gguf.h"
#include "model/words.h"
#include "quant/tensor_type.h"

namespace reprise {

/// A tensor the plan uses. Matrices are [rows, cols] with cols contiguous: y[rows] = W x[cols]. Vectors have rows 1.
struct Weight {
    uint32_t id;  // index into Plan::weights
    std::string name;
    TensorType type;
    uint64_t rows, cols;
    std::span<const uint8_t> data;  // in the file
    bool is_table = false;          // an F32 matrix that no product takes
    size_t row_bytes() const { return reprise::row_bytes(type, cols); }
    size_t n_bytes() const { return rows * row_bytes(); }
    /// Read by other steps than products: norms, biases and the like.
    bool is_vector() const { return type == TensorType::F32 && (rows == 1 || is_table); }
};

/// What one layer of the KV cache holds of a token.
struct KvSpec {
    uint32_t n_heads, key_dim, value_dim;  // value_dim 0: values are the leading dimensions of keys
    bool operator==(const KvSpec&) const = default;
};

struct HyperParams {
    std::string architecture;
    uint32_t n_vocab = 0;
    uint32_t n_embd = 0;
    uint32_t n_layers = 0;
    uint32_t n_heads = 0;
    uint32_t n_kv_heads = 0;  // divides n_heads
    uint32_t head_dim = 0;    // of q, k and v
    uint32_t n_ff = 0;
    uint32_t context_length = 0;  // trained for
    uint32_t sliding_window = 0;  // latest tokens that attention sees, the own one included; 0: all
    float attention_scale = 0;    // on q k
    float rms_eps = 0;
    std::vector<KvSpec> kv;  // of every layer of the KV cache; those of the model that share one or have none apart
    std::vector<uint64_t> state_values;  // float32 values of every recurrent state of a sequence
    uint32_t q_dim() const { return n_heads * head_dim; }
    uint32_t kv_dim() const { return n_kv_heads * head_dim; }
    /// Of a session: attention sees all tokens, which is the model's own arithmetic as long as its window holds them.
    uint32_t max_session_context() const {
        return sliding_window != 0 ? std::min(sliding_window, context_length) : context_length;
    }
    uint32_t default_session_context() const { return std::min(max_session_context(), 4096u); }
};

/// Which two elements of a head RoPE turns together. Su et al., https://arxiv.org/abs/2104.09864
enum class RopeStyle {
    ADJACENT,  // (2i, 2i + 1)
    HALVES,    // (i, i + n_rot / 2)
};

struct Rope {
    RopeStyle style = RopeStyle::ADJACENT;
    uint32_t n_rot = 0;                // leading dimensions of a head that are turned; even
    std::vector<float> inv_freq;       // [n_rot / 2] radians per position, scaling and frequency factors included
    float magnitude = 1;               // on cosines and sines, and so on the turned dimensions of q and of k
    std::vector<float> long_inv_freq;  // instead, in sessions of more than short_context tokens; empty: in none
    uint32_t short_context = 0;
};

// ---- steps, in the order in which they run. x is the residual stream [n_embd] ----

/// x = table[token]
struct EmbedStep {
    const Weight* table;  // [n_vocab, n_embd]
};
/// q, k, v = W rms_norm(x) + b; then rms_norm of every q and k head where q_norm is there; RoPE on q and k;
/// k and v go to the KV cache of the layer at the token's position.
struct QkvStep {
    uint32_t layer;
    const Weight* norm;                      // [n_embd]
    const Weight *q, *k, *v;                 // [q_dim, n_embd], [kv_dim, n_embd], [kv_dim, n_embd]
    const Weight *q_bias, *k_bias, *v_bias;  // or null
    const Weight *q_norm, *k_norm;           // [head_dim] or null
};
/// att = softmax(scale q K^T) V over positions 0 .. the token's own
struct AttentionStep {
    uint32_t layer;
    float scale;
};
enum class ProjectInput { ATTENTION, FEED_FORWARD };
/// x += W input + b
struct ProjectResidualStep {
    ProjectInput input;
    const Weight* weight;  // [n_embd, q_dim] or [n_embd, n_ff]
    const Weight* bias;    // or null
};
/// ff = silu(G rms_norm(x)) * (U rms_norm(x))
struct GatedFeedForwardStep {
    const Weight* norm;       // [n_embd]
    const Weight *gate, *up;  // [n_ff, n_embd]
};
/// logits = cap tanh(scale W rms_norm(x) / cap)
struct OutputHeadStep {
    const Weight* norm;            // [n_embd]; null: the input is normalised
    const Weight* weight;          // [n_vocab, n_embd]; the embedding table where tied
    const Weight* bias = nullptr;  // [n_vocab] or null
    uint32_t input = 0;            // index into Plan::values
    float scale = 1, cap = 0;      // cap 0: none
};

using Step = std::variant<EmbedStep, QkvStep, AttentionStep, ProjectResidualStep, GatedFeedForwardStep, OutputHeadStep,
                          RowStep, LinearStep, SelectedLinearStep, AttendStep, ConvStep, DeltaNetStep, ScanStep>;

struct Plan {
    HyperParams hparams;
    Rope rope;                                   // of QkvSteps
    std::vector<Rope> ropes;                     // of AngleOps
    std::vector<PlanValue> values = {{"x", 0}};  // what steps of words.h name; the first is the residual stream
    std::vector<std::unique_ptr<Weight>> weights;
    std::vector<Step> steps;

    uint64_t weight_bytes() const;     // of all weights, as stored
    uint64_t bytes_per_token() const;  // read by one decoded token: everything, one row of an untied embedding table
    uint64_t n_parameters() const;
};

/// Reads the hyper-parameters, claims the tensors and checks every shape. Whatever Reprise cannot compute (an
/// architecture, a tensor type, a tensor that nothing uses, a rope scaling ...) is REPRISE_UNSUPPORTED_MODEL by name.
std::unique_ptr<Plan> build_plan(const GgufFile& file);

}  // namespace reprise
