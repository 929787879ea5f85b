// Nemotron-H and Nemotron 3 Nano: every layer is one of Mamba-2, attention and a feed-forward network of squared ReLU
// without a gate, or experts of it. https://arxiv.org/abs/2504.03624, https://arxiv.org/abs/2512.20848
#include "model/mixers.h"

namespace reprise {

void build_nemotron_h(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    // Attention has no RoPE, though files state one.
    builder.make_rope({.n_rot = attention.head_dim});
    const std::vector<uint32_t> kv_heads = keys.uints_or("attention.head_count_kv", 0, 0, 65536);
    const std::vector<uint32_t> widths = keys.uints_or("feed_forward_length", 0, 0, 1u << 24);
    const MixerSpec mixer = read_mixer(keys);
    ExpertsSpec experts;
    if (keys.uint_or("expert_count", 0, 0, 65536) > 0) {
        experts = read_experts(keys);
        if (!keys.has("expert_gating_func")) experts.gating = Gating::SIGMOID;
        experts.gated = false;
        experts.activation = Activation::RELU_SQUARED;
        experts.choice_bias = Bias::OPTIONAL;
        const uint32_t n_shared = keys.uint_or("expert_shared_count", 0, 0, 256);
        experts.n_ff_shared = keys.uint_or("expert_shared_feed_forward_length", experts.n_ff * n_shared, 0, 1u << 24);
    }
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        layers.begin_layer(i);
        const Pieces in = layers.norm(layers.x(), "attn_norm", {});
        Pieces out;
        if (kv_heads[i] > 0) {
            out = layers.attention(in, attention);
        } else if (widths[i] == 0) {
            out = mamba2(layers, in, mixer);
        } else if (builder.has(layers.name("ffn_gate_inp.weight"))) {
            out = layers.experts(in, experts);
        } else {
            FeedForwardSpec feed_forward;
            feed_forward.n_ff = widths[i];
            feed_forward.gated = false;
            feed_forward.activation = Activation::RELU_SQUARED;
            feed_forward.bias = Bias::OPTIONAL;
            out = layers.feed_forward(in, feed_forward);
        }
        layers.add_to_residual(out, nullptr, {});
    }
    layers.end({});
}

}  // namespace reprise
