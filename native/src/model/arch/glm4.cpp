// GLM-4 (0414): norms before and behind, half of a head turned in adjacent pairs, gate and up in one matrix.
// https://huggingface.co/zai-org/GLM-4-9B-0414
#include "model/layers.h"

namespace reprise {

void build_glm4(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = Bias::OPTIONAL;
    attention.rope = layers.add_rope(builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = attention.head_dim}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = builder.keys().need_uint("feed_forward_length", 1, 1u << 24);
    feed_forward.fused = true;
    LayerSpec layer;
    layer.attention_post_norm = "post_attention_norm", layer.feed_forward_post_norm = "post_ffw_norm";
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, layer, attention, feed_forward);
    layers.end({});
}

}  // namespace reprise
