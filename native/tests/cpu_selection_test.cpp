#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <string>

#include "core/error.h"
#include "cpu/isa_tables.h"

namespace reprise::cpu {
namespace {

TEST(CpuSelection, EverySetIsListedOnceAndTheBaselineIsAvailable) {
    std::set<std::string> names;
    for (const IsaEntry& set : instruction_sets()) names.insert(set.kernels->name);
    EXPECT_EQ(names, (std::set<std::string>{"baseline", "avx2", "avx512vnni"}));
    EXPECT_STREQ(instruction_sets().front().kernels->name, "baseline");
    EXPECT_TRUE(instruction_sets().front().available);
}

TEST(CpuSelection, BestAvailableSetByDefault) {
    const Kernels* best = nullptr;
    for (const IsaEntry& set : instruction_sets()) best = set.available ? set.kernels : best;
    EXPECT_EQ(&choose_kernels(nullptr), best);
    EXPECT_EQ(&choose_kernels(""), best);
}

TEST(CpuSelection, NamedSetsAreUsedOrRefused) {
    for (const IsaEntry& set : instruction_sets()) {
        if (set.available) {
            EXPECT_EQ(&choose_kernels(set.kernels->name), set.kernels);
        } else {
            EXPECT_THROW(choose_kernels(set.kernels->name), Error);
        }
    }
}

TEST(CpuSelection, UnknownSetNamesWhatThereIs) {
    try {
        choose_kernels("avx9000\n");
        FAIL() << "an unknown name was accepted";
    } catch (const Error& e) {
        EXPECT_EQ(e.status(), REPRISE_INVALID_ARGUMENT);
        EXPECT_NE(std::string(e.what()).find("avx9000"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find("baseline"), std::string::npos) << e.what();
    }
}

TEST(CpuSelectionDeathTest, EnvironmentVariableForcesASet) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process in which kernels() was not called yet
    EXPECT_EXIT(
        {
            setenv("REPRISE_CPU_ISA", "baseline", 1);
            std::exit(std::string(kernels().name) == "baseline" ? 42 : 1);
        },
        testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace reprise::cpu
