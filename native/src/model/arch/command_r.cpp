// Command-R and Command-R7B (cohere2): layer norms without biases, attention beside the feed-forward network, scaled
// logits; of cohere2, windows with RoPE in three layers of four and neither in the fourth.
// https://huggingface.co/CohereLabs
#include "model/layers.h"

namespace reprise {

namespace {

void build(PlanBuilder& builder, bool has_windows) {
    builder.read_sizes(NormKind::LAYER);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = Bias::OPTIONAL;
    const uint32_t rope =
        layers.add_rope(builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = attention.head_dim}));
    attention.head_norm_kind.kind = NormKind::LAYER;
    const uint32_t window = has_windows ? keys.need_uint("attention.sliding_window", 1, UINT32_MAX) : 0;
    const std::vector<bool> windowed = keys.all_but_last_of("attention.sliding_window_pattern", has_windows ? 4 : 0);
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    LayerSpec layer;
    layer.norm.kind = NormKind::LAYER;
    layer.parallel = true;
    layer.feed_forward_norm = nullptr;
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        const bool has_norm = builder.has("blk." + std::to_string(i) + ".attn_q_norm.weight");
        attention.head_norm = has_norm ? HeadNorm::EACH : HeadNorm::NONE;
        attention.window = windowed[i] ? window : 0;
        attention.rope = !has_windows || windowed[i] ? std::optional(rope) : std::nullopt;
        layers.add(i, layer, attention, feed_forward);
    }
    layers.end(layer.norm, keys.nonzero_or("logit_scale", 1.0f, 1e-6f, 1e6f));
}

}  // namespace

void build_command_r(PlanBuilder& builder) { build(builder, false); }
void build_cohere2(PlanBuilder& builder) { build(builder, true); }

}  // namespace reprise
