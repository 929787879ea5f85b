// Who holds which blocks: counted, shared, given back, copied on writing, used up.
#include "exec/kv_pool.h"

#include <gtest/gtest.h>

#include <thread>

#include "support/expect_error.h"

namespace reprise {
namespace {

using test::expect_error;
using Blocks = std::vector<uint32_t>;
using Copies = std::vector<std::pair<uint32_t, uint32_t>>;

constexpr uint64_t BYTES = 1 << 20;

struct Fixture {
    explicit Fixture(uint64_t n_blocks, uint64_t budget_blocks = 1000)
        : budget(budget_blocks * BYTES),
          pool(n_blocks, BYTES, budget, [this](uint32_t block) { forgotten.push_back(block); }) {}

    KvBudget budget;
    Blocks forgotten;
    KvPool pool;
    Copies copies;
    std::function<void(uint32_t, uint32_t)> copy = [this](uint32_t from, uint32_t to) {
        copies.emplace_back(from, to);
    };
};

Blocks blocks(const KvTable& table) { return {table.blocks().begin(), table.blocks().end()}; }

TEST(KvPool, ATableGrowsByBlocksAndGivesThemBack) {
    Fixture f(10);
    {
        KvTable table(f.pool);
        table.make_writable(0, 1, f.copy);
        EXPECT_EQ(Blocks({0}), blocks(table));
        table.make_writable(1, 128, f.copy);
        EXPECT_EQ(Blocks({0}), blocks(table));
        table.make_writable(128, 500, f.copy);
        EXPECT_EQ(Blocks({0, 1, 2, 3}), blocks(table));
        EXPECT_EQ(4 * BYTES, f.budget.used());
        table.truncate(129);
        EXPECT_EQ(Blocks({0, 1}), blocks(table));
        table.truncate(128);
        EXPECT_EQ(Blocks({0}), blocks(table));
        EXPECT_EQ(Blocks({3, 2, 1}), f.forgotten);
        EXPECT_EQ(1u, f.pool.n_held());
    }
    EXPECT_EQ(0u, f.pool.n_held());
    EXPECT_EQ(0u, f.budget.used());
    EXPECT_TRUE(f.copies.empty());
}

TEST(KvPool, TheFirstFreeBlockIsTaken) {
    Fixture f(10);
    KvTable a(f.pool), b(f.pool);
    a.make_writable(0, 256, f.copy);
    b.make_writable(0, 256, f.copy);
    a.truncate(0);
    b.make_writable(256, 257, f.copy);
    EXPECT_EQ(Blocks({2, 3, 0}), blocks(b));
}

TEST(KvPool, WhoeverWritesToASharedBlockFirstCopiesIt) {
    Fixture f(10);
    KvTable parent(f.pool), fork(f.pool);
    parent.make_writable(0, 200, f.copy);
    fork.share(parent, 150);
    EXPECT_EQ(Blocks({0, 1}), blocks(fork));
    EXPECT_EQ(2u, f.pool.n_held());
    fork.make_writable(150, 151, f.copy);
    EXPECT_EQ(Blocks({0, 2}), blocks(fork));
    EXPECT_EQ(Copies({{1, 2}}), f.copies);
    parent.make_writable(200, 201, f.copy);  // its own again
    EXPECT_EQ(Blocks({0, 1}), blocks(parent));
    EXPECT_EQ(1u, f.copies.size());
    parent.truncate(0);
    EXPECT_EQ(Blocks({0, 2}), blocks(fork));
    EXPECT_EQ(Blocks({1}), f.forgotten);
}

TEST(KvPool, ASharedBlockIsFreeWhenTheLastHolderLetsGo) {
    Fixture f(4);
    auto parent = std::make_unique<KvTable>(f.pool);
    KvTable fork(f.pool), fork_of_fork(f.pool);
    parent->make_writable(0, 128, f.copy);
    fork.share(*parent, 128);
    fork_of_fork.share(fork, 70);
    parent.reset();
    fork.truncate(0);
    EXPECT_EQ(1u, f.pool.n_held());
    fork_of_fork.make_writable(70, 71, f.copy);
    EXPECT_TRUE(f.copies.empty());
    fork_of_fork.truncate(0);
    EXPECT_EQ(0u, f.pool.n_held());
}

TEST(KvPool, WhatIsUsedUpIsSaidAndNothingIsLost) {
    Fixture f(3);
    KvTable a(f.pool), b(f.pool);
    a.make_writable(0, 200, f.copy);
    b.make_writable(0, 10, f.copy);
    expect_error(REPRISE_OUT_OF_MEMORY, {"keys and values", "1.0 MiB more", "3.0 of", "kv_memory"},
                 [&] { b.make_writable(10, 300, f.copy); });
    EXPECT_EQ(Blocks({2}), blocks(b));
    a.truncate(100);
    expect_error(REPRISE_OUT_OF_MEMORY, {}, [&] { b.make_writable(10, 300, f.copy); });
    EXPECT_EQ(2u, f.pool.n_held());
    b.make_writable(10, 256, f.copy);
    EXPECT_EQ(Blocks({2, 1}), blocks(b));
}

TEST(KvPool, PoolsOfOneBudgetLimitEachOther) {
    KvBudget budget(3 * BYTES);
    KvPool large(10, 2 * BYTES, budget, [](uint32_t) {}), small(10, BYTES, budget, [](uint32_t) {});
    const uint32_t block = large.take();
    small.take();
    expect_error(REPRISE_OUT_OF_MEMORY, {"3.0 of 3.0 MiB"}, [&] { small.take(); });
    large.release(block);
    small.take();
    expect_error(REPRISE_OUT_OF_MEMORY, {"2.0 of 3.0 MiB"}, [&] { large.take(); });
}

TEST(KvPool, ACopyThatFailsLeavesTheSharedBlock) {
    Fixture f(10);
    KvTable parent(f.pool), fork(f.pool);
    parent.make_writable(0, 100, f.copy);
    fork.share(parent, 100);
    expect_error(REPRISE_OUT_OF_MEMORY, {"no page"}, [&] {
        fork.make_writable(50, 60, [](uint32_t, uint32_t) { fail(REPRISE_OUT_OF_MEMORY, "no page"); });
    });
    EXPECT_EQ(Blocks({0}), blocks(fork));
    EXPECT_EQ(1u, f.pool.n_held());
}

TEST(KvPool, ThreadsTakeAndGiveBackAtOnce) {
    Fixture f(64);
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (uint32_t i = 0; i < 2000; ++i) {
                KvTable table(f.pool), fork(f.pool);
                const auto copy = [](uint32_t from, uint32_t to) { EXPECT_NE(from, to); };
                table.make_writable(0, 1 + (i * 37 + t) % 1000, copy);
                fork.share(table, 1 + i % 100 % (1 + (i * 37 + t) % 1000));
                fork.make_writable(0, 1, copy);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(0u, f.pool.n_held());
    EXPECT_EQ(0u, f.budget.used());
}

}  // namespace
}  // namespace reprise
