// Phi-3, Phi-3.5, Phi-4 and Phi-4-mini: q, k and v in one matrix, gate and up in one, RoPE scaled by the length of the
// context (LongRoPE, https://arxiv.org/abs/2402.13753). https://arxiv.org/abs/2404.14219
#include "model/layers.h"

namespace reprise {

void build_phi3(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.fused = true;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim, .by_context = true}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    feed_forward.fused = true;
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, {}, attention, feed_forward);
    layers.end({});
}

}  // namespace reprise
