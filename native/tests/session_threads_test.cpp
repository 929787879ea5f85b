// Cancelling, closing and sharing sessions across threads.
#include <atomic>
#include <chrono>
#include <thread>

#include "support/tiny_session.h"

namespace reprise::test {
namespace {

class SessionThreads : public SessionTest {
  protected:
    /// A context long enough that a full prefill or generation is interrupted long before its end.
    static constexpr int32_t kLong = 16384;
    LoadedModel load_long() const { return load_tiny(kLong); }
};
ON_EVERY_BACKEND(SessionThreads);

void pause() { std::this_thread::sleep_for(std::chrono::microseconds(200)); }

TEST_P(SessionThreads, CancelDuringPrefillLeavesTheSessionAsItWas) {
    const LoadedModel model = load_precise(kLong);
    const OpenSession session = open(model, kLong), fresh = open(model, kLong);
    const Ids prompt = some_ids(20), more = some_ids(16000, 7);
    session.evaluate(prompt);
    for (const bool generating : {false, true}) {
        std::atomic<bool> returned{false};
        std::thread canceller([&] {
            // A cancel that comes before the call is for nothing.
            while (!returned) {
                ok(reprise_session_cancel(session.handle()));
                pause();
            }
        });
        const reprise_status status =
            generating ? reprise_session_generate(session.handle(), more.data(), more.size(), nullptr, 0, nullptr, 0)
                       : reprise_session_evaluate(session.handle(), more.data(), more.size());
        returned = true;
        canceller.join();
        expect_status(REPRISE_CANCELLED, status);
        EXPECT_EQ(prompt, session.history());
    }
    EXPECT_EQ(fresh.generate(prompt, 12).ids, session.generate({}, 12).ids);
}

TEST_P(SessionThreads, CancelDuringDecodeEndsTheGeneration) {
    const LoadedModel model = load_long();
    const OpenSession session = open(model, kLong), same = open(model, kLong);
    const Ids prompt = some_ids(20);
    std::atomic<size_t> delivered{0};
    std::thread canceller([&] {
        while (delivered < 3) pause();
        ok(reprise_session_cancel(session.handle()));
    });
    session.start(prompt);
    Generated generated;
    while (generated.finish == REPRISE_FINISH_NONE) {
        const Generated more = session.take(1);
        generated.ids.insert(generated.ids.end(), more.ids.begin(), more.ids.end());
        generated.finish = more.finish;
        delivered += more.ids.size();
    }
    canceller.join();
    EXPECT_EQ(REPRISE_FINISH_CANCELLED, generated.finish);
    EXPECT_GE(generated.ids.size(), 3u);
    EXPECT_EQ(joined({prompt, generated.ids}), session.history());
    // The next request is right.
    session.rewind(20);
    same.evaluate(prompt);
    EXPECT_EQ(same.generate(some_ids(5, 9), 12).ids, session.generate(some_ids(5, 9), 12).ids);
}

TEST_P(SessionThreads, CancelOfAnIdleSessionDoesNothing) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    ok(reprise_session_cancel(session.handle()));
    session.evaluate(some_ids(20));
    session.generate({}, 3);
    ok(reprise_session_cancel(session.handle()));
    session.logits();  // has to evaluate the last token
    ok(reprise_session_cancel(session.handle()));
    session.score({1, 2}, REPRISE_SCORE_STEP);
    ok(reprise_session_cancel(session.handle()));
    EXPECT_EQ(3u, session.generate({}, 3).ids.size());
    session.start({}, 5);
    ok(reprise_session_cancel(session.handle()));  // a generation is in progress, though no call runs
    EXPECT_EQ(REPRISE_FINISH_CANCELLED, session.take().finish);
}

TEST_P(SessionThreads, ASecondCallerIsTurnedAway) {
    const LoadedModel model = load_long();
    const OpenSession session = open(model, kLong);
    const Ids prompt = some_ids(16000);
    std::atomic<bool> returned{false};
    std::thread caller([&] {
        // The other thread may be inside at first.
        while (reprise_session_evaluate(session.handle(), prompt.data(), prompt.size()) == REPRISE_BUSY) pause();
        returned = true;
    });
    int32_t position = -1;
    reprise_status status = REPRISE_OK;
    while (status == REPRISE_OK && !returned) {
        status = reprise_session_position(session.handle(), &position);
        pause();
    }
    expect_status(REPRISE_BUSY, status, {"another thread"});
    const int32_t id = 1;
    EXPECT_EQ(REPRISE_BUSY, reprise_session_evaluate(session.handle(), &id, 1));
    EXPECT_EQ(REPRISE_BUSY, reprise_session_rewind(session.handle(), 0));
    ok(reprise_session_cancel(session.handle()));
    caller.join();
    EXPECT_EQ(0, session.position());
}

/// Closes by close() while another thread decodes; that thread's calls must end and say why.
template <class Close>
void expect_close_ends_decoding(const LoadedModel& model, reprise_handle session, Close close) {
    std::atomic<size_t> delivered{0};
    int32_t finish = REPRISE_FINISH_NONE;
    reprise_status status = REPRISE_OK;
    std::thread decoder([&] {
        const int32_t id = 1;
        status = reprise_session_generate(session, &id, 1, nullptr, 0, nullptr, 0);
        while (status == REPRISE_OK && finish == REPRISE_FINISH_NONE) {
            reprise_token token;
            size_t n = 0;
            status = reprise_session_next(session, &token, 1, &n, &finish);
            delivered += n;
        }
    });
    while (delivered < 3) pause();
    ok(close());
    decoder.join();
    // Either the call was inside and was cancelled, or it came after.
    if (status == REPRISE_OK) {
        EXPECT_EQ(REPRISE_FINISH_CANCELLED, finish);
    } else {
        EXPECT_EQ(REPRISE_INVALID_HANDLE, status);
    }
    int32_t position;
    expect_status(REPRISE_INVALID_HANDLE, reprise_session_position(session, &position), {"closed"});
    (void)model;
}

TEST_P(SessionThreads, ClosingASessionEndsTheCallInside) {
    const LoadedModel model = load_long();
    reprise_session_options options = session_options(kLong, 16);
    options.graph_mode = GetParam().graph_mode;
    for (int round = 0; round < 5; ++round) {
        reprise_handle session;
        ok(reprise_session_open(model.handle(), &options, &session));
        expect_close_ends_decoding(model, session, [&] { return reprise_session_close(session); });
    }
    EXPECT_EQ(4u, open(model).generate({1}, 4).ids.size());
}

TEST_P(SessionThreads, ClosingAModelEndsTheCallsInside) {
    for (int round = 0; round < 3; ++round) {
        const LoadedModel other = load_long();
        reprise_handle gguf, model, session, idle;
        ok(reprise_gguf_open(dir_.file("model.gguf").c_str(), 1, &gguf));
        const reprise_model_options options = model_options(GetParam().device);
        ok(reprise_model_load(gguf, &options, &model));
        ok(reprise_gguf_close(gguf));
        reprise_session_options session_options = test::session_options(kLong, 16);
        session_options.graph_mode = GetParam().graph_mode;
        ok(reprise_session_open(model, &session_options, &session));
        ok(reprise_session_open(model, &session_options, &idle));
        expect_close_ends_decoding(other, session, [&] { return reprise_model_close(model); });
        size_t n;
        expect_status(REPRISE_INVALID_HANDLE, reprise_session_history(idle, nullptr, 0, &n), {"session", "closed"});
        expect_status(REPRISE_INVALID_HANDLE, reprise_session_open(model, nullptr, &session), {"model", "closed"});
        EXPECT_EQ(4u, open(other).generate({1}, 4).ids.size());
    }
}

TEST_P(SessionThreads, TwoSessionsInTurnsAreAsEachAlone) {
    const LoadedModel model = load_tiny();
    const Ids a = some_ids(25, 1), b = some_ids(7, 2);
    reprise_sampling warm = greedy();
    warm.temperature = 1.1f;
    const Ids alone_a = open(model).generate(a, 60).ids, alone_b = open(model).generate(b, 60, warm).ids;
    const OpenSession session_a = open(model), session_b = open(model);
    session_a.start(a, 60);
    session_b.start(b, 60, warm);
    Ids turns_a, turns_b;
    for (int i = 0; i < 60; ++i) {
        turns_a.push_back(session_a.take(1).ids.at(0));
        turns_b.push_back(session_b.take(1).ids.at(0));
    }
    EXPECT_EQ(alone_a, turns_a);
    EXPECT_EQ(alone_b, turns_b);
}

TEST_P(SessionThreads, SessionsOnTwoThreadsAreAsEachAlone) {
    const LoadedModel model = load_tiny();
    const auto prompt = [](uint64_t thread, uint64_t round) { return some_ids(3 + 9 * round, thread * 100 + round); };
    Ids alone[2][4], together[2][4];
    const auto work = [&](uint64_t thread, Ids* results) {
        // A session of its own in every round, so that one opens while the other decodes.
        for (uint64_t round = 0; round < 4; ++round)
            results[round] = open(model).generate(prompt(thread, round), 80).ids;
    };
    for (uint64_t thread = 0; thread < 2; ++thread) work(thread, alone[thread]);
    std::thread other([&] { work(1, together[1]); });
    work(0, together[0]);
    other.join();
    for (int thread = 0; thread < 2; ++thread) {
        for (int round = 0; round < 4; ++round) EXPECT_EQ(alone[thread][round], together[thread][round]);
    }
}

TEST_P(SessionThreads, AModelLoadsWhileAnotherDecodes) {
    const LoadedModel model = load_tiny();
    const Ids alone = open(model).generate({3, 1}, 120).ids;
    std::atomic<bool> done{false};
    std::atomic<int> loads{0};
    std::thread loader([&] {
        do {
            const LoadedModel other(dir_.file("model.gguf"), model_options(GetParam().device));
            EXPECT_EQ(2u, open(other).generate({1}, 2).ids.size());
            ++loads;
        } while (!done);
    });
    Ids together;
    do {
        together = open(model).generate({3, 1}, 120).ids;
        EXPECT_EQ(alone, together);
    } while (loads == 0);
    done = true;
    loader.join();
}

}  // namespace
}  // namespace reprise::test
