#include "model/layers.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "model/limits.h"

namespace reprise {

namespace {

constexpr uint64_t MOST_VALUES = uint64_t{1} << 30;  // in a row of a value

}  // namespace

// ---- words ----

Pieces Layers::value(const std::string& name, uint64_t width) {
    if (width > MOST_VALUES) {
        fail(REPRISE_UNSUPPORTED_MODEL, "a token has %llu values (%s), more than any model has",
             static_cast<unsigned long long>(width), name.c_str());
    }
    std::vector<PlanValue>& values = builder_.plan().values;
    const auto [known, is_new] = values_.try_emplace(name, static_cast<uint32_t>(values.size()));
    if (is_new) values.push_back({name, 0});
    PlanValue& value = values[known->second];
    value.width = std::max(value.width, width);
    return {known->second, 0, 1, static_cast<uint32_t>(width), static_cast<uint32_t>(width)};
}

Pieces Layers::norm(const Pieces& in, const char* tensor, const NormSpec& spec, const char* to) {
    const Pieces out = value(to, in.width);
    const std::string whole =
        std::string(tensor).starts_with("output") || std::string(tensor) == "token_embd_norm" ? tensor : name(tensor);
    row(NormOp{in, out, spec.kind, builder_.vector(whole + ".weight", in.width),
               spec.bias ? builder_.vector(whole + ".bias", in.width) : nullptr, h_.rms_eps});
    return out;
}

void Layers::head_norm(const Pieces& heads, const Weight* weight, NormKind kind) {
    row(NormOp{heads, heads, kind, weight, nullptr, h_.rms_eps});
}

const Weight* Layers::bias(const std::string& name, uint64_t n, Bias bias) {
    if (bias == Bias::REQUIRED) return builder_.vector(name, n);
    return bias == Bias::OPTIONAL ? builder_.optional_vector(name, n) : nullptr;
}

Pieces Layers::linear(const Pieces& in, const std::string& tensor, uint64_t rows, const char* to, Bias has_bias) {
    const Pieces out = value(to, rows);
    const Weight* weight = builder_.matrix(name(tensor + ".weight"), rows, in.width);
    builder_.add(LinearStep{layer_, in, {{weight, bias(name(tensor + ".bias"), rows, has_bias), out}}});
    return out;
}

void Layers::rotate(const Pieces& heads, uint32_t rope) { row(RotateOp{rope, angles_.at(rope), heads}); }

void Layers::activate(Activation activation, const Pieces& gate, const Pieces& up, const Pieces& out) {
    row(ActivateOp{activation, gate, up, true, out});
}

// ---- around the layers ----

uint32_t Layers::add_rope(const Rope& rope) {
    Plan& plan = builder_.plan();
    const auto index = static_cast<uint32_t>(plan.ropes.size());
    plan.ropes.push_back(rope);
    angles_.push_back(value("turns " + std::to_string(index), rope.n_rot));
    return index;
}

void Layers::begin(float scale) {
    builder_.add_embedding();
    for (uint32_t i = 0; i < angles_.size(); ++i) row(AngleOp{i, angles_[i]});
    if (scale != 1) row(ScaleOp{x_, x_, scale});
}

void Layers::end(const NormSpec& spec, float scale, float cap, const char* norm_name) {
    const Pieces normed = norm(x_, norm_name, spec);
    OutputHeadStep head{};
    head.weight =
        builder_.matrix(builder_.has("output.weight") ? "output.weight" : "token_embd.weight", h_.n_vocab, h_.n_embd);
    head.bias = builder_.optional_vector("output.bias", h_.n_vocab);
    head.input = normed.value;
    head.scale = scale;
    head.cap = cap;
    builder_.add(head);
}

// ---- a layer ----

void Layers::begin_layer(uint32_t layer) { layer_ = layer; }

void Layers::add_to_residual(Pieces delta, const char* post_norm, const NormSpec& spec, float scale) {
    if (post_norm != nullptr) delta = norm(delta, post_norm, spec, "post-normed");
    row(AddOp{x_, delta, x_, scale});
}

void Layers::add(uint32_t layer, const LayerSpec& spec, const AttentionSpec& attention_spec,
                 const FeedForwardSpec& feed_forward_spec, const ExpertsSpec* experts_spec) {
    begin_layer(layer);
    const auto network = [&](const Pieces& in) {
        return experts_spec != nullptr ? experts(in, *experts_spec) : feed_forward(in, feed_forward_spec);
    };
    const auto before = [&](const char* tensor, const char* to) {
        return tensor == nullptr ? x_ : norm(x_, tensor, spec.norm, to);
    };
    const Pieces in = before(spec.attention_norm, "normed");
    if (spec.parallel) {
        const Pieces other =
            spec.feed_forward_norm == nullptr ? in : norm(x_, spec.feed_forward_norm, spec.norm, "normed beside");
        const Pieces attended = attention(in, attention_spec);
        const Pieces fed = network(other);
        add_to_residual(attended, spec.attention_post_norm, spec.norm, spec.residual_scale);
        add_to_residual(fed, spec.feed_forward_post_norm, spec.norm, spec.residual_scale);
        return;
    }
    add_to_residual(attention(in, attention_spec), spec.attention_post_norm, spec.norm, spec.residual_scale);
    add_to_residual(network(before(spec.feed_forward_norm, "normed")), spec.feed_forward_post_norm, spec.norm,
                    spec.residual_scale);
}

Pieces Layers::attention(const Pieces& in, const AttentionSpec& spec) {
    const uint32_t q_dim = spec.n_heads * spec.head_dim, kv_dim = spec.n_kv_heads * spec.head_dim;
    const bool has_kv = !spec.shared_kv.has_value();
    const uint32_t q_width = spec.gate ? 2 * q_dim : q_dim;
    const auto matrix = [&](const char* tensor, uint64_t rows) {
        return builder_.matrix(name(std::string(tensor) + ".weight"), rows, in.width);
    };
    Pieces q = value("q", q_width), k, v;
    if (spec.fused) {
        const Pieces all = linear(in, "attn_qkv", q_dim + 2 * kv_dim, "qkv", spec.bias);
        q = all.part(0, q_dim), k = all.part(q_dim, kv_dim), v = all.part(q_dim + kv_dim, kv_dim);
    } else {
        LinearStep step{layer_, in, {}};
        const auto part = [&](const char* tensor, const Pieces& out) {
            step.parts.push_back(
                {matrix(tensor, out.width), bias(name(std::string(tensor) + ".bias"), out.width, spec.bias), out});
        };
        part("attn_q", q);
        if (has_kv) {
            k = value("k", kv_dim), v = value("v", kv_dim);
            part("attn_k", k);
            const bool has_v = !spec.values_are_keys || builder_.has(name("attn_v.weight"));
            if (has_v) part("attn_v", v);
            builder_.add(step);
            if (!has_v) row(ScaleOp{k, v, 1});
        } else {
            builder_.add(step);
        }
    }
    const auto heads = [&](Pieces of, uint32_t n) {
        of = {of.value, of.offset, 1, n * spec.head_dim, n * spec.head_dim};
        return of.split(n);
    };
    Pieces gate;
    if (spec.gate) {
        const Pieces both = q.split(spec.n_heads);
        gate = both.part(spec.head_dim, spec.head_dim);
        q = both.part(0, spec.head_dim);
    } else {
        q = heads(q, spec.n_heads);
    }
    if (has_kv) k = heads(k, spec.n_kv_heads), v = heads(v, spec.n_kv_heads);

    const auto normalise = [&](const Pieces& of, const char* tensor) {
        if (spec.head_norm == HeadNorm::NONE) return;
        const Pieces as = spec.head_norm == HeadNorm::EACH ? of : of.joined();
        const Weight* weight = nullptr;
        if (spec.head_norm_has_weight) {
            const std::string whole = name(std::string(tensor) + ".weight");
            const bool by_head = spec.head_norm == HeadNorm::EACH && of.n > 1 &&
                                 builder_.rows_of(whole) == of.n;  // another weight for each head
            weight = by_head ? builder_.table(whole, of.n, of.width) : builder_.vector(whole, as.width);
        }
        head_norm(as, weight, spec.head_norm_kind.kind);
    };
    const auto turn = [&](const Pieces& of) {
        if (spec.rope.has_value()) rotate(of, *spec.rope);
    };
    const auto finish = [&](const Pieces& of, const char* tensor) {
        if (spec.rotates_first) turn(of);
        normalise(of, tensor);
        if (!spec.rotates_first) turn(of);
    };
    finish(q, "attn_q_norm");
    if (spec.temperature_scale != 0)
        row(TemperatureOp{q, spec.temperature_scale, spec.temperature_length, spec.temperature_offset});
    uint32_t kv;
    if (has_kv) {
        if (spec.value_norm) head_norm(v, nullptr);
        finish(k, "attn_k_norm");
        kv = builder_.add_kv({spec.n_kv_heads, spec.head_dim, spec.head_dim});
        row(StoreKvOp{kv, k, v});
    } else {
        kv = *spec.shared_kv;
    }
    const Pieces attended = value("attention", q_dim);
    const Weight* sinks = spec.sinks ? builder_.vector(name("attn_sinks.weight"), spec.n_heads) : nullptr;
    builder_.add(AttendStep{layer_, kv, q, attended.split(spec.n_heads), spec.scale, spec.window, spec.chunk,
                            spec.soft_cap, sinks});
    if (spec.gate) activate(Activation::SIGMOID, gate, attended.split(spec.n_heads), attended.split(spec.n_heads));
    return linear(attended, "attn_output", h_.n_embd, "projected", spec.output_bias);
}

Pieces Layers::feed_forward(const Pieces& in, const FeedForwardSpec& spec) {
    const std::string gate_name = std::string("ffn_gate") + spec.suffix, up_name = std::string("ffn_up") + spec.suffix;
    Pieces gated = value("gated", spec.n_ff);
    if (spec.gated) {
        Pieces gate, up;
        if (spec.fused) {
            const Pieces both = linear(in, up_name, 2 * uint64_t{spec.n_ff}, "gate up", spec.bias);
            gate = both.part(0, spec.n_ff), up = both.part(spec.n_ff, spec.n_ff);
        } else {
            gate = value("gate", spec.n_ff), up = value("up", spec.n_ff);
            const auto part = [&](const std::string& tensor, const Pieces& out) -> LinearStep::Part {
                return {builder_.matrix(name(tensor + ".weight"), spec.n_ff, in.width),
                        bias(name(tensor + ".bias"), spec.n_ff, spec.bias), out};
            };
            builder_.add(LinearStep{layer_, in, {part(gate_name, gate), part(up_name, up)}});
        }
        activate(spec.activation, gate, up, gated);
    } else {
        const Pieces up = linear(in, up_name, spec.n_ff, "up", spec.bias);
        row(ActivateOp{spec.activation, up, {}, false, gated});
    }
    return linear(gated, std::string("ffn_down") + spec.suffix, h_.n_embd, "fed", spec.bias);
}

Pieces Layers::experts(const Pieces& in, const ExpertsSpec& spec) { return experts(in, spec, in, nullptr); }

Pieces Layers::experts(const Pieces& in, const ExpertsSpec& spec, const Pieces& router_in, const Weight* expert_scale) {
    const Bias has_bias = spec.bias ? Bias::REQUIRED : Bias::NONE;
    const Pieces logits = linear(router_in, "ffn_gate_inp", spec.n_experts, "router", has_bias);
    const Pieces chosen = value("chosen", spec.n_used).split(spec.n_used);
    const Pieces weights = value("expert weights", spec.n_used).split(spec.n_used);
    row(RouteOp{logits, bias(name("exp_probs_b.bias"), spec.n_experts, spec.choice_bias), spec.gating, spec.n_groups,
                spec.n_groups_used, spec.normalised, spec.scale, expert_scale, chosen, weights});
    Pieces read = in;
    if (spec.weighs_input) {
        // Every slot reads the same input.
        read = value("weighed", uint64_t{spec.n_used} * in.width).split(spec.n_used);
        activate(Activation::NONE, weights, {in.value, in.offset, spec.n_used, in.width, 0}, read);
    }
    const auto select = [&](const Pieces& from, const char* tensor, uint32_t rows, const char* to) {
        const Pieces out = value(to, uint64_t{spec.n_used} * rows).split(spec.n_used);
        const std::string whole = name(tensor);
        const Weight* matrix = builder_.matrices(whole + ".weight", spec.n_experts, rows, from.width);
        const Weight* biases = spec.bias ? builder_.table(whole + ".bias", spec.n_experts, rows) : nullptr;
        builder_.add(SelectedLinearStep{layer_, from, matrix, biases, spec.n_experts, true, chosen, out});
        return out;
    };
    const Pieces gated = value("experts gated", uint64_t{spec.n_used} * spec.n_ff).split(spec.n_used);
    if (!spec.gated) {
        row(ActivateOp{spec.activation, select(read, "ffn_up_exps", spec.n_ff, "experts up"), {}, false, gated});
    } else if (builder_.has(name("ffn_gate_up_exps.weight"))) {
        const Pieces both = select(read, "ffn_gate_up_exps", 2 * spec.n_ff, "experts gate up");
        activate(spec.activation, both.part(0, spec.n_ff), both.part(spec.n_ff, spec.n_ff), gated);
    } else {
        const Pieces gate = select(read, "ffn_gate_exps", spec.n_ff, "experts gate");
        activate(spec.activation, gate, select(read, "ffn_up_exps", spec.n_ff, "experts up"), gated);
    }
    const Pieces down = select(gated, "ffn_down_exps", h_.n_embd, "experts down");
    const Pieces out = value("experts", h_.n_embd);
    row(CombineOp{down, spec.weighs_input ? Pieces{0, 0, 0, 0, 0} : weights, out});
    if (spec.n_ff_shared != 0) {
        FeedForwardSpec shared;
        shared.n_ff = spec.n_ff_shared;
        shared.activation = spec.activation;
        shared.gated = spec.gated;
        shared.suffix = "_shexp";
        const Pieces fed = feed_forward(in, shared);
        if (spec.shared_gate) {
            const Pieces gate = value("gate of shared", 1);
            builder_.add(LinearStep{
                layer_, in, {{builder_.vector(name("ffn_gate_inp_shexp.weight"), in.width), nullptr, gate}}});
            activate(Activation::SIGMOID, gate, fed, fed);
        }
        row(AddOp{out, fed, out, 1});
    }
    return out;
}

// ---- keys ----

ExpertsSpec read_experts(ModelKeys& keys, bool normalised) {
    ExpertsSpec spec;
    spec.n_experts = keys.need_uint("expert_count", 1, 65536);
    spec.n_used = keys.need_uint("expert_used_count", 1, spec.n_experts);
    spec.n_ff = keys.has("expert_feed_forward_length") ? keys.need_uint("expert_feed_forward_length", 1, 1u << 24)
                                                       : keys.uints_or("feed_forward_length", 0, 0, 1u << 24).front();
    spec.scale = keys.nonzero_or("expert_weights_scale", 1.0f, 1e-6f, 1e6f);
    spec.normalised = keys.flag_or("expert_weights_norm", normalised);
    const uint32_t gating = keys.uint_or("expert_gating_func", 0, 0, 3);
    constexpr Gating GATINGS[] = {Gating::SOFTMAX, Gating::SOFTMAX, Gating::SIGMOID, Gating::SOFTMAX_OF_CHOSEN};
    spec.gating = GATINGS[gating];
    spec.n_groups = keys.uint_or("expert_group_count", 1, 0, spec.n_experts);
    spec.n_groups_used = keys.uint_or("expert_group_used_count", spec.n_groups, 0, spec.n_experts);
    spec.n_groups = std::max(1u, spec.n_groups), spec.n_groups_used = std::max(1u, spec.n_groups_used);
    if (spec.n_experts % spec.n_groups != 0 || spec.n_groups_used > spec.n_groups ||
        spec.n_used > spec.n_experts / spec.n_groups * spec.n_groups_used) {
        fail(REPRISE_MODEL_FORMAT, "%u of %u experts cannot be chosen from %u of %u groups (%s)", spec.n_used,
             spec.n_experts, spec.n_groups_used, spec.n_groups, keys.name("expert_group_count").c_str());
    }
    return spec;
}

uint32_t read_head_dim(ModelKeys& keys, const char* key, uint32_t fallback) {
    const uint32_t head_dim = keys.uint_or(key, fallback, 1, 65536);
    if (head_dim > 0 && head_dim % 8 == 0 && head_dim <= MAX_HEAD_DIM) return head_dim;
    fail(REPRISE_UNSUPPORTED_MODEL, "head size %u (%s) is not supported: multiples of 8 up to %u are", head_dim,
         keys.name(key).c_str(), MAX_HEAD_DIM);
}

AttentionSpec read_attention(PlanBuilder& builder) {
    HyperParams& h = builder.hparams();
    ModelKeys& keys = builder.keys();
    AttentionSpec spec;
    spec.n_heads = h.n_heads;
    // Layers without attention have none.
    const std::vector<uint32_t> kv_heads = keys.uints_or("attention.head_count_kv", h.n_heads, 0, 65536);
    for (const uint32_t n : kv_heads) {
        if (n == 0 || n == spec.n_kv_heads) continue;
        if (spec.n_kv_heads == 0) spec.n_kv_heads = n;
        if (n != spec.n_kv_heads || h.n_heads % n != 0) {
            fail(REPRISE_MODEL_FORMAT, "%u attention heads with %u KV heads in one layer and %u in another (%s)",
                 h.n_heads, spec.n_kv_heads, n, keys.name("attention.head_count_kv").c_str());
        }
    }
    if (spec.n_kv_heads == 0 || h.n_heads % spec.n_kv_heads != 0) {
        fail(REPRISE_MODEL_FORMAT, "%u attention heads cannot share %u KV heads (%s) evenly", h.n_heads,
             spec.n_kv_heads, keys.name("attention.head_count_kv").c_str());
    }
    if (!keys.has("attention.key_length") && h.n_embd % h.n_heads != 0)
        fail(REPRISE_MODEL_FORMAT, "an embedding of %u cannot be split over %u heads", h.n_embd, h.n_heads);
    spec.head_dim = read_head_dim(keys, "attention.key_length", h.n_embd / h.n_heads);
    keys.refuse_unless("attention.value_length", {double(spec.head_dim)}, "value heads of another size than key heads");
    spec.scale = keys.nonzero_or("attention.scale", 1.0f / std::sqrt(static_cast<float>(spec.head_dim)), 1e-6f, 1e6f);
    spec.window = keys.uint_or("attention.sliding_window", 0, 0, UINT32_MAX);
    h.n_kv_heads = spec.n_kv_heads;
    h.head_dim = spec.head_dim;
    h.attention_scale = spec.scale;
    return spec;
}

}  // namespace reprise
