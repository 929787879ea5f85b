// What sessions and models count, need and give back.
#include <unistd.h>

#include <fstream>

#include "support/tiny_session.h"

namespace reprise::test {
namespace {

class SessionStatistics : public SessionTest {};
class SessionMemory : public SessionTest {};
ON_EVERY_BACKEND(SessionStatistics);
ON_EVERY_BACKEND(SessionMemory);

TEST_P(SessionStatistics, CountTokensByHowTheyCameAbout) {
    const LoadedModel model = load_tiny(1024);
    const OpenSession session = open(model);
    session.generate(some_ids(20), 512);
    const reprise_statistics after = session.statistics();
    EXPECT_EQ(20u, after.prefill_tokens);
    EXPECT_GT(after.prefill_ns, 0u);
    EXPECT_EQ(512u, after.generated_tokens);
    EXPECT_GT(after.decode_ns, 0u);
    EXPECT_EQ(1u, after.tokens_from_prefill);
    EXPECT_EQ(0u, after.capture_failures);
    if (GetParam().graph_mode == REPRISE_GRAPH_ALWAYS) {
        EXPECT_EQ(1u, after.eager_steps);
        EXPECT_EQ(510u, after.graph_replays);
        EXPECT_GE(after.captures, 1u);
        EXPECT_LE(after.captures, 4u);
        EXPECT_GT(after.graph_nodes, 0u);
        EXPECT_GT(after.kernels_per_token, 0u);
    } else {
        EXPECT_EQ(511u, after.eager_steps);
        EXPECT_EQ(0u, after.graph_replays);
        EXPECT_EQ(0u, after.captures);
    }
    session.generate({1}, 4);
    EXPECT_EQ(516u, session.statistics().generated_tokens);
    EXPECT_EQ(22u, session.statistics().prefill_tokens);  // the last token of the first generation, and 1
    EXPECT_EQ(2u, session.statistics().tokens_from_prefill);
}

TEST_P(SessionStatistics, MemoryIsWhatWasForetold) {
    const LoadedModel model = load_tiny(1024);
    reprise_model_options load = model_options(GetParam().device);
    reprise_session_options options = session_options(640, 16);
    for (const reprise_kv_type kv_type : {REPRISE_KV_F16, REPRISE_KV_F32, REPRISE_KV_Q8_0}) {
        options.kv_type = kv_type;
        reprise_handle gguf;
        ok(reprise_gguf_open(dir_.file("model.gguf").c_str(), 1, &gguf));
        reprise_memory foretold;
        ok(reprise_gguf_memory(gguf, &load, &options, &foretold));
        ok(reprise_gguf_close(gguf));
        const reprise_statistics statistics = model.open(options).statistics();
        // 2 layers, k and v, 2 heads of 64: two blocks of 32
        const uint64_t block = kv_type == REPRISE_KV_Q8_0 ? 34 : kv_type == REPRISE_KV_F16 ? 64 : 128;
        EXPECT_EQ(2u * 2 * 2 * 2 * 640 * block, statistics.memory_kv);
        EXPECT_EQ(foretold.kv_cache, statistics.memory_kv);
        EXPECT_LE(statistics.memory_workspace, foretold.workspace);
        EXPECT_GE(2 * statistics.memory_workspace, foretold.workspace);
        EXPECT_EQ(foretold.weights, model.info().memory_bytes);
    }
}

TEST_P(SessionStatistics, ModelInfoSaysWhatWasLoaded) {
    ModelSpec spec = tiny_spec("qwen3");
    spec.tied_output = false;
    const LoadedModel model = load(spec, uniform_types(TensorType::Q8_0));
    const reprise_model_info info = model.info();
    EXPECT_EQ(GetParam().device, info.device);
    EXPECT_EQ(512, info.n_vocab);
    EXPECT_EQ(256, info.n_embd);
    EXPECT_EQ(2, info.n_layers);
    EXPECT_EQ(4, info.n_heads);
    EXPECT_EQ(2, info.n_kv_heads);
    EXPECT_EQ(128, info.head_dim);
    EXPECT_EQ(256, info.context_length);
    EXPECT_GE(info.threads, 1);
    // Q, output; K, V; gate, up, down; norms, and those of q and k heads.
    const uint64_t matrices = 2 * (2 * 512 * 256 + 2 * 256 * 256 + 3 * 512 * 256), tables = 512 * 256;
    const uint64_t vectors = 2 * (2 * 256 + 2 * 128) + 256;
    EXPECT_EQ(matrices + 2 * tables + vectors, info.n_parameters);
    EXPECT_EQ((matrices + 2 * tables) / 32 * 34 + 4 * vectors, info.weight_bytes);
    EXPECT_EQ((matrices + tables + 256) / 32 * 34 + 4 * vectors, info.bytes_per_token);
}

uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    uint64_t total = 0, resident = 0;
    statm >> total >> resident;
    return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

/// Memory after 20 rounds and after 200 may differ by 4 MB, less than two of these models take.
template <class Round>
void expect_no_growth(Round round) {
    uint64_t early = 0;
    for (int i = 0; i < 200; ++i) {
        round();
        if (i == 19) early = resident_bytes();
    }
    const uint64_t late = resident_bytes();
    EXPECT_LE(late, early + (uint64_t{4} << 20)) << "grown by " << (late - early) / 1024 << " KiB";
}

TEST_P(SessionMemory, OpeningGeneratingAndClosingLeavesNothingBehind) {
    load_tiny();  // writes the file
    expect_no_growth([&] {
        const LoadedModel model(dir_.file("model.gguf"), model_options(GetParam().device));
        const OpenSession session = open(model, 64);
        EXPECT_EQ(8u, session.generate({1, 2, 3}, 8).ids.size());
    });
}

TEST_P(SessionMemory, AClosedModelIsFreedWhileHandlesOfItsSessionsAreKept) {
    load_tiny();
    expect_no_growth([&] {
        reprise_handle gguf, model, session;
        ok(reprise_gguf_open(dir_.file("model.gguf").c_str(), 0, &gguf));  // read, so that weights count as memory
        const reprise_model_options options = model_options(GetParam().device);
        ok(reprise_model_load(gguf, &options, &model));
        ok(reprise_gguf_close(gguf));
        ok(reprise_session_open(model, nullptr, &session));
        const int32_t id = 1;
        ok(reprise_session_evaluate(session, &id, 1));
        ok(reprise_model_close(model));
    });
}

TEST_P(SessionMemory, CopiesLeaveNothingBehind) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model);
    session.generate(some_ids(100), 10);
    expect_no_growth([&] {
        session.save(dir_.file("session"));
        const OpenSession fork = session.fork(), restored = model.restore(dir_.file("session"));
        EXPECT_EQ(1u, fork.generate({}, 1).ids.size());
        EXPECT_EQ(1u, restored.generate({}, 1).ids.size());
    });
}

TEST_P(SessionMemory, FailedCallsLeaveNothingBehind) {
    const LoadedModel model = load_tiny();
    const OpenSession session = open(model, 32);
    const std::string bad_model = dir_.write("bad.gguf", std::vector<uint8_t>(5000, 7));
    expect_no_growth([&] {
        reprise_handle handle;
        EXPECT_NE(REPRISE_OK, reprise_gguf_open(bad_model.c_str(), 1, &handle));
        EXPECT_NE(REPRISE_OK, reprise_gguf_open("/nowhere", 1, &handle));
        const Ids ids = some_ids(33);
        EXPECT_EQ(REPRISE_CONTEXT_OVERFLOW, reprise_session_evaluate(session.handle(), ids.data(), ids.size()));
        reprise_session_options options = session_options(100000);
        EXPECT_EQ(REPRISE_INVALID_ARGUMENT, reprise_session_open(model.handle(), &options, &handle));
    });
}

TEST_P(SessionMemory, LoadingReportsProgressAndCanBeCancelled) {
    load_tiny();
    struct Report {
        uint64_t done = 0, total = 0;
        int calls = 0, cancel_at = 0;
    } report;
    reprise_model_options options = model_options(GetParam().device);
    options.progress_user = &report;
    options.progress = [](void* user, uint64_t done, uint64_t total) -> int32_t {
        Report& r = *static_cast<Report*>(user);
        EXPECT_GT(done, r.done);
        EXPECT_LE(done, total);
        r.done = done;
        r.total = total;
        return ++r.calls == r.cancel_at;
    };
    LoadedModel(dir_.file("model.gguf"), options);
    EXPECT_GE(report.calls, 1);
    EXPECT_EQ(report.total, report.done);

    report = {0, 0, 0, 1};
    reprise_handle gguf, model = 1;
    ok(reprise_gguf_open(dir_.file("model.gguf").c_str(), 1, &gguf));
    expect_status(REPRISE_CANCELLED, reprise_model_load(gguf, &options, &model), {"cancelled"});
    EXPECT_EQ(0u, model);
    EXPECT_EQ(1, report.calls);
    ok(reprise_gguf_close(gguf));
}

}  // namespace
}  // namespace reprise::test
