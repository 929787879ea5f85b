// StableLM 2: layer norms, RoPE on a quarter of a head; of 12B, blocks side by side and heads that are normalised.
// https://arxiv.org/abs/2402.17834
#include "model/layers.h"

namespace reprise {

void build_stablelm(PlanBuilder& builder) {
    builder.read_sizes(NormKind::LAYER);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = Bias::OPTIONAL;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    attention.head_norm_kind.kind = NormKind::LAYER;
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    LayerSpec layer;
    layer.norm = {NormKind::LAYER, true};
    layer.parallel = keys.flag_or("use_parallel_residual", false);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        const std::string blk = "blk." + std::to_string(i) + ".";
        attention.head_norm = builder.has(blk + "attn_q_norm.weight") ? HeadNorm::EACH : HeadNorm::NONE;
        layer.feed_forward_norm = !layer.parallel || builder.has(blk + "ffn_norm.weight") ? "ffn_norm" : nullptr;
        layers.add(i, layer, attention, feed_forward);
    }
    layers.end(layer.norm);
}

}  // namespace reprise
