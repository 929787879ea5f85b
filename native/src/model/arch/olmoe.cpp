// OLMoE: q and k normalised over all heads, experts whose weights are not normalised. https://arxiv.org/abs/2409.02060
#include "model/layers.h"

namespace reprise {

void build_olmoe(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.head_norm = HeadNorm::ALL;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    const ExpertsSpec experts = read_experts(keys, false);
    keys.uint_or("feed_forward_length", 0, 0, 1u << 24);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, {}, attention, {}, &experts);
    layers.end({});
}

}  // namespace reprise
