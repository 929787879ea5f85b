// Mistral 3 and Ministral 3: Llama, with YaRN and, in some, attention that sharpens in long contexts.
// https://huggingface.co/mistralai
#include "model/layers.h"

namespace reprise {

void build_mistral3(PlanBuilder& builder) {
    ModelKeys& keys = builder.keys();
    const float temperature = keys.float_or("attention.temperature_scale", 0, 0, 1e3f);
    if (temperature == 0) {
        builder.read_common();
        builder.read_rope(RopeStyle::ADJACENT);
        builder.add_embedding();
        for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) builder.add_llama_layer(i, {.optional_bias = true});
        return builder.add_output_head();
    }
    builder.read_sizes(NormKind::RMS);
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    attention.rope = layers.add_rope(builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = attention.head_dim}));
    attention.temperature_scale = temperature;
    attention.temperature_length = static_cast<float>(
        keys.has("attention.temperature_length") ? keys.need_uint("attention.temperature_length", 1, 1u << 30)
                                                 : keys.need_uint("rope.scaling.original_context_length", 1, 1u << 30));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) layers.add(i, {}, attention, feed_forward);
    layers.end({});
}

}  // namespace reprise
