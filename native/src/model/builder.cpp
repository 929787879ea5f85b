#include "model/builder.h"

#include <cmath>

#include "core/error.h"

namespace reprise {

namespace {

// Larger than any published model and small enough that no product of two of them overflows 64 bits.
constexpr uint32_t MAX_DIM = 1u << 24;

const char* type_name(int32_t number) {
    const TypeTraits* t = find_type(number);
    return t != nullptr ? t->name : "unknown";
}

}  // namespace

PlanBuilder::PlanBuilder(const GgufFile& file) : file_(file), plan_(std::make_unique<Plan>()) {
    const auto architecture = file.get_string("general.architecture");
    if (!architecture) {
        fail(REPRISE_MODEL_FORMAT, "%s: metadata key general.architecture is missing: this GGUF file holds no model",
             file.path().c_str());
    }
    hparams().architecture = std::string(*architecture);
    hparams_prefix_ = hparams().architecture + ".";
}

uint32_t PlanBuilder::need_uint(const char* suffix, uint32_t min, uint32_t max) {
    const auto value = file_.get_uint(key(suffix));
    if (!value) fail(REPRISE_MODEL_FORMAT, "metadata key %s is missing", key(suffix).c_str());
    if (*value < min || *value > max) {
        fail(REPRISE_MODEL_FORMAT, "metadata key %s is %llu, outside %u to %u", key(suffix).c_str(),
             static_cast<unsigned long long>(*value), min, max);
    }
    return static_cast<uint32_t>(*value);
}

uint32_t PlanBuilder::uint_or(const char* suffix, uint32_t fallback, uint32_t min, uint32_t max) {
    return file_.has(key(suffix)) ? need_uint(suffix, min, max) : fallback;
}

float PlanBuilder::need_float(const char* suffix, float min, float max) {
    const auto value = file_.get_float(key(suffix));
    if (!value) fail(REPRISE_MODEL_FORMAT, "metadata key %s is missing", key(suffix).c_str());
    if (!(*value >= min && *value <= max)) {
        fail(REPRISE_MODEL_FORMAT, "metadata key %s is %g, outside %g to %g", key(suffix).c_str(), *value, min, max);
    }
    return static_cast<float>(*value);
}

float PlanBuilder::float_or(const char* suffix, float fallback, float min, float max) {
    return file_.has(key(suffix)) ? need_float(suffix, min, max) : fallback;
}

void PlanBuilder::refuse_unless(const char* suffix, double neutral) {
    const auto value = file_.get_float(key(suffix));
    if (value && *value != neutral) {
        fail(REPRISE_UNSUPPORTED_MODEL, "metadata key %s is %g: Reprise does not implement it for architecture %s",
             key(suffix).c_str(), *value, hparams().architecture.c_str());
    }
}

void PlanBuilder::read_common() {
    HyperParams& h = hparams();
    h.n_layers = need_uint("block_count", 1, 4096);
    h.n_embd = need_uint("embedding_length", 1, MAX_DIM);
    h.context_length = need_uint("context_length", 1, 1u << 30);
    h.n_heads = need_uint("attention.head_count", 1, 65536);
    h.n_kv_heads = uint_or("attention.head_count_kv", h.n_heads, 1, 65536);
    if (h.n_heads % h.n_kv_heads != 0) {
        fail(REPRISE_MODEL_FORMAT, "%u attention heads cannot share %u KV heads evenly", h.n_heads, h.n_kv_heads);
    }
    if (!file_.has(key("attention.key_length")) && h.n_embd % h.n_heads != 0) {
        fail(REPRISE_MODEL_FORMAT, "an embedding of %u cannot be split over %u heads", h.n_embd, h.n_heads);
    }
    h.head_dim = uint_or("attention.key_length", h.n_embd / h.n_heads, 1, 65536);
    if (h.head_dim % 8 != 0 || h.head_dim > 256 || h.head_dim == 0) {
        fail(REPRISE_UNSUPPORTED_MODEL, "head size %u is not supported: multiples of 8 up to 256 are", h.head_dim);
    }
    const uint32_t value_length = uint_or("attention.value_length", h.head_dim, 1, 65536);
    if (value_length != h.head_dim) {
        fail(REPRISE_UNSUPPORTED_MODEL, "key heads of %u with value heads of %u are not supported: they must be equal",
             h.head_dim, value_length);
    }
    h.n_ff = need_uint("feed_forward_length", 1, MAX_DIM);
    h.rms_eps = need_float("attention.layer_norm_rms_epsilon", 0.0f, 1.0f);
    const Tensor* table = file_.find_tensor("token_embd.weight");
    if (table == nullptr) fail(REPRISE_MODEL_FORMAT, "tensor token_embd.weight is missing");
    if (table->n_dims != 2 || table->dims[1] == 0 || table->dims[1] > MAX_DIM) {
        fail(REPRISE_MODEL_FORMAT, "tensor token_embd.weight must be [%u, vocabulary]", h.n_embd);
    }
    h.n_vocab = static_cast<uint32_t>(table->dims[1]);
    const auto tokens = file_.array_length("tokenizer.ggml.tokens");
    if (tokens && *tokens != h.n_vocab) {
        fail(REPRISE_MODEL_FORMAT, "the vocabulary has %llu tokens but token_embd.weight has %u rows",
             static_cast<unsigned long long>(*tokens), h.n_vocab);
    }

    if (file_.get_uint(key("expert_count")).value_or(0) != 0) {
        fail(REPRISE_UNSUPPORTED_MODEL, "metadata key %s is %llu: mixtures of experts are not supported",
             key("expert_count").c_str(), static_cast<unsigned long long>(*file_.get_uint(key("expert_count"))));
    }
    if (!file_.get_bool(key("attention.causal")).value_or(true)) {
        fail(REPRISE_UNSUPPORTED_MODEL, "metadata key %s is false: only causal (text-generating) models are supported",
             key("attention.causal").c_str());
    }
    refuse_unless("attention.sliding_window", 0);
    refuse_unless("attention.clamp_kqv", 0);
    refuse_unless("attention.max_alibi_bias", 0);
    refuse_unless("attention.scale", 1.0 / std::sqrt(static_cast<double>(h.head_dim)));
    refuse_unless("attn_logit_softcapping", 0);
    refuse_unless("final_logit_softcapping", 0);
    refuse_unless("logit_scale", 1);
    refuse_unless("embedding_scale", 1);
    refuse_unless("residual_scale", 1);
    const auto parallel = file_.get_bool(key("use_parallel_residual"));
    if (parallel.value_or(false)) {
        fail(REPRISE_UNSUPPORTED_MODEL, "metadata key %s is true: parallel residuals are not supported",
             key("use_parallel_residual").c_str());
    }
}

void PlanBuilder::read_rope(RopeStyle style) {
    const HyperParams& h = hparams();
    Rope& rope = plan_->rope;
    rope.style = style;
    rope.n_rot = uint_or("rope.dimension_count", h.head_dim, 2, h.head_dim);
    if (rope.n_rot % 2 != 0)
        fail(REPRISE_MODEL_FORMAT, "metadata key %s is %u, which is odd", key("rope.dimension_count").c_str(),
             rope.n_rot);
    const double base = float_or("rope.freq_base", 10000.0f, 1.0f, 1e12f);
    rope.magnitude = float_or("rope.scaling.attn_factor", 1.0f, 1e-6f, 1e6f);

    const auto scaling = file_.get_string(key("rope.scaling.type"));
    double factor = 1;
    if (scaling && *scaling == "linear") {
        factor = need_float("rope.scaling.factor", 1e-3f, 1e6f);
    } else if (scaling && *scaling != "none") {
        fail(REPRISE_UNSUPPORTED_MODEL,
             "rope scaling %s is not supported: none and linear are, and frequency factors (rope_freqs.weight)",
             quoted(std::string(*scaling)).c_str());
    } else if (!scaling) {
        // Older files give the factor alone, under either name, and mean linear scaling.
        factor = file_.has(key("rope.scale_linear")) ? need_float("rope.scale_linear", 1e-3f, 1e6f)
                                                     : float_or("rope.scaling.factor", 1.0f, 1e-3f, 1e6f);
    }

    const Weight* factors = optional_vector("rope_freqs.weight", rope.n_rot / 2);
    rope.inv_freq.resize(rope.n_rot / 2);
    for (uint32_t i = 0; i < rope.n_rot / 2; ++i) {
        double f = std::pow(base, -2.0 * i / rope.n_rot) / factor;
        if (factors != nullptr) {
            float divisor;
            dequantize(TensorType::F32, factors->data.data() + i * sizeof(float), &divisor, 1);
            if (!(divisor > 0) || !std::isfinite(divisor)) {
                fail(REPRISE_MODEL_FORMAT, "tensor rope_freqs.weight holds %g at %u: frequency factors are positive",
                     divisor, i);
            }
            f /= divisor;
        }
        rope.inv_freq[i] = static_cast<float>(f);
    }
}

const Weight* PlanBuilder::claim(const std::string& name, uint64_t rows, uint64_t cols, uint32_t n_dims) {
    const auto known = claimed_.find(name);
    if (known != claimed_.end()) return known->second;
    const Tensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr)
        fail(REPRISE_MODEL_FORMAT, "tensor %s is missing; architecture %s needs it", name.c_str(),
             hparams().architecture.c_str());
    const bool fits = tensor->n_dims == n_dims && tensor->dims[0] == cols && tensor->dims[1] == rows &&
                      tensor->dims[2] == 1 && tensor->dims[3] == 1;
    if (!fits) {
        fail(REPRISE_MODEL_FORMAT,
             "tensor %s is [%llu, %llu, %llu, %llu], but the hyper-parameters ask for [%llu, %llu]", name.c_str(),
             static_cast<unsigned long long>(tensor->dims[0]), static_cast<unsigned long long>(tensor->dims[1]),
             static_cast<unsigned long long>(tensor->dims[2]), static_cast<unsigned long long>(tensor->dims[3]),
             static_cast<unsigned long long>(cols), static_cast<unsigned long long>(rows));
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
    weight->rows = rows;
    weight->cols = cols;
    weight->data = tensor->data;
    const Weight* result = weight.get();
    plan_->weights.push_back(std::move(weight));
    claimed_.emplace(name, result);
    return result;
}

const Weight* PlanBuilder::matrix(const std::string& name, uint64_t rows, uint64_t cols) {
    return claim(name, rows, cols, 2);
}

const Weight* PlanBuilder::vector(const std::string& name, uint64_t n) {
    const Weight* weight = claim(name, 1, n, 1);
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
    add(AttentionStep{layer, 1.0f / std::sqrt(static_cast<float>(h.head_dim))});
    add(ProjectResidualStep{ProjectInput::ATTENTION, matrix(blk + "attn_output.weight", h.n_embd, h.q_dim()),
                            options.optional_bias ? optional_vector(blk + "attn_output.bias", h.n_embd) : nullptr});
    add(GatedFeedForwardStep{vector(blk + "ffn_norm.weight", h.n_embd),
                             matrix(blk + "ffn_gate.weight", h.n_ff, h.n_embd),
                             matrix(blk + "ffn_up.weight", h.n_ff, h.n_embd)});
    add(ProjectResidualStep{ProjectInput::FEED_FORWARD, matrix(blk + "ffn_down.weight", h.n_embd, h.n_ff), nullptr});
}

std::unique_ptr<Plan> PlanBuilder::finish() {
    for (const Tensor& tensor : file_.tensors()) {
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
