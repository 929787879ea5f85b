// Qwen1.5 and Qwen2 with experts, Qwen3 with experts. https://arxiv.org/abs/2407.10671,
// https://arxiv.org/abs/2505.09388
#include "model/layers.h"

namespace reprise {

namespace {

void build(PlanBuilder& builder, const AttentionSpec& differs, bool has_shared) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = differs.bias;
    attention.head_norm = differs.head_norm;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    ExpertsSpec experts = read_experts(keys, !has_shared);
    // Of pictures, as in qwen3.cpp.
    keys.has("rope.dimension_sections");
    keys.has("n_deepstack_layers");
    keys.uint_or("feed_forward_length", 0, 0, 1u << 24);  // of layers without experts, which there are none of
    if (has_shared) {
        experts.n_ff_shared = keys.need_uint("expert_shared_feed_forward_length", 1, 1u << 24);
        experts.shared_gate = true;
    }
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, {}, attention, {}, &experts);
    layers.end({});
}

}  // namespace

void build_qwen2moe(PlanBuilder& builder) {
    AttentionSpec attention;
    attention.bias = Bias::OPTIONAL;
    build(builder, attention, true);
}
void build_qwen3moe(PlanBuilder& builder) {
    AttentionSpec attention;
    attention.head_norm = HeadNorm::EACH;
    build(builder, attention, false);
}

}  // namespace reprise
