// Qwen 1: q, k and v in one matrix; the file states twice the width of the feed-forward network.
// https://arxiv.org/abs/2309.16609
#include "model/layers.h"

namespace reprise {

void build_qwen(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.fused = true;
    attention.bias = Bias::REQUIRED;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = builder.keys().need_uint("feed_forward_length", 2, 1u << 24) / 2;
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, {}, attention, feed_forward);
    layers.end({});
}

}  // namespace reprise
