// Plans: what an architecture reads from a file, and what is refused by name because nothing computes it.
#include <cmath>
#include <cstring>

#include "model/backends.h"
#include "model/builder.h"
#include "plan_support.h"

namespace reprise {
namespace {

using namespace test;

/// Where the entry of a tensor has its number of dimensions, behind its name.
size_t after_name(const std::vector<uint8_t>& bytes, const std::string& name) {
    std::string entry(8, '\0');
    const uint64_t length = name.size();
    std::memcpy(entry.data(), &length, 8);
    entry += name;
    const auto found = std::search(bytes.begin(), bytes.end(), entry.begin(), entry.end());
    if (found == bytes.end()) throw std::runtime_error("no tensor " + name);
    return static_cast<size_t>(found - bytes.begin()) + entry.size();
}

std::vector<uint8_t> renamed(std::vector<uint8_t> bytes, const std::string& name, const std::string& other) {
    EXPECT_EQ(name.size(), other.size());
    std::memcpy(&bytes[after_name(bytes, name) - name.size()], other.data(), other.size());
    return bytes;
}

/// The dimensions of a matrix and its type number.
std::vector<uint8_t> reshaped(std::vector<uint8_t> bytes, const std::string& name, uint64_t cols, uint64_t rows) {
    const size_t at = after_name(bytes, name);
    std::memcpy(&bytes[at + 4], &cols, 8);
    std::memcpy(&bytes[at + 12], &rows, 8);
    return bytes;
}

std::vector<uint8_t> retyped_vector(std::vector<uint8_t> bytes, const std::string& name, TensorType type) {
    std::memcpy(&bytes[after_name(bytes, name) + 4 + 8], &type, 4);
    return bytes;
}

TEST(Plan, HasTheStepsOfATransformerInOrder) {
    for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
        const std::vector<uint8_t> bytes = model_with({}, tiny_spec(architecture));
        const auto plan = plan_of(bytes);
        ASSERT_EQ(1u + 2 * 5 + 1, plan->steps.size());
        EXPECT_TRUE(std::holds_alternative<EmbedStep>(plan->steps.front()));
        for (uint32_t layer = 0; layer < 2; ++layer) {
            const auto& qkv = std::get<QkvStep>(plan->steps[1 + layer * 5]);
            EXPECT_EQ(layer, qkv.layer);
            EXPECT_EQ(plan->hparams.q_dim(), qkv.q->rows);
            EXPECT_EQ(plan->hparams.kv_dim(), qkv.k->rows);
            EXPECT_EQ(architecture == std::string("qwen2"), qkv.q_bias != nullptr);
            EXPECT_EQ(architecture == std::string("qwen3"), qkv.k_norm != nullptr);
            const auto& attention = std::get<AttentionStep>(plan->steps[2 + layer * 5]);
            EXPECT_FLOAT_EQ(1 / std::sqrt(static_cast<float>(plan->hparams.head_dim)), attention.scale);
            EXPECT_EQ(ProjectInput::ATTENTION, std::get<ProjectResidualStep>(plan->steps[3 + layer * 5]).input);
            EXPECT_EQ(512u, std::get<GatedFeedForwardStep>(plan->steps[4 + layer * 5]).up->rows);
            EXPECT_EQ(ProjectInput::FEED_FORWARD, std::get<ProjectResidualStep>(plan->steps[5 + layer * 5]).input);
        }
        const auto& head = std::get<OutputHeadStep>(plan->steps.back());
        EXPECT_EQ(std::get<EmbedStep>(plan->steps.front()).table, head.weight);  // tied
        const bool halves = architecture != std::string("llama");
        EXPECT_EQ(halves ? RopeStyle::HALVES : RopeStyle::ADJACENT, plan->rope.style);
    }
}

TEST(Plan, SaysWhetherCudaRunsIt) {
    const auto fused = plan_of(model_with({}));
    EXPECT_EQ("", cuda_refusal(*fused));
    EXPECT_NO_THROW(check_cuda(*fused));
    const auto of_words = plan_of(model_with({}, tiny_spec("smollm3")));
    EXPECT_NE("", cuda_refusal(*of_words));
    expect_error(REPRISE_UNSUPPORTED_MODEL, {"smollm3", "CPU backend only", "device cpu or auto"},
                 [&] { check_cuda(*of_words); });
}

TEST(Plan, ReadsWhatFilesMayLeaveOut) {
    ModelSpec spec = tiny_spec();
    spec.n_kv_heads = 4;
    spec.tied_output = false;
    const auto plan = plan_of(model_with({}, spec));
    EXPECT_NE(std::get<EmbedStep>(plan->steps.front()).table, std::get<OutputHeadStep>(plan->steps.back()).weight);
    EXPECT_EQ(plan->weight_bytes() - 511 * 256 * 4, plan->bytes_per_token());
    // Biases of llama files are optional.
    GgufWriter writer = random_model(tiny_spec(), uniform_types(TensorType::Q8_0), 1);
    const uint64_t n_embd[] = {256};
    writer.add_tensor("blk.1.attn_q.bias", TensorType::F32, n_embd, std::vector<float>(256, 0.5f));
    writer.add_tensor("blk.0.attn_output.bias", TensorType::F32, n_embd, std::vector<float>(256, 0.5f));
    const auto bytes = writer.bytes();
    const auto with_bias = plan_of(bytes);
    EXPECT_EQ(nullptr, std::get<QkvStep>(with_bias->steps[1]).q_bias);
    EXPECT_NE(nullptr, std::get<QkvStep>(with_bias->steps[6]).q_bias);
    EXPECT_NE(nullptr, std::get<ProjectResidualStep>(with_bias->steps[3]).bias);
}

TEST(Plan, RopeTurnsAtTheFrequenciesOfTheFile) {
    const auto plain = plan_of(model_with({}));
    ASSERT_EQ(32u, plain->rope.inv_freq.size());
    for (size_t i = 0; i < 32; ++i)
        EXPECT_FLOAT_EQ(static_cast<float>(std::pow(10000.0, -2.0 * i / 64)), plain->rope.inv_freq[i]);

    const auto linear =
        plan_of(model_with({{"llama.rope.scaling.type", text("linear")}, {"llama.rope.scaling.factor", real(4)}}));
    const auto unnamed = plan_of(model_with({{"llama.rope.scale_linear", real(4)}}));
    const auto none =
        plan_of(model_with({{"llama.rope.scaling.type", text("none")}, {"llama.rope.scaling.factor", real(4)}}));
    ModelSpec spec = tiny_spec();
    for (size_t i = 0; i < 32; ++i) spec.rope_factors.push_back(1.0f + static_cast<float>(i));
    const auto factors = plan_of(model_with({}, spec));
    const auto half =
        plan_of(model_with({{"llama.rope.dimension_count", uint(32)}, {"llama.rope.freq_base", real(500000)}}));
    ASSERT_EQ(16u, half->rope.inv_freq.size());
    for (size_t i = 0; i < 32; ++i) {
        EXPECT_FLOAT_EQ(plain->rope.inv_freq[i] / 4, linear->rope.inv_freq[i]);
        EXPECT_FLOAT_EQ(plain->rope.inv_freq[i] / 4, unnamed->rope.inv_freq[i]);
        EXPECT_FLOAT_EQ(plain->rope.inv_freq[i], none->rope.inv_freq[i]);
        EXPECT_FLOAT_EQ(plain->rope.inv_freq[i] / (1.0f + static_cast<float>(i)), factors->rope.inv_freq[i]);
    }
    EXPECT_FLOAT_EQ(static_cast<float>(std::pow(500000.0, -2.0 / 32)), half->rope.inv_freq[1]);

    spec.rope_factors[3] = 0;
    expect_refused(REPRISE_MODEL_FORMAT, {"rope_freqs.weight", "at 3"}, model_with({}, spec));
    spec.rope_factors[3] = INFINITY;
    expect_refused(REPRISE_MODEL_FORMAT, {"rope_freqs.weight"}, model_with({}, spec));
}

// Numbers by the definition in the paper, https://arxiv.org/abs/2309.00071, section 3.2 and 3.4.
TEST(Plan, YarnLeavesFastTurnsAndDividesSlowOnes) {
    const std::vector<Change> yarn = {{"llama.rope.scaling.type", text("yarn")},
                                      {"llama.rope.scaling.factor", real(4)},
                                      {"llama.rope.scaling.original_context_length", uint(4096)}};
    const auto plain = plan_of(model_with({}))->rope, scaled = plan_of(model_with(yarn))->rope;
    EXPECT_FLOAT_EQ(static_cast<float>(1 + 0.1 * std::log(4.0)), scaled.magnitude);
    const auto dimension = [](double turns) {
        return 64 * std::log(4096 / (turns * 2 * M_PI)) / (2 * std::log(10000.0));
    };
    const double low = std::floor(dimension(32)), high = std::ceil(dimension(1));
    ASSERT_GT(low, 0);
    ASSERT_LT(high, 31);
    for (size_t i = 0; i < 32; ++i) {
        const double slow = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
        const double expected = plain.inv_freq[i] * (1 - slow) + plain.inv_freq[i] / 4 * slow;
        EXPECT_NEAR(scaled.inv_freq[i], expected, 1e-6 * expected) << i;
    }
    expect_refused(REPRISE_MODEL_FORMAT, {"llama.rope.scaling.original_context_length", "missing"},
                   model_with({yarn[0], yarn[1]}));
    // Where all of the length is made up for there is none left.
    std::vector<Change> made_up = yarn;
    made_up.push_back({"llama.rope.scaling.yarn_log_multiplier", real(1)});
    EXPECT_FLOAT_EQ(1, plan_of(model_with(made_up))->rope.magnitude);
}

TEST(Plan, RefusesArchitecturesByName) {
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"'mamba'", "llama", "qwen2", "qwen3"},
                   model_with({{"general.architecture", text("mamba")}}));
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"'clip\\x0a\\xff'"},
                   model_with({{"general.architecture", text("clip\n\xff")}}));
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"''"}, model_with({{"general.architecture", text("")}}));
    const std::vector<uint8_t> empty = GgufWriter().bytes();
    expect_refused(REPRISE_MODEL_FORMAT, {"general.architecture", "tiny.gguf"}, empty);
}

TEST(Plan, RefusesArithmeticThatIsNotThere) {
    const auto expect_unsupported = [](const std::string& key, EncodedValue value, const char* what) {
        expect_refused(REPRISE_UNSUPPORTED_MODEL, {key.c_str(), what}, model_with({{key, std::move(value)}}));
    };
    expect_unsupported("llama.expert_count", uint(8), "experts");
    expect_unsupported("llama.attention.causal", EncodedValue::boolean(false), "causal");
    expect_unsupported("llama.attention.clamp_kqv", real(8), "8");
    expect_unsupported("llama.attention.max_alibi_bias", real(8), "8");
    expect_unsupported("llama.attn_logit_softcapping", real(50), "50");
    expect_unsupported("llama.final_logit_softcapping", real(30), "30");
    expect_unsupported("llama.logit_scale", real(0.0625f), "0.0625");
    expect_unsupported("llama.embedding_scale", real(12), "12");
    expect_unsupported("llama.residual_scale", real(0.22f), "0.22");
    expect_unsupported("llama.use_parallel_residual", EncodedValue::boolean(true), "parallel");
    for (const char* scaling : {"longrope", "su", ""}) {
        expect_refused(REPRISE_UNSUPPORTED_MODEL, {"rope scaling", scaling, "supported"},
                       model_with({{"llama.rope.scaling.type", text(scaling)}}));
    }
    // The same keys with values that change nothing.
    plan_of(model_with({{"llama.expert_count", uint(0)},
                        {"llama.attention.causal", EncodedValue::boolean(true)},
                        {"llama.attention.sliding_window", uint(0)},
                        {"llama.logit_scale", real(1)},
                        {"llama.attention.scale", real(0.125f)},
                        {"llama.rope.scaling.factor", real(1)}}));
}

TEST(Plan, RefusesTensorsThatNothingUses) {
    GgufWriter writer = random_model(tiny_spec(), uniform_types(TensorType::F32), 1);
    const uint64_t dims[] = {64};
    writer.add_tensor("blk.0.attn_q_norm.weight", TensorType::F32, dims, std::vector<float>(64));
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"blk.0.attn_q_norm.weight", "not used", "llama"}, writer.bytes());
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"blk.1.", "not used"}, model_with({{"llama.block_count", uint(1)}}));
    // Biases belong to qwen2, not to qwen3.
    ModelSpec spec = tiny_spec("qwen3");
    spec.qkv_bias = true;
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"bias", "not used", "qwen3"}, model_with({}, spec));
}

TEST(Plan, RefusesModelsWithoutATensor) {
    expect_refused(REPRISE_MODEL_FORMAT, {"blk.2.attn_norm.weight", "missing", "llama"},
                   model_with({{"llama.block_count", uint(3)}}));
    const std::vector<uint8_t> bytes = model_with({});
    for (const std::string name :
         {"token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight", "blk.1.attn_k.weight",
          "blk.0.attn_v.weight", "blk.0.attn_output.weight", "blk.1.ffn_norm.weight", "blk.0.ffn_gate.weight",
          "blk.0.ffn_up.weight", "blk.1.ffn_down.weight"}) {
        std::string other = name;
        other.back() = 'T';
        expect_refused(REPRISE_MODEL_FORMAT, {name.c_str(), "missing"}, renamed(bytes, name, other));
    }
    ModelSpec qwen2 = tiny_spec("qwen2"), qwen3 = tiny_spec("qwen3");
    qwen2.qkv_bias = qwen3.qk_norm = false;
    expect_refused(REPRISE_MODEL_FORMAT, {"blk.0.attn_q.bias", "missing", "qwen2"}, model_with({}, qwen2));
    expect_refused(REPRISE_MODEL_FORMAT, {"blk.0.attn_q_norm.weight", "missing", "qwen3"}, model_with({}, qwen3));
}

TEST(Plan, RefusesTensorsOfAnotherShape) {
    const std::vector<uint8_t> bytes = model_with({});
    // Each as many elements as before: it is the plan that must notice.
    expect_refused(REPRISE_MODEL_FORMAT, {"blk.0.attn_q.weight", "128", "512"},
                   reshaped(bytes, "blk.0.attn_q.weight", 128, 512));
    expect_refused(REPRISE_MODEL_FORMAT, {"blk.1.ffn_up.weight"}, reshaped(bytes, "blk.1.ffn_up.weight", 512, 256));
    expect_refused(REPRISE_MODEL_FORMAT, {"blk.1.attn_v.weight"}, reshaped(bytes, "blk.1.attn_v.weight", 512, 64));
    expect_refused(REPRISE_MODEL_FORMAT, {"token_embd.weight"}, reshaped(bytes, "token_embd.weight", 131072, 1));
    expect_refused(REPRISE_MODEL_FORMAT, {"weight"}, model_with({{"llama.embedding_length", uint(128)}}));
    expect_refused(REPRISE_MODEL_FORMAT, {"ffn_gate.weight"}, model_with({{"llama.feed_forward_length", uint(256)}}));
    expect_refused(REPRISE_MODEL_FORMAT, {"attn_k.weight"}, model_with({{"llama.attention.head_count_kv", uint(4)}}));
}

TEST(Plan, RefusesTensorTypesByName) {
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"output_norm.weight", "F16", "F32"},
                   retyped_vector(model_with({}), "output_norm.weight", TensorType::F16));
    // 256 elements of Q1_0 (41) take fewer bytes than those of F32.
    std::vector<uint8_t> bytes = model_with({});
    const int32_t q1_0 = 41;
    std::memcpy(&bytes[after_name(bytes, "blk.0.attn_k.weight") + 4 + 16], &q1_0, 4);
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"blk.0.attn_k.weight", "Q1_0 (41)", "supported are F32", "Q4_K"}, bytes);
}

TEST(Plan, RefusesAbsurdHyperParameters) {
    const auto expect_format = [](const std::string& key, EncodedValue value) {
        expect_refused(REPRISE_MODEL_FORMAT, {key.c_str()}, model_with({{key, std::move(value)}}));
    };
    for (const char* key :
         {"block_count", "embedding_length", "context_length", "attention.head_count", "attention.head_count_kv",
          "feed_forward_length", "attention.key_length", "attention.value_length"}) {
        expect_format(std::string("llama.") + key, uint(0));
        expect_format(std::string("llama.") + key, uint(0xffffffff));
        expect_format(std::string("llama.") + key, EncodedValue::uint64(uint64_t{1} << 40));
        expect_format(std::string("llama.") + key, EncodedValue::int32(-5));
        expect_format(std::string("llama.") + key, text("many"));
    }
    for (const float value : {-1.0f, 2.0f, NAN}) expect_format("llama.attention.layer_norm_rms_epsilon", real(value));
    for (const float value : {0.0f, -1.0f, INFINITY, NAN}) expect_format("llama.rope.freq_base", real(value));
    expect_format("llama.rope.dimension_count", uint(0));
    expect_format("llama.rope.dimension_count", uint(63));
    expect_format("llama.rope.dimension_count", uint(66));
    for (const float value : {-1.0f, 1e-6f, INFINITY, NAN}) expect_format("llama.rope.scaling.factor", real(value));
    for (const char* key : {"llama.rope.scaling.attn_factor", "llama.attention.scale"}) {
        for (const float value : {-1.0f, INFINITY, NAN}) expect_format(key, real(value));
        expect_format(key, text("much"));
    }
    expect_format("llama.rope.scaling.attn_factor", real(0));
    expect_refused(REPRISE_MODEL_FORMAT, {"4 attention heads", "3 KV heads"},
                   model_with({{"llama.attention.head_count_kv", uint(3)}}));
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"head size 60", "llama.attention.key_length"},
                   model_with({{"llama.attention.key_length", uint(60)}}));
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"head size 512", "llama.attention.key_length"},
                   model_with({{"llama.attention.key_length", uint(512)}}));
    expect_refused(REPRISE_UNSUPPORTED_MODEL, {"64", "128"}, model_with({{"llama.attention.value_length", uint(128)}}));
    expect_refused(REPRISE_MODEL_FORMAT, {"vocabulary"},
                   model_with({{"tokenizer.ggml.tokens", EncodedValue::strings(std::vector<std::string>(511))}}));
}

}  // namespace
}  // namespace reprise
