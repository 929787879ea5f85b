#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "cpu/thread_pool.h"
#include "cpu/threads.h"

namespace reprise::cpu {
namespace {

TEST(ThreadPool, RunsEveryThreadOnce) {
    for (const size_t n : {1, 2, 3, 8}) {
        ThreadPool pool(n);
        ASSERT_EQ(pool.size(), n);
        std::vector<int> calls(n);
        for (int i = 0; i < 100; ++i) pool.run([&](size_t thread) { ++calls[thread]; });
        EXPECT_EQ(calls, std::vector<int>(n, 100));
    }
}

/// In a process of its own, whose address space has no room for so many stacks.
TEST(ThreadPoolDeathTest, ThreadsThatCannotBeStartedAreAnErrorThatSaysWhatToDo) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // without what other tests, and CUDA, have mapped
    const auto start = [] {
        const rlimit limit = {size_t{1} << 30, size_t{1} << 30};
        setrlimit(RLIMIT_AS, &limit);
        try {
            ThreadPool pool(1000);
        } catch (const Error& error) {
            std::fprintf(stderr, "%s: %s\n", reprise_status_name(error.status()), error.what());
            std::_Exit(7);
        }
        std::_Exit(0);
    };
    EXPECT_EXIT(start(), ::testing::ExitedWithCode(7),
                "OUT_OF_MEMORY: only [0-9]+ of 1000 threads could be started .*ask for fewer \\(threads\\)");
}

TEST(ThreadPool, ZeroThreadsIsOne) {
    ThreadPool pool(0);
    EXPECT_EQ(pool.size(), 1u);
    int calls = 0;
    pool.run([&](size_t) {
        pool.barrier();
        ++calls;
    });
    EXPECT_EQ(calls, 1);
}

TEST(ThreadPool, BarrierSeparatesPhases) {
    for (const size_t n : {2, 3, 7}) {
        ThreadPool pool(n);
        std::vector<size_t> phase(n);  // plain: the barrier must order the accesses
        std::atomic<int> errors{0};
        for (int region = 0; region < 20; ++region) {
            pool.run([&](size_t thread) {
                for (int i = 0; i < 50; ++i) {
                    ++phase[thread];
                    pool.barrier();
                    for (size_t other = 0; other < n; ++other) errors += phase[other] != phase[thread];
                    pool.barrier();
                }
            });
        }
        EXPECT_EQ(errors, 0);
        EXPECT_EQ(phase, std::vector<size_t>(n, 1000));
    }
}

TEST(ThreadPool, CallersTakeTurns) {
    ThreadPool pool(3);
    size_t total = 0, inside = 0;
    std::atomic<int> overlaps{0};
    std::vector<std::thread> callers;
    for (int c = 0; c < 4; ++c) {
        callers.emplace_back([&] {
            for (int i = 0; i < 100; ++i) {
                pool.run([&](size_t thread) {
                    if (thread == 0) overlaps += ++inside != 1;
                    pool.barrier();
                    if (thread == pool.size() - 1) ++total;
                    pool.barrier();
                    if (thread == 0) --inside;
                });
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(total, 400u);
    EXPECT_EQ(overlaps, 0);
}

TEST(ThreadPool, WakesThreadsThatWentToSleep) {
    ThreadPool pool(2);
    std::atomic<int> calls{0};
    for (int i = 0; i < 20; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(i % 3));
        pool.run([&](size_t) { ++calls; });
    }
    EXPECT_EQ(calls, 40);
}

TEST(ThreadPool, IdleThreadsUseNoTime) {
    ThreadPool pool(4);
    pool.run([](size_t) {});
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const std::clock_t before = std::clock();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_LT(double(std::clock() - before) / CLOCKS_PER_SEC, 0.05);
}

TEST(ThreadPool, StartsAndStopsItsThreads) {
    for (int i = 0; i < 200; ++i) {
        ThreadPool pool(3);
        if (i % 2 == 0) pool.run([](size_t) {});
    }
}

TEST(AvailableThreads, AtLeastOneAndNoMoreThanTheAffinityMask) {
    EXPECT_GE(available_threads(), 1u);
    EXPECT_LE(available_threads(), std::max(1u, std::thread::hardware_concurrency()));
}

class CgroupQuota : public testing::Test {
  protected:
    void SetUp() override {
        root_ = std::filesystem::temp_directory_path() / ("reprise-cgroup-" + std::to_string(getpid()));
        std::filesystem::create_directories(root_);
    }
    void TearDown() override { std::filesystem::remove_all(root_); }

    void write(const std::string& path, const std::string& text) {
        std::filesystem::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << text;
    }
    std::optional<double> quota(const std::string& membership) { return cgroup_cpu_quota(membership, root_.string()); }

    std::filesystem::path root_;
};

TEST_F(CgroupQuota, NoneIsNone) {
    EXPECT_EQ(quota(""), std::nullopt);
    EXPECT_EQ(quota("0::/\n"), std::nullopt);
    write("a/cpu.max", "max 100000\n");
    EXPECT_EQ(quota("0::/a\n"), std::nullopt);
}

TEST_F(CgroupQuota, Version2TakesTheSmallestUpToTheRoot) {
    write("a/cpu.max", "150000 100000\n");
    write("a/b/cpu.max", "max 100000\n");
    write("a/b/c/cpu.max", "400000 100000\n");
    EXPECT_EQ(quota("0::/a/b/c\n"), 1.5);
    EXPECT_EQ(quota("0::/a/b\n"), 1.5);
    EXPECT_EQ(quota("0::/other\n"), std::nullopt);
}

TEST_F(CgroupQuota, AContainerSeesItsOwnGroupAtTheRoot) {
    write("cpu.max", "50000 100000\n");
    EXPECT_EQ(quota("0::/docker/0123\n"), 0.5);
}

TEST_F(CgroupQuota, Version1) {
    write("cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n");
    write("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    write("cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    write("cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(quota("5:memory:/a/b\n4:cpu,cpuacct:/a/b\n1:name=systemd:/\n"), 3.0);
    EXPECT_EQ(quota("4:cpuset:/a\n"), std::nullopt);
}

TEST_F(CgroupQuota, MalformedFilesDoNotCount) {
    write("a/cpu.max", "garbage\n");
    EXPECT_EQ(quota("0::/a\nnonsense\n::\n"), std::nullopt);
    write("a/cpu.max", "100000 0\n");
    EXPECT_EQ(quota("0::/a\n"), std::nullopt);
}

}  // namespace
}  // namespace reprise::cpu
