// The program reprise-eval: what it writes, prints and refuses.
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include "support/tiny_session.h"

namespace reprise::test {
namespace {

struct Outcome {
    int status;
    std::string output;  // stdout and stderr
};

class Eval : public ::testing::Test {
  protected:
    void SetUp() override {
        model_ = write_tiny_model(dir_, tiny_spec(), uniform_types(TensorType::F32));
        ids_ = some_ids(70);
        tokens_ = write_ids("ids.i32", ids_);
    }

    std::string write_ids(const std::string& name, const Ids& ids) const {
        return dir_.write(name, {reinterpret_cast<const uint8_t*>(ids.data()), ids.size() * sizeof(int32_t)});
    }

    Outcome run(const std::string& arguments) const {
        const std::string command = std::string("'") + REPRISE_EVAL + "' " + arguments + " 2>&1";
        std::FILE* pipe = ::popen(command.c_str(), "r");
        if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
        Outcome outcome;
        char buffer[4096];
        for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.output.append(buffer, n);
        const int status = ::pclose(pipe);
        outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        return outcome;
    }

    std::vector<float> logits(const std::string& options) const {
        const std::string out = dir_.file("out.f32");
        const Outcome outcome = run(model_ + " --tokens " + tokens_ + " --logits " + out + " " + options);
        EXPECT_EQ(0, outcome.status) << outcome.output;
        EXPECT_EQ("", outcome.output);
        std::ifstream file(out, std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(file), {}};
        std::vector<float> values(bytes.size() / sizeof(float));
        std::copy_n(bytes.data(), values.size() * sizeof(float), reinterpret_cast<char*>(values.data()));
        return values;
    }

    void expect_refused(const std::string& arguments, std::initializer_list<const char*> parts) const {
        const Outcome outcome = run(arguments);
        EXPECT_EQ(1, outcome.status) << arguments;
        for (const char* part : parts)
            EXPECT_NE(std::string::npos, outcome.output.find(part)) << arguments << "\n" << outcome.output;
    }

    TempDir dir_;
    std::string model_, tokens_;
    Ids ids_;
};

TEST_F(Eval, WritesTheLogitsAfterEveryToken) {
    const LoadedModel model(model_, model_options(REPRISE_DEVICE_CPU));
    const std::vector<float> batch = logits("--device cpu");
    ASSERT_EQ(70u * 512, batch.size());
    EXPECT_EQ(model.open(session_options(70)).score(ids_, REPRISE_SCORE_BATCH), batch);
    EXPECT_LE(max_abs_difference(batch, logits("--device cpu --mode step --threads 1")), 1e-3f);
    EXPECT_LE(max_abs_difference(batch, logits("--device cpu --mode graph --kv f32")), 2e-2f);  // another KV type
    const std::vector<float> eight_bits = logits("--device cpu --kv q8_0");
    EXPECT_NE(batch, eight_bits);
    EXPECT_LE(max_abs_difference(batch, eight_bits), 25 * 2e-2f);  // rounds 25 times as much
    const std::vector<float> exact = logits("--device cpu --exact");
    EXPECT_LE(max_abs_difference(exact, logits("--device cpu --kv f32")), 1e-3f);
    EXPECT_LE(max_abs_difference(exact, logits("--device cpu --exact --mode step")), 1e-4f);
}

TEST_F(Eval, ComparesTheValuesOfStepsWithTheExactOnes) {
    const ModelSpec spec = tiny_spec("qwen3");
    const std::string model = write_tiny_model(dir_, spec, named_types("Q4_K_M", spec), 1, "mixed.gguf");
    for (const char* mode : {"batch", "step"}) {
        const std::string arguments = model + " --random 40 --compare-steps --device cpu --mode " + mode;
        const Outcome within = run(arguments);
        EXPECT_EQ(0, within.status) << within.output;
        // Of every token embedding, of both layers q, k (before and after RoPE), v, attention, gate, up, what is added
        // to the residual stream twice and that stream, and the logits.
        const size_t n_values = (std::string(mode) == "batch" ? 3 : 40) * (2 + 2 * (5 + 1 + 2 + 4) + 1);
        EXPECT_NE(std::string::npos, within.output.find("all " + std::to_string(n_values) + " values are within 0.25"))
            << within.output;
        for (const char* part : {"| embed | x | 0 |", "| attention | attention |", "| logits | logits |"})
            EXPECT_NE(std::string::npos, within.output.find(part)) << part << "\n" << within.output;
        const Outcome off = run(arguments + " --tolerance 1e-6");
        EXPECT_EQ(2, off.status);
        EXPECT_NE(std::string::npos, off.output.find("the first: q of products, layer 0, position 0 (id "))
            << off.output;
    }
    expect_refused(model + " --random 300 --compare-steps --device cpu", {"300 tokens", "context of 256"});
    expect_refused(model + " --tokens " + write_ids("wild.i32", {3, 512}) + " --compare-steps --device cpu",
                   {"token id 512 at index 1"});
    expect_refused(model + " --random 3 --compare-steps --exact", {"--exact", "--compare-steps"});
    expect_refused(model + " --random 3 --compare-steps --tolerance none", {"--tolerance none"});
    ModelSpec narrow = tiny_spec();
    narrow.head_dim = 48;
    const std::string odd = write_tiny_model(dir_, narrow, uniform_types(TensorType::F32), 1, "narrow.gguf");
    expect_refused(odd + " --random 3 --compare-steps --device cpu --kv q8_0", {"kv_type is Q8_0", "head_dim is 48"});
}

TEST_F(Eval, PrintsThePerplexityOfWholeWindows) {
    const LoadedModel model(model_, model_options(REPRISE_DEVICE_CPU));
    double total = 0;
    for (int window = 0; window < 2; ++window) {  // 70 tokens hold two windows of 32
        const Ids ids(ids_.begin() + window * 32, ids_.begin() + window * 32 + 32);
        const std::vector<float> rows = model.open().score(ids, REPRISE_SCORE_BATCH);
        for (size_t i = 0; i + 1 < ids.size(); ++i) {
            double sum = 0;
            for (size_t id = 0; id < 512; ++id) sum += std::exp(static_cast<double>(rows[i * 512 + id]));
            total += std::log(sum) - rows[i * 512 + static_cast<size_t>(ids[i + 1])];
        }
    }
    const Outcome outcome = run(model_ + " --tokens " + tokens_ + " --perplexity 32 --device cpu");
    EXPECT_EQ(0, outcome.status);
    double printed = 0;
    int n_scored = 0, n_windows = 0;
    ASSERT_EQ(3, std::sscanf(outcome.output.c_str(), "perplexity %lf over %d tokens in %d windows of 32", &printed,
                             &n_scored, &n_windows))
        << outcome.output;
    EXPECT_EQ(62, n_scored);
    EXPECT_EQ(2, n_windows);
    EXPECT_NEAR(std::exp(total / 62), printed, 1e-3 * printed);
}

TEST_F(Eval, LeavesOutTheRowsOfAPrompt) {
    const std::vector<float> all = logits("--device cpu --mode step"),
                             rest = logits("--device cpu --mode step --prefill 60");
    ASSERT_EQ(10u * 512, rest.size());
    EXPECT_LE(max_abs_difference({all.end() - 10 * 512, all.end()}, rest), 1e-3f);
}

TEST_F(Eval, ContinuesGreedilyAsASessionDoes) {
    const LoadedModel model(model_, model_options(REPRISE_DEVICE_CPU));
    uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
    for (const int32_t id : model.open().generate(ids_, 9).ids) {
        for (int byte = 0; byte < 4; ++byte)
            hash = (hash ^ (static_cast<uint32_t>(id) >> (8 * byte) & 255)) * 0x100000001b3u;
    }
    char expected[64];
    std::snprintf(expected, sizeof expected, "greedy %016llx of 9 tokens\n", static_cast<unsigned long long>(hash));
    EXPECT_EQ(expected, run(model_ + " --tokens " + tokens_ + " --greedy 9 --device cpu --mode step").output);
}

TEST_F(Eval, FeedsRandomIds) {
    const Outcome outcome = run(model_ + " --random 40 --perplexity 20 --device cpu");
    EXPECT_EQ(0, outcome.status) << outcome.output;
    EXPECT_NE(std::string::npos, outcome.output.find("over 38 tokens in 2 windows")) << outcome.output;
}

TEST_F(Eval, RefusesLogitsThatAreNoNumbers) {
    // Of one token, which stands at two places of the ids: its embedding, or its row of the output.
    constexpr int32_t damaged = 300;
    Ids ids = ids_;
    std::replace(ids.begin(), ids.end(), damaged, 0);
    ids[20] = ids[50] = damaged;
    const std::string tokens = write_ids("damaged.i32", ids);
    ModelSpec spec = tiny_spec();
    spec.tied_output = false;
    const auto damaged_model = [&](const char* tensor, float value) {
        std::vector<uint8_t> bytes = tiny_model_bytes(spec, uniform_types(TensorType::F32));
        uint8_t* row =
            bytes.data() + GgufFile::parse(bytes, "model")->find_tensor(tensor)->file_offset + damaged * 256 * 4;
        for (int i = 0; i < 256; ++i) std::memcpy(row + i * 4, &value, 4);
        return dir_.write("damaged.gguf", bytes) + " --device cpu --tokens " + tokens;
    };
    const std::string out = dir_.file("damaged.f32");
    for (const std::string mode : {"batch", "step", "graph"}) {
        for (const std::string exact : {"", " --exact"}) {
            const std::string options = " --mode " + mode + exact;
            const std::string of_nan = damaged_model("token_embd.weight", NAN) + options;
            // The fast kernels weigh the values of later tokens of a batch by 0, which NaN survives.
            const bool is_exact_place = mode != "batch" || exact != "";
            const char* place = is_exact_place ? "position 20 (id 300)" : "position";
            expect_refused(of_nan + " --logits " + out, {place, "id 0 is NaN", "512 of 512"});
            expect_refused(of_nan + " --logits " + out + " --prefill 51", {"position 50 (id 300)", "NaN"});
            expect_refused(of_nan + " --logits " + out + " --prefill 60", {"position 59", "NaN"});
            expect_refused(of_nan + " --perplexity 16", {place, "NaN"});
            expect_refused(of_nan + " --perplexity 21", {place, "NaN"});  // the last of its window
            expect_refused(of_nan + " --greedy 5", {"position 69", "NaN"});
        }
    }
    // One logit in every row, so that the likeliest token is another.
    const std::string of_one_logit = damaged_model("output.weight", NAN);
    for (const char* job : {" --logits /dev/null", " --perplexity 16", " --greedy 5"})
        expect_refused(of_one_logit + job, {"id 300 is NaN", "1 of 512"});
    EXPECT_EQ(0, run(model_ + " --device cpu --perplexity 16 --tokens " + tokens).status);
}

TEST_F(Eval, RefusesLogitsThatAreInfinite) {
    // One dimension alone counts in the output, and there with weights whose product overflows.
    ModelSpec spec = tiny_spec();
    spec.tied_output = false;
    std::vector<uint8_t> bytes = tiny_model_bytes(spec, uniform_types(TensorType::F32));
    const auto file = GgufFile::parse(bytes, "model");
    const auto fill = [&](const char* name, size_t first, size_t n, float value) {
        for (size_t i = first; i < first + n; ++i)
            std::memcpy(bytes.data() + file->find_tensor(name)->file_offset + i * 4, &value, 4);
    };
    for (const auto& [sign, word] : {std::pair{1.0f, "is infinity"}, {-1.0f, "is -infinity"}}) {
        fill("output_norm.weight", 0, 256, 0);
        fill("output_norm.weight", 0, 1, 1e20f);
        for (size_t id = 0; id < 512; ++id) fill("token_embd.weight", id * 256, 1, 100);
        fill("output.weight", 0, 512 * 256, 0);
        fill("output.weight", 7 * 256, 1, sign * 1e30f);
        const std::string model = dir_.write("infinite.gguf", bytes) + " --device cpu --tokens " + tokens_;
        for (const char* job : {" --logits /dev/null", " --perplexity 16", " --greedy 5", " --greedy 5 --exact"})
            expect_refused(model + job, {"id 7 ", word, "1 of 512"});
    }
}

TEST_F(Eval, RefusesWhatItCannotDo) {
    const std::string good = model_ + " --tokens " + tokens_;
    expect_refused("", {"model file", "Usage"});
    expect_refused(model_, {"--tokens", "Usage"});
    expect_refused(good, {"--logits", "--perplexity"});
    expect_refused(good + " --perplexity 32 --logits x", {"one of"});
    expect_refused(good + " --perplexity 32 --greedy 3", {"one of"});
    expect_refused(good + " --random 3 --greedy 3", {"one of --tokens and --random"});
    expect_refused(good + " --perplexity 32 --prefill 3", {"--prefill", "--logits"});
    expect_refused(good + " --prefill 70 --logits " + dir_.file("none.f32"), {"--prefill 70", "70 ids"});
    expect_refused(good + " --perplexity 1", {"--perplexity 1", "whole number"});
    expect_refused(good + " --perplexity 71", {"70 tokens", "71"});
    expect_refused(good + " --perplexity 32 --mode fast", {"--mode fast", "batch, step, graph"});
    expect_refused(good + " --perplexity 32 --kv q4_0", {"--kv q4_0", "f16, f32, q8_0"});
    expect_refused(good + " --perplexity 32 --nonsense", {"Usage"});
    expect_refused(good + " --logits /nowhere/out", {"/nowhere/out"});
    expect_refused("/nowhere.gguf --tokens " + tokens_ + " --perplexity 32", {"/nowhere.gguf", "IO"});
    expect_refused(tokens_ + " --tokens " + tokens_ + " --perplexity 32", {"ids.i32", "GGUF", "MODEL_FORMAT"});
    expect_refused(model_ + " --tokens /nowhere.i32 --perplexity 32", {"/nowhere.i32"});
    expect_refused(model_ + " --tokens " + write_ids("bad.i32", {1, 512, 3}) + " --perplexity 3 --device cpu", {"512"});
    expect_refused(model_ + " --tokens " + write_ids("none.i32", {}) + " --perplexity 2", {"none.i32", "no token ids"});
    const uint8_t odd[] = {1, 2, 3, 4, 5};
    expect_refused(model_ + " --tokens " + dir_.write("odd.i32", odd) + " --perplexity 2",
                   {"odd.i32", "multiple of 4"});
    if (const std::string reason = why_unusable(REPRISE_DEVICE_CUDA); !reason.empty()) {
        expect_refused(good + " --perplexity 32 --device cuda", {reason.c_str(), "DEVICE_UNAVAILABLE"});
    }
    const Outcome help = run("--help");
    EXPECT_EQ(0, help.status);
    EXPECT_EQ(0u, help.output.find("Usage: reprise-eval"));
}

}  // namespace
}  // namespace reprise::test
