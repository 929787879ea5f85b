// What a session promises in reprise.h, on tiny random models: history, generation, limits.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "gguf/gguf.h"
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

class SessionHistory : public SessionTest {};
class SessionGeneration : public SessionTest {};
class SessionLimits : public SessionTest {};
ON_EVERY_BACKEND(SessionHistory);
ON_EVERY_BACKEND(SessionGeneration);
ON_EVERY_BACKEND(SessionLimits);

// ---- history ----

TEST_P(SessionHistory, StartsEmptyAndHoldsWhatWasEvaluated) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    EXPECT_EQ(0, session.position());
    EXPECT_EQ(Ids{}, session.history());
    const Ids ids = some_ids(40);
    session.evaluate({ids[0]});
    session.evaluate({});
    session.evaluate(Ids(ids.begin() + 1, ids.end()));
    EXPECT_EQ(40, session.position());
    EXPECT_EQ(ids, session.history());
}

TEST_P(SessionHistory, IsCopiedUpToTheGivenRoom) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    session.evaluate({7, 8, 9});
    Ids room = {-1, -1, -1, -1};
    size_t count = 0;
    ok(reprise_session_history(session.handle(), room.data(), 2, &count));
    EXPECT_EQ(3u, count);
    EXPECT_EQ((Ids{7, 8, -1, -1}), room);
    ok(reprise_session_history(session.handle(), room.data(), room.size(), &count));
    EXPECT_EQ((Ids{7, 8, 9, -1}), room);
}

TEST_P(SessionHistory, HoldsPromptsAndDeliveredTokens) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    const Ids prompt = some_ids(5);
    session.start(prompt, 20);
    const Generated first = session.take(7);
    ASSERT_EQ(7u, first.ids.size());
    EXPECT_EQ(joined({prompt, first.ids}), session.history());
    ok(reprise_session_end(session.handle()));
    EXPECT_EQ(joined({prompt, first.ids}), session.history());
    ok(reprise_session_end(session.handle()));  // nothing to end
}

TEST_P(SessionHistory, LogitsDoNotDependOnHowItWasFed) {
    ModelSpec spec = tiny_spec("qwen2");
    const LoadedModel model = load(spec, uniform_types(TensorType::F32));
    reprise_session_options options = session_options(0, 16);
    options.kv_type = REPRISE_KV_F32;
    options.graph_mode = GetParam().graph_mode;
    const OpenSession whole = model.open(options), pieces = model.open(options);
    const Ids a = some_ids(19, 1), b = some_ids(23, 2);
    const Generated generated = pieces.generate(a, 6);
    pieces.evaluate(b);
    whole.evaluate(joined({a, generated.ids, b}));
    EXPECT_EQ(whole.history(), pieces.history());
    EXPECT_LE(max_abs_difference(whole.logits(), pieces.logits()), 1e-3f);
    EXPECT_EQ(pieces.logits(), pieces.logits());
}

TEST_P(SessionHistory, ScoringWithoutLogitsGoesOnAsWithThem) {
    const LoadedModel model = load_tiny();
    const OpenSession with = open(model), without = open(model);
    for (const reprise_score_mode mode : {REPRISE_SCORE_BATCH, REPRISE_SCORE_STEP}) {
        const Ids ids = some_ids(5);
        with.score(ids, mode);
        EXPECT_EQ(REPRISE_OK, reprise_session_score(without.handle(), ids.data(), ids.size(), mode, nullptr))
            << last_error();
        EXPECT_EQ(with.position(), without.position());
    }
    EXPECT_EQ(with.generate({}, 5).ids, without.generate({}, 5).ids);
}

TEST_P(SessionHistory, LogitsAreThereAfterEveryKindOfCall) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    const Ids prompt = some_ids(16);
    session.evaluate(prompt);
    const std::vector<float> logits = session.logits();
    session.generate({}, 5);
    session.rewind(16);
    EXPECT_LE(max_abs_difference(logits, session.logits()), 0.2f);
    session.score(some_ids(3), REPRISE_SCORE_STEP);
    session.rewind(0);
    session.evaluate(prompt);
    EXPECT_EQ(logits, session.logits());
    session.start({}, 5);
    session.take(2);
    const std::vector<float> during = session.logits();  // ends the generation
    EXPECT_EQ(18, session.position());
    EXPECT_NE(logits, during);
}

TEST_P(SessionHistory, RewoundSessionsAreAsFreshOnes) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), fresh = open(model);
    const Ids a = some_ids(32, 1), b = some_ids(16, 2), other = some_ids(50, 3);
    fresh.evaluate(a);
    const Generated expected = fresh.generate(b, 40);

    session.evaluate(other);
    session.generate(some_ids(3), 30);
    session.rewind(0);
    EXPECT_EQ(0, session.position());
    session.evaluate(a);
    EXPECT_EQ(expected.ids, session.generate(b, 40).ids);

    session.rewind(32);
    EXPECT_EQ(a, session.history());
    EXPECT_EQ(expected.ids, session.generate(b, 40).ids);
    EXPECT_EQ(fresh.history(), session.history());
    session.rewind(session.position());
    EXPECT_EQ(fresh.history(), session.history());
}

TEST_P(SessionHistory, RewindsOnlyBackwards) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    session.evaluate({1, 2, 3});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_rewind(session.handle(), 4), {"4", "3"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_rewind(session.handle(), -1), {"-1"});
    EXPECT_EQ((Ids{1, 2, 3}), session.history());
}

TEST_P(SessionHistory, IsAsBeforeAfterAnError) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model, 64), fresh = open(model, 64);
    const Ids prompt = some_ids(20);
    session.evaluate(prompt);
    const std::vector<float> logits = session.logits();
    for (const int32_t bad : {-1, 512, INT32_MAX, INT32_MIN}) {
        const Ids ids = {3, bad, 4};
        expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_evaluate(session.handle(), ids.data(), 3),
                      {"index 1", "512"});
        expect_status(REPRISE_INVALID_ARGUMENT,
                      reprise_session_generate(session.handle(), ids.data(), 3, nullptr, 0, nullptr, 0), {"index 1"});
        std::vector<float> rows(3 * 512);
        expect_status(REPRISE_INVALID_ARGUMENT,
                      reprise_session_score(session.handle(), ids.data(), 3, REPRISE_SCORE_BATCH, rows.data()),
                      {"index 1"});
    }
    const Ids many = some_ids(45);
    expect_status(REPRISE_CONTEXT_OVERFLOW, reprise_session_evaluate(session.handle(), many.data(), many.size()),
                  {"45", "20", "64"});
    expect_status(REPRISE_CONTEXT_OVERFLOW,
                  reprise_session_generate(session.handle(), many.data(), many.size(), nullptr, 0, nullptr, 0), {"45"});
    EXPECT_EQ(prompt, session.history());
    EXPECT_EQ(logits, session.logits());
    EXPECT_EQ(fresh.generate(prompt, 10).ids, session.generate({}, 10).ids);
}

// ---- generation ----

TEST_P(SessionGeneration, ContinuesAPromptOfOneToken) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), same = open(model);
    const Generated generated = session.generate({5}, 12);
    EXPECT_EQ(12u, generated.ids.size());
    EXPECT_EQ(REPRISE_FINISH_MAX_TOKENS, generated.finish);
    for (const int32_t id : generated.ids) EXPECT_TRUE(id >= 0 && id < 512) << id;
    EXPECT_EQ(generated.ids, same.generate({5}, 12).ids);
}

TEST_P(SessionGeneration, DrawsWhatTheSamplerDrawsFromTheLogits) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), check = open(model);
    reprise_sampling sampling = greedy();
    sampling.temperature = 0.9f;
    sampling.top_k = 40;
    sampling.top_p = 0.95f;
    sampling.min_p = 0.01f;
    sampling.repeat_penalty = 1.3f;
    sampling.presence_penalty = 0.2f;
    sampling.frequency_penalty = 0.1f;
    sampling.logprobs = 1;
    sampling.seed = 42;
    Ids history = some_ids(30);
    const Generated generated = session.generate(history, 40, sampling);

    check.evaluate(history);
    std::vector<float> logits = check.logits();
    for (size_t i = 0; i < generated.ids.size(); ++i) {
        reprise_token token;
        ok(reprise_sample(model.handle(), logits.data(), logits.size(), history.data(), history.size(), nullptr,
                          &sampling, static_cast<int32_t>(history.size()), &token, nullptr));
        ASSERT_EQ(token.id, generated.ids[i]) << "token " << i;
        ASSERT_NEAR(token.logprob, generated.logprobs[i], 1e-5) << "token " << i;
        double sum = 0;
        for (const float l : logits) sum += std::exp(static_cast<double>(l));
        ASSERT_NEAR(logits[static_cast<size_t>(token.id)] - std::log(sum), token.logprob, 1e-4);
        history.push_back(token.id);
        logits = check.score({token.id}, REPRISE_SCORE_STEP);
    }
}

TEST_P(SessionGeneration, GivesLogProbabilitiesOnlyWhereAsked) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    for (const float logprob : session.generate({1, 2}, 4).logprobs) EXPECT_TRUE(std::isnan(logprob));
    reprise_sampling sampling = greedy();
    sampling.logprobs = 1;
    for (const float logprob : session.generate({3}, 4, sampling).logprobs) EXPECT_LT(logprob, 0.0f);
}

TEST_P(SessionGeneration, DrawsDependOnTheSeedAlone) {
    const LoadedModel model = load_tiny();
    reprise_sampling sampling = greedy();
    sampling.temperature = 1.5f;
    const auto drawn = [&](uint64_t seed) {
        sampling.seed = seed;
        return open(model).generate({9, 8, 7}, 30, sampling).ids;
    };
    EXPECT_EQ(drawn(1), drawn(1));
    EXPECT_NE(drawn(1), drawn(2));
    EXPECT_NE(drawn(1), drawn(uint64_t{1} << 32 | 1));
}

TEST_P(SessionGeneration, EndsAtAnEndTokenWhichIsDelivered) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    const Ids prompt = some_ids(9);
    reprise_sampling sampling = greedy();
    sampling.temperature = 1.2f;
    const Ids free_running = session.generate(prompt, 30, sampling).ids;
    const int32_t end = free_running[11];
    const auto first = static_cast<size_t>(std::ranges::find(free_running, end) - free_running.begin());

    session.rewind(0);
    const Generated generated = session.generate(prompt, 30, sampling, {511, end, 510});
    EXPECT_EQ(REPRISE_FINISH_END, generated.finish);
    EXPECT_EQ(Ids(free_running.begin(), free_running.begin() + static_cast<std::ptrdiff_t>(first) + 1), generated.ids);
    EXPECT_EQ(joined({prompt, generated.ids}), session.history());
    reprise_token token;
    size_t n;
    int32_t finish;
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_next(session.handle(), &token, 1, &n, &finish),
                  {"generation"});
}

TEST_P(SessionGeneration, ASecondOneContinues) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), same = open(model);
    const Ids a = some_ids(10, 1), b = some_ids(20, 2);
    const Generated first = session.generate(a, 8);
    const Generated second = session.generate(b, 8);
    const Generated third = session.generate({}, 8);
    EXPECT_EQ(joined({a, first.ids, b, second.ids, third.ids}), session.history());
    EXPECT_EQ(first.ids, same.generate(a, 8).ids);
    EXPECT_EQ(second.ids, same.generate(b, 8).ids);
    EXPECT_EQ(third.ids, same.generate({}, 8).ids);
}

TEST_P(SessionGeneration, LeftEarlyLeavesTheSessionUsable) {
    const LoadedModel model = load_precise();
    const OpenSession session = open(model), same = open(model);
    const Ids a = some_ids(10, 1), b = some_ids(6, 2);
    session.start(a);  // as much as the context holds
    const Generated left = session.take(9);
    const Generated second = session.generate(b, 20);
    EXPECT_EQ(left.ids, same.generate(a, 9).ids);
    EXPECT_EQ(second.ids, same.generate(b, 20).ids);
    EXPECT_EQ(same.history(), session.history());
}

TEST_P(SessionGeneration, StartedAnewTakesItsOwnSampling) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), same = open(model);
    reprise_sampling warm = greedy();
    warm.temperature = 1.0f;
    warm.repeat_penalty = 1.2f;
    session.generate({4, 4, 4}, 10, warm);
    session.rewind(0);
    EXPECT_EQ(same.generate({4, 4, 4}, 10).ids, session.generate({4, 4, 4}, 10).ids);
    session.rewind(0);
    same.rewind(0);
    EXPECT_EQ(same.generate({4, 4, 4}, 10, warm).ids, session.generate({4, 4, 4}, 10, warm).ids);
}

TEST_P(SessionGeneration, NeedsSomethingToContinue) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    expect_status(REPRISE_INVALID_ARGUMENT,
                  reprise_session_generate(session.handle(), nullptr, 0, nullptr, 0, nullptr, 0), {"empty"});
    std::vector<float> logits(512);
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_logits(session.handle(), logits.data(), logits.size()),
                  {"evaluate"});
}

TEST_P(SessionGeneration, RefusesSamplingOptionsByName) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    const float nan = std::nanf("");
    const auto expect_refused = [&](const char* field, auto reprise_sampling::* member, auto value) {
        reprise_sampling sampling = greedy();
        sampling.*member = value;
        const int32_t id = 1;
        expect_status(REPRISE_INVALID_ARGUMENT,
                      reprise_session_generate(session.handle(), &id, 1, &sampling, 1, nullptr, 0), {field});
        EXPECT_EQ(0, session.position());
    };
    for (const float bad : {-0.1f, 1e-5f, 1e9f, INFINITY, nan})
        expect_refused("temperature", &reprise_sampling::temperature, bad);
    expect_refused("top_k", &reprise_sampling::top_k, -1);
    for (const float bad : {0.0f, -1.0f, 1.01f, nan}) expect_refused("top_p", &reprise_sampling::top_p, bad);
    for (const float bad : {1.01f, -0.1f, nan}) expect_refused("min_p", &reprise_sampling::min_p, bad);
    for (const float bad : {0.0f, -1.0f, INFINITY, nan})
        expect_refused("repeat_penalty", &reprise_sampling::repeat_penalty, bad);
    for (const float bad : {INFINITY, nan}) {
        expect_refused("presence_penalty", &reprise_sampling::presence_penalty, bad);
        expect_refused("frequency_penalty", &reprise_sampling::frequency_penalty, -bad);
    }
    const int32_t id = 1;
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_generate(session.handle(), &id, 1, nullptr, -1, nullptr, 0),
                  {"max_tokens"});
}

TEST_P(SessionGeneration, SaysSoWhereNoTokenCanBeDrawn) {
    ModelSpec spec = tiny_spec();
    spec.tied_output = false;
    std::vector<uint8_t> bytes = tiny_model_bytes(spec, uniform_types(TensorType::F32));
    const size_t row = spec.n_embd * sizeof(float), damaged = 13;
    // NaN; in the output too, so that the token is not drawn.
    const auto file = GgufFile::parse(bytes, "model");
    for (const char* name : {"token_embd.weight", "output.weight"})
        std::memset(bytes.data() + file->find_tensor(name)->file_offset + damaged * row, 0xff, row);
    const LoadedModel model(dir_.write("damaged.gguf", bytes), model_options(GetParam().device));
    const OpenSession session = open(model), other = open(model);

    reprise_sampling hot = greedy(), limited = greedy(), scored = greedy();
    hot.temperature = limited.temperature = 1;
    limited.top_k = 40;
    limited.top_p = 0.9f;
    scored.logprobs = 1;
    for (const reprise_sampling& sampling : {greedy(), hot, limited, scored}) {
        session.start({7, damaged}, 10, sampling);
        reprise_token token;
        size_t count;
        int32_t finish;
        expect_status(REPRISE_NAN_LOGITS, reprise_session_next(session.handle(), &token, 1, &count, &finish),
                      {"after 2 tokens", "damaged"});
        EXPECT_EQ((Ids{7, damaged}), session.history());
        expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_next(session.handle(), &token, 1, &count, &finish),
                      {"generation"});
        // Without the damaged token all is well.
        session.rewind(0);
        EXPECT_EQ(other.generate({7, 9}, 10, sampling).ids, session.generate({7, 9}, 10, sampling).ids);
        session.rewind(0);
        other.rewind(0);
    }
    const std::vector<float> logits(spec.n_vocab, NAN);
    reprise_token token;
    const reprise_sampling sampling = greedy();
    expect_status(REPRISE_INVALID_ARGUMENT,
                  reprise_sample(model.handle(), logits.data(), logits.size(), nullptr, 0, nullptr, &sampling, 0,
                                 &token, nullptr),
                  {"NaN"});
}

// ---- limits ----

TEST_P(SessionLimits, FillsTheContextToItsLastSlot) {
    const LoadedModel model = load_precise();
    const OpenSession session = open(model, 32), longer = open(model, 64);
    const Ids prompt = some_ids(20);
    const Generated generated = session.generate(prompt);
    EXPECT_EQ(REPRISE_FINISH_CONTEXT_FULL, generated.finish);
    EXPECT_EQ(32, session.position());
    EXPECT_EQ(longer.generate(prompt, 12).ids, generated.ids);
    EXPECT_LE(max_abs_difference(longer.logits(), session.logits()), 1e-3f);

    const int32_t id = 1;
    expect_status(REPRISE_CONTEXT_OVERFLOW, reprise_session_evaluate(session.handle(), &id, 1), {"32"});
    const Generated none = session.generate({}, 5);
    EXPECT_TRUE(none.ids.empty());
    EXPECT_EQ(REPRISE_FINISH_CONTEXT_FULL, none.finish);

    session.rewind(31);
    EXPECT_EQ(Ids{generated.ids.back()}, session.generate({}).ids);
}

TEST_P(SessionLimits, TakesPromptsThatFillTheContext) {
    const LoadedModel model = load_precise();
    const OpenSession session = open(model, 48), longer = open(model, 64);
    const Ids prompt = some_ids(49);
    expect_status(REPRISE_CONTEXT_OVERFLOW,
                  reprise_session_generate(session.handle(), prompt.data(), 49, nullptr, 1, nullptr, 0), {"49", "48"});
    EXPECT_EQ(0, session.position());
    const Ids fits(prompt.begin(), prompt.end() - 1);
    EXPECT_TRUE(session.generate(fits).ids.empty());
    longer.evaluate(fits);
    EXPECT_LE(max_abs_difference(longer.logits(), session.logits()), 1e-3f);
}

TEST_P(SessionLimits, ReportTheReasonThatComesFirst) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model, 16);
    EXPECT_EQ(REPRISE_FINISH_MAX_TOKENS, session.generate({1}, 15).finish);  // the last slot is filled, as asked
    session.rewind(0);
    EXPECT_EQ(REPRISE_FINISH_CONTEXT_FULL, session.generate({1}, 16).finish);
    EXPECT_EQ(16, session.position());
}

TEST_P(SessionLimits, DeliveryIsBoundedByTheRoomGiven) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    session.start({1, 2, 3}, 10);
    reprise_token tokens[4];
    size_t n = 99;
    int32_t finish = -1;
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_next(session.handle(), tokens, 0, &n, &finish), {"room"});
    size_t total = 0;
    do {
        ok(reprise_session_next(session.handle(), tokens, 3, &n, &finish));
        ASSERT_TRUE(n >= 1 && n <= 3) << n;
        total += n;
    } while (finish == REPRISE_FINISH_NONE);
    EXPECT_EQ(10u, total);
    EXPECT_EQ(REPRISE_FINISH_MAX_TOKENS, finish);
}

TEST_P(SessionLimits, ContextComesFromTheModelOrTheOptions) {
    const LoadedModel model = load_tiny(8192);
    const auto context_of = [](const OpenSession& session) {
        int32_t length = 0;
        ok(reprise_session_context_length(session.handle(), &length));
        return length;
    };
    EXPECT_EQ(4096, context_of(model.open()));
    EXPECT_EQ(1, context_of(open(model, 1)));
    EXPECT_EQ(8192, context_of(open(model, 8192)));
    EXPECT_EQ(256, context_of(load_tiny(256).open()));
    const auto expect_refused = [&](const char* field, auto reprise_session_options::* member, int32_t value) {
        reprise_session_options options = session_options();
        options.*member = value;
        reprise_handle session = 1;
        expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_open(model.handle(), &options, &session), {field});
        EXPECT_EQ(0u, session);
    };
    expect_refused("context_length", &reprise_session_options::context_length, 8193);
    expect_refused("context_length", &reprise_session_options::context_length, -1);
    expect_refused("kv_type", &reprise_session_options::kv_type, 3);
    expect_refused("kv_type", &reprise_session_options::kv_type, -2);
    expect_refused("graph_mode", &reprise_session_options::graph_mode, 3);
    expect_refused("prefill_chunk", &reprise_session_options::prefill_chunk, -1);
}

TEST_P(SessionLimits, ContextIsAtMostTheSlidingWindow) {
    const auto file_with = [&](uint32_t window) {
        ModelSpec spec = tiny_spec();
        spec.context_length = 8192;
        GgufWriter writer = random_model(spec, uniform_types(TensorType::F32), 1);
        writer.set("llama.attention.sliding_window", EncodedValue::uint32(window));
        const std::string path = dir_.file(std::to_string(window) + ".gguf");
        writer.write(path);
        return path;
    };
    const auto load_with = [&](uint32_t window) {
        return LoadedModel(file_with(window), model_options(GetParam().device));
    };
    const auto context_of = [](const OpenSession& session) {
        int32_t length = 0;
        ok(reprise_session_context_length(session.handle(), &length));
        return length;
    };
    static std::string logged;
    logged.clear();
    ok(reprise_set_log_callback([](void*, int32_t, const char* message) { logged += message; }, nullptr));
    EXPECT_EQ(4096, context_of(load_with(5000).open()));
    EXPECT_EQ(std::string::npos, logged.find("window")) << logged;
    const LoadedModel narrow = load_with(300);
    EXPECT_EQ(300, context_of(narrow.open()));
    ok(reprise_set_log_callback(nullptr, nullptr));
    EXPECT_NE(std::string::npos, logged.find("sliding window of 300 tokens")) << logged;

    // A window that the context does not exceed makes no difference.
    EXPECT_EQ(8192, context_of(open(load_with(100000), 8192)));
    EXPECT_EQ(load_with(0).open(session_options(40)).score(some_ids(40), REPRISE_SCORE_BATCH),
              load_with(40).open().score(some_ids(40), REPRISE_SCORE_BATCH));
    const reprise_session_options longer = session_options(301);
    reprise_handle session = 1;
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_open(narrow.handle(), &longer, &session),
                  {"context_length is 301", "window of 300", "at most 300"});
    EXPECT_EQ(0u, session);

    reprise_handle gguf;
    ok(reprise_gguf_open(file_with(300).c_str(), 1, &gguf));
    const reprise_model_options device = model_options(GetParam().device);
    const reprise_session_options whole_window = session_options(300);
    reprise_memory usual, limited;
    ok(reprise_gguf_memory(gguf, &device, nullptr, &usual));
    ok(reprise_gguf_memory(gguf, &device, &whole_window, &limited));
    EXPECT_EQ(limited.kv_cache, usual.kv_cache);
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_gguf_memory(gguf, &device, &longer, &usual), {"at most 300"});
    ok(reprise_gguf_close(gguf));
}

}  // namespace
}  // namespace reprise::test
