// Generations whose tokens the host has a say in: constraints, DRY; and what comes with a token: its alternatives.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <thread>

#include "api/session_object.h"
#include "core/error.h"
#include "session/session.h"
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

constexpr int32_t kEnd = 500;

/// What a constraint of a test has seen.
struct Seen {
    Ids accepted;
    size_t n_masks = 0;
};

/// Tokens whose id has the parity of their place in the text, n of them, then kEnd alone.
class Alternating : public Constraint {
  public:
    Alternating(size_t n, std::shared_ptr<Seen> seen) : n_(n), seen_(std::move(seen)) {}
    /// Is called before the mask of every place; may throw.
    std::function<void(size_t place)> before_mask = [](size_t) {};
    /// From this place on nothing is allowed.
    size_t dead_end = SIZE_MAX;

    static bool allows(size_t place, size_t n, int32_t id) {
        return place < n ? id < kEnd && id % 2 == static_cast<int32_t>(place % 2) : id == kEnd;
    }
    void mask(std::span<uint32_t> mask) override {
        ++seen_->n_masks;
        before_mask(place_);
        std::ranges::fill(mask, 0u);
        for (int32_t id = 0; id < 512 && place_ < dead_end; ++id)
            if (allows(place_, n_, id)) mask[static_cast<size_t>(id) / 32] |= 1u << id % 32;
    }
    void accept(int32_t token) override {
        if (!allows(place_, n_, token)) fail(REPRISE_INTERNAL, "token %d at place %zu is not allowed", token, place_);
        seen_->accepted.push_back(token);
        ++place_;
    }
    bool complete() const override { return place_ >= n_; }
    std::unique_ptr<Constraint> clone() const override { return std::make_unique<Alternating>(*this); }

  private:
    const size_t n_;
    size_t place_ = 0;
    std::shared_ptr<Seen> seen_;
};

std::vector<uint32_t> mask_at(size_t place, size_t n) {
    std::vector<uint32_t> mask(16);
    for (int32_t id = 0; id < 512; ++id)
        if (Alternating::allows(place, n, id)) mask[static_cast<size_t>(id) / 32] |= 1u << id % 32;
    return mask;
}

/// As reprise_session_generate(), with a constraint that no handle stands for.
void start(const OpenSession& session, const Ids& ids, uint32_t max_tokens, std::unique_ptr<Constraint> constraint,
           const reprise_sampling& sampling = greedy(), const Ids& end_ids = {kEnd}) {
    const auto inner = session_of(session.handle());
    const auto lock = inner->session.enter();
    inner->session.generate(ids, sampling, max_tokens, end_ids, std::move(constraint));
}

int32_t complete(const OpenSession& session) {
    int32_t complete = -1;
    ok(reprise_session_complete(session.handle(), &complete));
    return complete;
}

reprise_sampling warm() {
    reprise_sampling sampling = greedy();
    sampling.temperature = 1.5f;
    sampling.seed = 7;
    return sampling;
}

class SessionConstraint : public SessionTest {
  protected:
    std::shared_ptr<Seen> seen_ = std::make_shared<Seen>();
    std::unique_ptr<Alternating> alternating(size_t n) const { return std::make_unique<Alternating>(n, seen_); }
};
class SessionSampling : public SessionTest {};
ON_EVERY_BACKEND(SessionConstraint);
ON_EVERY_BACKEND(SessionSampling);

TEST_P(SessionConstraint, EveryTokenIsTheOneDrawnUnderItsMask) {
    const LoadedModel model = load_tiny();
    reprise_sampling greedily = greedy(), limited = warm(), all = warm();
    limited.top_k = 40;
    limited.top_p = 0.95f;
    limited.min_p = 0.05f;
    all.top_k = 200;
    all.repeat_penalty = 1.2f;
    all.xtc_probability = 0.5f;
    all.xtc_threshold = 0.02f;
    all.dry_multiplier = 1;
    all.dry_allowed_length = 1;
    all.logprobs = 1;
    const reprise_logit_bias bias[] = {{3, 2.0f}, {4, -INFINITY}, {7, -1.0f}};
    all.logit_bias = bias;
    all.n_logit_bias = 3;
    for (const reprise_sampling& sampling : {greedily, warm(), limited, all}) {
        const OpenSession session = open(model), check = open(model);
        Ids history = some_ids(30);
        start(session, history, 60, alternating(40), sampling);
        const Generated generated = session.take();
        EXPECT_EQ(REPRISE_FINISH_END, generated.finish);
        ASSERT_EQ(41u, generated.ids.size());
        EXPECT_EQ(kEnd, generated.ids.back());

        check.evaluate(history);
        std::vector<float> logits = check.logits();
        for (size_t i = 0; i < generated.ids.size(); ++i) {
            reprise_token token;
            ok(reprise_sample(model.handle(), logits.data(), logits.size(), history.data(), history.size(),
                              mask_at(i, 40).data(), &sampling, static_cast<int32_t>(history.size()), &token, nullptr));
            ASSERT_EQ(token.id, generated.ids[i]) << "token " << i;
            if (sampling.logprobs != 0) {
                ASSERT_NEAR(token.logprob, generated.logprobs[i], 1e-5) << "token " << i;
            }
            history.push_back(token.id);
            logits = check.score({token.id}, REPRISE_SCORE_STEP);
        }
        EXPECT_EQ(history, session.history());
        EXPECT_EQ(Ids(history.begin() + 30, history.end() - 1), seen_->accepted);  // the end token is not its matter
        EXPECT_EQ(41u, seen_->n_masks);
        *seen_ = {};
    }
}

TEST_P(SessionConstraint, SaysWhetherTheTextIsComplete) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model, 64);
    EXPECT_EQ(1, complete(session));
    start(session, {1, 2, 3}, 100, alternating(10));
    EXPECT_EQ(0, complete(session));
    EXPECT_EQ(REPRISE_FINISH_END, session.take().finish);
    EXPECT_EQ(1, complete(session));
    start(session, {1}, 9, alternating(10));
    EXPECT_EQ(REPRISE_FINISH_MAX_TOKENS, session.take().finish);
    EXPECT_EQ(0, complete(session));
    start(session, {1}, 10, alternating(10));
    EXPECT_EQ(REPRISE_FINISH_MAX_TOKENS, session.take().finish);
    EXPECT_EQ(1, complete(session));
    session.rewind(0);
    start(session, {1, 2, 3, 4}, 0, alternating(100));
    const Generated filled = session.take();
    EXPECT_EQ(REPRISE_FINISH_CONTEXT_FULL, filled.finish);
    EXPECT_EQ(60u, filled.ids.size());
    EXPECT_EQ(0, complete(session));
    start(session, {}, 5, alternating(0));  // into a full context
    EXPECT_EQ(REPRISE_FINISH_CONTEXT_FULL, session.take().finish);
    EXPECT_EQ(1, complete(session));
    session.rewind(3);
    session.generate({}, 5);
    EXPECT_EQ(1, complete(session));
}

TEST_P(SessionConstraint, FollowsTheDeliveredTokensAndNoOthers) {
    const LoadedModel model = load_precise();
    const OpenSession session = open(model), other = open(model);
    const Ids prompt = some_ids(10);
    start(session, prompt, 50, alternating(30), warm());
    Ids delivered;
    for (int i = 0; i < 12; ++i) {
        reprise_token tokens[8];
        size_t n = 0;
        int32_t finish = -1;
        ok(reprise_session_next(session.handle(), tokens, 8, &n, &finish));
        ASSERT_EQ(1u, n);
        delivered.push_back(tokens[0].id);
        ASSERT_EQ(delivered, seen_->accepted);
    }
    session.rewind(15);  // ends it
    EXPECT_EQ(delivered, seen_->accepted);
    EXPECT_EQ(joined({prompt, Ids(delivered.begin(), delivered.begin() + 5)}), session.history());

    // What was launched ahead leaves nothing behind: a new generation is as in a fresh session.
    *seen_ = {};
    start(other, joined({session.history(), {5}}), 50, alternating(20));
    start(session, {5}, 50, alternating(20));
    EXPECT_EQ(other.take().ids, session.take().ids);
    session.rewind(0);
    other.rewind(0);
    EXPECT_EQ(other.generate(prompt, 30, warm()).ids, session.generate(prompt, 30, warm()).ids);
}

TEST_P(SessionConstraint, ACancelEndsItBetweenTwoTokens) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    auto constraint = alternating(200);
    constraint->before_mask = [&](size_t place) {
        if (place == 7) reprise_session_cancel(session.handle());
    };
    start(session, {1, 2, 3}, 0, std::move(constraint));
    const Generated generated = session.take();
    EXPECT_EQ(REPRISE_FINISH_CANCELLED, generated.finish);
    EXPECT_EQ(generated.ids, seen_->accepted);
    EXPECT_EQ(joined({{1, 2, 3}, generated.ids}), session.history());
    EXPECT_EQ(0, complete(session));
    session.rewind(0);
    const OpenSession other = open(model);
    EXPECT_EQ(other.generate({4, 5}, 20).ids, session.generate({4, 5}, 20).ids);
}

TEST_P(SessionConstraint, AMaskThatIsLateChangesNothing) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), other = open(model);
    auto late = alternating(60);
    late->before_mask = [](size_t place) {
        if (place % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(place % 7));
    };
    start(session, {1, 2, 3}, 100, std::move(late), warm());
    start(other, {1, 2, 3}, 100, alternating(60), warm());
    EXPECT_EQ(other.take().ids, session.take().ids);
}

TEST_P(SessionConstraint, ADeadEndIsSaidWhenTheTokensBeforeItAreDelivered) {
    const LoadedModel model = load_precise();
    const OpenSession session = open(model);
    const auto expect_end_after_4 = [&](reprise_status status, const char* part, const reprise_sampling& sampling,
                                        std::unique_ptr<Constraint> constraint) {
        session.rewind(0);
        start(session, {1, 2}, 50, std::move(constraint), sampling);
        EXPECT_EQ(4u, session.take(4).ids.size());
        reprise_token token;
        size_t n;
        int32_t finish;
        expect_status(status, reprise_session_next(session.handle(), &token, 1, &n, &finish), {part});
        EXPECT_EQ(6, session.position());
        expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_next(session.handle(), &token, 1, &n, &finish),
                      {"no generation"});
    };
    auto dead = alternating(20);
    dead->dead_end = 4;
    expect_end_after_4(REPRISE_INVALID_ARGUMENT, "after 4 generated tokens no token of the vocabulary", greedy(),
                       std::move(dead));
    auto failing = alternating(20);
    failing->before_mask = [](size_t place) {
        if (place == 4) fail(REPRISE_OUT_OF_MEMORY, "the grammar ran out of fuel");
    };
    expect_end_after_4(REPRISE_OUT_OF_MEMORY, "fuel", warm(), std::move(failing));
    const reprise_logit_bias ban = {kEnd, -INFINITY};
    reprise_sampling banned = greedy();
    banned.logit_bias = &ban;
    banned.n_logit_bias = 1;
    expect_end_after_4(REPRISE_INVALID_ARGUMENT, "logit_bias bans every token", banned, alternating(4));

    // At the first place of all: the generation does not begin.
    auto dead_at_once = alternating(20);
    dead_at_once->dead_end = 0;
    EXPECT_THROW(start(session, {1, 2}, 50, std::move(dead_at_once)), Error);
    EXPECT_EQ(6, session.position());
    const OpenSession other = open(model);
    EXPECT_EQ(other.generate(joined({session.history(), {9}}), 20).ids, session.generate({9}, 20).ids);
}

TEST_P(SessionConstraint, TakesTurnsWithFreeGenerations) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), free_one = open(model), constrained_one = open(model);
    for (int turn = 0; turn < 3; ++turn) {
        session.rewind(0);
        free_one.rewind(0);
        constrained_one.rewind(0);
        EXPECT_EQ(free_one.generate(some_ids(20), 15, warm()).ids, session.generate(some_ids(20), 15, warm()).ids);
        session.rewind(0);
        start(session, some_ids(20), 15, alternating(30), warm());
        start(constrained_one, some_ids(20), 15, alternating(30), warm());
        EXPECT_EQ(constrained_one.take().ids, session.take().ids);
    }
    const reprise_statistics s = constrained_one.statistics();
    EXPECT_EQ(45u, s.generated_tokens);
    EXPECT_EQ(3u, s.tokens_from_prefill);
    EXPECT_EQ(42u, s.eager_steps + s.graph_replays);
    EXPECT_EQ(0u, s.discarded_steps);
    EXPECT_EQ(0u, s.capture_failures);
    if (GetParam().device == REPRISE_DEVICE_CUDA) {
        EXPECT_EQ(GetParam().graph_mode == REPRISE_GRAPH_EAGER ? 42u : 1u, s.eager_steps);
        EXPECT_EQ(free_one.statistics().kernels_per_token, s.kernels_per_token);
    }
}

TEST_P(SessionConstraint, HandlesThatAreNoneAreRefused) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    const int32_t id = 1;
    reprise_sampling sampling = greedy();
    for (const reprise_handle bad : {model.handle(), session.handle(), reprise_handle{12345}}) {
        sampling.constraint = bad;
        expect_status(REPRISE_INVALID_HANDLE,
                      reprise_session_generate(session.handle(), &id, 1, &sampling, 1, nullptr, 0));
        EXPECT_EQ(0, session.position());
    }
}

TEST_P(SessionSampling, DryLooksAtTheWholeHistory) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), check = open(model);
    reprise_sampling sampling = greedy();
    sampling.dry_multiplier = 3;
    sampling.dry_base = 2;
    const int32_t breaker = 9;
    sampling.dry_breakers = &breaker;
    sampling.n_dry_breakers = 1;
    Ids history = joined({some_ids(12), some_ids(12), some_ids(5)});
    const Ids generated = session.generate(history, 60, sampling).ids;
    EXPECT_NE(open(model).generate(history, 60).ids, generated);
    check.evaluate(history);
    std::vector<float> logits = check.logits();
    for (const int32_t id : generated) {
        reprise_token token;
        ok(reprise_sample(model.handle(), logits.data(), logits.size(), history.data(), history.size(), nullptr,
                          &sampling, static_cast<int32_t>(history.size()), &token, nullptr));
        ASSERT_EQ(token.id, id) << history.size();
        history.push_back(id);
        logits = check.score({id}, REPRISE_SCORE_STEP);
    }
}

TEST_P(SessionSampling, TokensComeWithTheirAlternatives) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), check = open(model);
    reprise_sampling sampling = warm();
    sampling.n_top_logprobs = 3;
    const Ids prompt = some_ids(20);
    session.start(prompt, 30, sampling);
    check.evaluate(prompt);
    std::vector<float> logits = check.logits();
    int32_t finish = REPRISE_FINISH_NONE;
    size_t total = 0;
    while (finish == REPRISE_FINISH_NONE) {
        reprise_token tokens[4], top[16];
        size_t n = 0, n_top = 0;
        ok(reprise_session_next(session.handle(), tokens, 4, &n, &finish));
        ok(reprise_session_top(session.handle(), top, 16, &n_top));
        ASSERT_EQ(3 * n, n_top);
        for (size_t i = 0; i < n; ++i, ++total) {
            EXPECT_FALSE(std::isnan(tokens[i].logprob));
            double sum = 0;
            for (const float l : logits) sum += std::exp(static_cast<double>(l));
            std::vector<int32_t> ids(512);
            for (int32_t id = 0; id < 512; ++id) ids[static_cast<size_t>(id)] = id;
            std::ranges::stable_sort(ids, std::greater<>(),
                                     [&](int32_t id) { return logits[static_cast<size_t>(id)]; });
            for (size_t j = 0; j < 3; ++j) {
                const reprise_token& alternative = top[3 * i + j];
                ASSERT_EQ(ids[j], alternative.id) << "token " << total << ", alternative " << j;
                ASSERT_NEAR(logits[static_cast<size_t>(ids[j])] - std::log(sum), alternative.logprob, 1e-4);
                if (alternative.id == tokens[i].id) {
                    EXPECT_EQ(tokens[i].logprob, alternative.logprob);
                }
            }
            logits = check.score({tokens[i].id}, REPRISE_SCORE_STEP);
        }
    }
    EXPECT_EQ(30u, total);
    // With the same seed the same tokens come without them, and then there are none.
    session.rewind(0);
    sampling.n_top_logprobs = 0;
    const Ids history = check.history();
    EXPECT_EQ(Ids(history.begin() + 20, history.end()), session.generate(prompt, 30, sampling).ids);
    size_t count = 9;
    ok(reprise_session_top(session.handle(), nullptr, 0, &count));
    EXPECT_EQ(0u, count);
}

TEST_P(SessionSampling, RefusesOptionsByName) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    const auto refused = [&](std::initializer_list<const char*> parts, auto change) {
        reprise_sampling sampling = greedy();
        change(sampling);
        const int32_t id = 1;
        expect_status(REPRISE_INVALID_ARGUMENT,
                      reprise_session_generate(session.handle(), &id, 1, &sampling, 1, nullptr, 0), parts);
        EXPECT_EQ(0, session.position());
    };
    const auto each = [&](const char* field, auto reprise_sampling::* member, auto... values) {
        (refused({field}, [&](reprise_sampling& s) { s.*member = values; }), ...);
    };
    each("n_top_logprobs", &reprise_sampling::n_top_logprobs, -1, 21);
    each("xtc_probability", &reprise_sampling::xtc_probability, -0.1f, 1.1f, NAN);
    each("xtc_threshold", &reprise_sampling::xtc_threshold, 0.0f, 1.1f, NAN);
    each("dry_multiplier", &reprise_sampling::dry_multiplier, -1.0f, 1001.0f, NAN);
    each("dry_base", &reprise_sampling::dry_base, 0.9f, 1001.0f, NAN);
    each("dry_allowed_length", &reprise_sampling::dry_allowed_length, 0, -3);
    each("dry_last_n", &reprise_sampling::dry_last_n, -2);
    each("dry_breakers", &reprise_sampling::n_dry_breakers, 1);
    each("logit_bias", &reprise_sampling::n_logit_bias, 1);
    for (const int32_t id : {-1, 512, INT32_MAX}) {
        const reprise_logit_bias bias = {id, 1};
        refused({"logit_bias", "512"}, [&](reprise_sampling& s) { s.logit_bias = &bias, s.n_logit_bias = 1; });
        refused({"dry_breakers", "512"}, [&](reprise_sampling& s) { s.dry_breakers = &id, s.n_dry_breakers = 1; });
    }
    for (const float value : {NAN, INFINITY}) {
        const reprise_logit_bias bias = {7, value};
        refused({"logit_bias", "id 7"}, [&](reprise_sampling& s) { s.logit_bias = &bias, s.n_logit_bias = 1; });
    }
    const reprise_logit_bias twice[] = {{7, 1}, {8, 1}, {7, 1}};
    refused({"logit_bias", "id 7", "once"}, [&](reprise_sampling& s) { s.logit_bias = twice, s.n_logit_bias = 3; });
    std::vector<reprise_logit_bias> all;
    for (int32_t id = 0; id < 512; ++id) all.push_back({id, -INFINITY});
    refused({"logit_bias", "bans all 512"},
            [&](reprise_sampling& s) { s.logit_bias = all.data(), s.n_logit_bias = all.size(); });
}

}  // namespace
}  // namespace reprise::test
