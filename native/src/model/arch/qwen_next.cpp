// Qwen3-Next and Qwen3.5 (dense and with experts): gated delta nets, and gated attention in every fourth layer.
// https://huggingface.co/Qwen/Qwen3-Next-80B-A3B-Instruct
#include "model/mixers.h"

namespace reprise {

namespace {

void build(PlanBuilder& builder, bool interleaved, bool has_experts) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.head_norm = HeadNorm::EACH;
    attention.gate = true;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    // Of pictures and sound; all positions of text are the same in every section.
    keys.has("rope.dimension_sections");
    const MixerSpec mixer = read_mixer(keys);
    const uint32_t interval = keys.uint_or("full_attention_interval", 4, 1, 4096);
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.uint_or("feed_forward_length", 0, 0, 1u << 24);
    ExpertsSpec experts;
    if (has_experts) {
        experts = read_experts(keys);
        experts.n_ff_shared = keys.uint_or("expert_shared_feed_forward_length", 0, 0, 1u << 24);
        experts.shared_gate = true;
    }
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        layers.begin_layer(i);
        const Pieces in = layers.norm(layers.x(), "attn_norm", {});
        layers.add_to_residual(
            (i + 1) % interval == 0 ? layers.attention(in, attention) : delta_net(layers, in, mixer, interleaved),
            nullptr, {});
        const Pieces behind = layers.norm(layers.x(), "post_attention_norm", {});
        layers.add_to_residual(
            has_experts ? layers.experts(behind, experts) : layers.feed_forward(behind, feed_forward), nullptr, {});
    }
    layers.end({});
}

}  // namespace

void build_qwen3next(PlanBuilder& builder) { build(builder, false, true); }
void build_qwen35(PlanBuilder& builder) { build(builder, true, false); }
void build_qwen35moe(PlanBuilder& builder) { build(builder, true, true); }

}  // namespace reprise
