#include "model/model_keys.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/error.h"

namespace reprise {

namespace {

// Keys that no architecture reads and that change nothing, whatever their value. A trailing '*' stands for any rest.
constexpr std::string_view HARMLESS[] = {
    // The vocabulary is as large as token_embd.weight has rows.
    "vocab_size",
    // How the model was trained: frequencies and factors are in other keys.
    "rope.scaling.finetuned",
    // Parameters of YaRN and LongRoPE, which rope.scaling.type asks for and where they are refused.
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_log_multiplier",
    // Which layers have the sliding window, which no session reaches.
    "attention.sliding_window_pattern",
    // Of LayerNorm. Every norm is an RMSNorm, whose epsilon is needed.
    "attention.layer_norm_epsilon",
    // Which layers have experts, and how they are chosen: expert_count says that there are none.
    "leading_dense_block_count",
    "interleave_moe_layer_step",
    "moe_every_n_layers",
    "experts_per_group",
    "expert_*",
    "router_logit_softcapping",
    // What embedding models and classifiers do with hidden states; logits come from the output head.
    "pooling_type",
    "classifier.output_labels",
    // Which tokens end a generation: the tokenizer reads them.
    "generation_config*",
    // Where the decoder of an encoder-decoder model starts.
    "decoder_start_token_id",
};

struct NeutralNumber {
    std::string_view key;
    double neutral[2];
    const char* what;
};
// Keys that change nothing if they have one of these values, which files write out as defaults. An architecture that
// can do what another value asks for reads the key.
constexpr NeutralNumber NEUTRAL_NUMBERS[] = {
    {"expert_count", {0, 0}, "a mixture of experts"},
    {"attention.causal", {1, 1}, "attention that sees later tokens, as embedding models have"},
    {"attention.clamp_kqv", {0, 0}, "a limit on the values of q, k and v"},
    {"attention.max_alibi_bias", {0, 0}, "ALiBi"},
    {"attention.relative_buckets_count", {0, 0}, "a bias by relative position"},
    {"attention.output_scale", {0, 1}, "a factor on what attention adds"},
    {"attention.value_scale", {0, 1}, "a factor on v"},
    {"attention.temperature_scale", {0, 0}, "attention scaled by position"},
    {"attention.temperature_length", {0, 0}, "attention scaled by position"},
    {"attention.q_lora_rank", {0, 0}, "multi-head latent attention"},
    {"attention.kv_lora_rank", {0, 0}, "multi-head latent attention"},
    {"attention.key_length_mla", {0, 0}, "multi-head latent attention"},
    {"attention.value_length_mla", {0, 0}, "multi-head latent attention"},
    {"attention.shared_kv_layers", {0, 0}, "layers that use the keys and values of others"},
    {"attention.recurrent_layers", {0, 0}, "recurrent layers"},
    {"full_attention_interval", {0, 1}, "layers without full attention"},
    {"attn_logit_softcapping", {0, 0}, "a soft limit on attention scores"},
    {"final_logit_softcapping", {0, 0}, "a soft limit on logits"},
    {"logit_scale", {0, 1}, "a factor on the logits"},
    {"embedding_scale", {0, 1}, "a factor on the embeddings"},
    {"residual_scale", {0, 1}, "a factor on what each block adds"},
    {"use_parallel_residual", {0, 0}, "parallel residuals"},
    {"nextn_predict_layers", {0, 0}, "layers that predict further tokens"},
    {"swiglu_clamp_exp", {0, 0}, "a limit within the feed-forward network"},
    {"swiglu_clamp_shexp", {0, 0}, "a limit within the feed-forward network"},
    {"rope.dimension_sections", {0, 0}, "positions of several dimensions"},
    {"rope.scaling.alpha", {0, 1}, "NTK scaling of RoPE"},
    // Without YaRN only 0 leaves RoPE as it is; a negative one means: as the scaling type says.
    {"rope.scaling.yarn_ext_factor", {0, -1}, "YaRN"},
    {"rope.scaling.yarn_attn_factor", {1, -1}, "YaRN"},
};

struct NeutralText {
    std::string_view key;
    std::string_view neutral[3];
    const char* what;
};
constexpr NeutralText NEUTRAL_TEXTS[] = {
    // The first converters of Llama's checkpoints named the order of rows of q and k, which is that of all files.
    {"tensor_data_layout", {"", "reference", "Meta AI original pth"}, "another order of weights"},
    {"hidden_activation", {"", "silu", "swish"}, "another activation"},
};

bool matches(std::string_view pattern, std::string_view key) {
    if (!pattern.ends_with('*')) return pattern == key;
    return key.starts_with(pattern.substr(0, pattern.size() - 1));
}

bool is_neutral(const Value& value, std::span<const double> neutral) {
    return value.all_numbers([&](double number) {
        return std::ranges::any_of(neutral,
                                   [&](double n) { return static_cast<float>(n) == static_cast<float>(number); });
    });
}

bool is_neutral(const Value& value, std::span<const std::string_view> neutral) {
    const std::string_view text(reinterpret_cast<const char*>(value.data.data()), value.data.size());
    return value.type == ValueType::STRING && std::ranges::find(neutral, text) != neutral.end();
}

/// Whether a key has "attention" in it, or "rope" other than in property and Europe.
bool is_about_attention(std::string_view key) {
    std::string lower(key);
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    if (lower.find("attention") != lower.npos) return true;
    size_t at = lower.find("rope");
    while (at != lower.npos && at > 0 && (lower[at - 1] == 'p' || lower[at - 1] == 'u'))
        at = lower.find("rope", at + 1);
    return at != lower.npos;
}

[[noreturn]] void refuse(std::string_view key, const Value& value, const char* what, const std::string& architecture) {
    fail(REPRISE_UNSUPPORTED_MODEL,
         "metadata key %s is %s, which asks for %s: Reprise does not compute that for architecture %s, and without it "
         "the model would answer wrongly; choose a model that does not need it",
         quoted(std::string(key), 128).c_str(), value.to_string().c_str(), what, quoted(architecture).c_str());
}

}  // namespace

ModelKeys::ModelKeys(const GgufFile& file) : file_(file) {
    const auto architecture = file.get_string("general.architecture");
    if (!architecture) {
        fail(REPRISE_MODEL_FORMAT, "%s: metadata key general.architecture is missing: this GGUF file holds no model",
             file.path().c_str());
    }
    architecture_ = std::string(*architecture);
}

const Value* ModelKeys::read(const char* key) {
    std::string whole = name(key);
    const Value* value = file_.find(whole);
    read_.insert(std::move(whole));
    return value != nullptr && value->type == ValueType::ARRAY && value->count == 0 ? nullptr : value;
}

std::optional<double> ModelKeys::number(const char* key) {
    const Value* value = read(key);
    if (value == nullptr) return std::nullopt;
    if (value->type != ValueType::ARRAY) return file_.get_float(name(key));
    const std::vector<double> numbers = *file_.get_numbers(name(key), n_layers_);
    if (numbers.size() != n_layers_) {
        fail(REPRISE_MODEL_FORMAT, "metadata key %s has %zu values for %u layers", name(key).c_str(), numbers.size(),
             n_layers_);
    }
    const auto other = std::ranges::find_if(numbers, [&](double n) { return n != numbers.front(); });
    if (other != numbers.end()) {
        fail(REPRISE_UNSUPPORTED_MODEL,
             "metadata key %s is %.9g in layer 0 and %.9g in layer %td: models whose layers differ are not supported",
             name(key).c_str(), numbers.front(), *other, other - numbers.begin());
    }
    return numbers.front();
}

uint32_t ModelKeys::need_uint(const char* key, uint32_t min, uint32_t max) {
    const auto value = number(key);
    if (!value) fail(REPRISE_MODEL_FORMAT, "metadata key %s is missing", name(key).c_str());
    if (!(*value >= min && *value <= max)) {
        fail(REPRISE_MODEL_FORMAT, "metadata key %s is %.20g, outside %u to %u", name(key).c_str(), *value, min, max);
    }
    if (*value != std::floor(*value))
        fail(REPRISE_MODEL_FORMAT, "metadata key %s is %.9g, not a whole number", name(key).c_str(), *value);
    return static_cast<uint32_t>(*value);
}

uint32_t ModelKeys::uint_or(const char* key, uint32_t fallback, uint32_t min, uint32_t max) {
    return has(key) ? need_uint(key, min, max) : fallback;
}

std::vector<uint32_t> ModelKeys::uints_or(const char* key, uint32_t fallback, uint32_t min, uint32_t max) {
    const Value* value = read(key);
    if (value == nullptr) return std::vector<uint32_t>(n_layers_, fallback);
    std::vector<double> numbers;
    const bool are_numbers = value->all_numbers([&](double number) {
        numbers.push_back(number);
        return true;
    });
    if (are_numbers && value->type != ValueType::ARRAY) numbers.assign(n_layers_, numbers.front());
    if (!are_numbers || numbers.size() != n_layers_) {
        fail(REPRISE_MODEL_FORMAT, "metadata key %s is %s: a number, or one for each of %u layers, is needed",
             name(key).c_str(), value->to_string().c_str(), n_layers_);
    }
    std::vector<uint32_t> result;
    for (const double number : numbers) {
        if (!(number >= min && number <= max && number == std::floor(number))) {
            fail(REPRISE_MODEL_FORMAT, "metadata key %s holds %.20g: whole numbers from %u to %u are possible",
                 name(key).c_str(), number, min, max);
        }
        result.push_back(static_cast<uint32_t>(number));
    }
    return result;
}

std::vector<bool> ModelKeys::all_but_last_of(const char* key, uint32_t period) {
    const Value* value = read(key);
    const std::vector<uint32_t> numbers = uints_or(key, period, 0, 65536);
    std::vector<bool> result;
    for (uint32_t i = 0; i < n_layers_; ++i) {
        const bool is_list = value != nullptr && value->type == ValueType::ARRAY;
        result.push_back(is_list ? numbers[i] != 0 : numbers[i] != 0 && i % numbers[i] < numbers[i] - 1);
    }
    return result;
}

bool ModelKeys::flag_or(const char* key, bool fallback) { return uints_or(key, fallback ? 1 : 0, 0, 1).front() != 0; }

float ModelKeys::need_float(const char* key, float min, float max) {
    const auto value = number(key);
    if (!value) fail(REPRISE_MODEL_FORMAT, "metadata key %s is missing", name(key).c_str());
    // As the file's float32 where it is one: a bound may not be a number that float32 has.
    const float single = static_cast<float>(*value);
    if (!(single >= min && single <= max)) {
        fail(REPRISE_MODEL_FORMAT, "metadata key %s is %g, outside %g to %g", name(key).c_str(), *value, min, max);
    }
    return single;
}

float ModelKeys::float_or(const char* key, float fallback, float min, float max) {
    return has(key) ? need_float(key, min, max) : fallback;
}

float ModelKeys::nonzero_or(const char* key, float fallback, float min, float max) {
    const auto value = number(key);
    return value && *value != 0 ? need_float(key, min, max) : fallback;
}

std::string ModelKeys::text_or(const char* key, const char* fallback) {
    return has(key) ? std::string(*file_.get_string(name(key))) : fallback;
}

void ModelKeys::refuse_unless(const char* key, std::initializer_list<double> neutral, const char* what) {
    const Value* value = read(key);
    if (value != nullptr && !is_neutral(*value, std::span(neutral.begin(), neutral.size())))
        refuse(name(key), *value, what, architecture_);
}

void ModelKeys::refuse_unless_default(const char* key) {
    if (const Value* value = read(key)) check(name(key), *value);
}

void ModelKeys::refuse_unread() const {
    for (const auto& [key, value] : file_.keys()) {
        if (!read_.contains(key)) check(key, value);
    }
}

void ModelKeys::check(std::string_view key, const Value& value) const {
    const std::string prefix = architecture_ + ".";
    if (!key.starts_with(prefix)) {
        // What belongs to the tokenizer is text, whatever it is called.
        if (key.starts_with("tokenizer.") || !is_about_attention(key)) return;
    } else {
        const std::string_view own = key.substr(prefix.size());
        const auto named = [&](const auto& entry) { return entry.key == own; };
        if (const auto* known = std::ranges::find_if(NEUTRAL_NUMBERS, named); known != std::end(NEUTRAL_NUMBERS)) {
            if (is_neutral(value, known->neutral)) return;
            refuse(key, value, known->what, architecture_);
        }
        if (const auto* known = std::ranges::find_if(NEUTRAL_TEXTS, named); known != std::end(NEUTRAL_TEXTS)) {
            if (is_neutral(value, known->neutral)) return;
            refuse(key, value, known->what, architecture_);
        }
        if (std::ranges::any_of(HARMLESS, [&](std::string_view pattern) { return matches(pattern, own); })) return;
    }
    fail(REPRISE_UNSUPPORTED_MODEL,
         "metadata key %s is %s: Reprise does not know this key for architecture %s, and it may change what the model "
         "computes; choose another file of the model, or, if the key changes nothing, remove it with "
         "gguf-new-metadata --remove-metadata of the Python package gguf",
         quoted(std::string(key), 128).c_str(), value.to_string().c_str(), quoted(architecture_).c_str());
}

}  // namespace reprise
