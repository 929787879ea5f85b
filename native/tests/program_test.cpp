// The program of a plan: launches in an order in which everything is written before it is read, with every weight.
#include "exec/program.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cpu/lower.h"
#include "plan_support.h"

namespace reprise {
namespace {

using test::tiny_spec;

std::unique_ptr<Plan> plan_of(const std::string& architecture, bool tied, const char* types) {
    ModelSpec spec = tiny_spec(architecture);
    spec.tied_output = tied;
    return test::plan_of(random_model(spec, named_types(types, spec), 1).bytes());
}

class ProgramOf : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Architecture, ProgramOf, ::testing::Values("llama", "qwen2", "qwen3"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(ProgramOf, ReadsNothingThatNoLaunchWrote) {
    const auto plan = plan_of(GetParam(), true, "Q4_K_M");
    for (const uint32_t rows : {1u, 64u}) {
        const Program program = cpu::lower(*plan, cpu::kernels(), rows);
        std::set<ValueId> written;
        for (const Launch& launch : program.launches) {
            for (const ValueId id : launch.reads) {
                ASSERT_LT(id, program.values.size());
                EXPECT_TRUE(written.contains(id)) << kernel_name(launch.kernel) << " reads " << program.values[id].name;
            }
            for (const Product& product : launch.products)
                EXPECT_NE(launch.reads.end(), std::ranges::find(launch.reads, product.input));
            written.insert(launch.writes.begin(), launch.writes.end());
        }
        EXPECT_EQ(Kernel::EMBED, program.launches.front().kernel);
        EXPECT_EQ(Kernel::LOGITS, program.launches.back().kernel);
    }
}

TEST_P(ProgramOf, TakesEveryWeightOnce) {
    for (const bool tied : {true, false}) {
        const auto plan = plan_of(GetParam(), tied, "Q4_K_M");
        for (const uint32_t rows : {1u, 64u}) {
            std::map<const Weight*, int> times;
            for (const Launch& launch : cpu::lower(*plan, cpu::kernels(), rows).launches) {
                for (const Weight* w : launch.weights()) ++times[w];
            }
            EXPECT_EQ(plan->weights.size(), times.size());
            const Weight* table = std::get<EmbedStep>(plan->steps.front()).table;
            for (const auto& [weight, n] : times) EXPECT_EQ(tied && weight == table ? 2 : 1, n) << weight->name;
        }
    }
}

TEST_P(ProgramOf, CountsTheBytesOfAStep) {
    for (const bool tied : {true, false}) {
        const auto plan = plan_of(GetParam(), tied, "Q4_K_M");
        const Program one = cpu::lower(*plan, cpu::kernels(), 1), many = cpu::lower(*plan, cpu::kernels(), 64);
        EXPECT_EQ(plan->bytes_per_token(), one.weight_bytes(1));
        const Weight* table = std::get<EmbedStep>(plan->steps.front()).table;
        EXPECT_EQ(plan->bytes_per_token() + (tied ? 0 : 63 * table->row_bytes()), many.weight_bytes(64));
    }
}

TEST(Program, ManyRowsArePreparedOnceForEachTypeOfWeights) {
    ModelSpec spec = tiny_spec();
    const auto same = test::plan_of(random_model(spec, uniform_types(TensorType::Q8_0), 1).bytes());
    const auto n_of = [](const Program& program, Kernel kernel) {
        return std::ranges::count(program.launches, kernel, &Launch::kernel);
    };
    const Program one = cpu::lower(*same, cpu::kernels(), 1), many = cpu::lower(*same, cpu::kernels(), 2);
    EXPECT_EQ(0, n_of(one, Kernel::PREPARE));
    // A layer: q k v, rotate and store, attention, output, gate and up, down.
    EXPECT_EQ(1u + 2 * 6 + 1, one.launches.size());
    EXPECT_EQ(2 * 4 + 1, n_of(many, Kernel::PREPARE));
    for (const Launch& launch : many.launches) {
        if (launch.kernel != Kernel::PREPARE) continue;
        EXPECT_EQ(1u, launch.writes.size());
    }
}

}  // namespace
}  // namespace reprise
