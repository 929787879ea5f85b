// Metadata keys: each that may change the arithmetic is used, known to change nothing, or refused by name.
#include <cmath>

#include "plan_support.h"

namespace reprise {
namespace {

using namespace test;

using Values = std::vector<EncodedValue>;

EncodedValue truth(bool v) { return EncodedValue::boolean(v); }
EncodedValue uints(std::initializer_list<uint32_t> v) {
    Values values;
    for (const uint32_t x : v) values.push_back(uint(x));
    return EncodedValue::array(ValueType::UINT32, values);
}
EncodedValue empty(ValueType type) { return EncodedValue::array(type, {}); }
/// A whole number in every type that holds one, and in arrays.
Values in_every_type(int8_t v) {
    Values values = {EncodedValue::int8(v),  EncodedValue::int16(v),   EncodedValue::int32(v),
                     EncodedValue::int64(v), EncodedValue::float32(v), EncodedValue::float64(v)};
    if (v >= 0) {
        const auto u = static_cast<uint8_t>(v);
        values.insert(values.end(), {EncodedValue::uint8(u), EncodedValue::uint16(u), EncodedValue::uint32(u),
                                     EncodedValue::uint64(u), uints({u, u})});
    }
    if (v == 0 || v == 1) values.push_back(truth(v == 1));
    return values;
}

const AttentionStep& attention_of(const Plan& plan) { return std::get<AttentionStep>(plan.steps[2]); }

void expect_harmless(const std::string& key, const EncodedValue& value, const std::string& architecture = "llama") {
    SCOPED_TRACE(key);
    const ModelSpec spec = tiny_spec(architecture);
    const auto plain = plan_of(model_with({}, spec)), changed = plan_of(model_with({{key, value}}, spec));
    EXPECT_EQ(plain->rope.inv_freq, changed->rope.inv_freq);
    EXPECT_EQ(plain->rope.magnitude, changed->rope.magnitude);
    EXPECT_EQ(attention_of(*plain).scale, attention_of(*changed).scale);
    EXPECT_EQ(plain->hparams.sliding_window, changed->hparams.sliding_window);
    EXPECT_EQ(plain->steps.size(), changed->steps.size());
}

TEST(PlanKeys, OfRopeAndAttentionAreApplied) {
    EXPECT_EQ(1.0f, plan_of(model_with({}))->rope.magnitude);
    for (const EncodedValue& value : {real(0.5f), EncodedValue::float64(0.5)})
        EXPECT_EQ(0.5f, plan_of(model_with({{"llama.rope.scaling.attn_factor", value}}))->rope.magnitude);
    EXPECT_EQ(2.0f, plan_of(model_with({{"llama.rope.scaling.attn_factor", uint(2)}}))->rope.magnitude);
    // It applies whatever the scaling type.
    EXPECT_EQ(
        2.0f,
        plan_of(model_with({{"llama.rope.scaling.attn_factor", uint(2)}, {"llama.rope.scaling.type", text("none")}}))
            ->rope.magnitude);
    for (const float scale : {1.0f, 0.3f, 1e-3f})
        EXPECT_EQ(scale, attention_of(*plan_of(model_with({{"llama.attention.scale", real(scale)}}))).scale);
    const auto windowed = plan_of(model_with({{"llama.attention.sliding_window", uint(100)}}));
    EXPECT_EQ(100u, windowed->hparams.sliding_window);
    EXPECT_EQ(100u, windowed->hparams.max_session_context());
    EXPECT_EQ(256u, plan_of(model_with({}))->hparams.max_session_context());
    EXPECT_EQ(256u,
              plan_of(model_with({{"llama.attention.sliding_window", uint(4096)}}))->hparams.max_session_context());
}

TEST(PlanKeys, DefaultsMayBeWrittenOut) {
    // In float32 of either rounding, since writers compute it in theirs.
    for (const uint32_t head_dim : {64u, 72u, 80u, 96u, 112u, 128u, 256u}) {
        ModelSpec spec = tiny_spec();
        spec.head_dim = head_dim;
        const auto plain = plan_of(model_with({}, spec));
        const double exact = 1 / std::sqrt(static_cast<double>(head_dim));
        const float single = static_cast<float>(exact);
        for (const EncodedValue& value :
             {EncodedValue::float64(exact), real(single), real(std::nextafter(single, 0.0f)),
              real(std::nextafter(single, 1.0f)), real(static_cast<float>(std::pow(head_dim, -0.5)))}) {
            const auto plan = plan_of(model_with({{"llama.attention.scale", value}}, spec));
            EXPECT_EQ(attention_of(*plain).scale, attention_of(*plan).scale) << head_dim;
        }
    }
    const Change linear = {"llama.rope.scaling.type", text("linear")}, none = {"llama.rope.scaling.type", text("none")};
    const auto plain = plan_of(model_with({}));
    const std::vector<std::vector<Change>> unscaled = {
        {linear},
        {none},
        {none, {"llama.rope.scaling.factor", real(4)}},
        {none, {"llama.rope.scale_linear", real(4)}},
    };
    for (const auto& changes : unscaled) EXPECT_EQ(plain->rope.inv_freq, plan_of(model_with(changes))->rope.inv_freq);
    for (const char* key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
        for (const int8_t neutral : {0, 1}) {
            for (const EncodedValue& value : in_every_type(neutral)) {
                if (value.type == ValueType::BOOL) continue;
                EXPECT_EQ(plain->rope.inv_freq, plan_of(model_with({{key, value}}))->rope.inv_freq) << key;
                EXPECT_EQ(plain->rope.inv_freq, plan_of(model_with({{key, value}, linear}))->rope.inv_freq) << key;
            }
        }
    }
    const auto scaled = plan_of(model_with({{"llama.rope.scale_linear", real(4)}, linear}));
    EXPECT_FLOAT_EQ(plain->rope.inv_freq[5] / 4, scaled->rope.inv_freq[5]);
    expect_refused(REPRISE_MODEL_FORMAT, {"scale_linear (2)", "scaling.factor (4)", "contradict"},
                   model_with({{"llama.rope.scaling.factor", real(4)}, {"llama.rope.scale_linear", real(2)}}));
    plan_of(model_with({{"llama.rope.scaling.factor", real(4)}, {"llama.rope.scale_linear", real(4)}}));
}

TEST(PlanKeys, MayHaveAnyValueThatChangesNothing) {
    struct Neutral {
        const char* key;
        std::vector<int8_t> values;
    };
    const Neutral neutral[] = {
        {"attention.scale", {0}},
        {"attention.sliding_window", {0}},
        {"attention.causal", {1}},
        {"attention.clamp_kqv", {0}},
        {"attention.max_alibi_bias", {0}},
        {"attention.relative_buckets_count", {0}},
        {"attention.output_scale", {0, 1}},
        {"attention.value_scale", {0, 1}},
        {"attention.temperature_scale", {0}},
        {"attention.temperature_length", {0}},
        {"attention.kv_lora_rank", {0}},
        {"attention.key_length_swa", {64}},
        {"attn_logit_softcapping", {0}},
        {"final_logit_softcapping", {0}},
        {"logit_scale", {0, 1}},
        {"embedding_scale", {0, 1}},
        {"residual_scale", {0, 1}},
        {"use_parallel_residual", {0}},
        {"expert_count", {0}},
        {"nextn_predict_layers", {0}},
        {"rope.dimension_count_swa", {64}},
        {"rope.dimension_sections", {0}},
        {"rope.scaling.alpha", {0, 1}},
        {"rope.scaling.attn_factor", {1}},
        {"rope.scaling.yarn_ext_factor", {0, -1}},
        {"rope.scaling.yarn_attn_factor", {1, -1}},
    };
    // Truth values are no numbers where a number is read.
    const std::vector<std::string> read_as_numbers = {"attention.scale", "attention.sliding_window",
                                                      "rope.scaling.attn_factor"};
    for (const auto& [key, values] : neutral) {
        const bool is_number = std::ranges::find(read_as_numbers, key) != read_as_numbers.end();
        for (const int8_t value : values) {
            for (const EncodedValue& encoded : in_every_type(value)) {
                if (!is_number || encoded.type != ValueType::BOOL)
                    expect_harmless(std::string("llama.") + key, encoded);
            }
        }
        for (const ValueType type : {ValueType::FLOAT32, ValueType::STRING, ValueType::BOOL})
            expect_harmless(std::string("llama.") + key, empty(type));
    }
    expect_harmless("llama.rope.freq_base_swa", real(10000));
    for (const char* layout : {"", "reference", "Meta AI original pth"})
        expect_harmless("llama.tensor_data_layout", text(layout));
    expect_harmless("qwen2.hidden_activation", text("silu"), "qwen2");
}

TEST(PlanKeys, KnownToChangeNothingAreAccepted) {
    expect_harmless("llama.vocab_size", uint(32000));
    expect_harmless("llama.generation_config.eos_token_id", uint(2));
    expect_harmless("llama.rope.scaling.original_context_length", uint(8192));
    expect_harmless("llama.rope.scaling.finetuned", truth(true));
    expect_harmless("llama.rope.scaling.yarn_beta_fast", real(32));
    expect_harmless("llama.attention.layer_norm_epsilon", real(1e-5f));
    expect_harmless("llama.attention.sliding_window_pattern", uint(2));
    expect_harmless("llama.expert_used_count", uint(2));
    expect_harmless("llama.expert_weights_scale", real(2.5f));
    expect_harmless("llama.leading_dense_block_count", uint(1));
    expect_harmless("qwen3.pooling_type", uint(3), "qwen3");
    // Not about the arithmetic, whatever is in the name.
    expect_harmless("general.property", uint(1));
    expect_harmless("general.origin.europe", text("Bern"));
    expect_harmless("tokenizer.chat_template.attention", text("{{ messages }}"));
    expect_harmless("quantize.imatrix.file", text("imatrix.dat"));
    expect_harmless("llamas.unheard_of", uint(1));
}

TEST(PlanKeys, NotReadAreRefusedByName) {
    const auto refused = [](const char* key, EncodedValue value, const char* shown) {
        expect_refused(REPRISE_UNSUPPORTED_MODEL, {key, shown, "llama", "choose"},
                       model_with({{key, std::move(value)}}));
    };
    // Known, with another value than the one that changes nothing.
    refused("llama.attention.output_scale", real(0.5f), " is 0.5");
    refused("llama.attention.temperature_scale", real(0.1f), " is 0.1");
    refused("llama.attention.key_length_swa", uint(128), " is 128");
    refused("llama.attention.relative_buckets_count", uint(32), " is 32");
    refused("llama.rope.scaling.alpha", real(1000), " is 1000");
    refused("llama.rope.scaling.yarn_attn_factor", real(0.5f), " is 0.5");
    refused("llama.rope.scaling.yarn_ext_factor", real(1), " is 1");
    refused("llama.rope.freq_base_swa", real(500000), " is 500000");
    refused("llama.rope.dimension_sections", uints({16, 24, 24, 0}), "[16, 24, 24, 0]");
    refused("llama.logit_scale", real(NAN), "nan");
    refused("llama.logit_scale", text("big"), "'big'");
    refused("llama.attention.causal", uint(0), " is 0");
    refused("llama.tensor_data_layout", text("jploski"), "'jploski'");
    refused("llama.hidden_activation", text("gelu"), "'gelu'");
    refused("llama.hidden_activation", uint(1), " is 1");
    // Unknown under the architecture's prefix, whatever the value.
    refused("llama.unheard_of", uint(0), " is 0");
    refused("llama.unheard_of", empty(ValueType::STRING), "array");
    refused("llama.rope.scaling.low_freq_factor", real(1), " is 1");
    refused("llama.attention.unheard_of", truth(false), "false");
    refused("llama.layers", uints({1, 2, 3, 4, 5, 6}), "(6 elements)");
    // About RoPE or attention without it.
    refused("qwen2.attention.scale", real(2), " is 2");
    refused("rope.freq_base", real(2), " is 2");
    refused("general.rope_theta", real(2), " is 2");
    refused("some.mropeSection", uint(2), " is 2");
    refused("some.RopeBase", uint(2), " is 2");
    refused("clip.vision.Attention.head_count", uint(2), " is 2");
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"'qwen3.unheard_of'", "--remove-metadata"},
                   model_with({{"qwen3.unheard_of", uint(1)}}, tiny_spec("qwen3")));
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"'llama.\\x0a\\xff'"}, model_with({{"llama.\n\xff", uint(1)}}));
    // Before a tensor is said to be missing.
    ModelSpec experts = tiny_spec();
    experts.n_layers = 1;
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"llama.expert_count", "experts"},
                   model_with({{"llama.expert_count", uint(8)}, {"llama.block_count", uint(2)}}, experts));
}

TEST(PlanKeys, OfLayersThatAreAlikeMeanOneValue) {
    const auto plain = plan_of(model_with({}));
    for (const auto& [key, value] : {std::pair{"llama.attention.head_count", 4u},
                                     {"llama.attention.head_count_kv", 2u},
                                     {"llama.feed_forward_length", 512u},
                                     {"llama.attention.key_length", 64u}}) {
        SCOPED_TRACE(key);
        const auto plan = plan_of(model_with({{key, uints({value, value})}}));
        EXPECT_EQ(plain->hparams.q_dim(), plan->hparams.q_dim());
        EXPECT_EQ(plain->hparams.kv_dim(), plan->hparams.kv_dim());
        EXPECT_EQ(plain->hparams.n_ff, plan->hparams.n_ff);
        expect_refused(REPRISE_UNSUPPORTED_MODEL, {key, "layer 1", "differ"},
                       model_with({{key, uints({value, value / 2})}}));
        expect_refused(REPRISE_MODEL_FORMAT, {key, "1 values", "2 layers"}, model_with({{key, uints({value})}}));
        expect_refused(REPRISE_MODEL_FORMAT, {key, "3 elements"}, model_with({{key, uints({value, value, value})}}));
    }
    // Whole numbers in any type.
    EXPECT_EQ(2u, plan_of(model_with({{"llama.block_count", real(2)}}))->hparams.n_layers);
    EXPECT_EQ(2u,
              plan_of(model_with({{"llama.attention.head_count_kv", EncodedValue::float64(2)}}))->hparams.n_kv_heads);
    expect_refused(REPRISE_MODEL_FORMAT, {"llama.block_count", "2.5", "whole"},
                   model_with({{"llama.block_count", real(2.5f)}}));
    expect_refused(REPRISE_MODEL_FORMAT, {"llama.block_count"}, model_with({{"llama.block_count", uints({2, 2})}}));
    // An array without elements says as much as no key.
    ModelSpec spec = tiny_spec();
    spec.n_kv_heads = 4;
    EXPECT_EQ(
        4u,
        plan_of(model_with({{"llama.attention.head_count_kv", empty(ValueType::STRING)}}, spec))->hparams.n_kv_heads);
    plan_of(model_with({{"tokenizer.ggml.tokens", empty(ValueType::INT32)}}));
    expect_refused(REPRISE_MODEL_FORMAT, {"llama.block_count", "missing"},
                   model_with({{"llama.block_count", empty(ValueType::UINT32)}}));
}

TEST(PlanKeys, DimensionsOfOneAtTheEndMakeNoDifference) {
    GgufWriter writer = random_model(tiny_spec(), uniform_types(TensorType::F32), 1);
    const uint64_t column[] = {256, 1}, deep[] = {256, 1, 1, 1};
    writer.add_tensor("blk.0.attn_q.bias", TensorType::F32, column, std::vector<float>(256, 0.5f));
    writer.add_tensor("blk.1.attn_q.bias", TensorType::F32, deep, std::vector<float>(256, 0.5f));
    const auto bytes = writer.bytes();
    const auto plan = plan_of(bytes);
    EXPECT_EQ(256u, std::get<QkvStep>(plan->steps[1]).q_bias->cols);
    EXPECT_EQ(1u, std::get<QkvStep>(plan->steps[6]).q_bias->rows);

    GgufWriter turned = random_model(tiny_spec(), uniform_types(TensorType::F32), 1);
    const uint64_t row[] = {1, 256};
    turned.add_tensor("blk.0.attn_q.bias", TensorType::F32, row, std::vector<float>(256, 0.5f));
    expect_refused(REPRISE_MODEL_FORMAT, {"blk.0.attn_q.bias", "[1, 256, 1, 1]"}, turned.bytes());
}

}  // namespace
}  // namespace reprise
