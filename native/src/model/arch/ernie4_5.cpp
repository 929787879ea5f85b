// ERNIE 4.5 (dense and with experts): pairs of RoPE are neighbours. https://ernie.baidu.com/blog/posts/ernie4.5
#include "model/layers.h"

namespace reprise {

void build_ernie4_5(PlanBuilder& builder) {
    builder.read_common();
    builder.read_rope(RopeStyle::ADJACENT);
    builder.add_embedding();
    for (uint32_t layer = 0; layer < builder.hparams().n_layers; ++layer)
        builder.add_llama_layer(layer, {.optional_bias = true});
    builder.add_output_head();
}

void build_ernie4_5_moe(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    attention.rope = layers.add_rope(builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = attention.head_dim}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    ExpertsSpec experts = read_experts(keys);
    experts.choice_bias = Bias::OPTIONAL;
    experts.n_ff_shared = keys.uint_or("expert_shared_feed_forward_length", 0, 0, 1u << 24);
    keys.uint_or("expert_shared_count", 0, 0, 65536);  // how many experts' width the shared one has
    const uint32_t first = keys.uint_or("leading_dense_block_count", 0, 0, 4096);
    const uint32_t step = keys.uint_or("interleave_moe_layer_step", 1, 1, 4096);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i)
        layers.add(i, {}, attention, feed_forward, i >= first && (i + 1) % step == 0 ? &experts : nullptr);
    layers.end({});
}

}  // namespace reprise
