// Who shares a step with whom, who waits for whom and for how long, and what the others notice when one goes away.
#include "session/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <thread>

#include "support/expect_error.h"

namespace reprise {
namespace {

using namespace std::chrono_literals;
using test::expect_error;

/// Records the steps, which take as long as it is told.
struct Fixture {
    struct Step {
        size_t n_rows = 0, n_shares = 0;
        std::vector<const Scheduler::Job*> jobs;
        double ns = 0;
    };
    explicit Fixture(size_t max_rows, std::chrono::microseconds step_time = 1ms,
                     std::chrono::microseconds row_time = 0us)
        : scheduler(max_rows,
                    [this, step_time, row_time](std::span<const Scheduler::Share> shares, const auto& given_up) {
                        Step step;
                        EXPECT_FALSE(busy.exchange(true)) << "two steps at once";
                        for (const Scheduler::Share& share : shares) {
                            step.n_rows += share.n;
                            step.jobs.push_back(share.job);
                        }
                        step.n_shares = shares.size();
                        const auto time = step_time + row_time * step.n_rows;
                        const auto start = Scheduler::Clock::now();
                        for (auto waited = 0us; waited < time && !given_up(); waited += 100us)
                            std::this_thread::sleep_for(100us);
                        if (on_step) on_step(step);
                        busy = false;
                        if (given_up()) return false;
                        step.ns = std::chrono::duration<double, std::nano>(Scheduler::Clock::now() - start).count();
                        steps.push_back(step);
                        return true;
                    }) {}

    std::function<void(const Step&)> on_step;
    std::atomic<bool> busy{false};
    std::vector<Step> steps;  // read when no thread is in the scheduler
    std::atomic<bool> cancel{false};
    Scheduler scheduler;
};

void decode(Fixture& f, Scheduler::Member& member, int n, std::chrono::microseconds between = 0us) {
    for (int i = 0; i < n; ++i) {
        Scheduler::Job job(member, 1, 1, true, f.cancel);
        f.scheduler.run(job);
        if (between > 0us) std::this_thread::sleep_for(between);
    }
    f.scheduler.leave(member);
}

TEST(Scheduler, ALonePromptIsCutIntoChunks) {
    Fixture f(64);
    Scheduler::Member member(f.scheduler);
    Scheduler::Job job(member, 100, 40, false, f.cancel);
    f.scheduler.run(job);
    ASSERT_EQ(3u, f.steps.size());
    EXPECT_EQ(40u, f.steps[0].n_rows);
    EXPECT_EQ(40u, f.steps[1].n_rows);
    EXPECT_EQ(20u, f.steps[2].n_rows);
    EXPECT_EQ(3u, f.scheduler.n_steps());
    EXPECT_EQ(100u, f.scheduler.n_rows());
}

TEST(Scheduler, AChunkIsNoLongerThanAStep) {
    Fixture f(16);
    Scheduler::Member member(f.scheduler);
    Scheduler::Job job(member, 20, 1000, false, f.cancel);
    f.scheduler.run(job);
    ASSERT_EQ(2u, f.steps.size());
    EXPECT_EQ(16u, f.steps[0].n_rows);
}

TEST(Scheduler, SequencesThatDecodeShareSteps) {
    Fixture f(64, 5ms);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            Scheduler::Member member(f.scheduler);
            decode(f, member, 20);
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(80u, f.scheduler.n_rows());
    // Were nobody to wait for anybody, there would be some 40 steps or more; on a busy machine a thread may come late.
    EXPECT_LE(f.scheduler.n_steps(), 35u);
    EXPECT_GE(f.scheduler.n_steps(), 20u);
}

TEST(Scheduler, ASlowReaderIsNotWaitedForAgain) {
    Fixture f(64, 1ms);
    std::atomic<bool> done{false};
    std::thread slow([&] {
        Scheduler::Member member(f.scheduler);
        while (!done) decode(f, member, 1, 30ms);
    });
    Scheduler::Member member(f.scheduler);
    const auto start = Scheduler::Clock::now();
    decode(f, member, 100);
    const auto elapsed = Scheduler::Clock::now() - start;
    done = true;
    slow.join();
    EXPECT_LT(elapsed, 2s);  // 100 times 30 ms would be 3 s
}

TEST(Scheduler, PromptsDoNotHoldUpWhoDecodes) {
    Fixture f(256, 1ms, 200us);
    Scheduler::Member prompt_member(f.scheduler), decoding(f.scheduler);
    decode(f, decoding, 5);
    std::thread prompt([&] {
        Scheduler::Job job(prompt_member, 600, 256, false, f.cancel);
        f.scheduler.run(job);
    });
    decode(f, decoding, 30);
    prompt.join();
    // A step with a prompt may take three times what one without it takes, as far as steps and rows can differ on a
    // machine that is busy otherwise; before anything is known of prompts, 32 rows.
    double decode_ns = 0, row_ns = 1e9;
    for (const Fixture::Step& step : f.steps) {
        if (step.n_rows == 1) decode_ns = std::max(decode_ns, step.ns);
        if (step.n_rows >= 4) row_ns = std::min(row_ns, step.ns / static_cast<double>(step.n_rows));
    }
    const size_t most = std::max(32 + 1, 1 + static_cast<int>(2 * decode_ns / row_ns));
    size_t shared = 0;
    for (const Fixture::Step& step : f.steps) {
        if (step.n_shares != 2) continue;
        ++shared;
        EXPECT_LE(step.n_rows, most);
    }
    EXPECT_GE(shared, 5u);
}

TEST(Scheduler, PromptsThatWaitShareTheRoom) {
    Fixture f(64, 3ms);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            Scheduler::Member member(f.scheduler);
            Scheduler::Job job(member, 200, 64, false, f.cancel);
            f.scheduler.run(job);
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(600u, f.scheduler.n_rows());
    EXPECT_LE(f.scheduler.n_steps(), 12u);
    EXPECT_EQ(3u, std::ranges::max_element(f.steps, {}, &Fixture::Step::n_shares)->n_shares);
}

/// How many steps there were until each of some prompts, given by priority and rows, was done, if all come at once.
std::vector<size_t> steps_until_done(size_t max_rows, const std::vector<std::pair<int32_t, size_t>>& prompts) {
    Fixture f(max_rows, 0us);
    std::barrier end(static_cast<std::ptrdiff_t>(prompts.size()));
    std::atomic<size_t> n_here{0};
    f.on_step = [&](const Fixture::Step&) {
        while (n_here < prompts.size()) std::this_thread::yield();
        if (f.steps.empty()) std::this_thread::sleep_for(50ms);  // until all of them wait
    };
    Scheduler::Member first(f.scheduler);
    std::thread thread([&] {
        Scheduler::Job job(first, 1, 1, false, f.cancel);
        f.scheduler.run(job);
    });
    while (!f.busy) std::this_thread::yield();
    std::vector<const Scheduler::Job*> jobs(prompts.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < prompts.size(); ++i) {
        threads.emplace_back([&, i] {
            Scheduler::Member member(f.scheduler, prompts[i].first);
            Scheduler::Job job(member, prompts[i].second, max_rows, false, f.cancel);
            jobs[i] = &job;
            ++n_here;
            f.scheduler.run(job);
            end.arrive_and_wait();  // so that no two jobs lie at the same address
        });
    }
    thread.join();
    for (std::thread& t : threads) t.join();
    std::vector<size_t> done;
    for (const Scheduler::Job* job : jobs) {
        size_t last = 0;
        for (size_t i = 1; i < f.steps.size(); ++i) {
            if (std::ranges::count(f.steps[i].jobs, job) > 0) last = i;
        }
        done.push_back(last);
    }
    return done;
}

TEST(Scheduler, AHigherPriorityGoesFirst) {
    const std::vector<size_t> done = steps_until_done(16, {{0, 16 * 2}, {5, 16 * 3}, {0, 16 * 2}});
    EXPECT_EQ(3u, done[1]);
    EXPECT_EQ(7u, std::max(done[0], done[2]));
    EXPECT_GE(std::min(done[0], done[2]), 6u);  // which share what is left
}

TEST(Scheduler, NobodyIsPassedOverForEver) {
    // Half of one step in thirteen is the lower priority's, however long the other goes on.
    const std::vector<size_t> done = steps_until_done(16, {{3, 16 * 200}, {0, 16 * 4}});
    EXPECT_LE(done[1], 8u * 13);
    EXPECT_GE(done[1], 8u * 12);
    EXPECT_GE(done[0], 200u);
}

TEST(Scheduler, ACancelledJobLeavesTheOthers) {
    Fixture f(64, 2ms);
    std::atomic<bool> cancel{false};
    std::thread cancelled([&] {
        Scheduler::Member member(f.scheduler);
        Scheduler::Job job(member, 1000000, 8, false, cancel);
        expect_error(REPRISE_CANCELLED, {}, [&] { f.scheduler.run(job); });
    });
    std::thread canceller([&] {
        std::this_thread::sleep_for(30ms);
        cancel = true;
    });
    Scheduler::Member member(f.scheduler);
    decode(f, member, 50);
    cancelled.join();
    canceller.join();
    EXPECT_GE(f.scheduler.n_rows(), 50u);
}

TEST(Scheduler, AStepThatNobodyWantsAnyMoreIsGivenUp) {
    Fixture f(64, 10s);
    std::thread canceller([&] {
        std::this_thread::sleep_for(20ms);
        f.cancel = true;
    });
    Scheduler::Member member(f.scheduler);
    Scheduler::Job job(member, 8, 8, false, f.cancel);
    const auto start = Scheduler::Clock::now();
    expect_error(REPRISE_CANCELLED, {}, [&] { f.scheduler.run(job); });
    EXPECT_LT(Scheduler::Clock::now() - start, 5s);
    canceller.join();
    f.cancel = false;
    EXPECT_EQ(0u, f.scheduler.n_steps());
}

TEST(Scheduler, AnErrorReachesThoseOfTheStep) {
    Fixture f(64, 1ms);
    bool fails = true;
    f.on_step = [&](const Fixture::Step&) {
        f.busy = false;
        if (fails) fail(REPRISE_OUT_OF_MEMORY, "no memory for the step");
    };
    Scheduler::Member member(f.scheduler);
    Scheduler::Job job(member, 3, 8, false, f.cancel);
    expect_error(REPRISE_OUT_OF_MEMORY, {"no memory for the step"}, [&] { f.scheduler.run(job); });
    fails = false;
    Scheduler::Job again(member, 3, 8, false, f.cancel);
    f.scheduler.run(again);
    EXPECT_EQ(3u, f.scheduler.n_rows());
}

TEST(Scheduler, ManyThreadsComeAndGo) {
    Fixture f(16, 0us);
    std::atomic<uint64_t> rows{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 12; ++t) {
        threads.emplace_back([&, t] {
            for (unsigned round = 0; round < 20; ++round) {
                Scheduler::Member member(f.scheduler);
                const size_t n = 1 + (t * 7 + round * 13) % 40;
                Scheduler::Job prompt(member, n, 5 + t, false, f.cancel);
                f.scheduler.run(prompt);
                decode(f, member, static_cast<int>(t % 5) + 1);
                rows += n + t % 5 + 1;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(rows.load(), f.scheduler.n_rows());
    for (const Fixture::Step& step : f.steps) EXPECT_LE(step.n_rows, 16u);
}

}  // namespace
}  // namespace reprise
