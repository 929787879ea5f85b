// The fused decode step in sessions: that it is what runs, and that it computes what the unfused one does, behind
// contexts of one part and of many.
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

class CudaSessionFused : public ::testing::Test {
  protected:
    void SetUp() override { NEEDS_DEVICE(REPRISE_DEVICE_CUDA); }

    LoadedModel load(const std::string& architecture, const TypeMix& types, const std::string& name) {
        ModelSpec spec = tiny_spec(architecture);
        spec.context_length = 1536;
        return {write_tiny_model(dir_, spec, types, 1, architecture + name), model_options(REPRISE_DEVICE_CUDA)};
    }
    LoadedModel load(const std::string& architecture, const char* types) {
        return load(architecture, named_types(types, tiny_spec(architecture)), types);
    }

    static OpenSession open(const LoadedModel& model, bool unfused, reprise_kv_type kv_type = REPRISE_KV_F16) {
        reprise_session_options options = session_options();
        options.unfused = unfused;
        options.kv_type = kv_type;
        return model.open(options);
    }
    TempDir dir_;
};

constexpr const char* kTypes[] = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K"};

TEST_F(CudaSessionFused, EveryMixTakesFiveKernelsALayer) {
    for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
        for (const char* types : kTypes) {
            const LoadedModel model = load(architecture, types);
            const OpenSession session = open(model, false);
            session.generate(some_ids(3), 4);
            const auto n_layers = static_cast<uint64_t>(model.info().n_layers);
            EXPECT_EQ(5 * n_layers + 3, session.statistics().kernels_per_token) << architecture << " " << types;
        }
    }
}

TEST_F(CudaSessionFused, ProjectionsOfTypesThatNoKernelTakesTogetherTakeASecondLaunch) {
    TypeMix types = named_types("Q4_K_M", tiny_spec());
    types.more_bits.reset();
    types.attn_v = TensorType::Q5_K;
    const LoadedModel model = load("llama", types, "v-in-q5_k");
    const OpenSession session = open(model, false), unfused = open(model, true);
    const Ids ids = some_ids(30);
    EXPECT_LE(relative_difference(session.score(ids, REPRISE_SCORE_GRAPH), unfused.score(ids, REPRISE_SCORE_GRAPH)),
              0.05);
    EXPECT_EQ(6 * static_cast<uint64_t>(model.info().n_layers) + 3, session.statistics().kernels_per_token);
}

// What the feed-forward hands on as bfloat16 for quantised weights is no input for float ones.
TEST_F(CudaSessionFused, FeedForwardsOfQuantisedAndFloatWeightsAreRight) {
    const Ids ids = some_ids(30);
    for (const auto& [gate, down] : {std::pair{TensorType::Q8_0, TensorType::F16},
                                     {TensorType::F16, TensorType::Q8_0},
                                     {TensorType::Q4_0, TensorType::F32}}) {
        TypeMix types = uniform_types(TensorType::Q8_0);
        types.ffn_gate = types.ffn_up = gate;
        types.ffn_down = down;
        const std::string name = std::string(traits(gate).name) + "-" + traits(down).name;
        const LoadedModel model = load("llama", types, name);
        const OpenSession session = open(model, false), unfused = open(model, true);
        EXPECT_LE(relative_difference(session.score(ids, REPRISE_SCORE_GRAPH), unfused.score(ids, REPRISE_SCORE_GRAPH)),
                  0.05)
            << name;
        // The feed-forward's first half falls back, a launch of a layer, for three kernels instead of one.
        const auto n_layers = static_cast<uint64_t>(model.info().n_layers);
        const uint64_t n_fallbacks = gate != TensorType::F16 ? n_layers : 0;
        EXPECT_EQ(n_fallbacks, session.statistics().fallback_launches) << name;
        EXPECT_EQ(5 * n_layers + 3 + 2 * n_fallbacks, session.statistics().kernels_per_token) << name;
        EXPECT_EQ(0u, unfused.statistics().fallback_launches) << name;
    }
}

// Float weights: sums in another order, and keys, values and queries that it rounds the other way to float16. Quantised
// ones: activations that round the other way to 8 bits, a 254th of their block's maximum, through two layers.
TEST_F(CudaSessionFused, AgreesWithTheUnfusedStepAtEveryLength) {
    const Ids ids = some_ids(700);  // past one part of the context, and past two
    for (const char* types : {"F32", "F16", "Q8_0", "Q4_K_M"}) {
        for (const reprise_kv_type kv_type : {REPRISE_KV_F16, REPRISE_KV_F32, REPRISE_KV_Q8_0}) {
            const LoadedModel model = load("qwen3", types);
            const OpenSession fused = open(model, false, kv_type), unfused = open(model, true, kv_type);
            const std::vector<float> actual = fused.score(ids, REPRISE_SCORE_GRAPH),
                                     expected = unfused.score(ids, REPRISE_SCORE_GRAPH);
            const bool is_float = types[0] == 'F';
            const double bound = !is_float || kv_type == REPRISE_KV_Q8_0 ? 0.05
                                 : kv_type == REPRISE_KV_F16             ? 5e-3
                                                                         : 1e-4;
            EXPECT_LE(relative_difference(actual, expected), bound) << types << ", KV type " << kv_type;
            EXPECT_GT(unfused.statistics().kernels_per_token, fused.statistics().kernels_per_token);
        }
    }
}

TEST_F(CudaSessionFused, PenaltiesCountTheHistoryAfterAnEarlyEnd) {
    const LoadedModel model = load("llama", "Q4_K_M");
    reprise_sampling sampling = greedy();
    sampling.repeat_penalty = 1.3f;
    sampling.frequency_penalty = 0.5f;
    const OpenSession session = open(model, false), fresh = open(model, false);
    session.start(some_ids(9), 100, sampling);
    session.take(7);
    ok(reprise_session_end(session.handle()));  // with steps launched ahead, whose tokens were counted
    session.rewind(0);
    EXPECT_EQ(fresh.generate(some_ids(9), 60, sampling).ids, session.generate(some_ids(9), 60, sampling).ids);
}

}  // namespace
}  // namespace reprise::test
