// OLMo 2 and 3: norms behind attention and feed-forward network, q and k normalised over all heads; of OLMo 3, windows
// with an unscaled RoPE in three layers of four. https://arxiv.org/abs/2501.00656
#include "model/layers.h"

namespace reprise {

void build_olmo2(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.head_norm = HeadNorm::ALL;
    const uint32_t window = keys.uint_or("attention.sliding_window", 0, 0, UINT32_MAX);
    const uint32_t rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    const double base = keys.float_or("rope.freq_base", 10000.0f, 1.0f, 1e12f);
    const uint32_t local =
        window == 0
            ? rope
            : layers.add_rope(builder.make_rope(
                  {.n_rot = attention.head_dim, .base_key = "rope.freq_base_swa", .base = base, .scaled = false}));
    const std::vector<bool> windowed = keys.all_but_last_of("attention.sliding_window_pattern", window == 0 ? 0 : 4);
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    LayerSpec layer;
    layer.attention_norm = layer.feed_forward_norm = nullptr;
    layer.attention_post_norm = "post_attention_norm", layer.feed_forward_post_norm = "post_ffw_norm";
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        attention.window = windowed[i] ? window : 0;
        attention.rope = windowed[i] ? local : rope;
        layers.add(i, layer, attention, feed_forward);
    }
    layers.end({});
}

}  // namespace reprise
