#include "model/builder.h"

#include <cmath>
#include <limits>

#include "core/error.h"

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

void PlanBuilder::read_common() {
    HyperParams& h = hparams();
    h.n_layers = keys_.need_uint("block_count", 1, 4096);
    keys_.set_layers(h.n_layers);
    h.n_embd = keys_.need_uint("embedding_length", 1, MAX_DIM);
    h.context_length = keys_.need_uint("context_length", 1, 1u << 30);
    h.n_heads = keys_.need_uint("attention.head_count", 1, 65536);
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
    h.rms_eps = keys_.need_float("attention.layer_norm_rms_epsilon", 0.0f, 1.0f);
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
    // Experts have other tensors, so that without this a tensor would be said to be missing.
    keys_.refuse_unless_default("expert_count");
}

void PlanBuilder::read_rope(RopeStyle style) {
    const HyperParams& h = hparams();
    Rope& rope = plan_->rope;
    rope.style = style;
    rope.n_rot = keys_.uint_or("rope.dimension_count", h.head_dim, 2, h.head_dim);
    if (rope.n_rot % 2 != 0) {
        fail(REPRISE_MODEL_FORMAT, "metadata key %s is %u, which is odd", keys_.name("rope.dimension_count").c_str(),
             rope.n_rot);
    }
    const double base = keys_.float_or("rope.freq_base", 10000.0f, 1.0f, 1e12f);
    keys_.refuse_unless("rope.freq_base_swa", {base}, "layers with another RoPE base");
    keys_.refuse_unless("rope.dimension_count_swa", {double(rope.n_rot)}, "layers with another RoPE");
    rope.magnitude = keys_.float_or("rope.scaling.attn_factor", 1.0f, 1e-6f, 1e6f);
    const double factor = rope_scaling_factor();

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

double PlanBuilder::rope_scaling_factor() {
    const std::string type = keys_.text_or("rope.scaling.type", "linear");
    if (type != "linear" && type != "none") {
        fail(REPRISE_UNSUPPORTED_MODEL,
             "rope scaling %s is not supported: none and linear are, and frequency factors (rope_freqs.weight)",
             quoted(type).c_str());
    }
    const bool has_factor = keys_.has("rope.scaling.factor"), has_old_name = keys_.has("rope.scale_linear");
    if (type == "none") return 1;
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

const Weight* PlanBuilder::claim(const std::string& name, uint64_t rows, uint64_t cols) {
    const auto known = claimed_.find(name);
    if (known != claimed_.end()) return known->second;
    const Tensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr)
        fail(REPRISE_MODEL_FORMAT, "tensor %s is missing; architecture %s needs it", name.c_str(),
             hparams().architecture.c_str());
    // Dimensions of 1 at the end make no difference: the reader has them for those that are not written.
    const bool fits =
        tensor->dims[0] == cols && tensor->dims[1] == rows && tensor->dims[2] == 1 && tensor->dims[3] == 1;
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
    return claim(name, rows, cols);
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
    add(GatedFeedForwardStep{vector(blk + "ffn_norm.weight", h.n_embd),
                             matrix(blk + "ffn_gate.weight", h.n_ff, h.n_embd),
                             matrix(blk + "ffn_up.weight", h.n_ff, h.n_embd)});
    add(ProjectResidualStep{ProjectInput::FEED_FORWARD, matrix(blk + "ffn_down.weight", h.n_embd, h.n_ff), nullptr});
}

std::unique_ptr<Plan> PlanBuilder::finish() {
    keys_.refuse_unread();
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
