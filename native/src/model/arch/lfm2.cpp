// LFM2 (dense and with experts): short convolutions, and attention in the layers that have KV heads.
// https://arxiv.org/abs/2511.23404
#include "model/mixers.h"

namespace reprise {

namespace {

void build(PlanBuilder& builder, bool has_experts) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    AttentionSpec attention = read_attention(builder);
    attention.head_norm = HeadNorm::EACH;
    attention.rope = layers.add_rope(builder.make_rope({.n_rot = attention.head_dim}));
    const std::vector<uint32_t> kv_heads = keys.uints_or("attention.head_count_kv", 0, 0, 65536);
    const uint32_t kernel = keys.need_uint("shortconv.l_cache", 2, 64);
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    ExpertsSpec experts;
    uint32_t first = builder.hparams().n_layers;
    if (has_experts) {
        experts = read_experts(keys);
        experts.choice_bias = Bias::OPTIONAL;
        first = keys.uint_or("leading_dense_block_count", 0, 0, 4096);
    }
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        layers.begin_layer(i);
        const Pieces in = layers.norm(layers.x(), "attn_norm", {});
        layers.add_to_residual(
            kv_heads[i] > 0 ? layers.attention(in, attention) : short_convolution(layers, in, kernel), nullptr, {});
        const Pieces behind = layers.norm(layers.x(), "ffn_norm", {});
        layers.add_to_residual(i < first ? layers.feed_forward(behind, feed_forward) : layers.experts(behind, experts),
                               nullptr, {});
    }
    layers.end({}, 1, 0, "token_embd_norm");
}

}  // namespace

void build_lfm2(PlanBuilder& builder) { build(builder, false); }
void build_lfm2moe(PlanBuilder& builder) { build(builder, true); }

}  // namespace reprise
