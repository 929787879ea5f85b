// gpt-oss: attention with sinks and, in every other layer, a window; experts with biases and a clamped SwiGLU.
// https://arxiv.org/abs/2508.10925
#include "model/layers.h"

namespace reprise {

void build_gpt_oss(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = attention.output_bias = Bias::REQUIRED;
    attention.sinks = true;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    const uint32_t window = keys.need_uint("attention.sliding_window", 1, UINT32_MAX);
    const std::vector<bool> windowed = keys.all_but_last_of("attention.sliding_window_pattern", 2);
    ExpertsSpec experts = read_experts(keys);
    experts.activation = Activation::CLAMPED_SILU;
    experts.gating = Gating::SOFTMAX_OF_CHOSEN;
    experts.normalised = false;
    experts.bias = true;
    keys.uint_or("feed_forward_length", 0, 0, 1u << 24);
    LayerSpec layer;
    layer.feed_forward_norm = "post_attention_norm";
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        attention.window = windowed[i] ? window : 0;
        layers.add(i, layer, attention, {}, &experts);
    }
    layers.end({});
}

}  // namespace reprise
