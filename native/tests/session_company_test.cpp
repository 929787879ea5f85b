// Sessions of one model in each other's company on the CPU: the same text and logits as alone, and memory that all of
// them share.
#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "support/tiny_session.h"

namespace reprise::test {
namespace {

// 2 layers, k and v, 2 heads of 64 in F16 at 128 positions.
constexpr uint64_t KV_BLOCK_BYTES = 2 * 2 * 2 * 64 * 2 * 128;

class SessionCompany : public ::testing::Test {
  protected:
    LoadedModel load(uint64_t kv_memory = 0, const char* types = "Q4_K_M") const {
        ModelSpec spec = tiny_spec();
        spec.context_length = 512;
        reprise_model_options options = model_options(REPRISE_DEVICE_CPU);
        options.kv_memory = kv_memory;
        return {write_tiny_model(dir_, spec, named_types(types, spec)), options};
    }

    TempDir dir_;
};

/// What a user of a session does, following from a seed alone, and what came of it: ids and the bits of logits.
std::vector<Ids> life(const LoadedModel& model, uint64_t seed, bool with_delays, bool sharing = false) {
    std::mt19937_64 random(seed), delays(seed + 1000);
    const auto below = [&](uint64_t n) { return random() % n; };
    const auto pause = [&] {
        if (with_delays && delays() % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(delays() % 2000));
    };
    std::vector<Ids> results;
    const auto add_logits = [&](const std::vector<float>& logits) {
        Ids bits(logits.size());
        std::memcpy(bits.data(), logits.data(), logits.size() * sizeof(float));
        results.push_back(std::move(bits));
    };
    reprise_session_options options = session_options(400, 1 + static_cast<int32_t>(below(60)));
    options.prefix_sharing = sharing;
    auto session = std::make_unique<OpenSession>(model.open(options));
    for (int round = 0; round < 4; ++round) {
        pause();
        if (session->position() > 250) session->rewind(static_cast<int32_t>(below(140)));
        const Ids prompt = some_ids(1 + below(70), seed * 100 + static_cast<uint64_t>(round));
        reprise_sampling sampling = greedy();
        if (below(2) == 0) {
            sampling.temperature = 0.9f;
            sampling.seed = seed;
            sampling.repeat_penalty = 1.1f;
        }
        session->start(prompt, 1 + static_cast<int32_t>(below(40)), sampling);
        for (int finish = REPRISE_FINISH_NONE; finish == REPRISE_FINISH_NONE;) {
            const Generated some = session->take(1 + below(6));
            results.push_back(some.ids);
            finish = some.finish;
            pause();
        }
        add_logits(session->logits());
        if (below(3) == 0) {
            OpenSession fork = session->fork();
            fork.evaluate(some_ids(5, seed));
            add_logits(fork.logits());
            add_logits(session->score(some_ids(7, seed + 1), below(2) == 0 ? REPRISE_SCORE_BATCH : REPRISE_SCORE_STEP));
            if (below(2) == 0) session = std::make_unique<OpenSession>(std::move(fork));
        }
    }
    return results;
}

TEST_F(SessionCompany, GivesEachWhatItGetsAlone) {
    const LoadedModel model = load();
    constexpr uint64_t N = 16;
    std::vector<std::vector<Ids>> alone(N), together(N);
    for (uint64_t i = 0; i < N; ++i) alone[i] = life(model, i + 1, false);
    const uint64_t steps_alone = model.open().statistics().model_steps;
    for (const bool with_delays : {false, true}) {
        std::vector<std::thread> threads;
        for (uint64_t i = 0; i < N; ++i)
            threads.emplace_back([&, i] { together[i] = life(model, i + 1, with_delays, i % 2 == 0); });
        for (std::thread& thread : threads) thread.join();
        for (uint64_t i = 0; i < N; ++i) ASSERT_EQ(alone[i], together[i]) << "seed " << i + 1;
    }
    const reprise_statistics after = model.open().statistics();
    EXPECT_LT(after.model_steps - steps_alone, 2 * steps_alone);  // they did share steps
    EXPECT_EQ(0u, after.model_kv);                                // all sessions are closed
}

TEST_F(SessionCompany, ForksShareTheirKeysAndValues) {
    const LoadedModel model = load();
    const OpenSession session = model.open(session_options(400));
    session.evaluate(some_ids(300));
    EXPECT_EQ(3 * KV_BLOCK_BYTES, session.statistics().model_kv);
    const OpenSession a = session.fork(), b = session.fork(200);
    EXPECT_EQ(3 * KV_BLOCK_BYTES, session.statistics().model_kv);
    a.evaluate(some_ids(1, 2));  // its last block becomes its own
    EXPECT_EQ(4 * KV_BLOCK_BYTES, session.statistics().model_kv);
    b.evaluate(some_ids(100, 3));
    EXPECT_EQ(6 * KV_BLOCK_BYTES, session.statistics().model_kv);
    session.rewind(0);
    EXPECT_EQ(5 * KV_BLOCK_BYTES, a.statistics().model_kv);
    b.rewind(128);
    EXPECT_EQ(3 * KV_BLOCK_BYTES, a.statistics().model_kv);
}

TEST_F(SessionCompany, MemoryThatIsUsedUpIsSaidToWhoWantsMore) {
    const LoadedModel model = load(3 * KV_BLOCK_BYTES), roomy = load();
    const Ids prompt = some_ids(100), other = some_ids(200, 2);
    const Ids expected = roomy.open(session_options(400)).generate(prompt, 60).ids;
    const Ids expected_other = roomy.open(session_options(400)).generate(other, 50).ids;
    const OpenSession b = model.open(session_options(400));
    b.start(other, 50);
    Ids ids_b = b.take(10).ids;
    EXPECT_EQ(2 * KV_BLOCK_BYTES, b.statistics().model_kv);
    {
        const OpenSession a = model.open(session_options(400));
        a.start(prompt, 60);
        Ids ids = a.take(28).ids;  // the last of them is not evaluated
        reprise_token token;
        size_t n = 0;
        int32_t finish = 0;
        reprise_status status = REPRISE_OK;
        while (status == REPRISE_OK && ids.size() < 40) {
            status = reprise_session_next(a.handle(), &token, 1, &n, &finish);
            if (status == REPRISE_OK) ids.push_back(token.id);
        }
        expect_status(REPRISE_OUT_OF_MEMORY, status, {"keys and values", "kv_memory"});
        EXPECT_EQ(29u, ids.size());
        EXPECT_EQ(joined({prompt, ids}), a.history());
        EXPECT_EQ(Ids(expected.begin(), expected.begin() + 29), ids);
        // A prompt that does not fit is refused as a whole, and the session is as before.
        const Ids more = some_ids(200, 3);
        expect_status(REPRISE_OUT_OF_MEMORY, reprise_session_evaluate(a.handle(), more.data(), more.size()));
        EXPECT_EQ(129, a.position());
        EXPECT_EQ(3 * KV_BLOCK_BYTES, a.statistics().model_kv);
        const Ids rest = b.take(20).ids;
        ids_b.insert(ids_b.end(), rest.begin(), rest.end());
    }
    // What the closed session held is there for the others.
    const Ids rest = b.take().ids;
    ids_b.insert(ids_b.end(), rest.begin(), rest.end());
    EXPECT_EQ(expected_other, ids_b);
    const OpenSession again = model.open(session_options(400));
    EXPECT_EQ(Ids(expected.begin(), expected.begin() + 20), again.generate(prompt, 20).ids);
}

TEST_F(SessionCompany, AnOlderSessionGetsItsTextWhateverNewerOnesWant) {
    const LoadedModel model = load(4 * KV_BLOCK_BYTES), roomy = load();
    const Ids prompt = some_ids(100);
    const Ids expected = roomy.open(session_options(512)).generate(prompt, 400).ids;
    const OpenSession oldest = model.open(session_options(512));
    std::atomic<bool> done{false};
    std::atomic<int> n_texts{0}, n_told{0};
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            while (!done) {
                const OpenSession newer = model.open(session_options(400));
                const Ids ids = some_ids(120 + 20 * t, t);
                reprise_status status =
                    reprise_session_generate(newer.handle(), ids.data(), ids.size(), nullptr, 100, nullptr, 0);
                int32_t finish = REPRISE_FINISH_NONE;
                while (status == REPRISE_OK && finish == REPRISE_FINISH_NONE) {
                    reprise_token tokens[8];
                    size_t n = 0;
                    status = reprise_session_next(newer.handle(), tokens, 8, &n, &finish);
                }
                if (status != REPRISE_OK) expect_status(REPRISE_OUT_OF_MEMORY, status, {"keys and values"});
                ++(status == REPRISE_OK ? n_texts : n_told);
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        });
    }
    EXPECT_EQ(expected, oldest.generate(prompt, 400).ids);
    oldest.rewind(0);  // and the others get theirs
    while (n_texts == 0) std::this_thread::yield();
    done = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_GT(n_told, 0);
    EXPECT_EQ(0u, oldest.statistics().model_kv);
}

TEST_F(SessionCompany, ACancelledPromptHoldsNoMemory) {
    const LoadedModel model = load();
    const OpenSession session = model.open(session_options(500, 1));
    session.evaluate(some_ids(20));
    std::atomic<bool> returned{false};
    std::thread canceller([&] {
        while (!returned) ok(reprise_session_cancel(session.handle()));
    });
    const Ids prompt = some_ids(400);
    expect_status(REPRISE_CANCELLED, reprise_session_evaluate(session.handle(), prompt.data(), prompt.size()));
    returned = true;
    canceller.join();
    EXPECT_EQ(KV_BLOCK_BYTES, session.statistics().model_kv);
    EXPECT_EQ(20, session.position());
}

TEST_F(SessionCompany, ManyThreadsInLittleMemoryEndWithTheirTextOrAnError) {
    const LoadedModel model = load(6 * KV_BLOCK_BYTES), roomy = load();
    std::atomic<int> texts{0}, errors{0};
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 8; ++t) {
        const Ids prompt = some_ids(60, t);
        const Ids expected = roomy.open(session_options(400)).generate(prompt, 120).ids;
        threads.emplace_back([&, prompt, expected] {
            for (int round = 0; round < 3; ++round) {
                const OpenSession session = model.open(session_options(400));
                Ids ids;
                int32_t finish = REPRISE_FINISH_NONE;
                reprise_status status =
                    reprise_session_generate(session.handle(), prompt.data(), prompt.size(), nullptr, 120, nullptr, 0);
                while (finish == REPRISE_FINISH_NONE) {
                    reprise_token token;
                    size_t n = 0;
                    if (status == REPRISE_OK) status = reprise_session_next(session.handle(), &token, 1, &n, &finish);
                    if (status != REPRISE_OK) {
                        expect_status(REPRISE_OUT_OF_MEMORY, status);
                        ++errors;
                        break;
                    }
                    ids.push_back(token.id);
                }
                EXPECT_TRUE(std::equal(ids.begin(), ids.end(), expected.begin()));
                if (finish != REPRISE_FINISH_NONE) ++texts;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(24, texts + errors);
    EXPECT_EQ(0u, model.open().statistics().model_kv);
}

}  // namespace
}  // namespace reprise::test
