// Real models speak as they should: along and into greedy continuations that float32 arithmetic gives.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "support/expected.h"
#include "support/test_data.h"

namespace reprise::test {
namespace {

constexpr char kStoryModel[] = REPRISE_STORY_MODEL;
constexpr char kStoryExpected[] = REPRISE_STORY_EXPECTED;

/// A wider margin than quantised activations, or another order of summation, may overturn.
constexpr float kFastMargin = 0.6f, kExactMargin = 0.02f;

size_t context_for(const std::vector<Continuation>& continuations) {
    size_t longest = 0;
    for (const auto& c : continuations) longest = std::max(longest, c.prompt_ids.size() + c.ids.size());
    return longest;
}

/// Feeds every continuation and compares the likeliest token at each position with the given one.
void expect_agreement_along(const LoadedModel& model, const std::vector<Continuation>& continuations,
                            reprise_score_mode mode, float margin, double least_agreement) {
    const OpenSession session = model.open(session_options(static_cast<int32_t>(context_for(continuations))));
    const auto n_vocab = static_cast<size_t>(model.info().n_vocab);
    size_t n = 0, n_agreeing = 0;
    float widest_flip = 0;
    for (const Continuation& c : continuations) {
        Ids ids = c.prompt_ids;
        ids.insert(ids.end(), c.ids.begin(), c.ids.end() - 1);
        session.rewind(0);
        const std::vector<float> logits = session.score(ids, mode);
        for (size_t i = 0; i < c.ids.size(); ++i, ++n) {
            if (argmax(&logits[(c.prompt_ids.size() - 1 + i) * n_vocab], n_vocab) == c.ids[i]) {
                ++n_agreeing;
            } else {
                widest_flip = std::max(widest_flip, c.margins[i]);
            }
        }
    }
    const double agreement = static_cast<double>(n_agreeing) / static_cast<double>(n);
    std::printf("argmax agrees at %zu of %zu positions (%.1f %%), widest flip at margin %.3f\n", n_agreeing, n,
                100 * agreement, widest_flip);
    EXPECT_GE(agreement, least_agreement);
    EXPECT_LE(widest_flip, margin);
}

void expect_stable_beginnings(const LoadedModel& model, const std::vector<Continuation>& continuations,
                              const reprise_session_options& options) {
    const OpenSession session = model.open(options);
    for (const Continuation& c : continuations) {
        if (c.stable == 0) continue;
        session.rewind(0);
        const Generated generated = session.generate(c.prompt_ids, static_cast<int32_t>(c.stable));
        EXPECT_EQ(Ids(c.ids.begin(), c.ids.begin() + static_cast<std::ptrdiff_t>(c.stable)), generated.ids) << c.prompt;
    }
}

struct RealModel {
    std::string path;
    std::vector<Continuation> continuations;
    double least_agreement;
};

void expect_speaks(const RealModel& real, reprise_device device) {
    const LoadedModel model(real.path, model_options(device));
    const auto n_context = static_cast<int32_t>(context_for(real.continuations));
    expect_agreement_along(model, real.continuations, REPRISE_SCORE_BATCH, kFastMargin, real.least_agreement);
    expect_stable_beginnings(model, real.continuations, session_options(n_context));
    if (device != REPRISE_DEVICE_CUDA) return;
    expect_agreement_along(model, real.continuations, REPRISE_SCORE_GRAPH, kFastMargin, real.least_agreement);
    reprise_session_options eager = session_options(n_context);
    eager.graph_mode = REPRISE_GRAPH_EAGER;
    expect_stable_beginnings(model, real.continuations, eager);
}

/// A flip at a margin under kExactMargin is a tie; every wider one counts.
void expect_exact_speaks(const RealModel& real, reprise_device device) {
    const LoadedModel model(real.path, model_options(device, true));
    expect_agreement_along(model, real.continuations, REPRISE_SCORE_BATCH, kExactMargin, 0.97);
}

class Story : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!std::filesystem::exists(kStoryModel)) GTEST_SKIP() << "no " << kStoryModel;
        real_ = {kStoryModel, read_continuations(kStoryExpected), 0.96};
    }
    RealModel real_;
};
using EveryIsaStory = Story;

TEST_F(EveryIsaStory, IsToldAsExpected) {
    NEEDS_ISA();
    expect_speaks(real_, REPRISE_DEVICE_CPU);
}

TEST_F(EveryIsaStory, IsToldStepByStepAsInBatches) {
    NEEDS_ISA();
    const LoadedModel model(real_.path, model_options(REPRISE_DEVICE_CPU));
    expect_agreement_along(model, real_.continuations, REPRISE_SCORE_STEP, kFastMargin, real_.least_agreement);
}

/// Rounding K and V to 8 bits may flip what quantised activations may.
void expect_speaks_from_eight_bits(const RealModel& real, reprise_device device) {
    reprise_session_options options = session_options(static_cast<int32_t>(context_for(real.continuations)));
    options.kv_type = REPRISE_KV_Q8_0;
    expect_stable_beginnings(LoadedModel(real.path, model_options(device)), real.continuations, options);
}

TEST_F(EveryIsaStory, IsToldFromAnEightBitCache) {
    NEEDS_ISA();
    expect_speaks_from_eight_bits(real_, REPRISE_DEVICE_CPU);
}

TEST_F(Story, IsToldFromAnEightBitCacheOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    expect_speaks_from_eight_bits(real_, REPRISE_DEVICE_CUDA);
}

TEST_F(Story, IsToldAsExpectedOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    expect_speaks(real_, REPRISE_DEVICE_CUDA);
}

TEST_F(Story, IsToldExactly) { expect_exact_speaks(real_, REPRISE_DEVICE_CPU); }

TEST_F(Story, IsToldExactlyOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    expect_exact_speaks(real_, REPRISE_DEVICE_CUDA);
}

RealModel smollm2(const std::string& folder) {
    return {folder + "/SmolLM2-135M-Instruct-Q4_1.gguf", read_continuations(folder + "/expected.json"), 0.97};
}

TEST(EveryIsaSmolLm2, ContinuesAsExpected) {
    NEEDS_ISA();
    TEST_DATA_OR_SKIP(folder, "models");
    expect_speaks(smollm2(folder), REPRISE_DEVICE_CPU);
}

TEST(SmolLm2, ContinuesAsExpectedOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "models");
    expect_speaks(smollm2(folder), REPRISE_DEVICE_CUDA);
}

TEST(SmolLm2, ContinuesExactly) {
    TEST_DATA_OR_SKIP(folder, "models");
    expect_exact_speaks(smollm2(folder), REPRISE_DEVICE_CPU);
}

TEST(SmolLm2, ContinuesExactlyOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "models");
    expect_exact_speaks(smollm2(folder), REPRISE_DEVICE_CUDA);
}

}  // namespace
}  // namespace reprise::test
