// GPT-NeoX and Pythia: layer norms, biases, RoPE on a part of a head, attention beside the feed-forward network or
// before it. https://arxiv.org/abs/2204.06745
#include "model/layers.h"

namespace reprise {

void build_gptneox(PlanBuilder& builder) {
    builder.read_sizes(NormKind::LAYER);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.fused = true;
    attention.bias = attention.output_bias = Bias::REQUIRED;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    feed_forward.activation = Activation::GELU;
    feed_forward.gated = false;
    feed_forward.bias = Bias::REQUIRED;
    LayerSpec layer;
    layer.norm = {NormKind::LAYER, true};
    layer.parallel = keys.flag_or("use_parallel_residual", true);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, layer, attention, feed_forward);
    layers.end(layer.norm);
}

}  // namespace reprise
