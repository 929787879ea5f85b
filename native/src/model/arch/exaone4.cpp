// EXAONE 4: norms behind attention and feed-forward network alone, every q and k head normalised; of 32B, windows
// with RoPE in three layers of four and neither in the fourth. https://arxiv.org/abs/2507.11407
#include "model/layers.h"

namespace reprise {

void build_exaone4(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.head_norm = HeadNorm::EACH;
    const uint32_t rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    const uint32_t window = keys.uint_or("attention.sliding_window", 0, 0, UINT32_MAX);
    const std::vector<bool> windowed = keys.all_but_last_of("attention.sliding_window_pattern", window == 0 ? 0 : 4);
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    LayerSpec layer;
    layer.attention_norm = layer.feed_forward_norm = nullptr;
    layer.attention_post_norm = "post_attention_norm", layer.feed_forward_post_norm = "post_ffw_norm";
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        const bool is_local = window != 0 && windowed[i];
        attention.window = is_local ? window : 0;
        attention.rope = window == 0 || is_local ? std::optional(rope) : std::nullopt;
        layers.add(i, layer, attention, feed_forward);
    }
    layers.end({});
}

}  // namespace reprise
