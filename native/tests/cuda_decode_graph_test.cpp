// Capture, replay and what happens when a capture fails, with a step that the test controls.
#include "cuda/decode_graph.h"
#include "cuda/device.h"
#include "cuda/memory.h"
#include "cuda/sampler.h"
#include "cuda_linear_support.h"
#include "support/expect_error.h"

namespace reprise::cuda {
namespace {

class CudaDecodeGraph : public ::testing::Test {
  protected:
    void SetUp() override {
        SKIP_WITHOUT_CUDA();
        load_sampler_kernels();
        memory_ = std::make_unique<Buffer<DecodeState>>(std::vector<DecodeState>(1));
        stream_ = std::make_unique<Stream>();
    }

    /// A step is two kernels: it leaves kind as the token.
    DecodeGraph graph(reprise_graph_mode mode, uint32_t planned = 2) {
        return {[this](uint32_t kind, cudaStream_t stream) {
                    place(memory_->get(), -1, 0, 0, 0, stream);
                    if (sabotage_) sabotage_(stream);
                    place(memory_->get(), static_cast<int32_t>(kind), 0, 0, 0, stream);
                },
                [planned](uint32_t) { return planned; }, mode};
    }
    int32_t token() {
        stream_->synchronize("testing");
        return memory_->download()[0].token;
    }
    void forget() { place(memory_->get(), -2, 0, 0, 0, *stream_); }

    /// What a thread-local capture forbids the capturing thread.
    static void allocate(cudaStream_t) {
        void* p = nullptr;
        check(cudaMalloc(&p, 256), "allocating");
        cudaFree(p);
    }

    std::unique_ptr<Buffer<DecodeState>> memory_;
    std::unique_ptr<Stream> stream_;
    std::function<void(cudaStream_t)> sabotage_;
};

TEST_F(CudaDecodeGraph, FirstStepIsEagerTheNextIsCapturedTheRestAreReplays) {
    DecodeGraph g = graph(REPRISE_GRAPH_AUTO);
    EXPECT_FALSE(g.is_quick(5));
    for (int i = 0; i < 10; ++i) {
        forget();
        g.launch(5, *stream_);
        ASSERT_EQ(5, token());
        EXPECT_EQ(i > 0, g.is_quick(5));
    }
    EXPECT_EQ(1u, g.counts().eager_steps);
    EXPECT_EQ(1u, g.counts().captures);
    EXPECT_EQ(9u, g.counts().replays);
    EXPECT_EQ(2u, g.counts().nodes);
    EXPECT_EQ(2u, g.counts().kernels);
    EXPECT_GT(g.counts().submit_ns, 0u);
}

TEST_F(CudaDecodeGraph, EachKindHasItsOwn) {
    DecodeGraph g = graph(REPRISE_GRAPH_ALWAYS);
    for (const int32_t kind : {1, 2, 1, 2, 3, 1, 2, 3}) {
        forget();
        g.launch(static_cast<uint32_t>(kind), *stream_);
        ASSERT_EQ(kind, token());
    }
    EXPECT_EQ(1u, g.counts().eager_steps);
    EXPECT_EQ(3u, g.counts().captures);
}

TEST_F(CudaDecodeGraph, EagerModeNeverCaptures) {
    DecodeGraph g = graph(REPRISE_GRAPH_EAGER);
    for (int i = 0; i < 4; ++i) g.launch(7, *stream_);
    EXPECT_EQ(7, token());
    EXPECT_EQ(4u, g.counts().eager_steps);
    EXPECT_EQ(0u, g.counts().captures);
    g.replay(7, *stream_);  // unless asked to
    EXPECT_EQ(1u, g.counts().captures);
}

TEST_F(CudaDecodeGraph, AnInvalidatedCaptureRunsEagerlyAndIsTriedAgain) {
    DecodeGraph g = graph(REPRISE_GRAPH_AUTO);
    g.launch(5, *stream_);
    for (int failures = 1; failures <= 2; ++failures) {
        // Eager steps may allocate.
        sabotage_ = allocate;
        forget();
        g.launch(5, *stream_);
        EXPECT_EQ(5, token());
        EXPECT_EQ(static_cast<uint64_t>(failures), g.counts().capture_failures);
        EXPECT_EQ(static_cast<uint64_t>(1 + failures), g.counts().eager_steps);
        EXPECT_EQ(cudaSuccess, cudaGetLastError());
    }
    sabotage_ = nullptr;
    forget();
    g.launch(5, *stream_);
    EXPECT_EQ(5, token());
    EXPECT_EQ(1u, g.counts().captures);
    EXPECT_EQ(1u, g.counts().replays);
}

TEST_F(CudaDecodeGraph, ACaptureThatGoesOnFailingIsTriedEverMoreSeldom) {
    DecodeGraph g = graph(REPRISE_GRAPH_AUTO);
    g.launch(5, *stream_);
    sabotage_ = allocate;
    for (const uint64_t failures : {1u, 2u, 3u, 3u, 4u, 4u, 4u, 5u}) {
        forget();
        g.launch(5, *stream_);
        EXPECT_EQ(5, token());
        EXPECT_EQ(failures, g.counts().capture_failures);
    }
    sabotage_ = nullptr;
    for (int step = 0; step < 4; ++step) g.launch(5, *stream_);
    EXPECT_EQ(0u, g.counts().captures);
    g.launch(5, *stream_);
    EXPECT_EQ(1u, g.counts().captures);
}

TEST_F(CudaDecodeGraph, AnInvalidatedCaptureIsAnErrorWhereNothingElseIsAllowed) {
    DecodeGraph g = graph(REPRISE_GRAPH_ALWAYS);
    g.launch(5, *stream_);
    sabotage_ = allocate;
    test::expect_error(REPRISE_ENGINE_FAILED, {"capturing"}, [&] { g.launch(5, *stream_); });
    test::expect_error(REPRISE_ENGINE_FAILED, {"capturing"}, [&] { g.replay(5, *stream_); });
    sabotage_ = nullptr;
    g.launch(5, *stream_);
    EXPECT_EQ(5, token());
}

/// A kernel may start while its predecessor still runs: the edges between captured launches say so from sm_90 on.
TEST_F(CudaDecodeGraph, CapturedLaunchesDependProgrammatically) {
    if (!programmatic_launches()) GTEST_SKIP() << "programmatic launches begin at compute capability 9.0";
    check(cudaStreamBeginCapture(*stream_, cudaStreamCaptureModeThreadLocal), "capturing");
    for (int i = 0; i < 3; ++i) place(memory_->get(), i, 0, 0, 0, *stream_);
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(*stream_, &graph), "capturing");
    cudaGraphNode_t from[8], to[8];
    cudaGraphEdgeData data[8];
    size_t n = 8;
#if CUDART_VERSION >= 13000
    check(cudaGraphGetEdges(graph, from, to, data, &n), "listing edges");
#else
    check(cudaGraphGetEdges_v2(graph, from, to, data, &n), "listing edges");
#endif
    ASSERT_EQ(2u, n);
    for (size_t i = 0; i < n; ++i) EXPECT_EQ(cudaGraphDependencyTypeProgrammatic, data[i].type);
    check(cudaGraphDestroy(graph), "destroying the graph");
}

TEST_F(CudaDecodeGraph, AGraphWithAnEdgeThatIsNotProgrammaticIsRefused) {
    if (!programmatic_launches()) GTEST_SKIP() << "programmatic launches begin at compute capability 9.0";
    load_linear_kernels();
    cpu::Random random(1);
    const TestMatrix table(random, TensorType::F32, 4, 32);
    const Buffer<int32_t> token(std::vector<int32_t>{1});
    const Buffer<float> row(32);
    DecodeGraph g({[&](uint32_t, cudaStream_t stream) {
                       place(memory_->get(), 0, 0, 0, 0, stream);
                       embed_rows(table.matrix, token.get(), 1, row.get(),
                                  stream);  // begins a step: waits for all before
                   },
                   [](uint32_t) { return 2u; }, REPRISE_GRAPH_AUTO});
    g.launch(0, *stream_);
    test::expect_error(REPRISE_INTERNAL, {"edge", "not programmatic"}, [&] { g.launch(0, *stream_); });
}

TEST_F(CudaDecodeGraph, AGraphThatIsNotThePlanIsRefused) {
    DecodeGraph missing = graph(REPRISE_GRAPH_AUTO, 3);
    missing.launch(5, *stream_);
    test::expect_error(REPRISE_INTERNAL, {"2 nodes", "3 kernels"}, [&] { missing.launch(5, *stream_); });

    DecodeGraph copying = graph(REPRISE_GRAPH_AUTO);
    sabotage_ = [this](cudaStream_t stream) { check(cudaMemsetAsync(memory_->get(), 0, 4, stream), "clearing"); };
    copying.launch(5, *stream_);
    test::expect_error(REPRISE_INTERNAL, {"no kernel"}, [&] { copying.launch(5, *stream_); });
}

}  // namespace
}  // namespace reprise::cuda
