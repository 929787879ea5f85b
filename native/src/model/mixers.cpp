#include "model/mixers.h"

#include <cmath>

#include "core/error.h"

namespace reprise {

namespace {

Pieces convolve(Layers& layers, const Pieces& in, const std::string& tensor, uint32_t kernel, bool silu,
                const char* to) {
    PlanBuilder& builder = layers.builder();
    const Pieces out = layers.value(to, in.width);
    const uint32_t state = builder.add_state(uint64_t{kernel - 1} * in.width);
    builder.add(ConvStep{layers.layer(), state, in, out,
                         builder.table(layers.name(tensor + ".weight"), in.width, kernel),
                         builder.optional_vector(layers.name(tensor + ".bias"), in.width), silu});
    return out;
}

/// A value for each head, as [heads] or [heads, 1].
const Weight* of_heads(Layers& layers, const char* tensor, uint32_t n_heads) {
    const std::string name = layers.name(tensor);
    return layers.builder().rows_of(name) == n_heads ? layers.builder().table(name, n_heads, 1)
                                                     : layers.builder().vector(name, n_heads);
}

}  // namespace

Pieces short_convolution(Layers& layers, const Pieces& in, uint32_t kernel) {
    const uint32_t n = in.width;
    const Pieces all = layers.linear(in, "shortconv.in_proj", 3 * n, "b c x");
    const Pieces gated = layers.value("gated x", n);
    layers.activate(Activation::NONE, all.part(0, n), all.part(2 * n, n), gated);
    const Pieces mixed = convolve(layers, gated, "shortconv.conv", kernel, false, "convolved");
    layers.activate(Activation::NONE, all.part(n, n), mixed, mixed);
    return layers.linear(mixed, "shortconv.out_proj", n, "projected");
}

MixerSpec read_mixer(ModelKeys& keys) {
    MixerSpec spec;
    constexpr uint32_t MOST = 1u << 20;
    spec.inner = keys.need_uint("ssm.inner_size", 1, MOST);
    spec.state = keys.need_uint("ssm.state_size", 1, MOST);
    spec.n_heads = keys.need_uint("ssm.time_step_rank", 1, MOST);
    spec.n_groups = keys.need_uint("ssm.group_count", 1, MOST);
    spec.kernel = keys.need_uint("ssm.conv_kernel", 2, 64);
    if (spec.inner % spec.n_heads != 0 || spec.n_heads % spec.n_groups != 0 || spec.inner % spec.n_groups != 0 ||
        uint64_t{spec.n_groups} * spec.state > MOST) {
        fail(REPRISE_MODEL_FORMAT, "%u values (%s) cannot be split over %u heads in %u groups", spec.inner,
             keys.name("ssm.inner_size").c_str(), spec.n_heads, spec.n_groups);
    }
    return spec;
}

Pieces mamba2(Layers& layers, const Pieces& in, const MixerSpec& spec) {
    PlanBuilder& builder = layers.builder();
    const uint32_t inner = spec.inner, group = spec.n_groups * spec.state, n_mixed = inner + 2 * group;
    const Pieces all = layers.linear(in, "ssm_in", inner + n_mixed + spec.n_heads, "z x b c dt");
    const Pieces z = all.part(0, inner), dt = all.part(inner + n_mixed, spec.n_heads);
    const Pieces mixed = convolve(layers, all.part(inner, n_mixed), "ssm_conv1d", spec.kernel, true, "convolved");
    const Pieces x = mixed.part(0, inner), b = mixed.part(inner, group), c = mixed.part(inner + group, group);
    const auto split = [](Pieces pieces, uint32_t n) {
        return Pieces{pieces.value, pieces.offset, n, pieces.width / n, pieces.width / n};
    };
    const Pieces out = layers.value("scanned", inner);
    const uint32_t state = builder.add_state(uint64_t{inner} * spec.state);
    builder.add(ScanStep{layers.layer(), state, split(x, spec.n_heads), split(b, spec.n_groups),
                         split(c, spec.n_groups), split(dt, spec.n_heads), of_heads(layers, "ssm_a", spec.n_heads),
                         of_heads(layers, "ssm_d", spec.n_heads),
                         builder.vector(layers.name("ssm_dt.bias"), spec.n_heads), out.split(spec.n_heads)});
    layers.activate(Activation::SILU, z, out, out);
    const std::string norm = layers.name("ssm_norm.weight");
    if (builder.has(norm)) {
        const Weight* weight = builder.rows_of(norm) == spec.n_groups && spec.n_groups > 1
                                   ? builder.table(norm, spec.n_groups, inner / spec.n_groups)
                                   : builder.vector(norm, inner);
        layers.head_norm(out.split(spec.n_groups), weight);
    }
    return layers.linear(out, "ssm_out", in.width, "mixed");
}

Pieces delta_net(Layers& layers, const Pieces& in, const MixerSpec& spec, bool interleaved) {
    PlanBuilder& builder = layers.builder();
    const uint32_t n_values = spec.n_heads, n_keys = spec.n_groups, key_dim = spec.state;
    const uint32_t value_dim = spec.inner / n_values, keys = n_keys * key_dim;
    const Pieces qkv = layers.linear(in, "attn_qkv", 2 * keys + spec.inner, "qkv");
    const Pieces z = layers.linear(in, "attn_gate", spec.inner, "z");
    Pieces decay, beta;
    if (interleaved) {
        decay = layers.linear(in, "ssm_alpha", n_values, "alpha");
        beta = layers.linear(in, "ssm_beta", n_values, "beta");
    } else {
        // Of every key head the betas of its value heads, then their alphas.
        const uint32_t each = n_values / n_keys;
        const Pieces both = layers.linear(in, "ssm_ba", 2 * n_values, "beta alpha").split(n_keys);
        decay = layers.value("alpha", n_values), beta = layers.value("beta", n_values);
        layers.row(ScaleOp{both.part(0, each), beta.split(n_keys), 1});
        layers.row(ScaleOp{both.part(each, each), decay.split(n_keys), 1});
    }
    const Pieces mixed = convolve(layers, qkv, "ssm_conv1d", spec.kernel, true, "convolved");
    const auto heads = [&](uint32_t at, uint32_t n, uint32_t dim) { return Pieces{mixed.value, at, n, dim, dim}; };
    const Pieces q = heads(0, n_keys, key_dim), k = heads(keys, n_keys, key_dim);
    layers.head_norm(q, nullptr, NormKind::L2);
    layers.head_norm(k, nullptr, NormKind::L2);
    const Pieces out = layers.value("delta", spec.inner).split(n_values);
    const uint32_t state = builder.add_state(uint64_t{n_values} * key_dim * value_dim);
    builder.add(DeltaNetStep{layers.layer(), state, q, k, heads(2 * keys, n_values, value_dim), interleaved,
                             decay.split(n_values), beta.split(n_values), of_heads(layers, "ssm_a", n_values),
                             builder.vector(layers.name("ssm_dt.bias"), n_values),
                             1.0f / std::sqrt(static_cast<float>(key_dim)), out});
    layers.head_norm(out, builder.vector(layers.name("ssm_norm.weight"), value_dim));
    layers.activate(Activation::SILU, z, out.joined(), out.joined());
    return layers.linear(out.joined(), "ssm_out", in.width, "projected");
}

}  // namespace reprise
