// Llama 4: of four layers three attend within chunks, with RoPE and normalised heads, and the fourth to everything,
// without RoPE and sharper in long contexts; experts whose inputs are weighed.
// https://ai.meta.com/blog/llama-4-multimodal-intelligence/
#include "model/layers.h"

namespace reprise {

void build_llama4(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.bias = attention.output_bias = Bias::OPTIONAL;
    const uint32_t rope =
        layers.add_rope(builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = attention.head_dim}));
    attention.window = 0;
    attention.rotates_first = true;
    attention.head_norm_has_weight = false;
    const uint32_t chunk = keys.uint_or("attention.chunk_size", 8192, 1, UINT32_MAX);
    const float temperature = keys.float_or("attention.temperature_scale", 0.1f, 0, 1e3f);
    attention.temperature_length = static_cast<float>(keys.uint_or("attention.temperature_length", 8192, 1, 1u << 30));
    attention.temperature_offset = 1;
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    ExpertsSpec experts = read_experts(keys, false);
    experts.gating = Gating::SIGMOID;
    experts.weighs_input = true;
    experts.n_ff_shared = experts.n_ff * keys.uint_or("expert_shared_count", 1, 0, 256);
    // The largest, of 128 experts, does not normalise heads.
    const HeadNorm head_norm = experts.n_experts == 128 ? HeadNorm::NONE : HeadNorm::EACH;
    const uint32_t step = keys.uint_or("interleave_moe_layer_step", 1, 1, 4096);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        const bool is_local = (i + 1) % 4 != 0;
        attention.rope = is_local ? std::optional(rope) : std::nullopt;
        attention.chunk = is_local ? chunk : 0;
        attention.head_norm = is_local ? head_norm : HeadNorm::NONE;
        attention.temperature_scale = is_local ? 0 : temperature;
        layers.add(i, {}, attention, feed_forward, (i + 1) % step == 0 ? &experts : nullptr);
    }
    layers.end({});
}

}  // namespace reprise
