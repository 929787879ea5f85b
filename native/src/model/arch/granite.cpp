// Granite 3 and 4 (dense and with experts): scales on embeddings, on what blocks add, on attention and on logits.
// https://huggingface.co/ibm-granite
#include "model/layers.h"

namespace reprise {

void build_granite(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    if (keys.flag_or("rope.scaling.finetuned", true))
        attention.rope =
            layers.add_rope(builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = attention.head_dim}));
    LayerSpec layer;
    layer.residual_scale = keys.nonzero_or("residual_scale", 1.0f, 1e-6f, 1e6f);
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    feed_forward.bias = Bias::OPTIONAL;
    std::optional<ExpertsSpec> experts;
    if (keys.uint_or("expert_count", 0, 0, 65536) > 0) {
        experts = read_experts(keys);
        experts->n_ff_shared = keys.uint_or("expert_shared_feed_forward_length", 0, 0, 1u << 24);
    }
    layers.begin(keys.nonzero_or("embedding_scale", 1.0f, 1e-6f, 1e6f));
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i)
        layers.add(i, layer, attention, feed_forward, experts ? &*experts : nullptr);
    layers.end({}, 1.0f / keys.nonzero_or("logit_scale", 1.0f, 1e-6f, 1e6f));
}

}  // namespace reprise
