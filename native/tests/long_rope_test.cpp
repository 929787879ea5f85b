// Models with two RoPEs: the length of a session's context says which.
#include <gtest/gtest.h>

#include <optional>

#include "support/temp_dir.h"
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

constexpr uint32_t WIDTH = 64, HEADS = 2, HEAD_DIM = 32, N_FF = 96, VOCAB = 64, SHORT = 128;

std::vector<float> factors(float first, float step) {
    std::vector<float> result;
    for (uint32_t i = 0; i < HEAD_DIM / 2; ++i) result.push_back(first + step * static_cast<float>(i));
    return result;
}
const std::vector<float> SHORT_FACTORS = factors(1, 0.1f), LONG_FACTORS = factors(3, 0.5f);

/// phi3 of one layer, with tensors and keys added.
GgufWriter phi3() {
    GgufWriter writer;
    writer.set("general.architecture", EncodedValue::string("phi3"));
    const std::pair<const char*, uint32_t> numbers[] = {{"block_count", 1},
                                                        {"embedding_length", WIDTH},
                                                        {"context_length", 1024},
                                                        {"attention.head_count", HEADS},
                                                        {"feed_forward_length", N_FF}};
    for (const auto& [key, value] : numbers) writer.set(std::string("phi3.") + key, EncodedValue::uint32(value));
    writer.set("phi3.attention.layer_norm_rms_epsilon", EncodedValue::float32(1e-5f));
    uint64_t seed = 7;
    const auto add = [&](const char* name, uint64_t cols, uint64_t rows, bool is_norm = false) {
        std::vector<float> values(cols * rows, 1.0f);
        if (!is_norm) {
            const Ids noise = some_ids(values.size(), seed++, 2001);
            for (size_t i = 0; i < values.size(); ++i) values[i] = (static_cast<float>(noise[i]) - 1000) / 4000;
        }
        const uint64_t dims[] = {cols, rows};
        writer.add_tensor(name, TensorType::F32, std::span(dims, is_norm ? 1 : 2), values);
    };
    add("token_embd.weight", WIDTH, VOCAB);
    add("output_norm.weight", WIDTH, 1, true);
    add("blk.0.attn_norm.weight", WIDTH, 1, true);
    add("blk.0.attn_qkv.weight", WIDTH, 3 * WIDTH);
    add("blk.0.attn_output.weight", WIDTH, WIDTH);
    add("blk.0.ffn_norm.weight", WIDTH, 1, true);
    add("blk.0.ffn_up.weight", WIDTH, 2 * N_FF);
    add("blk.0.ffn_down.weight", N_FF, WIDTH);
    return writer;
}

void add_factors(GgufWriter& writer, const char* name, const std::vector<float>& values) {
    const uint64_t dims[] = {values.size()};
    writer.add_tensor(name, TensorType::F32, dims, values);
}

class LongRope : public ::testing::Test {
  protected:
    LongRope() {
        GgufWriter writer = phi3();
        writer.set("phi3.rope.scaling.type", EncodedValue::string("longrope"));
        writer.set("phi3.rope.scaling.original_context_length", EncodedValue::uint32(SHORT));
        add_factors(writer, "rope_factors_short.weight", SHORT_FACTORS);
        add_factors(writer, "rope_factors_long.weight", LONG_FACTORS);
        model_.emplace(dir_.write("both.gguf", writer.bytes()), model_options(REPRISE_DEVICE_CPU));
    }
    std::vector<float> with(const std::vector<float>& factors) const {
        GgufWriter writer = phi3();
        add_factors(writer, "rope_freqs.weight", factors);
        const LoadedModel model(dir_.write("one.gguf", writer.bytes()), model_options(REPRISE_DEVICE_CPU));
        return model.open(session_options(1024)).score(ids_, REPRISE_SCORE_BATCH);
    }
    TempDir dir_;
    const Ids ids_ = some_ids(40, 3, VOCAB);
    std::optional<LoadedModel> model_;
};

TEST_F(LongRope, IsChosenByTheContext) {
    const std::vector<float> in_short = with(SHORT_FACTORS), in_long = with(LONG_FACTORS);
    EXPECT_GT(max_abs_difference(in_short, in_long), 0.01f);
    EXPECT_EQ(in_short, model_->open(session_options(SHORT)).score(ids_, REPRISE_SCORE_BATCH));
    EXPECT_EQ(in_long, model_->open(session_options(SHORT + 1)).score(ids_, REPRISE_SCORE_BATCH));
}

TEST_F(LongRope, SessionsOfEitherKindShareNoKeys) {
    reprise_session_options options = session_options(SHORT);
    options.prefix_sharing = 1;
    const Ids ids = some_ids(100, 3, VOCAB);
    const OpenSession in_short = model_->open(options);
    in_short.evaluate(ids);
    options.context_length = 1024;
    const OpenSession in_long = model_->open(options);
    in_long.evaluate(ids);
    options.prefix_sharing = 0;
    const OpenSession alone = model_->open(options);
    alone.evaluate(ids);
    EXPECT_EQ(alone.logits(), in_long.logits());
}

TEST_F(LongRope, ASavedSessionKeepsItsKind) {
    const OpenSession session = model_->open(session_options(SHORT));
    session.evaluate(ids_);
    const std::string path = dir_.file("session");
    session.save(path);
    EXPECT_EQ(session.logits(), model_->restore(path).logits());
    reprise_handle restored = 0;
    const reprise_session_options options = session_options(1024);
    EXPECT_EQ(REPRISE_SESSION_MISMATCH,
              reprise_session_restore(model_->handle(), path.c_str(), 0, &options, &restored));
    EXPECT_NE(std::string::npos, last_error().find("of more than 128")) << last_error();
}

}  // namespace
}  // namespace reprise::test
