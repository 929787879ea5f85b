// Layers in the words of words.h, from specs: what an architecture's file sets is what its models differ in.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "model/builder.h"

namespace reprise {

/// A norm and whether its tensors have a bias (NAME.bias).
struct NormSpec {
    NormKind kind = NormKind::RMS;
    bool bias = false;
};

enum class Bias { NONE, OPTIONAL, REQUIRED };
enum class HeadNorm { NONE, EACH, ALL };  // of q and k: every head for itself, or all together

/// attn_q, attn_k, attn_v or attn_qkv, and attn_output.
struct AttentionSpec {
    uint32_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
    float scale = 0;
    std::optional<uint32_t> rope;  // index into Plan::ropes; nothing: none
    uint32_t window = 0, chunk = 0;
    float soft_cap = 0;
    bool fused = false;  // attn_qkv
    Bias bias = Bias::NONE, output_bias = Bias::NONE;
    HeadNorm head_norm = HeadNorm::NONE;
    NormSpec head_norm_kind;
    bool head_norm_has_weight = true;
    bool rotates_first = false;  // before the norm of heads
    bool value_norm = false;     // RMS, without weights, of every head
    bool sinks = false;          // attn_sinks
    bool gate = false;           // attn_q holds a head's query and its gate: sigmoid(gate) times what attention gives
    float temperature_scale = 0, temperature_length = 0, temperature_offset = 0;  // of q: TemperatureOp
    std::optional<uint32_t> shared_kv;  // reads the keys and values that another layer stored
    bool values_are_keys = false;       // where attn_v is missing: V = K before norm and RoPE
};

/// ffn_gate, ffn_up and ffn_down, or with a suffix. Two of them in one: ffn_up holds gate, then up.
struct FeedForwardSpec {
    uint32_t n_ff = 0;
    Activation activation = Activation::SILU;
    bool gated = true;
    bool fused = false;
    Bias bias = Bias::NONE;
    const char* suffix = "";
};

/// ffn_gate_inp, ffn_gate_exps, ffn_up_exps or ffn_gate_up_exps, ffn_down_exps; ffn_*_shexp beside them.
struct ExpertsSpec {
    uint32_t n_experts = 0, n_used = 0, n_ff = 0;
    uint32_t n_ff_shared = 0;  // 0: no shared expert
    Activation activation = Activation::SILU;
    bool gated = true;
    bool bias = false;  // of router and experts
    Gating gating = Gating::SOFTMAX;
    bool normalised = true;
    float scale = 1;
    uint32_t n_groups = 1, n_groups_used = 1;
    Bias choice_bias = Bias::NONE;  // exp_probs_b.bias
    bool shared_gate = false;       // ffn_gate_inp_shexp: its sigmoid times the shared expert
    bool weighs_input = false;      // weights go on what experts read, not on what they give
};

/// A decoder layer of attention and a feed-forward network around a residual stream.
struct LayerSpec {
    NormSpec norm;
    const char *attention_norm = "attn_norm", *attention_post_norm = nullptr;  // tensors; null: none
    const char *feed_forward_norm = "ffn_norm", *feed_forward_post_norm = nullptr;
    bool parallel = false;  // both read the same input, after attention_norm where the other has no norm
    float residual_scale = 1;
};

class Layers {
  public:
    explicit Layers(PlanBuilder& builder) : builder_(builder), h_(builder.hparams()) {
        x_ = {0, 0, 1, h_.n_embd, h_.n_embd};
    }

    // ---- around the layers ----

    /// x = scale table[token]
    void begin(float scale = 1);
    /// Logits from a norm and output.weight, or the embedding table.
    void end(const NormSpec& norm, float scale = 1, float cap = 0, const char* norm_name = "output_norm");
    uint32_t add_rope(const Rope& rope);

    // ---- a layer ----

    void begin_layer(uint32_t layer);
    Pieces x() const { return x_; }
    /// All of a layer. experts null: feed_forward counts.
    void add(uint32_t layer, const LayerSpec& spec, const AttentionSpec& attention, const FeedForwardSpec& feed_forward,
             const ExpertsSpec* experts = nullptr);
    /// What a block adds to the residual stream, from its normalised input.
    Pieces attention(const Pieces& in, const AttentionSpec& spec);
    Pieces feed_forward(const Pieces& in, const FeedForwardSpec& spec);
    Pieces experts(const Pieces& in, const ExpertsSpec& spec);
    /// experts() with the router reading something else.
    Pieces experts(const Pieces& in, const ExpertsSpec& spec, const Pieces& router_in, const Weight* expert_scale);
    /// x += scale delta, after a norm where post_norm names one.
    void add_to_residual(Pieces delta, const char* post_norm, const NormSpec& norm, float scale = 1);

    // ---- words ----

    /// A value of the plan that steps which do not overlap share; grows to the widest.
    Pieces value(const std::string& name, uint64_t width);
    Pieces norm(const Pieces& in, const char* tensor, const NormSpec& spec, const char* to = "normed");
    void head_norm(const Pieces& heads, const Weight* weight, NormKind kind = NormKind::RMS);
    Pieces linear(const Pieces& in, const std::string& tensor, uint64_t rows, const char* to, Bias bias = Bias::NONE);
    const Weight* bias(const std::string& name, uint64_t n, Bias bias);
    void row(const RowOp& op) { builder_.add(RowStep{layer_, op}); }
    void rotate(const Pieces& heads, uint32_t rope);
    void activate(Activation activation, const Pieces& gate, const Pieces& up, const Pieces& out);
    void scale(const Pieces& pieces, float factor) { row(ScaleOp{pieces, pieces, factor}); }
    std::string name(const std::string& tensor) const { return "blk." + std::to_string(layer_) + "." + tensor; }
    uint32_t layer() const { return layer_; }
    PlanBuilder& builder() { return builder_; }

  private:
    PlanBuilder& builder_;
    HyperParams& h_;
    uint32_t layer_ = 0;
    Pieces x_;
    std::unordered_map<std::string, uint32_t> values_;
    std::vector<Pieces> angles_;  // by rope
};

/// Reads the keys about experts that models with them share. normalised: unless a key says otherwise.
ExpertsSpec read_experts(ModelKeys& keys, bool normalised = true);
/// Reads a size of heads. REPRISE_UNSUPPORTED_MODEL unless it is a multiple of 8, at most MAX_HEAD_DIM.
uint32_t read_head_dim(ModelKeys& keys, const char* key, uint32_t fallback);
/// Reads heads and their sizes: attention.head_count_kv (one for all layers), key_length, value_length, scale,
/// sliding_window.
AttentionSpec read_attention(PlanBuilder& builder);

}  // namespace reprise
