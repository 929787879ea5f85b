// What is particular to sessions on CUDA: graphs and their statistics, equality with eager steps, threads, device
// memory.
#include <atomic>
#include <thread>

#include "session/engine.h"
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

class CudaSession : public ::testing::Test {
  protected:
    void SetUp() override { NEEDS_DEVICE(REPRISE_DEVICE_CUDA); }

    std::string path(const std::string& architecture = "llama", const char* types = "Q4_K_M",
                     uint32_t context_length = 1536) {
        ModelSpec spec = tiny_spec(architecture);
        spec.context_length = context_length;
        return write_tiny_model(dir_, spec, named_types(types, spec), 1,
                                architecture + types + std::to_string(context_length));
    }
    LoadedModel load(const std::string& architecture = "llama", const char* types = "Q4_K_M",
                     uint32_t context_length = 1536) {
        return {path(architecture, types, context_length), model_options(REPRISE_DEVICE_CUDA)};
    }
    static OpenSession open(const LoadedModel& model, reprise_graph_mode mode, int32_t chunk = 0) {
        reprise_session_options options = session_options(0, chunk);
        options.graph_mode = mode;
        return model.open(options);
    }
    TempDir dir_;
};

reprise_sampling warm(uint64_t seed) {
    reprise_sampling sampling = greedy();
    sampling.temperature = 1;
    sampling.seed = seed;
    return sampling;
}

// Few tokens take other products than many.
TEST_F(CudaSession, LogitsOfAPromptDoNotDependOnItsChunks) {
    const Ids ids = some_ids(300);
    for (const char* types : {"Q4_0", "Q4_1", "Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K", "F16", "BF16"}) {
        const LoadedModel model = load("qwen2", types);
        const std::vector<float> whole = open(model, REPRISE_GRAPH_AUTO).score(ids, REPRISE_SCORE_BATCH);
        for (const int32_t chunk : {7, 30, 150}) {
            const std::vector<float> chunks = open(model, REPRISE_GRAPH_AUTO, chunk).score(ids, REPRISE_SCORE_BATCH);
            // Sums in another order, and weights, keys and values that round the other way to float16.
            EXPECT_LE(relative_difference(chunks, whole), 5e-3) << types << " in chunks of " << chunk;
        }
    }
}

TEST_F(CudaSession, StatisticsTellGraphsFromEagerSteps) {
    const LoadedModel model = load();
    const OpenSession session = open(model, REPRISE_GRAPH_AUTO);
    EXPECT_EQ(512u, session.generate(some_ids(20), 512).ids.size());
    const reprise_statistics s = session.statistics();
    EXPECT_EQ(20u, s.prefill_tokens);
    EXPECT_EQ(512u, s.generated_tokens);
    EXPECT_EQ(1u, s.tokens_from_prefill);
    EXPECT_EQ(1u, s.eager_steps);
    EXPECT_EQ(510u, s.graph_replays);
    EXPECT_EQ(0u, s.discarded_steps);
    EXPECT_EQ(1u, s.captures);
    EXPECT_EQ(0u, s.capture_failures);
    EXPECT_EQ(0u, s.reinstantiations);
    EXPECT_EQ(s.graph_nodes, s.kernels_per_token);
    EXPECT_GT(s.graph_nodes, 10u);
    EXPECT_GT(s.submit_ns, 0u);
    EXPECT_GT(s.decode_ns, 0u);

    session.rewind(0);
    session.generate(some_ids(7), 100);
    const reprise_statistics second = session.statistics();
    EXPECT_EQ(1u, second.eager_steps);
    EXPECT_EQ(510u + 99u, second.graph_replays);
    EXPECT_EQ(1u, second.captures);
}

/// What a session does between two tokens of another must not leave that one on the wrong device.
TEST_F(CudaSession, SessionsOnTwoDevicesTakeTurnsInOneThread) {
    if (!cuda_unavailable_reason(1).empty()) GTEST_SKIP() << "no second device: " << cuda_unavailable_reason(1);
    const std::string file = path();
    reprise_model_options on_second = model_options(REPRISE_DEVICE_CUDA);
    on_second.device_index = 1;
    const LoadedModel first(file, model_options(REPRISE_DEVICE_CUDA)), second(file, on_second);
    for (const reprise_graph_mode mode : {REPRISE_GRAPH_AUTO, REPRISE_GRAPH_EAGER}) {
        const OpenSession a = open(first, mode);
        const Ids alone = a.generate(some_ids(20), 40).ids;
        a.rewind(0);
        a.start(some_ids(20), 40);
        Ids turns;
        while (turns.size() < alone.size()) {
            const OpenSession b = open(second, mode);  // opened, used and closed between two tokens
            b.start(some_ids(20), 40);
            const Ids one = b.take(1).ids;
            EXPECT_EQ(alone[0], one.at(0));
            const Ids next = a.take(1).ids;
            turns.insert(turns.end(), next.begin(), next.end());
        }
        EXPECT_EQ(alone, turns);
        const OpenSession b = open(second, mode);
        a.rewind(0);
        EXPECT_EQ(alone, b.generate(some_ids(20), 40).ids);
        EXPECT_EQ(alone, a.generate(some_ids(20), 40).ids);
    }
}

TEST_F(CudaSession, EagerModeHasNoGraphs) {
    const LoadedModel model = load();
    const OpenSession session = open(model, REPRISE_GRAPH_EAGER);
    session.generate(some_ids(3), 10);
    const reprise_statistics s = session.statistics();
    EXPECT_EQ(9u, s.eager_steps);
    EXPECT_EQ(0u, s.graph_replays + s.captures);
    EXPECT_GT(s.kernels_per_token, 10u);
}

TEST_F(CudaSession, StepsLaunchedAheadAreCountedWhenDiscarded) {
    const LoadedModel model = load();
    const OpenSession session = open(model, REPRISE_GRAPH_AUTO);
    session.start(some_ids(3), 100);
    session.take(10);
    ok(reprise_session_end(session.handle()));
    const reprise_statistics s = session.statistics();
    EXPECT_EQ(9u, s.eager_steps + s.graph_replays - s.discarded_steps);
    EXPECT_GT(s.discarded_steps, 0u);
    EXPECT_LT(s.discarded_steps, 10u);
}

TEST_F(CudaSession, GraphTokensEqualEagerOnesOverTwoRequests) {
    for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
        const LoadedModel model = load(architecture);
        const OpenSession graph = open(model, REPRISE_GRAPH_ALWAYS), eager = open(model, REPRISE_GRAPH_EAGER);
        for (const Ids& prompt : {some_ids(40, 1), some_ids(11, 2)}) {
            EXPECT_EQ(eager.generate(prompt, 512).ids, graph.generate(prompt, 512).ids) << architecture;
        }
        EXPECT_EQ(eager.logits(), graph.logits()) << architecture;
    }
}

TEST_F(CudaSession, GraphLogitsEqualEagerOnesToTheLastBit) {
    for (const char* types : {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K"}) {
        const LoadedModel model = load("qwen2", types);
        const OpenSession session = open(model, REPRISE_GRAPH_AUTO);
        const Ids ids = some_ids(150);
        const std::vector<float> eager = session.score(ids, REPRISE_SCORE_STEP);
        session.rewind(0);
        EXPECT_EQ(eager, session.score(ids, REPRISE_SCORE_GRAPH)) << types;
        EXPECT_EQ(150u, session.statistics().graph_replays) << types;
        // What generation leaves behind does not show either.
        session.rewind(0);
        session.generate(some_ids(60, 3), 40, warm(1));
        session.rewind(0);
        EXPECT_EQ(eager, session.score(ids, REPRISE_SCORE_GRAPH)) << types;
    }
}

TEST_F(CudaSession, EverySamplingKindHasItsGraph) {
    const LoadedModel model = load();
    const OpenSession session = open(model, REPRISE_GRAPH_ALWAYS);
    std::vector<reprise_sampling> kinds = {greedy(), warm(1), warm(2), warm(3), warm(4)};
    kinds[2].top_k = 20;
    kinds[3].top_p = 0.8f;
    kinds[4].top_k = 20;
    kinds[4].top_p = 0.8f;
    kinds[4].repeat_penalty = 1.2f;
    for (int round = 0; round < 2; ++round) {
        for (const reprise_sampling& sampling : kinds) {
            session.rewind(0);
            const OpenSession eager = open(model, REPRISE_GRAPH_EAGER);
            EXPECT_EQ(eager.generate(some_ids(9), 60, sampling).ids, session.generate(some_ids(9), 60, sampling).ids);
        }
    }
    EXPECT_EQ(kinds.size(), session.statistics().captures);
    EXPECT_EQ(1u, session.statistics().eager_steps);
}

TEST_F(CudaSession, KvTypesAreTheSessionsOwn) {
    const LoadedModel model = load();
    reprise_session_options options = session_options();
    const OpenSession half = model.open(options);
    options.kv_type = REPRISE_KV_F32;
    const OpenSession single = model.open(options);
    EXPECT_EQ(2 * half.statistics().memory_kv, single.statistics().memory_kv);
    const Ids ids = some_ids(100);
    const std::vector<float> a = half.score(ids, REPRISE_SCORE_BATCH), b = single.score(ids, REPRISE_SCORE_BATCH);
    EXPECT_NE(a, b);
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 0.2);
}

// ---- copies ----

/// Keys and values are the same in the file wherever they come from, and what follows them is nearly so.
TEST_F(CudaSession, ASavedSessionGoesOnOnTheCpuAndBack) {
    for (const char* architecture : {"llama", "qwen3"}) {
        const LoadedModel cuda = load(architecture, "Q8_0");
        const LoadedModel cpu(path(architecture, "Q8_0"), model_options(REPRISE_DEVICE_CPU));
        for (const reprise_kv_type kv_type : {REPRISE_KV_F16, REPRISE_KV_F32, REPRISE_KV_Q8_0}) {
            SCOPED_TRACE(std::string(architecture) + ", KV type " + std::to_string(kv_type));
            reprise_session_options options = session_options();
            options.kv_type = kv_type;
            const auto expect_moved = [&](const LoadedModel& from, const LoadedModel& to) {
                const OpenSession session = from.open(options);
                session.evaluate(some_ids(300));
                session.generate({}, 7);
                session.save(dir_.file("saved"));
                const OpenSession moved = to.restore(dir_.file("saved"));
                moved.save(dir_.file("moved"));
                EXPECT_EQ(dir_.read("saved"), dir_.read("moved"));
                EXPECT_EQ(0u, moved.statistics().prefill_tokens);
                const Ids more = some_ids(20, 5);
                session.evaluate(more);
                moved.evaluate(more);
                // The CPU multiplies activations in 8 bits, prefill on CUDA in float16; wrong keys would give around 1.
                EXPECT_LE(relative_difference(moved.logits(), session.logits()), 5e-2);
            };
            expect_moved(cuda, cpu);
            expect_moved(cpu, cuda);
        }
    }
}

/// How far the engine ran ahead of a generation that is ended depends on whether its graph was there; nothing else may.
TEST_F(CudaSession, AnEarlyEndLeavesTheSameInAFreshAndAUsedSession) {
    const LoadedModel model = load();
    const OpenSession used = open(model, REPRISE_GRAPH_AUTO);
    used.generate(some_ids(9, 2), 20);
    for (size_t n = 0; n < 8; ++n) {
        const OpenSession fresh = open(model, REPRISE_GRAPH_AUTO);
        used.rewind(0);
        for (const OpenSession* session : {&fresh, &used}) {
            session->start(some_ids(30), 60);
            session->take(n);
            ok(reprise_session_end(session->handle()));
            session->evaluate(some_ids(5, 3));
        }
        EXPECT_EQ(fresh.history(), used.history());
        EXPECT_EQ(fresh.logits(), used.logits()) << n << " tokens taken";
    }
}

// ---- threads ----

TEST_F(CudaSession, LoadingAndOpeningDisturbNoCapture) {
    const LoadedModel model = load();
    const std::string other_path = path("qwen3", "Q8_0");
    std::atomic<bool> done = false;
    std::thread other([&] {
        while (!done) {
            const LoadedModel loaded(other_path, model_options(REPRISE_DEVICE_CUDA));
            for (int i = 0; i < 3; ++i) open(loaded, REPRISE_GRAPH_AUTO).generate({1, 2, 3}, 5);
        }
    });
    const Ids expected = open(model, REPRISE_GRAPH_EAGER).generate(some_ids(10), 20).ids;
    for (int i = 0; i < 60; ++i) {
        const OpenSession session = open(model, REPRISE_GRAPH_ALWAYS);  // a capture that fails is an error
        EXPECT_EQ(expected, session.generate(some_ids(10), 20).ids);
        EXPECT_EQ(1u, session.statistics().captures);
    }
    done = true;
    other.join();
}

TEST_F(CudaSession, ASessionMayMoveBetweenThreads) {
    const LoadedModel model = load();
    const OpenSession session = open(model, REPRISE_GRAPH_AUTO), same = open(model, REPRISE_GRAPH_AUTO);
    const Ids expected = same.generate(some_ids(10), 60).ids;
    session.start(some_ids(10), 60);
    Ids ids;
    while (ids.size() < 60) {
        std::thread([&] {
            for (const int32_t id : session.take(7).ids) ids.push_back(id);
        }).join();
    }
    EXPECT_EQ(expected, ids);
}

TEST_F(CudaSession, ClosingTheModelStopsASessionThatDecodes) {
    reprise_handle gguf = 0, model = 0, session = 0;
    const reprise_model_options options = model_options(REPRISE_DEVICE_CUDA);
    ok(reprise_gguf_open(path("llama", "Q4_K_M", 1 << 16).c_str(), 1, &gguf));
    ok(reprise_model_load(gguf, &options, &model));
    ok(reprise_gguf_close(gguf));
    const reprise_session_options long_context = session_options(1 << 16);
    ok(reprise_session_open(model, &long_context, &session));
    const int32_t id = 1;
    ok(reprise_session_generate(session, &id, 1, nullptr, 0, nullptr, 0));
    std::atomic<size_t> delivered = 0;
    int32_t finish = REPRISE_FINISH_NONE;
    reprise_status status = REPRISE_OK;
    std::thread decoding([&] {
        while (status == REPRISE_OK && finish == REPRISE_FINISH_NONE) {
            reprise_token token;
            size_t n = 0;
            status = reprise_session_next(session, &token, 1, &n, &finish);
            delivered += n;
        }
    });
    while (delivered < 50) std::this_thread::yield();
    ok(reprise_model_close(model));
    decoding.join();
    EXPECT_TRUE(status == REPRISE_INVALID_HANDLE || finish == REPRISE_FINISH_CANCELLED)
        << reprise_status_name(status) << " " << finish;
    EXPECT_EQ(REPRISE_INVALID_HANDLE, reprise_session_end(session));
}

// ---- memory and devices ----

TEST_F(CudaSession, MemoryIsCheckedBeforeItIsTaken) {
    reprise_handle gguf = 0, model = 0, session = 0;
    ok(reprise_gguf_open(path().c_str(), 1, &gguf));
    reprise_model_options options = model_options(REPRISE_DEVICE_CUDA);
    reprise_session_options context = session_options(1024);
    reprise_memory needed;
    ok(reprise_gguf_memory(gguf, &options, &context, &needed));
    EXPECT_GT(needed.weights, 0u);

    options.device_memory_limit = needed.weights - 1;
    expect_status(REPRISE_OUT_OF_DEVICE_MEMORY, reprise_model_load(gguf, &options, &model),
                  {"weights", "KV cache", "workspace", "limit"});
    EXPECT_EQ(0u, model);

    options.device_memory_limit = needed.weights + needed.kv_cache + needed.workspace;
    ok(reprise_model_load(gguf, &options, &model));
    reprise_handle second = 0;
    ok(reprise_session_open(model, &context, &session));
    reprise_statistics statistics;
    ok(reprise_session_statistics(session, &statistics));
    EXPECT_EQ(needed.kv_cache, statistics.memory_kv);
    EXPECT_EQ(needed.workspace, statistics.memory_workspace);
    expect_status(REPRISE_OUT_OF_DEVICE_MEMORY, reprise_session_open(model, &context, &second),
                  {"1024", "KV cache", "workspace", "limit"});
    EXPECT_EQ(0u, second);
    expect_status(REPRISE_OUT_OF_DEVICE_MEMORY, reprise_session_fork(session, -1, &second),
                  {"1024", "KV cache", "workspace", "limit"});
    EXPECT_EQ(0u, second);
    const std::string saved = dir_.file("session");
    ok(reprise_session_save(session, -1, saved.c_str(), nullptr, 0));
    expect_status(REPRISE_OUT_OF_DEVICE_MEMORY, reprise_session_restore(model, saved.c_str(), 0, nullptr, &second),
                  {"1024", "KV cache", "workspace", "limit"});
    EXPECT_EQ(0u, second);
    ok(reprise_session_close(session));
    ok(reprise_session_open(model, &context, &second));  // what a closed session held is there again
    ok(reprise_session_close(second));
    ok(reprise_session_restore(model, saved.c_str(), 0, nullptr, &second));
    ok(reprise_model_close(model));
    ok(reprise_gguf_close(gguf));
}

TEST_F(CudaSession, MoreContextThanTheDeviceHoldsIsRefused) {
    const LoadedModel model = load("llama", "F32", 1u << 30);
    const reprise_session_options options = session_options(1 << 30);
    reprise_handle session = 1;
    expect_status(REPRISE_OUT_OF_DEVICE_MEMORY, reprise_session_open(model.handle(), &options, &session),
                  {"KV cache", "free"});
    EXPECT_EQ(0u, session);
    EXPECT_EQ(5u, model.open(session_options(64)).generate({1}, 5).ids.size());
}

TEST_F(CudaSession, ADeviceThatIsNotThereIsNamed) {
    reprise_handle gguf = 0, model = 1;
    ok(reprise_gguf_open(path().c_str(), 1, &gguf));
    reprise_model_options options = model_options(REPRISE_DEVICE_CUDA);
    options.device_index = 99;
    expect_status(REPRISE_DEVICE_UNAVAILABLE, reprise_model_load(gguf, &options, &model), {"99"});
    EXPECT_EQ(0u, model);
    ok(reprise_gguf_close(gguf));
}

TEST_F(CudaSession, LoadingReportsItsProgressAndCanBeCancelled) {
    struct Calls {
        uint64_t last = 0, total = 0;
        int count = 0, cancel_at = -1;
    } calls;
    reprise_handle gguf = 0, model = 0;
    ok(reprise_gguf_open(path().c_str(), 1, &gguf));
    reprise_model_options options = model_options(REPRISE_DEVICE_CUDA);
    options.progress_user = &calls;
    options.progress = [](void* user, uint64_t done, uint64_t total) -> int32_t {
        Calls& c = *static_cast<Calls*>(user);
        EXPECT_GE(done, c.last);
        c.last = done;
        c.total = total;
        return c.count++ == c.cancel_at;
    };
    ok(reprise_model_load(gguf, &options, &model));
    EXPECT_EQ(calls.total, calls.last);
    ok(reprise_model_close(model));
    calls = {};
    calls.cancel_at = 3;
    expect_status(REPRISE_CANCELLED, reprise_model_load(gguf, &options, &model), {"progress"});
    EXPECT_EQ(4, calls.count);
    ok(reprise_gguf_close(gguf));
}

}  // namespace
}  // namespace reprise::test
