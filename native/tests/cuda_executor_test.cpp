// Programs on the device: rows of many sequences give what each gives alone, to the last bit, and a trace shows every
// value of a step.
#include "cuda/executor.h"

#include <cstring>
#include <map>

#include "cpu/executor.h"
#include "cuda/fused_project.h"
#include "cuda/lower.h"
#include "cuda/rope.h"
#include "cuda_linear_support.h"
#include "support/tiny_model.h"

namespace reprise::cuda {
namespace {

using test::tiny_spec;

constexpr uint32_t CAPACITY = 128;

struct Model {
    std::vector<uint8_t> bytes;  // in which the weights lie
    std::shared_ptr<const GgufFile> file;
    std::unique_ptr<Plan> plan;
    std::unique_ptr<DeviceWeights> weights;

    Model(const std::string& architecture, const TypeMix& types, bool exact = false) {
        bytes = random_model(tiny_spec(architecture), types, 1).bytes();
        file = GgufFile::parse(bytes, "tiny.gguf");
        plan = build_plan(*file);
        load_linear_kernels();
        load_fused_kernels();
        load_rope_kernels();
        load_attention_kernels();
        weights = std::make_unique<DeviceWeights>(*plan, exact);
        weights->upload(*plan, nullptr, nullptr);
    }
};

/// Sequences with keys and values of their own.
struct Sequences {
    std::vector<std::unique_ptr<SequenceBuffers>> buffers;
    std::vector<SequenceView> views;
    Buffer<Sequence> on_device;
    Buffer<StepRows> rows{1};

    Sequences(const Model& model, const SessionShape& shape, uint32_t n, cudaStream_t stream) : on_device(n) {
        for (uint32_t i = 0; i < n; ++i) {
            buffers.push_back(std::make_unique<SequenceBuffers>(model.plan->hparams, shape, stream));
            views.push_back(buffers.back()->view());
            views.back().state = &on_device.get()[i].state;
        }
    }
    /// The token that each evaluates next, and where; a token of -1: the row has no sequence.
    void place(const std::vector<std::pair<int32_t, uint32_t>>& next) {
        std::vector<Sequence> sequences(on_device.size());
        StepRows list = {};
        for (size_t i = 0; i < next.size(); ++i) {
            sequences[i].state.token = next[i].first;
            sequences[i].state.position = next[i].second;
            sequences[i].state.seq_len = next[i].second + 1;
            list.sequences[i] = next[i].first >= 0 ? on_device.get() + i : nullptr;
            views[i].state = next[i].first >= 0 ? &on_device.get()[i].state : nullptr;
        }
        on_device.upload(sequences);
        rows.upload({list});
    }
};

std::vector<float> download(const float* from, size_t n) {
    std::vector<float> values(n);
    check(cudaDeviceSynchronize(), "running");
    check(cudaMemcpy(values.data(), from, n * sizeof(float), cudaMemcpyDeviceToHost), "downloading");
    return values;
}

/// Rows in steps of a bucket against each row in steps of its own.
void expect_rows_alone_and_together(const Model& model, uint32_t bucket, uint32_t n_rows) {
    const SessionShape shape = {CAPACITY, 16, TensorType::F16, false, true};
    const Target target = Target::current(false, true, shape.kv_type, CAPACITY);
    const CudaProgram one_row = lower(*model.plan, target, 1), many_rows = lower(*model.plan, target, bucket);
    BufferBytes buffers;
    add_buffers(buffers, one_row);
    add_buffers(buffers, many_rows);
    const Stream stream;
    const Workspace workspace(buffers, stream);
    const Executor executor(*model.plan, *model.weights, workspace, shape.kv_type, CAPACITY);
    const Executor::Bound one = executor.bind(one_row), many = executor.bind(many_rows);
    Sequences alone(model, shape, n_rows, stream), together(model, shape, n_rows, stream);
    stream.synchronize("clearing");

    size_t logits_value = 0;
    while (many.program.values[logits_value].name != "logits") ++logits_value;
    const auto* logits = reinterpret_cast<const float*>(many.values[logits_value]);
    const uint32_t n_vocab = model.plan->hparams.n_vocab;
    std::vector<uint32_t> positions(n_rows, 0);
    for (uint32_t step = 0; step < 6; ++step) {
        // Row r joins at step r % 4, and is away at some of the later ones.
        std::vector<std::pair<int32_t, uint32_t>> next;
        for (uint32_t r = 0; r < n_rows; ++r) {
            const bool takes_part = step >= r % 4 && (step + r) % 5 != 4;
            next.emplace_back(takes_part ? static_cast<int32_t>((r * 131 + step * 17) % n_vocab) : -1, positions[r]);
            positions[r] += takes_part;
        }
        alone.place(next);
        together.place(next);
        for (uint32_t r = 0; r < n_rows; ++r) {
            if (next[r].first >= 0) executor.run(one, {1, {&alone.views[r], 1}}, stream);
        }
        executor.run(many, {n_rows, together.views, together.rows.get()}, stream);
        const std::vector<float> got = download(logits, size_t{n_rows} * n_vocab);
        for (uint32_t r = 0; r < n_rows; ++r) {
            if (next[r].first < 0) continue;
            const std::vector<float> expected = download(alone.views[r].logits, n_vocab);
            ASSERT_EQ(0, std::memcmp(expected.data(), &got[size_t{r} * n_vocab], n_vocab * sizeof(float)))
                << "row " << r << " of " << n_rows << " in a bucket of " << bucket << ", step " << step;
            ASSERT_GT(*std::ranges::max_element(expected), 0.f);
        }
    }
}

TEST(CudaExecutor, RowsTogetherGiveTheBitsOfRowsAlone) {
    SKIP_WITHOUT_CUDA();
    for (const char* types : {"Q8_0", "Q4_K_M", "Q6_K", "F16"}) {
        SCOPED_TRACE(types);
        const Model model("qwen3", named_types(types, tiny_spec("qwen3")));
        expect_rows_alone_and_together(model, 8, 8);
        expect_rows_alone_and_together(model, 8, 5);
        expect_rows_alone_and_together(model, 64, 61);
    }
    TypeMix mixed = uniform_types(TensorType::Q8_0);  // whose feed-forward has no fused kernel
    mixed.ffn_down = TensorType::F16;
    const Model model("llama", mixed);
    expect_rows_alone_and_together(model, 16, 13);
}

using Shown = std::map<std::string, std::vector<float>>;  // by launch, layer, name and how often it was seen before

Trace collect(Shown& shown) {
    return [&shown](const Launch& launch, const StepValue& value, std::span<const float> rows) {
        std::string key =
            std::string(kernel_name(launch.kernel)) + " " + std::to_string(launch.layer) + " " + value.name;
        while (shown.contains(key)) key += "'";
        shown[key] = {rows.begin(), rows.end()};
    };
}

/// What a step shows at the end of a few tokens.
Shown trace_on_device(const Model& model, const SessionShape& shape, std::span<const int32_t> ids) {
    const CudaProgram program =
        lower(*model.plan, Target::current(shape.exact, shape.fused, shape.kv_type, CAPACITY), 1);
    BufferBytes buffers;
    add_buffers(buffers, program);
    const Stream stream;
    const Workspace workspace(buffers, stream);
    const Executor executor(*model.plan, *model.weights, workspace, shape.kv_type, CAPACITY);
    const Executor::Bound bound = executor.bind(program);
    Sequences sequence(model, shape, 1, stream);
    stream.synchronize("clearing");
    Shown shown;
    for (uint32_t i = 0; i < ids.size(); ++i) {
        sequence.place({{ids[i], i}});
        shown.clear();
        const Trace trace = collect(shown);
        executor.run(bound, {1, sequence.views}, stream, &trace);
    }
    return shown;
}

Shown trace_on_cpu(const Model& model, std::span<const int32_t> ids) {
    cpu::ThreadPool pool(1);
    KvBudget budget(cpu::KvLayout(model.plan->hparams, TensorType::F32).block_bytes * 4);
    const auto cache = std::make_shared<cpu::KvCache>(model.plan->hparams, TensorType::F32, budget);
    cpu::Executor executor(*model.plan, cpu::exact_kernels(), pool, 16);
    cpu::KvSequence kv(cache);
    std::vector<float> logits(model.plan->hparams.n_vocab);
    Shown shown;
    for (uint32_t i = 0; i < ids.size(); ++i) {
        kv.make_writable(i, i + 1);
        const Row row = {ids[i], i, 0};
        const cpu::KvView view = kv.view();
        const cpu::RowLogits out = {0, logits.data()};
        shown.clear();
        const Trace trace = collect(shown);
        executor.run({{&row, 1}, {&view, 1}, {&out, 1}}, [] { return false; }, &trace);
    }
    shown["logits 1 logits"] = logits;
    return shown;
}

TEST(CudaExecutor, ATraceShowsTheValuesThatTheCpuShows) {
    SKIP_WITHOUT_CUDA();
    const std::vector<int32_t> ids = {5, 77, 300, 12, 450};
    for (const char* types : {"F32", "Q8_0"}) {
        const TypeMix mix = named_types(types, tiny_spec("qwen3"));
        const Model model("qwen3", mix), exact("qwen3", mix, true);
        const Shown expected = trace_on_cpu(exact, ids);
        struct Step {
            const char* name;
            Shown shown;
            std::vector<std::string> of_layer;
            double bound;
        };
        const double rounded = types[0] == 'F' ? 1e-4 : 0.05;
        const Step steps[] = {
            {"fused",
             trace_on_device(model, {CAPACITY, 16, TensorType::F32, false, true}, ids),
             {"products L q", "products L k", "products L v", "attention L attention", "add_product L x",
              "gated_products L gate", "add_product L x'"},
             rounded},
            {"exact",
             trace_on_device(exact, {CAPACITY, 16, TensorType::F32, true, false}, ids),
             {"products L q", "products L k", "products L v", "rotate_and_store L q", "attention L attention",
              "add_product L x", "add_product L x'"},
             1e-4},
        };
        for (const Step& step : steps) {
            std::vector<std::string> keys = {"embed 0 x", "logits 1 logits"};
            for (const char layer : {'0', '1'}) {
                for (std::string key : step.of_layer) {
                    key[key.find('L')] = layer;
                    keys.push_back(key);
                }
            }
            for (const std::string& key : keys) {
                ASSERT_TRUE(step.shown.contains(key) && expected.contains(key)) << step.name << ": " << key;
                const std::vector<float>&got = step.shown.at(key), &want = expected.at(key);
                ASSERT_EQ(want.size(), got.size()) << key;
                double error = 0, norm = 0;
                for (size_t i = 0; i < want.size(); ++i) {
                    error += std::pow(got[i] - want[i], 2);
                    norm += std::pow(want[i], 2);
                }
                EXPECT_GT(norm, 0) << key;
                EXPECT_LE(std::sqrt(error / norm), step.bound) << types << ", " << step.name << ": " << key;
            }
        }
    }
}

}  // namespace
}  // namespace reprise::cuda
