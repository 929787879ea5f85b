// Granite 4 (hybrid): Mamba-2, and attention in the layers that have KV heads.
// https://www.ibm.com/granite/docs/models/granite
#include "model/mixers.h"

namespace reprise {

void build_granite_hybrid(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    const Rope rope = builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = attention.head_dim});
    if (keys.flag_or("rope.scaling.finetuned", true)) attention.rope = layers.add_rope(rope);
    const std::vector<uint32_t> kv_heads = keys.uints_or("attention.head_count_kv", 0, 0, 65536);
    const MixerSpec mixer = read_mixer(keys);
    const float residual_scale = keys.nonzero_or("residual_scale", 1.0f, 1e-6f, 1e6f);
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.uint_or("feed_forward_length", 0, 0, 1u << 24);
    std::optional<ExpertsSpec> experts;
    if (keys.uint_or("expert_count", 0, 0, 65536) > 0) {
        experts = read_experts(keys);
        experts->n_ff_shared = keys.uint_or("expert_shared_feed_forward_length", 0, 0, 1u << 24);
    }
    layers.begin(keys.nonzero_or("embedding_scale", 1.0f, 1e-6f, 1e6f));
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        layers.begin_layer(i);
        const Pieces in = layers.norm(layers.x(), "attn_norm", {});
        layers.add_to_residual(kv_heads[i] > 0 ? layers.attention(in, attention) : mamba2(layers, in, mixer), nullptr,
                               {}, residual_scale);
        const Pieces behind = layers.norm(layers.x(), "ffn_norm", {});
        layers.add_to_residual(experts ? layers.experts(behind, *experts) : layers.feed_forward(behind, feed_forward),
                               nullptr, {}, residual_scale);
    }
    layers.end({}, 1.0f / keys.nonzero_or("logit_scale", 1.0f, 1e-6f, 1e6f));
}

}  // namespace reprise
