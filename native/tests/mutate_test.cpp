// Mutated files: every one is read or refused, never more.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>

#include "core/error.h"
#include "gguf/gguf.h"
#include "reprise.h"
#include "support/allocation_counter.h"
#include "support/gguf_seeds.h"
#include "support/mutator.h"
#include "support/temp_dir.h"

namespace reprise {
namespace {

using namespace test;

struct Handle {
    using Close = reprise_status (*)(reprise_handle);
    explicit Handle(Close close) : close_(close) {}
    ~Handle() {
        if (id != 0) close_(id);
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    reprise_handle id = 0;

  private:
    Close close_;
};

/// Runs count mutated files through run(), which returns a status, and prints how they ended.
class MutationRun {
  public:
    template <typename Run>
    void files(int count, uint64_t seed, size_t memory_bound, Run run) {
        const std::vector<std::vector<uint8_t>> seeds = gguf_seeds();
        Mutator mutator(seed);
        RandomBits random(seed + 1);
        for (int i = 0; i < count; ++i) {
            std::vector<uint8_t> file = seeds[random.below(seeds.size())];
            for (uint64_t n = 1 + random.below(2); n > 0; --n) {
                const Mutation mutation = mutator.mutate(file);
                ++mutations_;
                structured_ += is_structured(mutation);
            }
            reset_peak();
            const size_t before = allocated_bytes();
            const auto start = std::chrono::steady_clock::now();
            const reprise_status status = run(file);
            const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
            ++by_status_[status];
            slowest_ = std::max(slowest_, taken.count());
            const size_t memory = peak_allocated_bytes() - before;
            most_memory_ = std::max(most_memory_, memory);
            ASSERT_LE(memory, memory_bound + 8 * file.size()) << "file " << i;
            ASSERT_NE(REPRISE_INTERNAL, status) << "file " << i;
        }
    }

    void report(const char* what) const {
        std::printf("%s: %d mutations, %.1f %% of them structured; slowest %.1f ms, most memory %zu bytes\n", what,
                    mutations_, 100.0 * structured_ / mutations_, slowest_ * 1e3, most_memory_);
        for (const auto& [status, count] : by_status_) std::printf("  %-18s %6d\n", reprise_status_name(status), count);
        EXPECT_GE(structured_, 0.8 * mutations_);
        EXPECT_LT(slowest_, 1.0);
        // Both outcomes must be common, or the mutator says little.
        EXPECT_GT(by_status_.at(REPRISE_OK), 0);
        EXPECT_GT(by_status_.at(REPRISE_MODEL_FORMAT), 0);
    }

  private:
    std::map<int, int> by_status_;
    int mutations_ = 0, structured_ = 0;
    double slowest_ = 0;
    size_t most_memory_ = 0;
};

/// Reads every view that the file hands out.
void touch(const GgufFile& file) {
    unsigned sum = 0;
    for (const uint8_t byte : file.metadata()) sum += byte;
    for (const Tensor& tensor : file.tensors()) {
        for (const uint8_t byte : tensor.data) sum += byte;
        ASSERT_EQ(&tensor, file.find_tensor(tensor.name));
    }
    ASSERT_LE(file.tensor_bytes(), file.file_bytes());
    static_cast<void>(*const_cast<volatile unsigned*>(&sum));
}

TEST(Mutated, TwentyThousandFilesAreReadOrRefused) {
    MutationRun run;
    run.files(20000, 1, 65536, [](const std::vector<uint8_t>& file) {
        try {
            touch(*GgufFile::parse(file, "mutated"));
            return REPRISE_OK;
        } catch (const Error& error) {
            EXPECT_GT(std::string(error.what()).size(), 10u);
            return error.status();
        }
    });
    run.report("parse");
}

TEST(Mutated, FilesOnDiskAreReadOrRefused) {
    const TempDir dir;
    for (const bool use_mmap : {true, false}) {
        MutationRun run;
        run.files(1000, 2, 65536, [&](const std::vector<uint8_t>& file) {
            try {
                touch(*GgufFile::open(dir.write("mutated.gguf", file), use_mmap));
                return REPRISE_OK;
            } catch (const Error& error) {
                return error.status();
            }
        });
        run.report(use_mmap ? "open, mapped" : "open, read");
    }
}

/// Opens the file, loads the model on the CPU, evaluates one token and takes its logits.
reprise_status decode_one_token(const std::string& path) {
    Handle gguf(reprise_gguf_close), model(reprise_model_close), session(reprise_session_close);
    if (const reprise_status status = reprise_gguf_open(path.c_str(), 1, &gguf.id)) return status;
    reprise_model_options options;
    reprise_model_options_default(&options);
    options.device = REPRISE_DEVICE_CPU;
    options.threads = 1;
    if (const reprise_status status = reprise_model_load(gguf.id, &options, &model.id)) return status;
    reprise_model_info info;
    if (const reprise_status status = reprise_model_get_info(model.id, &info)) return status;
    if (const reprise_status status = reprise_session_open(model.id, nullptr, &session.id)) return status;
    const int32_t token = info.n_vocab / 2;
    if (const reprise_status status = reprise_session_evaluate(session.id, &token, 1)) return status;
    std::vector<float> logits(static_cast<size_t>(info.n_vocab));
    return reprise_session_logits(session.id, logits.data(), logits.size());
}

TEST(Mutated, UnchangedModelsDecodeAToken) {
    const TempDir dir;
    const std::vector<std::vector<uint8_t>> seeds = gguf_seeds();
    for (size_t i = 0; i + 1 < seeds.size(); ++i) {  // the last one holds no model
        EXPECT_EQ(REPRISE_OK, decode_one_token(dir.write("seed.gguf", seeds[i]))) << i;
    }
    EXPECT_EQ(REPRISE_MODEL_FORMAT, decode_one_token(dir.write("seed.gguf", seeds.back())));
}

TEST(Mutated, ModelsDecodeATokenOrAreRefused) {
    const TempDir dir;
    MutationRun run;
    // The weights are used where they lie in the file, so the bound has no room for them.
    run.files(5000, 3, size_t{1} << 20,
              [&](const std::vector<uint8_t>& file) { return decode_one_token(dir.write("mutated.gguf", file)); });
    run.report("decode");
}

TEST(Mutator, GivesTheSameFilesForTheSameSeed) {
    std::vector<uint8_t> a = gguf_seeds()[0], b = a, c = a;
    Mutator first(7), second(7), third(8);
    for (int i = 0; i < 20; ++i) {
        first.mutate(a);
        second.mutate(b);
        third.mutate(c);
    }
    EXPECT_EQ(a, b);
    EXPECT_NE(a, c);
}

TEST(Mutator, UsesEveryMutation) {
    const std::vector<uint8_t> seed = gguf_seeds()[1];
    Mutator mutator(9);
    std::map<Mutation, int> used;
    for (int i = 0; i < 2000; ++i) {
        std::vector<uint8_t> file = seed;
        const Mutation mutation = mutator.mutate(file);
        ++used[mutation];
        ASSERT_FALSE(file.empty());
    }
    for (int i = 0; i < kMutations; ++i)
        EXPECT_GT(used[static_cast<Mutation>(i)], 20) << mutation_name(static_cast<Mutation>(i));
}

}  // namespace
}  // namespace reprise
