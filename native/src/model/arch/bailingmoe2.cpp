// Ling 2 and Ring 2: every head normalised, half of it turned, experts in groups. https://arxiv.org/abs/2510.22115
#include "model/layers.h"

namespace reprise {

void build_bailingmoe2(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.fused = true;
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    attention.head_norm = HeadNorm::EACH;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    ExpertsSpec experts = read_experts(keys);
    experts.choice_bias = Bias::OPTIONAL;
    const uint32_t n_shared = keys.uint_or("expert_shared_count", 0, 0, 256);
    experts.n_ff_shared = keys.uint_or("expert_shared_feed_forward_length", experts.n_ff * n_shared, 0, 1u << 24);
    const uint32_t first = keys.uint_or("leading_dense_block_count", 0, 0, 4096);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i)
        layers.add(i, {}, attention, feed_forward, i >= first ? &experts : nullptr);
    layers.end({});
}

}  // namespace reprise
