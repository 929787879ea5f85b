// SmolLM3: of four layers the last has no RoPE. https://huggingface.co/blog/smollm3
#include "model/layers.h"

namespace reprise {

void build_smollm3(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    const uint32_t rope =
        layers.add_rope(builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = attention.head_dim}));
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = builder.keys().need_uint("feed_forward_length", 1, 1u << 24);
    feed_forward.bias = Bias::OPTIONAL;
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        attention.rope = (i + 1) % 4 == 0 ? std::nullopt : std::optional(rope);
        layers.add(i, {}, attention, feed_forward);
    }
    layers.end({});
}

}  // namespace reprise
