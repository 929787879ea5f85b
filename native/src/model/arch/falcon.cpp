// Falcon 7B and 40B: layer norms, attention beside the feed-forward network, GELU without a gate.
// https://arxiv.org/abs/2311.16867
#include "core/error.h"
#include "model/layers.h"

namespace reprise {

void build_falcon(PlanBuilder& builder) {
    builder.read_sizes(NormKind::LAYER);
    if (const std::string layout = builder.keys().text_or("tensor_data_layout", "jploski"); layout != "jploski") {
        fail(REPRISE_UNSUPPORTED_MODEL,
             "the rows of q, k and v are ordered as %s has them (%s): only jploski is supported",
             quoted(layout).c_str(), builder.keys().name("tensor_data_layout").c_str());
    }
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.fused = true;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = builder.keys().need_uint("feed_forward_length", 1, 1u << 24);
    feed_forward.activation = Activation::GELU;
    feed_forward.gated = false;
    LayerSpec layer;
    layer.norm = {NormKind::LAYER, true};
    layer.parallel = true;
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        // Of 40B the two read different norms of the same.
        const bool two_norms = builder.has("blk." + std::to_string(i) + ".attn_norm_2.weight");
        layer.attention_norm = two_norms ? "attn_norm_2" : "attn_norm";
        layer.feed_forward_norm = two_norms ? "attn_norm" : nullptr;
        layers.add(i, layer, attention, feed_forward);
    }
    layers.end(layer.norm);
}

}  // namespace reprise
