// Falcon-H1: attention and Mamba-2 side by side. https://arxiv.org/abs/2507.22448
#include "model/mixers.h"

namespace reprise {

void build_falcon_h1(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    const MixerSpec mixer = read_mixer(keys);
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        layers.begin_layer(i);
        const Pieces in = layers.norm(layers.x(), "attn_norm", {});
        const Pieces attended = layers.attention(in, attention);
        const Pieces mixed = mamba2(layers, in, mixer);
        layers.add_to_residual(attended, nullptr, {});
        layers.add_to_residual(mixed, nullptr, {});
        // Files have the name without its ending.
        const char* name = builder.has(layers.name("ffn_norm")) ? "ffn_norm" : "ffn_norm.weight";
        const Pieces behind = layers.value("normed", layers.x().width);
        layers.row(NormOp{layers.x(), behind, NormKind::RMS, builder.vector(layers.name(name), layers.x().width),
                          nullptr, builder.hparams().rms_eps});
        layers.add_to_residual(layers.feed_forward(behind, feed_forward), nullptr, {});
    }
    layers.end({});
}

}  // namespace reprise
