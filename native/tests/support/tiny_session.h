// What session tests share: tiny models on disk, the devices and graph modes to run them on.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "support/library.h"
#include "support/tiny_model.h"

namespace reprise::test {

struct Backend {
    const char* name;
    reprise_device device;
    reprise_graph_mode graph_mode;
};

inline void PrintTo(const Backend& backend, std::ostream* out) { *out << backend.name; }

inline constexpr Backend kBackends[] = {
    {"Cpu", REPRISE_DEVICE_CPU, REPRISE_GRAPH_AUTO},
    {"CudaEager", REPRISE_DEVICE_CUDA, REPRISE_GRAPH_EAGER},
    {"CudaGraph", REPRISE_DEVICE_CUDA, REPRISE_GRAPH_ALWAYS},
};

/// Tests of sessions on every backend; those that cannot be used are skipped.
class SessionTest : public ::testing::TestWithParam<Backend> {
  protected:
    void SetUp() override { NEEDS_DEVICE(GetParam().device); }

    LoadedModel load(const ModelSpec& spec, const TypeMix& types) const {
        return {write_tiny_model(dir_, spec, types), model_options(GetParam().device)};
    }
    /// llama of 512 tokens in the types of a published mix, with the given context.
    LoadedModel load_tiny(uint32_t context_length = 256) const {
        ModelSpec spec = tiny_spec();
        spec.context_length = context_length;
        return load(spec, named_types("Q4_K_M", spec));
    }
    /// In float32, so that a greedy token does not depend on whether its context was fed in batches or step by step.
    LoadedModel load_precise(uint32_t context_length = 256) const {
        ModelSpec spec = tiny_spec();
        spec.context_length = context_length;
        return load(spec, uniform_types(TensorType::F32));
    }
    /// Prompts longer than 16 tokens take several chunks.
    OpenSession open(const LoadedModel& model, int32_t context_length = 0) const {
        reprise_session_options options = session_options(context_length, 16);
        options.graph_mode = GetParam().graph_mode;
        return model.open(options);
    }

    TempDir dir_;
};

#define ON_EVERY_BACKEND(suite)                                         \
    INSTANTIATE_TEST_SUITE_P(On, suite, ::testing::ValuesIn(kBackends), \
                             [](const auto& backend) { return std::string(backend.param.name); })

/// n ids in [0, n_vocab), the same for the same seed.
inline Ids some_ids(size_t n, uint64_t seed = 1, int32_t n_vocab = 500) {
    Ids ids(n);
    for (int32_t& id : ids) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        id = static_cast<int32_t>((seed >> 33) % static_cast<uint64_t>(n_vocab));
    }
    return ids;
}

inline Ids joined(std::initializer_list<Ids> parts) {
    Ids all;
    for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

}  // namespace reprise::test
