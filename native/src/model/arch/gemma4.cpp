// Gemma 4: attention without a scale over normalised heads, values normalised too; layers with a window have heads of
// another size; in the small ones, an embedding for each layer and late layers that read the keys and values of earlier
// ones; in 26B, experts beside the feed-forward network. https://ai.google.dev/gemma/docs/core
#include "model/layers.h"

#include <cmath>

#include "core/error.h"

namespace reprise {

namespace {

/// A vector for each layer from a table of its own and from the embedding: per_layer_token_embd and its projection.
Pieces layer_inputs(Layers& layers, uint32_t width) {
    PlanBuilder& builder = layers.builder();
    const HyperParams& h = builder.hparams();
    const uint32_t n = width * h.n_layers;
    const Pieces inputs = layers.value("inputs of layers", n), projected = layers.value("projected inputs", n);
    builder.add(
        LinearStep{0, layers.x(), {{builder.matrix("per_layer_model_proj.weight", n, h.n_embd), nullptr, projected}}});
    layers.scale(projected, 1.0f / std::sqrt(static_cast<float>(h.n_embd)));
    layers.head_norm(projected.split(h.n_layers), builder.vector("per_layer_proj_norm.weight", width));
    layers.row(LookupOp{builder.matrix("per_layer_token_embd.weight", h.n_vocab, n), false, 0,
                        std::sqrt(static_cast<float>(width)), false, inputs});
    layers.row(AddOp{inputs, projected, inputs, 1});
    layers.scale(inputs, 1.0f / std::sqrt(2.0f));
    return inputs;
}

/// The feed-forward network and the experts, which read other norms of the same.
Pieces dense_and_experts(Layers& layers, const FeedForwardSpec& feed_forward, const ExpertsSpec& experts) {
    PlanBuilder& builder = layers.builder();
    const uint32_t n = layers.x().width;
    const Pieces dense = layers.norm(layers.feed_forward(layers.norm(layers.x(), "ffn_norm", {}), feed_forward),
                                     "post_ffw_norm_1", {}, "dense");
    const Pieces asked = layers.value("asked", n);
    layers.row(NormOp{layers.x(), asked, NormKind::RMS, builder.vector(layers.name("ffn_gate_inp.scale"), n), nullptr,
                      builder.hparams().rms_eps});
    layers.scale(asked, 1.0f / std::sqrt(static_cast<float>(n)));
    const Pieces in = layers.norm(layers.x(), "pre_ffw_norm_2", {});
    const Pieces chosen =
        layers.experts(in, experts, asked, builder.vector(layers.name("ffn_down_exps.scale"), experts.n_experts));
    const Pieces normed = layers.norm(chosen, "post_ffw_norm_2", {}, "of experts");
    layers.row(AddOp{dense, normed, dense, 1});
    return dense;
}

}  // namespace

void build_gemma4(PlanBuilder& builder) {
    builder.read_sizes(NormKind::RMS);
    ModelKeys& keys = builder.keys();
    HyperParams& h = builder.hparams();
    Layers layers(builder);
    const std::vector<uint32_t> kv_heads = keys.uints_or("attention.head_count_kv", h.n_heads, 1, 65536);
    const std::vector<uint32_t> widths = keys.uints_or("feed_forward_length", 0, 1, 1u << 24);
    const uint32_t head_dim = read_head_dim(keys, "attention.key_length", 0);
    const uint32_t head_dim_local = read_head_dim(keys, "attention.key_length_swa", head_dim);
    keys.refuse_unless("attention.value_length", {double(head_dim)}, "value heads of another size than key heads");
    keys.refuse_unless("attention.value_length_swa", {double(head_dim_local)},
                       "value heads of another size than key heads");
    const uint32_t rope = layers.add_rope(builder.make_rope({.n_rot = head_dim}));
    const uint32_t local = layers.add_rope(builder.make_rope({.n_rot = head_dim_local,
                                                              .base_key = "rope.freq_base_swa",
                                                              .n_rot_key = "rope.dimension_count_swa",
                                                              .scaled = false,
                                                              .has_factors = false}));
    const uint32_t window = keys.need_uint("attention.sliding_window", 1, UINT32_MAX);
    const std::vector<bool> windowed = keys.all_but_last_of("attention.sliding_window_pattern", 6);
    const uint32_t n_shared = keys.uint_or("attention.shared_kv_layers", 0, 0, h.n_layers - 1);
    const uint32_t input_width = keys.uint_or("embedding_length_per_layer_input", 0, 0, 1u << 20);
    std::optional<ExpertsSpec> experts;
    if (keys.uint_or("expert_count", 0, 0, 65536) > 0) {
        experts = read_experts(keys);
        experts->activation = Activation::GELU;
    }
    AttentionSpec attention;
    attention.n_heads = h.n_heads;
    attention.scale = keys.nonzero_or("attention.scale", 1.0f, 1e-6f, 1e6f);
    attention.head_norm = HeadNorm::EACH;
    attention.value_norm = attention.values_are_keys = true;
    FeedForwardSpec feed_forward;
    feed_forward.activation = Activation::GELU;
    h.n_kv_heads = kv_heads.front(), h.head_dim = head_dim, h.attention_scale = attention.scale;

    layers.begin(std::sqrt(static_cast<float>(h.n_embd)));
    Pieces inputs;
    if (input_width != 0) inputs = layer_inputs(layers, input_width);
    const uint32_t first_shared = h.n_layers - n_shared;
    for (uint32_t i = 0; i < h.n_layers; ++i) {
        layers.begin_layer(i);
        attention.n_kv_heads = kv_heads[i];
        attention.head_dim = windowed[i] ? head_dim_local : head_dim;
        attention.window = windowed[i] ? window : 0;
        attention.rope = windowed[i] ? local : rope;
        if (i >= first_shared) {
            const uint32_t of = first_shared - (windowed[i] ? 2 : 1);
            if (of >= first_shared || windowed[of] != windowed[i] || kv_heads[of] != kv_heads[i])
                fail(REPRISE_MODEL_FORMAT, "layer %u cannot read the keys and values of layer %u, which has others", i,
                     of);
            attention.shared_kv = of;  // every layer before has its own
        }
        layers.add_to_residual(layers.attention(layers.norm(layers.x(), "attn_norm", {}), attention),
                               "post_attention_norm", {});
        feed_forward.n_ff = widths[i];
        const bool has_experts = experts && builder.has(layers.name("ffn_gate_inp.weight"));
        layers.add_to_residual(has_experts ? dense_and_experts(layers, feed_forward, *experts)
                                           : layers.feed_forward(layers.norm(layers.x(), "ffn_norm", {}), feed_forward),
                               "post_ffw_norm", {});
        if (input_width != 0) {
            const Pieces gate = layers.linear(layers.x(), "inp_gate", input_width, "gate of input");
            layers.activate(Activation::GELU, gate, inputs.part(i * input_width, input_width), gate);
            layers.add_to_residual(layers.linear(gate, "proj", h.n_embd, "projected"), "post_norm", {});
        }
        if (const Weight* scale = builder.optional_vector(layers.name("layer_output_scale.weight"), 1)) {
            float factor;
            dequantize(TensorType::F32, scale->data.data(), &factor, 1);
            layers.scale(layers.x(), factor);
        }
    }
    layers.end({}, 1, keys.float_or("final_logit_softcapping", 0, 0, 1e6f));
}

}  // namespace reprise
