// Forks and restored sessions: whatever state a session is in, its copies go on as it does, to the last bit.
#include <atomic>
#include <bit>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <thread>

#include "support/tiny_session.h"

namespace reprise::test {
namespace {

class SessionCopies : public SessionTest {
  protected:
    OpenSession open_as(const LoadedModel& model, reprise_kv_type kv_type, int32_t context_length = 0) const {
        reprise_session_options options = session_options(context_length, 64);
        options.graph_mode = GetParam().graph_mode;
        options.kv_type = kv_type;
        return model.open(options);
    }
    reprise_session_options defaults() const {
        reprise_session_options options = session_options();
        options.graph_mode = GetParam().graph_mode;
        return options;
    }
};
ON_EVERY_BACKEND(SessionCopies);

reprise_sampling greedy_with_logprobs() {
    reprise_sampling sampling = greedy();
    sampling.logprobs = 1;
    return sampling;
}

reprise_sampling seeded_with_penalties() {
    reprise_sampling sampling = greedy_with_logprobs();
    sampling.temperature = 0.9f;
    sampling.top_k = 200;
    sampling.top_p = 0.95f;
    sampling.repeat_penalty = 1.2f;
    sampling.frequency_penalty = 0.1f;
    sampling.presence_penalty = 0.2f;
    sampling.seed = 42;
    return sampling;
}

/// Everything that a session says of itself while it goes on, as bits.
struct Trace {
    std::vector<uint32_t> bits;
    void add(const Ids& ids) {
        for (const int32_t id : ids) bits.push_back(static_cast<uint32_t>(id));
    }
    void add(const std::vector<float>& values) {
        for (const float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
    }
    void add(const Generated& generated) {
        add(generated.ids);
        add(generated.logprobs);
        bits.push_back(static_cast<uint32_t>(generated.finish));
    }
};

/// Goes on for some 30 tokens in every way there is.
Trace go_on(const OpenSession& session) {
    Trace trace;
    if (session.position() > 0) trace.add(session.generate({}, 6, greedy_with_logprobs()));
    if (session.position() > 0) trace.add(session.logits());
    session.evaluate(some_ids(5, 11));
    trace.add(session.logits());
    trace.add(session.generate(some_ids(2, 12), 9, seeded_with_penalties()));
    session.rewind(session.position() - 4);
    trace.add(session.generate({}, 3, seeded_with_penalties()));
    // An engine that ran ahead has evaluated more than was delivered; nothing of that may show.
    session.start({}, 20, greedy_with_logprobs());
    trace.add(session.take(2));
    ok(reprise_session_end(session.handle()));
    session.evaluate(some_ids(3, 13));
    trace.add(session.logits());
    trace.add(session.history());
    return trace;
}

/// A way to get a session somewhere.
struct Way {
    const char* name;
    std::function<void(const OpenSession&)> go;
};

std::vector<Way> ways() {
    return {
        {"empty", [](const OpenSession&) {}},
        {"a prompt evaluated", [](const OpenSession& s) { s.evaluate(some_ids(20)); }},
        {"its logits read",
         [](const OpenSession& s) {
             s.evaluate(some_ids(20));
             s.logits();
         }},
        {"a whole piece of the KV cache", [](const OpenSession& s) { s.evaluate(some_ids(256)); }},
        {"more than a piece",
         [](const OpenSession& s) {
             s.evaluate(some_ids(270));
             s.generate({}, 6, seeded_with_penalties());
         }},
        {"a generation ended by its limit", [](const OpenSession& s) { s.generate(some_ids(7), 10); }},
        {"a generation ended early",
         [](const OpenSession& s) {
             s.start(some_ids(7), 50, seeded_with_penalties());
             s.take(5);
             ok(reprise_session_end(s.handle()));
         }},
        {"a generation ended before its first token",
         [](const OpenSession& s) {
             s.start(some_ids(7), 50);
             ok(reprise_session_end(s.handle()));
         }},
        {"a generation cancelled",
         [](const OpenSession& s) {
             s.start(some_ids(7), 50);
             s.take(3);
             ok(reprise_session_cancel(s.handle()));
             EXPECT_EQ(REPRISE_FINISH_CANCELLED, s.take().finish);
         }},
        {"rewound into a prompt",
         [](const OpenSession& s) {
             s.evaluate(some_ids(30));
             s.generate({}, 5);
             s.rewind(17);
         }},
        {"rewound into a generation",
         [](const OpenSession& s) {
             s.generate(some_ids(10), 12);
             s.rewind(15);
         }},
        {"rewound to nothing",
         [](const OpenSession& s) {
             s.evaluate(some_ids(30));
             s.rewind(0);
         }},
        {"tokens scored",
         [](const OpenSession& s) {
             s.score(some_ids(9), REPRISE_SCORE_BATCH);
             s.score(some_ids(4, 2), REPRISE_SCORE_STEP);
         }},
        {"a prompt refused",
         [](const OpenSession& s) {
             s.generate(some_ids(9), 4);
             const Ids bad = {1, 2, -1};
             EXPECT_EQ(REPRISE_INVALID_ARGUMENT, reprise_session_evaluate(s.handle(), bad.data(), bad.size()));
         }},
    };
}

TEST_P(SessionCopies, GoOnAsTheSessionDoes) {
    const LoadedModel model = load_tiny(512);
    for (const reprise_kv_type kv_type : {REPRISE_KV_F16, REPRISE_KV_F32, REPRISE_KV_Q8_0}) {
        for (const Way& way : ways()) {
            SCOPED_TRACE(std::string(way.name) + ", KV type " + std::to_string(kv_type));
            const OpenSession session = open_as(model, kv_type), same = open_as(model, kv_type);
            way.go(session);
            way.go(same);
            const Ids history = session.history();
            session.save(dir_.file("a"));
            const OpenSession fork = session.fork(), restored = model.restore(dir_.file("a"), defaults());
            const OpenSession fork_of_fork = fork.fork(), fork_of_restored = restored.fork();
            for (const OpenSession* copy : {&fork, &restored, &fork_of_fork, &fork_of_restored}) {
                EXPECT_EQ(history, copy->history());
                copy->save(dir_.file("b"));
                EXPECT_EQ(dir_.read("a"), dir_.read("b"));
                const reprise_statistics statistics = copy->statistics();
                EXPECT_EQ(0u, statistics.prefill_tokens);
                EXPECT_EQ(0u, statistics.eager_steps + statistics.graph_replays);
                EXPECT_EQ(session.statistics().memory_kv, statistics.memory_kv);
                EXPECT_EQ(session.statistics().memory_workspace, statistics.memory_workspace);
            }
            const Trace expected = go_on(same);
            EXPECT_EQ(expected.bits, go_on(session).bits);
            for (const OpenSession* copy : {&fork, &restored, &fork_of_fork, &fork_of_restored})
                EXPECT_EQ(expected.bits, go_on(*copy).bits);
        }
    }
}

TEST_P(SessionCopies, GoOnAsTheSessionDoesInEveryArchitectureAndArithmetic) {
    for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
        for (const bool exact : {false, true}) {
            SCOPED_TRACE(std::string(architecture) + (exact ? ", exact" : ""));
            const ModelSpec spec = tiny_spec(architecture);
            const LoadedModel model(write_tiny_model(dir_, spec, named_types("Q4_K_M", spec)),
                                    model_options(GetParam().device, exact));
            const OpenSession session = model.open(defaults());
            session.generate(some_ids(40), 7, seeded_with_penalties());
            session.save(dir_.file("a"));
            const OpenSession fork = session.fork(), restored = model.restore(dir_.file("a"), defaults());
            const Trace expected = go_on(session);
            EXPECT_EQ(expected.bits, go_on(fork).bits);
            EXPECT_EQ(expected.bits, go_on(restored).bits);
        }
    }
}

// Heads that no kernel is made for lie differently on a device.
TEST_P(SessionCopies, TakeHeadsOfAnySize) {
    ModelSpec spec = tiny_spec();
    spec.head_dim = 72;
    const LoadedModel model = load(spec, uniform_types(TensorType::F32));
    const OpenSession session = model.open(defaults());
    session.generate(some_ids(40), 7);
    session.save(dir_.file("a"));
    const OpenSession fork = session.fork(), restored = model.restore(dir_.file("a"), defaults());
    const Trace expected = go_on(session);
    EXPECT_EQ(expected.bits, go_on(fork).bits);
    EXPECT_EQ(expected.bits, go_on(restored).bits);
}

TEST_P(SessionCopies, DrawTheFirstTokenFromTheLogitsOfThePrompt) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    session.evaluate(some_ids(20));
    session.save(dir_.file("a"));
    const OpenSession fork = session.fork(), restored = model.restore(dir_.file("a"), defaults());
    const std::vector<float> logits = session.logits();
    for (const OpenSession* copy : {&fork, &restored}) {
        EXPECT_EQ(logits, copy->logits());
        EXPECT_EQ(session.fork().generate({}, 1, seeded_with_penalties()).ids,
                  copy->generate({}, 1, seeded_with_penalties()).ids);
        EXPECT_EQ(0u, copy->statistics().prefill_tokens);
    }
}

TEST_P(SessionCopies, LeaveAGenerationRunning) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model), same = open(model), ended = open(model);
    const Generated whole = same.generate(some_ids(20), 40, seeded_with_penalties());
    session.start(some_ids(20), 40, seeded_with_penalties());
    Generated pieces;
    for (const size_t n : {0, 1, 5, 2, 30}) {
        const Generated piece = session.take(n);
        pieces.ids.insert(pieces.ids.end(), piece.ids.begin(), piece.ids.end());
        pieces.logprobs.insert(pieces.logprobs.end(), piece.logprobs.begin(), piece.logprobs.end());
        ended.rewind(0);
        ended.start(some_ids(20), 40, seeded_with_penalties());
        ended.take(pieces.ids.size());
        ok(reprise_session_end(ended.handle()));
        session.save(dir_.file("a"));
        const OpenSession fork = session.fork(), restored = model.restore(dir_.file("a"), defaults());
        EXPECT_EQ(joined({some_ids(20), pieces.ids}), fork.history());
        const Trace expected = go_on(ended);
        EXPECT_EQ(expected.bits, go_on(fork).bits) << pieces.ids.size() << " tokens";
        EXPECT_EQ(expected.bits, go_on(restored).bits) << pieces.ids.size() << " tokens";
    }
    const Generated rest = session.take();
    pieces.ids.insert(pieces.ids.end(), rest.ids.begin(), rest.ids.end());
    EXPECT_EQ(whole.ids, pieces.ids);
    EXPECT_EQ(REPRISE_FINISH_MAX_TOKENS, rest.finish);
    EXPECT_EQ(same.history(), session.history());
}

TEST_P(SessionCopies, TakeAsManyTokensAsAskedFor) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    session.evaluate(some_ids(20));
    session.start(some_ids(4, 2), 30);
    session.take(6);
    for (const int32_t position : {0, 1, 19, 20, 25, 29, 30}) {
        const OpenSession same = open(model);
        same.evaluate(some_ids(20));
        same.start(some_ids(4, 2), 30);
        same.take(6);
        same.rewind(position);
        const OpenSession fork = session.fork(position);
        session.save(dir_.file("a"), position);
        const OpenSession restored = model.restore(dir_.file("a"), defaults());
        EXPECT_EQ(position, fork.position());
        EXPECT_EQ(position, restored.position());
        const Trace expected = go_on(same);
        EXPECT_EQ(expected.bits, go_on(fork).bits) << position;
        EXPECT_EQ(expected.bits, go_on(restored).bits) << position;
    }
    reprise_handle fork = 1;
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_fork(session.handle(), 31, &fork), {"31", "30"});
    EXPECT_EQ(0u, fork);
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_fork(session.handle(), -2, &fork), {"-2"});
    expect_status(REPRISE_INVALID_ARGUMENT,
                  reprise_session_save(session.handle(), 31, dir_.file("c").c_str(), nullptr, 0), {"31"});
    EXPECT_FALSE(std::filesystem::exists(dir_.file("c")));
}

TEST_P(SessionCopies, OfAFullContextAreFull) {
    const LoadedModel model = load_tiny();
    for (const bool generating : {false, true}) {
        const OpenSession session = open(model, 48);
        if (generating) {
            EXPECT_EQ(REPRISE_FINISH_CONTEXT_FULL, session.generate(some_ids(20)).finish);
        } else {
            session.evaluate(some_ids(48));
        }
        session.save(dir_.file("a"));
        const OpenSession fork = session.fork(), restored = model.restore(dir_.file("a"), defaults());
        const std::vector<float> logits = session.logits();
        const int32_t id = 1;
        for (const OpenSession* copy : {&fork, &restored}) {
            EXPECT_EQ(48, copy->position());
            EXPECT_EQ(logits, copy->logits());
            EXPECT_EQ(REPRISE_CONTEXT_OVERFLOW, reprise_session_evaluate(copy->handle(), &id, 1));
            EXPECT_EQ(REPRISE_FINISH_CONTEXT_FULL, copy->generate({}).finish);
            copy->rewind(45);
            EXPECT_EQ(3u, copy->generate({}).ids.size());
        }
    }
}

TEST_P(SessionCopies, OfACancelledPromptAreWhatWasBefore) {
    const LoadedModel model = load_tiny(16384);
    const OpenSession session = open(model, 16384), same = open(model, 16384);
    const Ids prompt = some_ids(16000, 3);
    session.generate(some_ids(20), 5);
    same.generate(some_ids(20), 5);
    std::atomic<bool> returned{false};
    std::thread canceller([&] {
        while (!returned) {
            ok(reprise_session_cancel(session.handle()));
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
    const reprise_status status = reprise_session_evaluate(session.handle(), prompt.data(), prompt.size());
    returned = true;
    canceller.join();
    expect_status(REPRISE_CANCELLED, status);
    session.save(dir_.file("a"));
    const OpenSession fork = session.fork(), restored = model.restore(dir_.file("a"), defaults());
    const Trace expected = go_on(same);
    EXPECT_EQ(expected.bits, go_on(fork).bits);
    EXPECT_EQ(expected.bits, go_on(restored).bits);
    EXPECT_EQ(expected.bits, go_on(session).bits);
}

TEST_P(SessionCopies, OutliveTheSession) {
    const LoadedModel model = load_tiny();
    std::optional<OpenSession> session(open(model));
    const OpenSession same = open(model);
    session->generate(some_ids(20), 5);
    same.generate(some_ids(20), 5);
    std::optional<OpenSession> fork(session->fork());
    session.reset();
    const OpenSession fork_of_fork = fork->fork();
    fork.reset();
    EXPECT_EQ(go_on(same).bits, go_on(fork_of_fork).bits);
}

TEST_P(SessionCopies, AreClosedWithTheModel) {
    reprise_handle fork = 0, restored = 0;
    {
        const LoadedModel model = load_tiny();
        const OpenSession session = open(model);
        session.generate(some_ids(20), 5);
        session.save(dir_.file("a"));
        ok(reprise_session_fork(session.handle(), -1, &fork));
        ok(reprise_session_restore(model.handle(), dir_.file("a").c_str(), 0, nullptr, &restored));
    }
    int32_t position;
    for (const reprise_handle handle : {fork, restored}) {
        expect_status(REPRISE_INVALID_HANDLE, reprise_session_position(handle, &position), {"closed"});
        reprise_handle none = 1;
        expect_status(REPRISE_INVALID_HANDLE, reprise_session_fork(handle, -1, &none), {"closed"});
        EXPECT_EQ(0u, none);
        expect_status(REPRISE_INVALID_HANDLE, reprise_session_save(handle, -1, dir_.file("b").c_str(), nullptr, 0),
                      {"closed"});
        ok(reprise_session_close(handle));
    }
    EXPECT_FALSE(std::filesystem::exists(dir_.file("b")));
}

TEST_P(SessionCopies, AreRefusedWhileAnotherThreadIsInTheSession) {
    const LoadedModel model = load_tiny(16384);
    const OpenSession session = open(model, 16384);
    const Ids prompt = some_ids(16000);
    std::atomic<bool> returned{false};
    std::thread caller([&] {
        while (reprise_session_evaluate(session.handle(), prompt.data(), prompt.size()) == REPRISE_BUSY)
            std::this_thread::yield();
        returned = true;
    });
    int32_t position;
    while (reprise_session_position(session.handle(), &position) == REPRISE_OK && !returned) std::this_thread::yield();
    reprise_handle fork = 1;
    expect_status(REPRISE_BUSY, reprise_session_fork(session.handle(), -1, &fork), {"another thread"});
    EXPECT_EQ(0u, fork);
    expect_status(REPRISE_BUSY, reprise_session_save(session.handle(), -1, dir_.file("a").c_str(), nullptr, 0));
    EXPECT_FALSE(std::filesystem::exists(dir_.file("a")));
    ok(reprise_session_cancel(session.handle()));
    caller.join();
}

TEST_P(SessionCopies, AreMadeWhileTheModelIsClosed) {
    load_tiny();
    for (int round = 0; round < 30; ++round) {
        reprise_handle gguf, model, session;
        ok(reprise_gguf_open(dir_.file("model.gguf").c_str(), 1, &gguf));
        const reprise_model_options options = model_options(GetParam().device, false, 1);
        ok(reprise_model_load(gguf, &options, &model));
        ok(reprise_gguf_close(gguf));
        ok(reprise_session_open(model, nullptr, &session));
        const Ids ids = some_ids(20);
        ok(reprise_session_evaluate(session, ids.data(), ids.size()));
        ok(reprise_session_save(session, -1, dir_.file("a").c_str(), nullptr, 0));
        std::atomic<int> made{0};
        std::thread forking([&] {
            reprise_status status = REPRISE_OK;
            for (reprise_handle fork; status == REPRISE_OK; ++made) {
                status = reprise_session_fork(session, -1, &fork);
                if (status == REPRISE_OK) ok(reprise_session_close(fork));
            }
            EXPECT_EQ(REPRISE_INVALID_HANDLE, status) << last_error();
        });
        std::thread restoring([&] {
            reprise_status status = REPRISE_OK;
            for (reprise_handle restored; status == REPRISE_OK; ++made)
                status = reprise_session_restore(model, dir_.file("a").c_str(), 0, nullptr, &restored);
            EXPECT_EQ(REPRISE_INVALID_HANDLE, status) << last_error();
        });
        while (made < 3) std::this_thread::yield();
        ok(reprise_model_close(model));
        forking.join();
        restoring.join();
    }
}

}  // namespace
}  // namespace reprise::test
