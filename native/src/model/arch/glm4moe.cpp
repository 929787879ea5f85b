// GLM-4.5 and later with experts: half of a head turned, experts chosen by biased sigmoids, a shared one beside them.
// https://arxiv.org/abs/2508.06471
#include "model/layers.h"

namespace reprise {

void build_glm4moe(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = Bias::OPTIONAL;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    ExpertsSpec experts = read_experts(keys);
    if (!keys.has("expert_gating_func")) experts.gating = Gating::SIGMOID;
    experts.choice_bias = Bias::OPTIONAL;
    experts.n_ff_shared = experts.n_ff * keys.uint_or("expert_shared_count", 0, 0, 256);
    const uint32_t first = keys.uint_or("leading_dense_block_count", 0, 0, 4096);
    LayerSpec layer;
    layer.feed_forward_norm = "post_attention_norm";
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        const bool has_norm = builder.has("blk." + std::to_string(i) + ".attn_q_norm.weight");
        attention.head_norm = has_norm ? HeadNorm::EACH : HeadNorm::NONE;
        layers.add(i, layer, attention, feed_forward, i >= first ? &experts : nullptr);
    }
    layers.end({});
}

}  // namespace reprise
