// MiniMax-M2: q and k normalised over all heads, half of a head turned, experts chosen by biased sigmoids.
// https://huggingface.co/MiniMaxAI/MiniMax-M2
#include "model/layers.h"

namespace reprise {

void build_minimax_m2(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.head_norm = HeadNorm::ALL;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    ExpertsSpec experts = read_experts(keys);
    experts.choice_bias = Bias::REQUIRED;
    keys.uint_or("feed_forward_length", 0, 0, 1u << 24);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, {}, attention, {}, &experts);
    layers.end({});
}

}  // namespace reprise
