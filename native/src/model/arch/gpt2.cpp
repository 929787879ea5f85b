// GPT-2: learned positions, layer norms, biases, GELU without a gate.
// https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
#include "model/layers.h"

namespace reprise {

void build_gpt2(PlanBuilder& builder) {
    builder.read_sizes(NormKind::LAYER);
    const HyperParams& h = builder.hparams();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.fused = true;
    attention.bias = attention.output_bias = Bias::REQUIRED;
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = builder.keys().need_uint("feed_forward_length", 1, 1u << 24);
    feed_forward.activation = Activation::GELU;
    feed_forward.gated = false;
    feed_forward.bias = Bias::REQUIRED;
    LayerSpec layer;
    layer.norm = {NormKind::LAYER, true};
    layers.begin();
    const Weight* positions = builder.matrix("position_embd.weight", h.context_length, h.n_embd);
    layers.row(LookupOp{positions, true, 0, 1, true, layers.x()});
    for (uint32_t i = 0; i < h.n_layers; ++i) layers.add(i, layer, attention, feed_forward);
    layers.end(layer.norm);
}

}  // namespace reprise
