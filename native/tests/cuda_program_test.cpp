// The programs of a plan on CUDA: what their launches read, write and take of weights, what falls back, and what
// follows from the list. None of it needs a device.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cuda/forward.h"
#include "cuda/lower.h"
#include "plan_support.h"

namespace reprise::cuda {
namespace {

using test::tiny_spec;

constexpr uint32_t CAPACITY = 256;

std::unique_ptr<Plan> plan_of(const ModelSpec& spec, const TypeMix& types) {
    return test::plan_of(random_model(spec, types, 1).bytes());
}
std::unique_ptr<Plan> plan_of(const std::string& architecture, const char* types, bool tied = true) {
    ModelSpec spec = tiny_spec(architecture);
    spec.tied_output = tied;
    return plan_of(spec, named_types(types, spec));
}

Target fused(TensorType kv_type = TensorType::F16) { return Target::any(false, true, kv_type, CAPACITY); }
Target unfused(TensorType kv_type = TensorType::F16) { return Target::any(false, false, kv_type, CAPACITY); }
Target without_shared_memory() {
    Target target = fused();
    target.fits = [](std::span<const MatvecPart>) { return false; };
    target.gated_fits = [](const DeviceMatrix&, const DeviceMatrix&) { return false; };
    return target;
}
/// Has kernels of many rows for Q4_K and Q6_K.
Target with_many() {
    Target target = fused();
    target.many_can = [](std::span<const MatvecPart> parts) {
        return std::ranges::all_of(parts, [](const MatvecPart& part) {
            return part.matrix->type == TensorType::Q4_K || part.matrix->type == TensorType::Q6_K;
        });
    };
    target.many_can_gate = [](const DeviceMatrix& gate, const DeviceMatrix& up) {
        return gate.type == TensorType::Q4_K && up.type == TensorType::Q4_K;
    };
    return target;
}

struct Case {
    std::string name;
    Target target;
    uint32_t rows;
};
std::vector<Case> cases() {
    return {{"one row", fused(), 1},
            {"one row, unfused", unfused(), 1},
            {"one row, without shared memory", without_shared_memory(), 1},
            {"eight rows", with_many(), 8},
            {"eight rows, row by row", fused(), 8},
            {"64 rows", with_many(), 64}};
}

/// What a program's launches are, in order.
std::vector<CudaKernel> kernels(const CudaProgram& program) {
    std::vector<CudaKernel> list;
    for (const CudaLaunch& launch : program.launches) list.push_back(launch.by);
    return list;
}

void expect_reads_what_was_written(const CudaProgram& program, std::set<std::string> written) {
    for (const CudaLaunch& launch : program.launches) {
        for (const ValueId id : launch.reads) {
            ASSERT_LT(id, program.values.size());
            EXPECT_TRUE(written.contains(program.values[id].name))
                << kernel_name(launch.by) << " reads " << program.values[id].name;
        }
        for (const Product& product : launch.products)
            EXPECT_NE(launch.reads.end(), std::ranges::find(launch.reads, product.input)) << kernel_name(launch.by);
        for (const ValueId id : launch.writes) written.insert(program.values[id].name);
    }
}

class CudaProgramOf : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {
  protected:
    std::unique_ptr<Plan> plan(bool tied = true) const {
        return plan_of(std::get<0>(GetParam()), std::get<1>(GetParam()), tied);
    }
};
INSTANTIATE_TEST_SUITE_P(Models, CudaProgramOf,
                         ::testing::Combine(::testing::Values("llama", "qwen2", "qwen3"),
                                            ::testing::Values("F32", "BF16", "Q8_0", "Q4_K_M", "Q5_K_M")),
                         [](const auto& p) { return std::string(std::get<0>(p.param)) + "_" + std::get<1>(p.param); });

TEST_P(CudaProgramOf, ReadsNothingThatNoLaunchWrote) {
    const auto plan = this->plan();
    for (const Case& c : cases()) {
        SCOPED_TRACE(c.name);
        const CudaProgram program = lower(*plan, c.target, c.rows);
        EXPECT_EQ(Kernel::EMBED, program.launches.front().kernel);
        EXPECT_EQ(Kernel::LOGITS, program.launches.back().kernel);
        expect_reads_what_was_written(program, {});
    }
    const CudaProgram prefill = lower_prefill(*plan, fused(), 64);
    expect_reads_what_was_written(prefill, {});
    std::set<std::string> of_prefill;
    for (const StepValue& value : prefill.values) of_prefill.insert(value.name);
    expect_reads_what_was_written(lower_head(*plan, fused()), of_prefill);
}

TEST_P(CudaProgramOf, TakesEveryWeight) {
    for (const bool tied : {true, false}) {
        const auto plan = this->plan(tied);
        const Weight* table = std::get<EmbedStep>(plan->steps.front()).table;
        const auto expect_once = [&](std::initializer_list<CudaProgram> programs) {
            std::map<const Weight*, int> times;
            for (const CudaProgram& program : programs) {
                for (const CudaLaunch& launch : program.launches) {
                    std::set<const Weight*> of_launch;
                    for (const Weight* w : launch.weights()) of_launch.insert(w);
                    for (const Weight* w : of_launch) ++times[w];
                }
            }
            EXPECT_EQ(plan->weights.size(), times.size());
            for (const auto& [weight, n] : times) {
                if (weight->rows == 1) continue;  // a norm may serve several launches
                EXPECT_EQ(tied && weight == table ? 2 : 1, n) << weight->name;
            }
        };
        for (const Case& c : cases()) {
            SCOPED_TRACE(c.name);
            const CudaProgram program = lower(*plan, c.target, c.rows);
            expect_once({program});
            const uint64_t more_rows = tied ? 0 : (c.rows - 1) * table->row_bytes();
            EXPECT_EQ(plan->bytes_per_token() + more_rows, program.weight_bytes(c.rows));
        }
        expect_once({lower_prefill(*plan, fused(), 64), lower_head(*plan, fused())});
    }
}

TEST_P(CudaProgramOf, OneRowIsFiveFusedKernelsALayer) {
    const auto plan = this->plan();
    const CudaProgram program = lower(*plan, fused(), 1);
    std::vector<CudaKernel> expected = {CudaKernel::EMBED};
    for (uint32_t layer = 0; layer < plan->hparams.n_layers; ++layer) {
        expected.insert(expected.end(),
                        {CudaKernel::FUSED_PROJECT, CudaKernel::FUSED_ATTENTION, CudaKernel::FUSED_PROJECT,
                         CudaKernel::FUSED_GATED, CudaKernel::FUSED_PROJECT});
    }
    expected.push_back(CudaKernel::FUSED_PROJECT);
    EXPECT_EQ(expected, kernels(program));
    EXPECT_EQ(5 * plan->hparams.n_layers + 2, program.n_kernels());
    EXPECT_EQ(0u, program.n_fallbacks());
    EXPECT_TRUE(program.fallbacks().empty());
}

TEST_P(CudaProgramOf, SharedMemoryTakesTurns) {
    const auto plan = this->plan();
    for (const Case& c : cases()) {
        Slot next = Slot::LARGE;
        const auto turn = [&] { next = next == Slot::LARGE ? Slot::SMALL : Slot::LARGE; };
        for (const CudaLaunch& launch : lower(*plan, c.target, c.rows).launches) {
            if (!takes_slot(launch.by)) continue;
            EXPECT_EQ(next, launch.slot) << c.name << ", " << kernel_name(launch.by);
            turn();
            if (launch.by_row && c.rows % 2 == 0) turn();
        }
    }
}

TEST_P(CudaProgramOf, WeightsAreFetchedTwoKernelsAhead) {
    const auto plan = this->plan();
    const CudaProgram program = lower(*plan, fused(), 1);
    const auto device_bytes = [](const Weight* w) { return matrix_shape(*w, false).n_bytes; };
    for (size_t i = 0; i < program.launches.size(); ++i) {
        const FetchAhead& ahead = program.launches[i].ahead;
        switch (i == 0 || i + 1 == program.launches.size() ? 0 : (i - 1) % 5) {
            case 1: {
                const auto& output = program.launches[i + 1].products;
                const auto& gated = program.launches[i + 2].products;
                EXPECT_EQ(gated[0].weight, ahead.first);
                EXPECT_EQ(gated[1].weight, ahead.second);
                EXPECT_EQ(device_bytes(output[0].weight), ahead.bytes_between);
                break;
            }
            case 2: {
                const auto& gated = program.launches[i + 1].products;
                EXPECT_EQ(program.launches[i + 2].products[0].weight, ahead.first);
                EXPECT_EQ(nullptr, ahead.second);
                EXPECT_EQ(device_bytes(gated[0].weight) + device_bytes(gated[1].weight), ahead.bytes_between);
                break;
            }
            default:
                EXPECT_EQ(nullptr, ahead.first);
        }
    }
}

/// What every device may fall back to has room.
TEST_P(CudaProgramOf, TheWorkspaceHoldsEveryFallback) {
    const auto plan = this->plan();
    for (const TensorType kv_type : {TensorType::F16, TensorType::Q8_0}) {
        const BufferBytes room = workspace_buffers(*plan, {CAPACITY, 64, kv_type, false, true});
        for (Target target : {fused(kv_type), unfused(kv_type), without_shared_memory()}) {
            target.kv_type = kv_type;
            BufferBytes needed;
            add_buffers(needed, lower(*plan, target, 1));
            add_buffers(needed, lower_prefill(*plan, target, 64));
            add_buffers(needed, lower_head(*plan, target));
            for (const auto& [name, n_bytes] : needed) {
                ASSERT_TRUE(room.contains(name)) << name;
                EXPECT_LE(n_bytes, room.at(name)) << name;
            }
        }
    }
}

TEST(CudaProgram, WhatHasNoFusedKernelFallsBackAlone) {
    TypeMix types = uniform_types(TensorType::Q8_0);
    types.ffn_down = TensorType::F16;
    const auto plan = plan_of(tiny_spec(), types);
    const CudaProgram program = lower(*plan, fused(), 1);
    const std::vector<CudaKernel> layer = {
        CudaKernel::FUSED_PROJECT, CudaKernel::FUSED_ATTENTION, CudaKernel::FUSED_PROJECT, CudaKernel::PREPARE,
        CudaKernel::MATVEC,        CudaKernel::SWIGLU,          CudaKernel::FUSED_PROJECT};
    std::vector<CudaKernel> expected = {CudaKernel::EMBED};
    for (int i = 0; i < 2; ++i) expected.insert(expected.end(), layer.begin(), layer.end());
    expected.push_back(CudaKernel::FUSED_PROJECT);
    EXPECT_EQ(expected, kernels(program));
    EXPECT_EQ(2u, program.n_fallbacks());
    const std::vector<std::string> sentences = program.fallbacks();
    ASSERT_EQ(1u, sentences.size());
    EXPECT_NE(std::string::npos, sentences[0].find("2 of a decode step's 16 launches")) << sentences[0];
    EXPECT_NE(std::string::npos, sentences[0].find("blk.0.ffn_gate.weight")) << sentences[0];
}

TEST(CudaProgram, WithoutSharedMemoryEveryProductFallsBackAndSaysSo) {
    const auto plan = plan_of("qwen2", "Q4_K_M");
    const CudaProgram program = lower(*plan, without_shared_memory(), 1);
    for (const CudaLaunch& launch : program.launches) {
        EXPECT_NE(CudaKernel::FUSED_PROJECT, launch.by);
        EXPECT_NE(CudaKernel::FUSED_GATED, launch.by);
        EXPECT_EQ(launch.by == CudaKernel::MATVEC, !launch.fallback.empty());
    }
    EXPECT_EQ(4 * plan->hparams.n_layers + 1, program.n_fallbacks());
}

TEST(CudaProgram, TypesThatNoKernelTakesTogetherTakeOneMore) {
    TypeMix types = uniform_types(TensorType::Q4_K);
    types.attn_v = TensorType::Q5_K;
    const auto plan = plan_of(tiny_spec(), types);
    const CudaProgram program = lower(*plan, fused(), 1);
    EXPECT_EQ(6 * plan->hparams.n_layers + 2, program.n_kernels());
    EXPECT_EQ(0u, program.n_fallbacks());
}

TEST(CudaProgram, AnUnfusedRowFallsBackNowhere) {
    const auto plan = plan_of("llama", "Q8_0");
    const CudaProgram program = lower(*plan, unfused(), 1);
    // A layer: norm, q k v, RoPE, attention into 8 bits, output, norm, gate and up, activation, down.
    EXPECT_EQ(1 + 9 * plan->hparams.n_layers + 2, program.n_kernels());
    EXPECT_EQ(0u, program.n_fallbacks());
}

TEST(CudaProgram, ManyRowsAreQuantisedOnceForTheProductsOfAnInput) {
    const auto plan = plan_of("llama", "Q4_K_M");
    for (const uint32_t rows : {8u, 16u, 32u, 64u}) {
        const CudaProgram program = lower(*plan, with_many(), rows);
        const std::vector<CudaKernel> layer = {
            CudaKernel::QUANTISE_ROWS, CudaKernel::PROJECT_ROWS,  CudaKernel::FUSED_ATTENTION,
            CudaKernel::QUANTISE_ROWS, CudaKernel::PROJECT_ROWS,  CudaKernel::QUANTISE_ROWS,
            CudaKernel::GATED_ROWS,    CudaKernel::QUANTISE_ROWS, CudaKernel::PROJECT_ROWS};
        std::vector<CudaKernel> expected = {CudaKernel::EMBED};
        for (uint32_t i = 0; i < plan->hparams.n_layers; ++i)
            expected.insert(expected.end(), layer.begin(), layer.end());
        expected.insert(expected.end(), {CudaKernel::QUANTISE_ROWS, CudaKernel::PROJECT_ROWS});
        EXPECT_EQ(expected, kernels(program));
        EXPECT_EQ(0u, program.n_fallbacks());
        BufferBytes buffers;
        add_buffers(buffers, program);
        EXPECT_EQ(rows * plan->hparams.n_vocab * sizeof(float), buffers.at("logits"));
        EXPECT_EQ(rows * plan->hparams.n_ff / 256 * 292, buffers.at("chunks"));
    }
}

// Q5_K has no kernel of many rows here: those launches alone go row by row, by the kernels that one row takes.
TEST(CudaProgram, WhatHasNoKernelOfManyRowsIsLaunchedForEach) {
    TypeMix types = uniform_types(TensorType::Q4_K);
    types.ffn_down = TensorType::Q5_K;
    const auto plan = plan_of(tiny_spec(), types);
    const CudaProgram program = lower(*plan, with_many(), 8);
    EXPECT_EQ(plan->hparams.n_layers, program.n_fallbacks());
    uint32_t n = 0;
    for (const CudaLaunch& launch : program.launches) {
        if (launch.fallback.empty()) continue;
        ++n;
        EXPECT_TRUE(launch.by_row);
        EXPECT_EQ(CudaKernel::FUSED_PROJECT, launch.by);
        EXPECT_EQ(TensorType::Q5_K, launch.products[0].weight->type);
    }
    EXPECT_EQ(plan->hparams.n_layers, n);
    const CudaProgram one = lower(*plan, fused(), 8);
    EXPECT_EQ(1 + 8 * (5 * plan->hparams.n_layers + 1), one.n_kernels());
}

TEST(CudaProgram, ANumberOfRowsThatIsNoBucketIsAnError) {
    const auto plan = plan_of("llama", "Q8_0");
    for (const uint32_t rows : {2u, 7u, 65u}) EXPECT_THROW(lower(*plan, fused(), rows), Error) << rows;
}

}  // namespace
}  // namespace reprise::cuda
