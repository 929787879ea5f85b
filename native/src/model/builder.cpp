#include "model/builder.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "model/limits.h"

namespace reprise {

namespace {

// Larger than any published model and small enough that no product of two of them overflows 64 bits.
constexpr uint32_t MAX_DIM = 1u << 24;

const char* type_name(int32_t number) {
    const TypeTraits* t = find_type(number);
    return t != nullptr ? t->name : "unknown";
}

/// The factor on attention scores: 1 / sqrt(head_dim) unless the file names another; 0 is written for none.
float attention_scale(ModelKeys& keys, uint32_t head_dim) {
    const float usual = 1.0f / std::sqrt(static_cast<float>(head_dim));
    const float named = keys.nonzero_or("attention.scale", usual, 1e-6f, 1e6f);
    // The same number after another rounding.
    return std::fabs(named - usual) <= 4 * std::numeric_limits<float>::epsilon() * usual ? usual : named;
}

}  // namespace

PlanBuilder::PlanBuilder(const GgufFile& file) : file_(file), keys_(file), plan_(std::make_unique<Plan>()) {
    hparams().architecture = keys_.architecture();
}

void PlanBuilder::read_sizes(NormKind norm) {
    HyperParams& h = hparams();
    n_blocks_ = keys_.need_uint("block_count", 1, 4096);
    keys_.set_layers(n_blocks_);
    h.n_layers = n_blocks_ - keys_.uints_or("nextn_predict_layers", 0, 0, n_blocks_ - 1).front();
    h.n_embd = keys_.need_uint("embedding_length", 1, MAX_DIM);
    plan_->values[0].width = h.n_embd;
    h.context_length = keys_.need_uint("context_length", 1, 1u << 30);
    h.n_heads = keys_.need_uint("attention.head_count", 1, 65536);
    h.rms_eps = keys_.need_float(
        norm == NormKind::RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", 0.0f, 1.0f);
    const Tensor* table = file_.find_tensor("token_embd.weight");
    if (table == nullptr) fail(REPRISE_MODEL_FORMAT, "tensor token_embd.weight is missing");
    if (table->dims[2] != 1 || table->dims[3] != 1 || table->dims[1] > MAX_DIM) {
        fail(REPRISE_MODEL_FORMAT, "tensor token_embd.weight must be [%u, vocabulary]", h.n_embd);
    }
    h.n_vocab = static_cast<uint32_t>(table->dims[1]);
    const uint64_t n_tokens = file_.array_length("tokenizer.ggml.tokens").value_or(0);
    if (n_tokens != 0 && n_tokens != h.n_vocab) {
        fail(REPRISE_MODEL_FORMAT, "the vocabulary has %llu tokens but token_embd.weight has %u rows",
             static_cast<unsigned long long>(n_tokens), h.n_vocab);
    }
}

void PlanBuilder::read_common() {
    HyperParams& h = hparams();
    read_sizes(NormKind::RMS);
    keys_.refuse_unless_default("nextn_predict_layers");
    h.n_kv_heads = keys_.uint_or("attention.head_count_kv", h.n_heads, 1, 65536);
    if (h.n_heads % h.n_kv_heads != 0) {
        fail(REPRISE_MODEL_FORMAT, "%u attention heads cannot share %u KV heads (%s) evenly", h.n_heads, h.n_kv_heads,
             keys_.name("attention.head_count_kv").c_str());
    }
    if (!keys_.has("attention.key_length") && h.n_embd % h.n_heads != 0) {
        fail(REPRISE_MODEL_FORMAT, "an embedding of %u cannot be split over %u heads", h.n_embd, h.n_heads);
    }
    h.head_dim = keys_.uint_or("attention.key_length", h.n_embd / h.n_heads, 1, 65536);
    if (h.head_dim % 8 != 0 || h.head_dim > 256 || h.head_dim == 0) {
        fail(REPRISE_UNSUPPORTED_MODEL, "head size %u (%s) is not supported: multiples of 8 up to 256 are", h.head_dim,
             keys_.name("attention.key_length").c_str());
    }
    const uint32_t value_length = keys_.uint_or("attention.value_length", h.head_dim, 1, 65536);
    if (value_length != h.head_dim) {
        fail(REPRISE_UNSUPPORTED_MODEL,
             "key heads of %u with value heads of %u (%s) are not supported: they must be equal", h.head_dim,
             value_length, keys_.name("attention.value_length").c_str());
    }
    keys_.refuse_unless("attention.key_length_swa", {double(h.head_dim)}, "layers with heads of another size");
    keys_.refuse_unless("attention.value_length_swa", {double(h.head_dim)}, "layers with heads of another size");
    h.attention_scale = attention_scale(keys_, h.head_dim);
    h.sliding_window = keys_.uint_or("attention.sliding_window", 0, 0, UINT32_MAX);
    h.n_ff = keys_.need_uint("feed_forward_length", 1, MAX_DIM);
    // Experts have other tensors, so that without this a tensor would be said to be missing.
    keys_.refuse_unless_default("expert_count");
}

void PlanBuilder::read_rope(RopeStyle style) {
    const HyperParams& h = hparams();
    plan_->rope = make_rope({.style = style, .n_rot = h.head_dim});
    const double base = keys_.float_or("rope.freq_base", 10000.0f, 1.0f, 1e12f);
    keys_.refuse_unless("rope.freq_base_swa", {base}, "layers with another RoPE base");
    keys_.refuse_unless("rope.dimension_count_swa", {double(plan_->rope.n_rot)}, "layers with another RoPE");
}

Rope PlanBuilder::make_rope(const RopeOptions& options) {
    Rope rope;
    rope.style = options.style;
    rope.n_rot = keys_.uint_or(options.n_rot_key, options.n_rot, 2, options.n_rot);
    if (rope.n_rot % 2 != 0) {
        fail(REPRISE_MODEL_FORMAT, "metadata key %s is %u, which is odd", keys_.name(options.n_rot_key).c_str(),
             rope.n_rot);
    }
    double base = options.base;
    if (options.base_key != nullptr) base = keys_.float_or(options.base_key, static_cast<float>(base), 1.0f, 1e12f);
    const uint32_t half = rope.n_rot / 2;
    std::string type = "none";
    double factor = 1;
    if (options.scaled) {
        rope.magnitude = keys_.float_or("rope.scaling.attn_factor", 1.0f, 1e-6f, 1e6f);
        type = keys_.text_or("rope.scaling.type", "linear");
        factor = rope_scaling_factor(type);
    }
    std::vector<double> divisors(half, 1.0), long_divisors;
    if (options.has_factors && has("rope_freqs.weight")) divisors = frequency_factors("rope_freqs.weight", half);
    if (type == "longrope") {
        if (!options.by_context || !has("rope_factors_long.weight") || !has("rope_factors_short.weight")) {
            fail(REPRISE_UNSUPPORTED_MODEL,
                 "rope scaling 'longrope' is not supported without the tensors rope_factors_short.weight and "
                 "rope_factors_long.weight, or by architecture %s",
                 hparams().architecture.c_str());
        }
        divisors = frequency_factors("rope_factors_short.weight", half);
        long_divisors = frequency_factors("rope_factors_long.weight", half);
        rope.short_context = keys_.need_uint("rope.scaling.original_context_length", 1, 1u << 30);
    }
    // How much of a frequency is left as it is. YaRN: Peng et al., https://arxiv.org/abs/2309.00071
    std::vector<double> kept(half, 0.0);
    if (type == "yarn") {
        const double context = keys_.need_uint("rope.scaling.original_context_length", 1, 1u << 30);
        const double fast = keys_.float_or("rope.scaling.yarn_beta_fast", 32.0f, 1e-3f, 1e6f);
        const double slow = keys_.float_or("rope.scaling.yarn_beta_slow", 1.0f, 1e-3f, 1e6f);
        const double extrapolated = keys_.float_or("rope.scaling.yarn_ext_factor", 1.0f, -1.0f, 1.0f);
        const auto dimension = [&](double turns) {
            return rope.n_rot * std::log(context / (turns * 2 * M_PI)) / (2 * std::log(base));
        };
        const double low = std::max(0.0, std::floor(dimension(fast)));
        const double high = std::min(rope.n_rot - 1.0, std::ceil(dimension(slow)));
        for (uint32_t i = 0; i < half; ++i) {
            const double ramp = std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);
            kept[i] = (1 - ramp) * (extrapolated < 0 ? 1 : extrapolated);
        }
        const double log_multiplier = keys_.float_or("rope.scaling.yarn_log_multiplier", 0.0f, 0.0f, 1e3f);
        const double usual = 1 + 0.1 * std::log(factor);
        if (!options.unscaled_magnitude && extrapolated != 0)
            rope.magnitude *= static_cast<float>(usual / (1 + 0.1 * log_multiplier * std::log(factor)));
    }
    const auto frequencies = [&](const std::vector<double>& by) {
        std::vector<float> result(half);
        for (uint32_t i = 0; i < half; ++i) {
            const double f = std::pow(base, -2.0 * i / rope.n_rot) / by[i];
            result[i] = static_cast<float>(f / factor * (1 - kept[i]) + f * kept[i]);
        }
        return result;
    };
    rope.inv_freq = frequencies(divisors);
    if (!long_divisors.empty()) rope.long_inv_freq = frequencies(long_divisors);
    return rope;
}

std::vector<double> PlanBuilder::frequency_factors(const char* name, uint32_t n) {
    const Weight* factors = vector(name, n);
    std::vector<double> result(n);
    for (uint32_t i = 0; i < n; ++i) {
        float divisor;
        dequantize(TensorType::F32, factors->data.data() + i * sizeof(float), &divisor, 1);
        if (!(divisor > 0) || !std::isfinite(divisor)) {
            fail(REPRISE_MODEL_FORMAT, "tensor %s holds %g at %u: frequency factors are positive", name, divisor, i);
        }
        result[i] = divisor;
    }
    return result;
}

double PlanBuilder::rope_scaling_factor(const std::string& type) {
    if (type != "linear" && type != "none" && type != "yarn" && type != "longrope") {
        fail(REPRISE_UNSUPPORTED_MODEL,
             "rope scaling %s is not supported: none, linear, yarn and longrope are, and frequency factors "
             "(rope_freqs.weight)",
             quoted(type).c_str());
    }
    const bool has_factor = keys_.has("rope.scaling.factor"), has_old_name = keys_.has("rope.scale_linear");
    if (type == "none" || type == "longrope") return 1;
    // Older files have the factor alone, under either name, and mean linear scaling; 0 is written for none.
    const float factor = keys_.nonzero_or("rope.scaling.factor", 1.0f, 1e-3f, 1e6f);
    const float scale_linear = keys_.nonzero_or("rope.scale_linear", 1.0f, 1e-3f, 1e6f);
    if (!has_factor) return scale_linear;
    if (has_old_name && factor != scale_linear) {
        fail(REPRISE_MODEL_FORMAT, "metadata keys %s (%g) and %s (%g) contradict each other",
             keys_.name("rope.scaling.factor").c_str(), factor, keys_.name("rope.scale_linear").c_str(), scale_linear);
    }
    return factor;
}

const Weight* PlanBuilder::claim(const std::string& name, uint64_t rows, uint64_t cols, uint64_t n) {
    const auto known = claimed_.find(name);
    if (known != claimed_.end()) return known->second;
    const Tensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr)
        fail(REPRISE_MODEL_FORMAT, "tensor %s is missing; architecture %s needs it", name.c_str(),
             hparams().architecture.c_str());
    // Dimensions of 1 at the end make no difference: the reader has them for those that are not written.
    const bool fits =
        tensor->dims[0] == cols && tensor->dims[1] == rows && tensor->dims[2] == n && tensor->dims[3] == 1;
    if (!fits) {
        const std::string wanted = n == 1 ? "" : ", " + std::to_string(n);
        fail(REPRISE_MODEL_FORMAT,
             "tensor %s is [%llu, %llu, %llu, %llu], but the hyper-parameters ask for [%llu, %llu%s]", name.c_str(),
             static_cast<unsigned long long>(tensor->dims[0]), static_cast<unsigned long long>(tensor->dims[1]),
             static_cast<unsigned long long>(tensor->dims[2]), static_cast<unsigned long long>(tensor->dims[3]),
             static_cast<unsigned long long>(cols), static_cast<unsigned long long>(rows), wanted.c_str());
    }
    const TypeTraits* type = find_type(tensor->type_number);
    if (type == nullptr || !type->supported) {
        fail(REPRISE_UNSUPPORTED_MODEL, "tensor %s has type %s (%d), which is not supported; supported are %s",
             name.c_str(), type_name(tensor->type_number), tensor->type_number, supported_types().c_str());
    }
    auto weight = std::make_unique<Weight>();
    weight->id = static_cast<uint32_t>(plan_->weights.size());
    weight->name = name;
    weight->type = static_cast<TensorType>(tensor->type_number);
    weight->rows = rows * n;
    weight->cols = cols;
    weight->data = tensor->data;
    const Weight* result = weight.get();
    plan_->weights.push_back(std::move(weight));
    claimed_.emplace(name, result);
    return result;
}

const Weight* PlanBuilder::matrix(const std::string& name, uint64_t rows, uint64_t cols) {
    return claim(name, rows, cols);
}

const Weight* PlanBuilder::matrices(const std::string& name, uint64_t n, uint64_t rows, uint64_t cols) {
    return claim(name, rows, cols, n);
}

const Weight* PlanBuilder::table(const std::string& name, uint64_t rows, uint64_t cols) {
    const Weight* weight = claim(name, rows, cols);
    if (weight->type != TensorType::F32) {
        fail(REPRISE_UNSUPPORTED_MODEL, "tensor %s has type %s: it must be F32", name.c_str(),
             traits(weight->type).name);
    }
    plan_->weights[weight->id]->is_table = true;
    return weight;
}

uint32_t PlanBuilder::add_kv(const KvSpec& spec) {
    for (const uint32_t dim : {spec.key_dim, spec.value_dim}) {
        if (dim % 8 == 0 && dim <= MAX_HEAD_DIM) continue;
        fail(REPRISE_UNSUPPORTED_MODEL, "attention heads of %u values are not supported: multiples of 8 up to %u are",
             dim, MAX_HEAD_DIM);
    }
    hparams().kv.push_back(spec);
    return static_cast<uint32_t>(hparams().kv.size() - 1);
}

uint32_t PlanBuilder::add_state(uint64_t n_values) {
    hparams().state_values.push_back(n_values);
    return static_cast<uint32_t>(hparams().state_values.size() - 1);
}

const Weight* PlanBuilder::vector(const std::string& name, uint64_t n) {
    const Weight* weight = claim(name, 1, n);
    if (weight->type != TensorType::F32) {
        fail(REPRISE_UNSUPPORTED_MODEL, "tensor %s has type %s: norms, biases and frequency factors must be F32",
             name.c_str(), traits(weight->type).name);
    }
    return weight;
}

const Weight* PlanBuilder::optional_vector(const std::string& name, uint64_t n) {
    return has(name) ? vector(name, n) : nullptr;
}

void PlanBuilder::add_embedding() { add(EmbedStep{matrix("token_embd.weight", hparams().n_vocab, hparams().n_embd)}); }

void PlanBuilder::add_output_head() {
    const HyperParams& h = hparams();
    const char* name = has("output.weight") ? "output.weight" : "token_embd.weight";
    add(OutputHeadStep{vector("output_norm.weight", h.n_embd), matrix(name, h.n_vocab, h.n_embd)});
}

void PlanBuilder::add_llama_layer(uint32_t layer, const LayerOptions& options) {
    const HyperParams& h = hparams();
    const std::string blk = "blk." + std::to_string(layer) + ".";
    const auto bias = [&](const char* name, uint64_t n) -> const Weight* {
        if (options.qkv_bias) return vector(blk + name, n);
        return options.optional_bias ? optional_vector(blk + name, n) : nullptr;
    };
    QkvStep qkv{};
    qkv.layer = layer;
    qkv.norm = vector(blk + "attn_norm.weight", h.n_embd);
    qkv.q = matrix(blk + "attn_q.weight", h.q_dim(), h.n_embd);
    qkv.k = matrix(blk + "attn_k.weight", h.kv_dim(), h.n_embd);
    qkv.v = matrix(blk + "attn_v.weight", h.kv_dim(), h.n_embd);
    qkv.q_bias = bias("attn_q.bias", h.q_dim());
    qkv.k_bias = bias("attn_k.bias", h.kv_dim());
    qkv.v_bias = bias("attn_v.bias", h.kv_dim());
    if (options.qk_norm) {
        qkv.q_norm = vector(blk + "attn_q_norm.weight", h.head_dim);
        qkv.k_norm = vector(blk + "attn_k_norm.weight", h.head_dim);
    }
    add(qkv);
    add(AttentionStep{layer, h.attention_scale});
    add(ProjectResidualStep{ProjectInput::ATTENTION, matrix(blk + "attn_output.weight", h.n_embd, h.q_dim()),
                            options.optional_bias ? optional_vector(blk + "attn_output.bias", h.n_embd) : nullptr});
    add(GatedFeedForwardStep{vector(blk + options.ffn_norm, h.n_embd),
                             matrix(blk + "ffn_gate.weight", h.n_ff, h.n_embd),
                             matrix(blk + "ffn_up.weight", h.n_ff, h.n_embd)});
    add(ProjectResidualStep{ProjectInput::FEED_FORWARD, matrix(blk + "ffn_down.weight", h.n_embd, h.n_ff), nullptr});
}

std::unique_ptr<Plan> PlanBuilder::finish() {
    HyperParams& h = hparams();
    keys_.refuse_unread();
    if (h.kv.empty() && h.state_values.empty()) h.kv.assign(h.n_layers, {h.n_kv_heads, h.head_dim, h.head_dim});
    const auto is_skipped = [&](const std::string& name) {
        for (uint32_t layer = h.n_layers; layer < n_blocks_; ++layer) {
            if (name.starts_with("blk." + std::to_string(layer) + ".")) return true;
        }
        return false;
    };
    for (const Tensor& tensor : file_.tensors()) {
        if (is_skipped(tensor.name)) continue;
        if (claimed_.count(tensor.name) == 0) {
            fail(REPRISE_UNSUPPORTED_MODEL,
                 "tensor %s is not used by architecture %s as Reprise implements it: the file asks for arithmetic that "
                 "is not there",
                 quoted(tensor.name, 96).c_str(), hparams().architecture.c_str());
        }
    }
    return std::move(plan_);
}

}  // namespace reprise
