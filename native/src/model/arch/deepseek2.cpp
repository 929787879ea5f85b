// DeepSeek-V2 and V3, Kimi K2, GLM-4.7-Flash, Mistral 4: latent attention (MLA), whose cache holds what keys and values
// are made of: queries are brought into its space, and what attention gives back out of it.
// https://arxiv.org/abs/2405.04434, https://arxiv.org/abs/2412.19437
#include "model/layers.h"

#include <cmath>

#include "core/error.h"
#include "model/limits.h"

namespace reprise {

namespace {

struct LatentSpec {
    uint32_t n_heads, q_rank, kv_rank, n_nope, n_rope, value_dim, rope;
    float scale;
    float temperature_scale, temperature_length;
};

/// Keys and values of all heads in full, where the file has attn_kv_b alone.
Pieces attend_in_full(Layers& layers, const LatentSpec& spec, const Pieces& q, const Pieces& latent,
                      const Pieces& turned) {
    const uint32_t key_dim = spec.n_nope + spec.n_rope;
    const Pieces both = layers.linear(latent, "attn_kv_b", spec.n_heads * (spec.n_nope + spec.value_dim), "keys values")
                            .split(spec.n_heads);
    const Pieces k = layers.value("k", uint64_t{spec.n_heads} * key_dim).split(spec.n_heads);
    layers.row(ScaleOp{both.part(0, spec.n_nope), k.part(0, spec.n_nope), 1});
    // Every head gets the same.
    layers.row(
        ScaleOp{{turned.value, turned.offset, spec.n_heads, spec.n_rope, 0}, k.part(spec.n_nope, spec.n_rope), 1});
    const uint32_t kv = layers.builder().add_kv({spec.n_heads, key_dim, spec.value_dim});
    layers.row(StoreKvOp{kv, k, both.part(spec.n_nope, spec.value_dim)});
    const Pieces out = layers.value("attention", uint64_t{spec.n_heads} * spec.value_dim);
    layers.builder().add(AttendStep{layers.layer(), kv, q, out.split(spec.n_heads), spec.scale, 0, 0, 0, nullptr});
    return out;
}

Pieces attend_to_latent(Layers& layers, const LatentSpec& spec, const Pieces& q, const Pieces& latent,
                        const Pieces& turned) {
    PlanBuilder& builder = layers.builder();
    const uint32_t key_dim = spec.kv_rank + spec.n_rope;
    const Pieces k = layers.value("k", key_dim);
    layers.row(ScaleOp{latent, k.part(0, spec.kv_rank), 1});
    layers.row(ScaleOp{turned, k.part(spec.kv_rank, spec.n_rope), 1});
    const uint32_t kv = builder.add_kv({1, key_dim, 0});
    layers.row(StoreKvOp{kv, k, {}});
    const Pieces wide = layers.value("q in the latent space", uint64_t{spec.n_heads} * key_dim).split(spec.n_heads);
    builder.add(
        SelectedLinearStep{layers.layer(),
                           q.part(0, spec.n_nope),
                           builder.matrices(layers.name("attn_k_b.weight"), spec.n_heads, spec.kv_rank, spec.n_nope),
                           nullptr,
                           spec.n_heads,
                           false,
                           {},
                           wide.part(0, spec.kv_rank)});
    layers.row(ScaleOp{q.part(spec.n_nope, spec.n_rope), wide.part(spec.kv_rank, spec.n_rope), 1});
    const Pieces attended =
        layers.value("attention in the latent space", uint64_t{spec.n_heads} * spec.kv_rank).split(spec.n_heads);
    builder.add(AttendStep{layers.layer(), kv, wide, attended, spec.scale, 0, 0, 0, nullptr});
    const Pieces out = layers.value("attention", uint64_t{spec.n_heads} * spec.value_dim);
    builder.add(
        SelectedLinearStep{layers.layer(),
                           attended,
                           builder.matrices(layers.name("attn_v_b.weight"), spec.n_heads, spec.value_dim, spec.kv_rank),
                           nullptr,
                           spec.n_heads,
                           false,
                           {},
                           out.split(spec.n_heads)});
    return out;
}

Pieces latent_attention(Layers& layers, const LatentSpec& spec, const Pieces& in) {
    PlanBuilder& builder = layers.builder();
    const uint32_t q_dim = spec.n_heads * (spec.n_nope + spec.n_rope);
    Pieces q;
    if (spec.q_rank != 0) {
        const Pieces low = layers.linear(in, "attn_q_a", spec.q_rank, "q of low rank");
        q = layers.linear(layers.norm(low, "attn_q_a_norm", {}, "q normed"), "attn_q_b", q_dim, "q");
    } else {
        q = layers.linear(in, "attn_q", q_dim, "q");
    }
    q = q.split(spec.n_heads);
    const Pieces compressed = layers.linear(in, "attn_kv_a_mqa", spec.kv_rank + spec.n_rope, "latent");
    const Pieces latent = layers.norm(compressed.part(0, spec.kv_rank), "attn_kv_a_norm", {}, "latent normed");
    const Pieces turned = compressed.part(spec.kv_rank, spec.n_rope);
    layers.rotate(q.part(spec.n_nope, spec.n_rope), spec.rope);
    layers.rotate(turned, spec.rope);
    if (spec.temperature_scale != 0) layers.row(TemperatureOp{q, spec.temperature_scale, spec.temperature_length, 0});
    const bool in_full = builder.has(layers.name("attn_kv_b.weight"));
    const Pieces out =
        in_full ? attend_in_full(layers, spec, q, latent, turned) : attend_to_latent(layers, spec, q, latent, turned);
    return layers.linear(out, "attn_output", builder.hparams().n_embd, "projected");
}

LatentSpec read_latent(PlanBuilder& builder, Layers& layers) {
    ModelKeys& keys = builder.keys();
    HyperParams& h = builder.hparams();
    LatentSpec spec{};
    spec.n_heads = h.n_heads;
    keys.uint_or("attention.head_count_kv", 1, 1, 65536);
    spec.q_rank = keys.uint_or("attention.q_lora_rank", 0, 0, 1u << 24);
    spec.kv_rank = keys.need_uint("attention.kv_lora_rank", 1, 1u << 24);
    spec.n_rope = keys.need_uint("rope.dimension_count", 2, 65536);
    const uint32_t key_length = keys.need_uint("attention.key_length", 1, 65536);
    const uint32_t value_length = keys.need_uint("attention.value_length", 1, 65536);
    const uint32_t head_dim = keys.uint_or("attention.key_length_mla", key_length, 1, 65536);
    spec.value_dim = keys.uint_or("attention.value_length_mla", value_length, 1, 65536);
    if (head_dim > MAX_HEAD_DIM || spec.value_dim > MAX_HEAD_DIM) {
        fail(REPRISE_UNSUPPORTED_MODEL, "attention heads of %u and %u values are not supported: up to %u are", head_dim,
             spec.value_dim, MAX_HEAD_DIM);
    }
    if (head_dim <= spec.n_rope) {
        fail(REPRISE_MODEL_FORMAT, "heads of %u cannot have %u dimensions with RoPE (%s)", head_dim, spec.n_rope,
             keys.name("rope.dimension_count").c_str());
    }
    spec.n_nope = head_dim - spec.n_rope;
    spec.rope = layers.add_rope(
        builder.make_rope({.style = RopeStyle::ADJACENT, .n_rot = spec.n_rope, .unscaled_magnitude = true}));
    // YaRN sharpens attention here instead of turning longer vectors.
    const float factor = keys.nonzero_or("rope.scaling.factor", 1.0f, 1e-3f, 1e6f);
    const float multiplier = keys.float_or("rope.scaling.yarn_log_multiplier", 0, 0, 1e3f);
    const float sharper = 1 + multiplier * std::log(factor);
    spec.scale = sharper * sharper / std::sqrt(static_cast<float>(head_dim));
    spec.temperature_scale = keys.float_or("attention.temperature_scale", 0, 0, 1e3f);
    if (spec.temperature_scale != 0)
        spec.temperature_length = static_cast<float>(keys.need_uint("attention.temperature_length", 1, 1u << 30));
    h.n_kv_heads = 1;
    h.head_dim = head_dim;
    h.attention_scale = spec.scale;
    return spec;
}

}  // namespace

void build_deepseek2(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    Layers layers(builder);
    const LatentSpec attention = read_latent(builder, layers);
    FeedForwardSpec feed_forward;
    feed_forward.n_ff = keys.need_uint("feed_forward_length", 1, 1u << 24);
    ExpertsSpec experts = read_experts(keys, false);
    experts.choice_bias = Bias::OPTIONAL;
    experts.n_ff_shared = experts.n_ff * keys.uint_or("expert_shared_count", 0, 0, 256);
    const uint32_t first = keys.uint_or("leading_dense_block_count", 0, 0, 4096);
    layers.begin();
    for (uint32_t i = 0; i < builder.hparams().n_layers; ++i) {
        layers.begin_layer(i);
        layers.add_to_residual(latent_attention(layers, attention, layers.norm(layers.x(), "attn_norm", {})), nullptr,
                               {});
        const Pieces in = layers.norm(layers.x(), "ffn_norm", {});
        layers.add_to_residual(i < first ? layers.feed_forward(in, feed_forward) : layers.experts(in, experts), nullptr,
                               {});
    }
    layers.end({});
}

}  // namespace reprise
