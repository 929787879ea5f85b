// Sessions of one model whose prompts begin alike, on the CPU: evaluated once, stored once, and to the last bit what
// each has alone.
#include <atomic>
#include <barrier>
#include <thread>

#include "support/tiny_session.h"

namespace reprise::test {
namespace {

constexpr uint64_t POSITION_BYTES = 2 * 2 * 2 * 64 * 2;  // 2 layers, k and v, 2 heads of 64 in F16
constexpr uint64_t BLOCK_BYTES = 128 * POSITION_BYTES;

class SessionPrefix : public ::testing::Test {
  protected:
    LoadedModel load(uint64_t kv_memory = 0, const char* name = "model.gguf") const {
        ModelSpec spec = tiny_spec();
        spec.context_length = 4096;
        reprise_model_options options = model_options(REPRISE_DEVICE_CPU);
        options.kv_memory = kv_memory;
        return {write_tiny_model(dir_, spec, named_types("Q4_K_M", spec), 1, name), options};
    }
    static reprise_session_options sharing_options(int32_t prefill_chunk = 0) {
        reprise_session_options options = session_options(2200, prefill_chunk);
        options.prefix_sharing = 1;
        return options;
    }
    static OpenSession open(const LoadedModel& model, int32_t prefill_chunk = 0) {
        return model.open(sharing_options(prefill_chunk));
    }

    TempDir dir_;
};

TEST_F(SessionPrefix, ABeginningThatAnotherSessionEvaluatedIsNotEvaluatedAgain) {
    const LoadedModel model = load(), alone = load(0, "alone.gguf");
    const Ids system = some_ids(300), prompt = joined({system, some_ids(40, 2)});
    const OpenSession expected = open(alone, 7);
    const Ids ids = expected.generate(prompt, 20).ids;
    const std::vector<float> logits = expected.logits();

    const OpenSession first = open(model);
    first.evaluate(joined({system, some_ids(50, 3)}));
    const OpenSession second = open(model);
    EXPECT_EQ(ids, second.generate(prompt, 20).ids);
    EXPECT_EQ(logits, second.logits());
    EXPECT_EQ(256u, second.statistics().prefix_tokens);
    EXPECT_EQ(84u + 1, second.statistics().prefill_tokens);  // the token drawn last is evaluated for its logits
    EXPECT_EQ(4 * BLOCK_BYTES, second.statistics().model_kv);
    // Piece by piece it comes to the same, and so it does after the first one has gone.
    ok(reprise_session_close(first.handle()));
    const OpenSession third = open(model);
    third.evaluate(some_ids(100));
    third.evaluate(Ids(prompt.begin() + 100, prompt.end()));
    EXPECT_EQ(156u, third.statistics().prefix_tokens);
    EXPECT_EQ(ids, third.generate({}, 20).ids);
    EXPECT_EQ(logits, third.logits());
}

TEST_F(SessionPrefix, ATextThatASessionDrewIsKnownToTheOneThatReadsIt) {
    const LoadedModel model = load();
    const OpenSession first = open(model);
    const Ids prompt = some_ids(200);
    const Ids answer = first.generate(prompt, 100).ids;
    const OpenSession second = open(model);
    const Ids conversation = joined({prompt, answer, some_ids(10, 5)});
    second.evaluate(conversation);
    EXPECT_EQ(256u, second.statistics().prefix_tokens);
    first.evaluate(some_ids(10, 5));
    EXPECT_EQ(first.logits(), second.logits());
    // The session itself finds what it had before a rewind.
    first.rewind(0);
    first.evaluate(conversation);
    EXPECT_EQ(256u, first.statistics().prefix_tokens);
    EXPECT_EQ(second.logits(), first.logits());
}

TEST_F(SessionPrefix, FiftySessionsThatStartAtOnceEvaluateAndStoreTheirSystemPromptOnce) {
    constexpr uint64_t N = 50, N_SYSTEM = 2048;
    const LoadedModel model = load(), other = load(0, "other.gguf");
    const Ids system = some_ids(N_SYSTEM);
    std::vector<OpenSession> sessions;
    for (uint64_t i = 0; i < N; ++i) sessions.push_back(open(model));
    std::barrier start(N);
    std::vector<Ids> texts(N);
    std::vector<std::thread> threads;
    uint64_t n_questions = 0;
    const auto question = [](uint64_t i) { return some_ids(1 + i * 7 % 32, i + 100); };
    for (uint64_t i = 0; i < N; ++i) {
        n_questions += question(i).size();
        threads.emplace_back([&, i] {
            start.arrive_and_wait();
            texts[i] = sessions[i].generate(joined({system, question(i)}), 4).ids;
        });
    }
    for (std::thread& thread : threads) thread.join();
    const reprise_statistics s = sessions[0].statistics();
    EXPECT_EQ(N_SYSTEM + n_questions + N * 3, s.model_rows);  // of 4 tokens drawn the last is not evaluated
    EXPECT_EQ((N_SYSTEM / 128 + N) * BLOCK_BYTES, s.model_kv);
    uint64_t n_evaluated = 0, n_found = 0;
    for (const OpenSession& session : sessions) {
        n_evaluated += session.statistics().prefill_tokens;
        n_found += session.statistics().prefix_tokens;
    }
    EXPECT_EQ(N_SYSTEM + n_questions, n_evaluated);
    EXPECT_EQ((N - 1) * N_SYSTEM, n_found);
    const OpenSession alone = open(other);
    alone.evaluate(system);
    for (uint64_t i = 0; i < N; i += 7) {
        alone.rewind(N_SYSTEM);
        EXPECT_EQ(alone.generate(question(i), 4).ids, texts[i]);
    }
}

TEST_F(SessionPrefix, AFirstThatIsCancelledOrClosedDoesNotHurtThoseWhoWaitForIt) {
    const LoadedModel model = load(), other = load(0, "other.gguf");
    for (const bool close : {false, true}) {
        const Ids system = some_ids(2000, close ? 2 : 1);
        const OpenSession observer = model.open(session_options(10));
        const uint64_t before = observer.statistics().model_steps;
        const OpenSession first = open(model, 1);  // slowly
        std::thread evaluating([&] {
            expect_status(REPRISE_CANCELLED, reprise_session_evaluate(first.handle(), system.data(), system.size()));
        });
        while (observer.statistics().model_steps < before + 5) std::this_thread::yield();
        const OpenSession second = open(model), third = open(model);
        std::thread waiting([&] { second.evaluate(system); }), waiting_too([&] { third.evaluate(system); });
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        ok(close ? reprise_session_close(first.handle()) : reprise_session_cancel(first.handle()));
        evaluating.join();
        waiting.join();
        waiting_too.join();
        const OpenSession alone = open(other);
        alone.evaluate(system);
        EXPECT_EQ(alone.logits(), second.logits());
        EXPECT_EQ(alone.logits(), third.logits());
        EXPECT_EQ((15 + 2) * BLOCK_BYTES, third.statistics().model_kv);
    }
}

TEST_F(SessionPrefix, TypesOfKeysAndValuesAndRestoredSessionsAreApart) {
    const LoadedModel model = load();
    const Ids prompt = some_ids(300);
    const OpenSession f16 = open(model);
    f16.evaluate(prompt);
    reprise_session_options options = sharing_options();
    options.kv_type = REPRISE_KV_Q8_0;
    const OpenSession q8 = model.open(options);
    q8.evaluate(prompt);
    EXPECT_EQ(0u, q8.statistics().prefix_tokens);
    EXPECT_NE(f16.logits(), q8.logits());

    const Ids other = some_ids(300, 9);
    const OpenSession saved = open(model);
    saved.evaluate(other);
    saved.save(dir_.file("session"));
    const LoadedModel later = load();
    const OpenSession restored = later.restore(dir_.file("session"), sharing_options());
    restored.evaluate(some_ids(5));
    const OpenSession fresh = open(later);
    fresh.evaluate(other);
    EXPECT_EQ(0u, fresh.statistics().prefix_tokens);
    saved.evaluate(some_ids(5));
    EXPECT_EQ(saved.logits(), restored.logits());
}

TEST_F(SessionPrefix, MemoryThatIsKeptIsThereForWhoNeedsIt) {
    const LoadedModel model = load(8 * BLOCK_BYTES);
    for (uint64_t i = 0; i < 4; ++i) open(model).evaluate(some_ids(600, i));
    const OpenSession session = open(model);
    EXPECT_EQ(0u, session.statistics().model_kv);
    EXPECT_EQ(2 * BLOCK_BYTES, session.statistics().model_kv_kept);
    session.evaluate(some_ids(1024, 77));
    EXPECT_EQ(8 * BLOCK_BYTES, session.statistics().model_kv);
    EXPECT_EQ(0u, session.statistics().model_kv_kept);
}

}  // namespace
}  // namespace reprise::test
