// The session's rules on top of an engine that fails on demand: a computing engine rarely does.
#include <gtest/gtest.h>

#include <functional>

#include "session/sampler.h"
#include "session/session.h"
#include "support/expect_error.h"

namespace reprise {
namespace {

using test::expect_error;
using Ids = std::vector<int32_t>;

/// "Predicts" the last id plus one. Runs ahead, like a backend that launches steps before they are asked for.
struct FakeEngine : Engine {
    struct Control {
        bool fail_prefill = false, fail_begin = false;
        int fail_next_at = -1;  // the failing call of next() after begin()
        int no_token_at = -1;   // the call that finds none to draw
        bool fail_end = false;
        size_t n_ready = 0;  // tokens that are there without waiting
        std::vector<std::pair<uint32_t, Ids>> prefills;
    };
    explicit FakeEngine(Control& control) : control_(control) {}

    void prefill(std::span<const int32_t> ids, uint32_t position, const std::atomic<bool>&) override {
        if (control_.fail_prefill) fail(REPRISE_ENGINE_FAILED, "prefill failed");
        control_.prefills.emplace_back(position, Ids(ids.begin(), ids.end()));
        last_ = ids.back();
    }
    void read_logits(float* logits) override { logits[0] = static_cast<float>(last_); }
    void begin(const GenerationStart& start) override {
        if (control_.fail_begin) fail(REPRISE_OUT_OF_MEMORY, "begin failed");
        EXPECT_EQ(start.history.back(), last_);
        n_evaluated_ = static_cast<uint32_t>(start.history.size());
        calls_ = 0;
    }
    reprise_token next(const std::atomic<bool>& cancel) override {
        if (cancel) fail(REPRISE_CANCELLED, "cancelled");
        if (calls_ == control_.fail_next_at) fail(REPRISE_ENGINE_FAILED, "next failed");
        if (calls_++ == control_.no_token_at) return {NO_TOKEN, 0};
        return {++last_, 0};
    }
    void top(std::span<reprise_token>) override {}
    bool ready() const override { return control_.n_ready > 0 && control_.n_ready-- > 0; }
    uint32_t end() override {
        if (control_.fail_end) fail(REPRISE_ENGINE_FAILED, "end failed");
        return n_evaluated_ + static_cast<uint32_t>(calls_) - (calls_ > 0 ? 1 : 0);
    }
    void score(std::span<const int32_t>, uint32_t, reprise_score_mode, float*, const std::atomic<bool>&) override {
        fail(REPRISE_ENGINE_FAILED, "score failed");
    }
    void statistics(reprise_statistics&) const override {}
    void read_kv(const KvPiece&, uint8_t*) override {}
    void write_kv(const KvPiece&, const uint8_t*) override {}
    void write_logits(const float* logits) override { last_ = static_cast<int32_t>(logits[0]); }
    void copy_from(Engine& other, uint32_t, bool) override { last_ = static_cast<FakeEngine&>(other).last_; }

    Control& control_;
    int32_t last_ = -1;
    uint32_t n_evaluated_ = 0;
    int calls_ = 0;
};

struct FakeModel : DeviceModel {
    explicit FakeModel(FakeEngine::Control& control) : control_(control) { plan_.hparams.n_vocab = 100; }
    const Plan& plan() const override { return plan_; }
    bool exact() const override { return false; }
    uint64_t fingerprint() override { return 0; }
    std::unique_ptr<Engine> open(const EngineOptions&) override { return std::make_unique<FakeEngine>(control_); }
    void describe(reprise_model_info&) const override {}
    reprise_token sample(std::span<const float>, const int32_t*, const HostInput&, const reprise_sampling&, uint32_t,
                         std::span<reprise_token>) override {
        return {};
    }

    FakeEngine::Control& control_;
    Plan plan_;
};

EngineOptions small_context() {
    EngineOptions options{};
    options.context_length = 32;
    options.kv_type = TensorType::F16;
    return options;
}

class SessionOnAFailingEngine : public ::testing::Test {
  protected:
    SessionOnAFailingEngine() : model_(std::make_shared<FakeModel>(control_)), session_(model_, small_context()) {
        reprise_sampling_default(&sampling_);
    }
    Ids history() const { return {session_.history().begin(), session_.history().end()}; }
    void generate(const Ids& ids, uint32_t max_tokens = 0) { session_.generate(ids, sampling_, max_tokens, {}); }
    Ids next(size_t room = 1) {
        std::vector<reprise_token> tokens(room);
        tokens.resize(session_.next(tokens, finish_));
        Ids ids;
        for (const reprise_token& token : tokens) ids.push_back(token.id);
        return ids;
    }

    FakeEngine::Control control_;
    std::shared_ptr<FakeModel> model_;
    Session session_;
    reprise_sampling sampling_;
    reprise_finish finish_ = REPRISE_FINISH_NONE;
};

TEST_F(SessionOnAFailingEngine, EvaluatesOnlyWhatIsNew) {
    session_.evaluate(Ids{1, 2, 3});
    generate({4});
    EXPECT_EQ(Ids{5}, next());
    EXPECT_EQ(Ids{6}, next());
    session_.evaluate(Ids{9});  // 6 was delivered but not evaluated
    const std::vector<std::pair<uint32_t, Ids>> expected = {{0, {1, 2, 3}}, {3, {4}}, {5, {6, 9}}};
    EXPECT_EQ(expected, control_.prefills);
}

TEST_F(SessionOnAFailingEngine, KeepsItsHistoryWhenPrefillFails) {
    session_.evaluate(Ids{1, 2});
    control_.fail_prefill = true;
    expect_error(REPRISE_ENGINE_FAILED, {"prefill"}, [&] { session_.evaluate(Ids{3}); });
    expect_error(REPRISE_ENGINE_FAILED, {"prefill"}, [&] { generate({3}); });
    EXPECT_EQ((Ids{1, 2}), history());
    expect_error(REPRISE_INVALID_ARGUMENT, {"generation"}, [&] { next(); });
    control_.fail_prefill = false;
    generate({3});
    EXPECT_EQ(Ids{4}, next());
    EXPECT_EQ(2u, control_.prefills.back().first);
}

TEST_F(SessionOnAFailingEngine, KeepsItsHistoryWhenTheSamplerCannotBeArmed) {
    session_.evaluate(Ids{1, 2});
    control_.fail_begin = true;
    expect_error(REPRISE_OUT_OF_MEMORY, {"begin"}, [&] { generate({3, 4}); });
    EXPECT_EQ((Ids{1, 2}), history());
    expect_error(REPRISE_INVALID_ARGUMENT, {"generation"}, [&] { next(); });
    control_.fail_begin = false;
    generate({});
    EXPECT_EQ(Ids{3}, next());
}

TEST_F(SessionOnAFailingEngine, ForgetsTokensThatAFailureKeptFromDelivery) {
    generate({1});
    EXPECT_EQ(Ids{2}, next());
    control_.n_ready = 5;
    control_.fail_next_at = 3;
    expect_error(REPRISE_ENGINE_FAILED, {"next"}, [&] { next(8); });
    EXPECT_EQ((Ids{1, 2}), history());
    EXPECT_EQ(1u, session_.statistics().generated_tokens);
    control_ = {};
    session_.evaluate(Ids{7});
    EXPECT_EQ(2u, control_.prefills.back().first);
    EXPECT_EQ((Ids{7}), control_.prefills.back().second);
}

TEST_F(SessionOnAFailingEngine, SaysSoWhereAGenerationCannotBeEnded) {
    const auto start = [&](uint32_t max_tokens) {
        control_.fail_end = false;
        session_.rewind(0);
        generate({1}, max_tokens);
        EXPECT_EQ(Ids{2}, next());
        control_.fail_end = true;
    };
    const std::pair<const char*, std::function<void()>> calls[] = {
        {"end", [&] { session_.end_generation(); }},
        {"rewind", [&] { session_.rewind(1); }},
        {"evaluate", [&] { session_.evaluate(Ids{5}); }},
        {"generate", [&] { generate({5}); }},
    };
    for (const auto& [name, call] : calls) {
        SCOPED_TRACE(name);
        start(10);
        expect_error(REPRISE_ENGINE_FAILED, {"end failed"}, call);
        EXPECT_EQ((Ids{1, 2}), history());
        expect_error(REPRISE_INVALID_ARGUMENT, {"generation"}, [&] { next(); });
    }
    // Its last token is not delivered, so it is not part of the history.
    start(2);
    expect_error(REPRISE_ENGINE_FAILED, {"end failed"}, [&] { next(); });
    EXPECT_EQ((Ids{1, 2}), history());
    // What the engine holds is of no use any more.
    control_ = {};
    session_.evaluate(Ids{7});
    const std::pair<uint32_t, Ids> expected = {0, {1, 2, 7}};
    EXPECT_EQ(expected, control_.prefills.back());
}

TEST_F(SessionOnAFailingEngine, KeepsTheErrorThatEndedAGeneration) {
    generate({1});
    EXPECT_EQ(Ids{2}, next());
    control_.fail_next_at = 1;
    control_.fail_end = true;
    expect_error(REPRISE_ENGINE_FAILED, {"next failed"}, [&] { next(); });
    EXPECT_EQ((Ids{1, 2}), history());
}

TEST_F(SessionOnAFailingEngine, DeliversTheTokensBeforeLogitsThatAreNoNumbers) {
    for (const size_t room : {1, 8}) {
        control_ = {};
        control_.no_token_at = 3;
        control_.n_ready = 5;
        generate({1}, 10);
        Ids delivered;
        while (delivered.size() < 3) {
            const Ids some = next(room);
            delivered.insert(delivered.end(), some.begin(), some.end());
            EXPECT_EQ(REPRISE_FINISH_NONE, finish_);
        }
        EXPECT_EQ((Ids{2, 3, 4}), delivered);
        expect_error(REPRISE_NAN_LOGITS, {"after 4 tokens", "damaged"}, [&] { next(room); });
        EXPECT_EQ((Ids{1, 2, 3, 4}), history());
        expect_error(REPRISE_INVALID_ARGUMENT, {"generation"}, [&] { next(); });
        control_ = {};
        generate({}, 2);
        EXPECT_EQ(Ids{5}, next());
        session_.rewind(0);
    }
    EXPECT_EQ(8u, session_.statistics().generated_tokens);
}

TEST_F(SessionOnAFailingEngine, KeepsItsHistoryWhenScoringFails) {
    session_.evaluate(Ids{1, 2});
    float row[100];
    expect_error(REPRISE_ENGINE_FAILED, {"score"}, [&] { session_.score(Ids{3}, REPRISE_SCORE_STEP, row); });
    EXPECT_EQ((Ids{1, 2}), history());
    EXPECT_EQ(1u, control_.prefills.size());  // there was nothing to evaluate before
    session_.logits(row, 100);
    EXPECT_EQ(2.0f, row[0]);
}

TEST_F(SessionOnAFailingEngine, DeliversWhatIsReadyInOneCall) {
    generate({1}, 10);
    control_.n_ready = 3;
    EXPECT_EQ((Ids{2, 3, 4, 5}), next(8));
    control_.n_ready = 8;
    EXPECT_EQ((Ids{6, 7}), next(2));
    EXPECT_EQ((Ids{8, 9, 10, 11}), next(8));
    EXPECT_EQ(REPRISE_FINISH_MAX_TOKENS, finish_);
}

TEST_F(SessionOnAFailingEngine, DeliversWhatCameBeforeACancel) {
    generate({1}, 10);
    EXPECT_EQ(Ids{2}, next());
    session_.cancel();
    EXPECT_EQ(Ids{}, next());
    EXPECT_EQ(REPRISE_FINISH_CANCELLED, finish_);
    EXPECT_EQ((Ids{1, 2}), history());
}

TEST_F(SessionOnAFailingEngine, IsCopiedWithWhatIsEvaluatedAndNoMore) {
    const auto prefills_of = [&](const Ids& more) {
        Session fork(session_, session_.position());
        control_.prefills.clear();
        fork.evaluate(more);
        return control_.prefills;
    };
    using Prefills = std::vector<std::pair<uint32_t, Ids>>;
    session_.evaluate(Ids{1, 2, 3});
    EXPECT_EQ((Prefills{{3, {9}}}), prefills_of({9}));
    EXPECT_EQ(Prefills{}, prefills_of({}));  // the logits are there
    generate({4});
    EXPECT_EQ((Prefills{{3, {4}}}), prefills_of({}));  // they may be gone
    EXPECT_EQ(Ids{5}, next());
    EXPECT_EQ(Ids{6}, next());
    EXPECT_EQ((Prefills{{5, {6, 9}}}), prefills_of({9}));
    EXPECT_EQ(Ids{7}, next());  // the generation goes on
    EXPECT_EQ((Prefills{{6, {7, 9}}}), prefills_of({9}));
}

TEST_F(SessionOnAFailingEngine, LetsGoOfTheModelWhenItIsClosed) {
    const std::weak_ptr<FakeModel> model = model_;
    model_.reset();
    EXPECT_FALSE(model.expired());
    session_.close();
    session_.close();
    EXPECT_TRUE(model.expired());
    expect_error(REPRISE_INVALID_HANDLE, {"closed"}, [&] { session_.enter(); });
}

}  // namespace
}  // namespace reprise
