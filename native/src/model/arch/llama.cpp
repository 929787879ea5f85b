// Llama 1 to 3, SmolLM2, TinyLlama, Mistral 7B, Mixtral and others published under the same name.
// Touvron et al., https://arxiv.org/abs/2302.13971; Grattafiori et al., https://arxiv.org/abs/2407.21783; Jiang et al.,
// https://arxiv.org/abs/2401.04088
#include "model/layers.h"

namespace reprise {

namespace {

void build_with_experts(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    attention.rope = layers.add_rope(builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = attention.head_dim}));
    const ExpertsSpec experts = read_experts(builder.keys());
    builder.keys().uint_or("feed_forward_length", 0, 0, 1u << 24);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, {}, attention, {}, &experts);
    layers.end({});
}

}  // namespace

void build_llama(PlanBuilder& builder) {
    if (builder.has("blk.0.ffn_gate_inp.weight")) return build_with_experts(builder);
    builder.read_common();
    builder.read_rope(RopeStyle::ADJACENT);
    builder.add_embedding();
    for (uint32_t layer = 0; layer < builder.hparams().n_layers; ++layer) {
        builder.add_llama_layer(layer, {.optional_bias = true});
    }
    builder.add_output_head();
}

}  // namespace reprise
