// Hunyuan (dense and with experts): every q and k head is normalised behind RoPE. https://huggingface.co/tencent
#include "model/layers.h"

namespace reprise {

namespace {

void build(PlanBuilder& builder, bool has_experts) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = Bias::OPTIONAL;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    attention.head_norm = HeadNorm::EACH;
    attention.rotates_first = true;
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    std::optional<ExpertsSpec> experts;
    if (has_experts) {
        experts = read_experts(keys);
        experts->n_ff_shared = keys.need_uint("expert_shared_feed_forward_length", 1, 1u << 24);
    }
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i)
        layers.add(i, {}, attention, feed_forward, experts ? &*experts : nullptr);
    layers.end({});
}

}  // namespace

void build_hunyuan_dense(PlanBuilder& builder) { build(builder, false); }
void build_hunyuan_moe(PlanBuilder& builder) { build(builder, true); }

}  // namespace reprise
