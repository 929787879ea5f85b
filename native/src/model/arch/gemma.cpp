// Gemma 1, 2 and 3: scaled embeddings, gates of GELU; from 2 on norms before and behind, and windows in some layers.
// https://arxiv.org/abs/2403.08295, https://arxiv.org/abs/2408.00118, https://arxiv.org/abs/2503.19786
#include "model/layers.h"

#include <cmath>

namespace reprise {

namespace {

struct GemmaRules {
    uint32_t period;  // the last layer of a period has no window; 0: no layer has one
    float soft_cap = 0, final_soft_cap = 0;
    bool two_ropes = false;  // layers with a window have a base of their own
    HeadNorm head_norm = HeadNorm::NONE;
    bool post_norms = true;
    uint32_t layers_of_largest = 0;  // whose attention is scaled by the width of the model
};

void build(PlanBuilder& builder, const GemmaRules& rules) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    const HyperParams& h = builder.hparams();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    if (h.n_layers == rules.layers_of_largest && !keys.has("attention.scale"))
        attention.scale = 1.0f / std::sqrt(static_cast<float>(h.n_embd) / static_cast<float>(h.n_heads));
    attention.head_norm = rules.head_norm;
    if (rules.soft_cap != 0) attention.soft_cap = keys.float_or("attn_logit_softcapping", rules.soft_cap, 0, 1e6f);
    const uint32_t window = rules.period == 0 ? 0 : keys.need_uint("attention.sliding_window", 1, UINT32_MAX);
    const std::vector<bool> windowed = keys.all_but_last_of("attention.sliding_window_pattern", rules.period);
    const uint32_t rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    uint32_t local = rope;
    if (rules.two_ropes)
        local = layers.add_rope(builder.make_rope(
            {.n_rot = attention.head_dim, .base_key = "rope.freq_base_swa", .scaled = false, .has_factors = false}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    feed_forward.activation = Activation::GELU;
    LayerSpec layer;
    if (rules.post_norms)
        layer.attention_post_norm = "post_attention_norm", layer.feed_forward_post_norm = "post_ffw_norm";
    layers.begin(std::sqrt(static_cast<float>(h.n_embd)));
    for (uint32_t i = 0; i < h.n_layers; ++i) {
        attention.window = windowed[i] ? window : 0;
        attention.rope = windowed[i] ? local : rope;
        layers.add(i, layer, attention, feed_forward);
    }
    layers.end({}, 1, keys.float_or("final_logit_softcapping", rules.final_soft_cap, 0, 1e6f));
}

}  // namespace

void build_gemma(PlanBuilder& builder) { build(builder, {.period = 0, .post_norms = false}); }
void build_gemma2(PlanBuilder& builder) {
    build(builder, {.period = 2, .soft_cap = 50, .final_soft_cap = 30, .layers_of_largest = 46});
}
void build_gemma3(PlanBuilder& builder) {
    build(builder, {.period = 6, .two_ropes = true, .head_norm = HeadNorm::EACH, .layers_of_largest = 62});
}

}  // namespace reprise
