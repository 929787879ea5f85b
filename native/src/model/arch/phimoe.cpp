// Phi-3.5-MoE: norms with biases, biases throughout, LongRoPE, two of sixteen experts.
// https://arxiv.org/abs/2404.14219
#include "model/layers.h"

namespace reprise {

void build_phimoe(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.fused = builder.has("blk.0.attn_qkv.weight");
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim, .by_context = true}));
    const ExpertsSpec experts = read_experts(keys);
    keys.uint_or("feed_forward_length", 0, 0, 1u << 24);
    LayerSpec layer;
    layer.norm.bias = true;
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, layer, attention, {}, &experts);
    layers.end(layer.norm);
}

}  // namespace reprise
