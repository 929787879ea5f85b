// Equal beginnings of sequences: found by what they hold, waited for, kept while nobody holds them, given up in turn.
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "exec/kv_trail.h"
#include "support/expect_error.h"

namespace reprise {
namespace {

using test::expect_error;
using Blocks = std::vector<uint32_t>;
using Ids = std::vector<int32_t>;
using Origin = KvTrail::Origin;
using Sharing = KvTrail::Sharing;

constexpr uint64_t BYTES = 1 << 20;

KvContent content(int32_t first) {
    KvContent c{};
    std::iota(c.ids.begin(), c.ids.end(), first);
    return c;
}

Ids ids(size_t n, int32_t first = 0) {
    Ids result(n);
    std::iota(result.begin(), result.end(), first);
    return result;
}

struct Pool {
    explicit Pool(uint64_t budget_blocks = 100, uint64_t kept_part = 1)
        : budget(budget_blocks * BYTES, budget_blocks * BYTES / kept_part),
          pool(1000, BYTES, budget, [this](uint32_t block) { forgotten.push_back(block); }) {}
    KvBudget budget;
    Blocks forgotten;
    KvPool pool;
};

/// A sequence whose keys and values nobody computes.
struct Sequence {
    explicit Sequence(Pool& pool, Sharing sharing = Sharing::SAME_TOKENS) : table(pool.pool), trail(table, sharing) {}
    uint32_t adopt(const Ids& history) { return trail.adopt(history, cancel); }
    void compute(const Ids& history, Origin origin = Origin::HANDED_IN) {
        const uint32_t begin = trail.size();
        table.make_writable(begin, static_cast<uint32_t>(history.size()), [](uint32_t, uint32_t) {});
        trail.append(begin, std::span(history).subspan(begin), origin);
    }
    void rewind(uint32_t n) {
        trail.truncate(n);
        table.truncate(n);
    }
    Blocks blocks() const { return {table.blocks().begin(), table.blocks().end()}; }

    std::atomic<bool> cancel{false};
    KvTable table;
    KvTrail trail;
};

TEST(KvPrefix, ContentsAreComparedWhateverTheirHash) {
    for (const uint64_t mask : {UINT64_MAX, uint64_t{0}}) {
        KvIndex index(mask);
        const KvIndex::Id a = index.add(KvIndex::ROOT, content(1), 7), b = index.add(a, content(1), 8);
        KvContent drawn = content(1), other = content(1);
        drawn.drawn[127] = true;
        other.ids[127] = 0;
        EXPECT_EQ(a, index.find(KvIndex::ROOT, content(1)));
        EXPECT_EQ(b, index.find(a, content(1)));
        for (const KvIndex::Id before : {KvIndex::ROOT, a}) {
            EXPECT_EQ(KvIndex::NONE, index.find(before, drawn));
            EXPECT_EQ(KvIndex::NONE, index.find(before, other));
        }
        EXPECT_EQ(KvIndex::NONE, index.find(b, content(1)));
        index.remove(a);
        EXPECT_EQ(KvIndex::NONE, index.find(KvIndex::ROOT, content(1)));
        EXPECT_EQ(KvIndex::NONE, index.find(a, content(1)));
        EXPECT_EQ(KvIndex::NONE, index.add(a, content(2), 9));
        EXPECT_NE(a, index.add(KvIndex::ROOT, content(1), 7));
    }
}

TEST(KvPrefix, AnEqualBeginningIsHeldByBoth) {
    Pool f;
    Sequence a(f), b(f);
    EXPECT_EQ(0u, a.adopt(ids(400)));
    a.compute(ids(400));
    Ids other = ids(400);
    other[300] = 0;
    EXPECT_EQ(256u, b.adopt(other));
    EXPECT_EQ(Blocks({0, 1}), b.blocks());
    b.compute(other);
    EXPECT_EQ(Blocks({0, 1, 4, 5}), b.blocks());
    // At least one token is left for the logits.
    Sequence c(f), d(f);
    EXPECT_EQ(256u, c.adopt(ids(384)));
    EXPECT_EQ(384u, d.adopt(ids(385)));
    EXPECT_EQ(6 * BYTES, f.budget.used());
}

TEST(KvPrefix, ABlockThatIsPartlyThereIsReplaced) {
    Pool f;
    Sequence a(f), b(f);
    a.compute(ids(300));
    b.compute(ids(50));
    EXPECT_EQ(Blocks({3}), b.blocks());
    EXPECT_EQ(256u, b.adopt(ids(300)));
    EXPECT_EQ(Blocks({0, 1}), b.blocks());
    EXPECT_EQ(3 * BYTES, f.budget.used());
}

TEST(KvPrefix, HowATokenCameCountsWhereItsBitsMayDiffer) {
    for (const Sharing sharing : {Sharing::SAME_ORIGIN, Sharing::SAME_TOKENS}) {
        Pool f;
        Sequence a(f, sharing), b(f, sharing);
        a.compute(ids(150));
        a.compute(ids(300), Origin::DRAWN);
        EXPECT_EQ(sharing == Sharing::SAME_TOKENS ? 256u : 128u, b.adopt(ids(400)));
        // Its own beginning that was drawn it has again, with the token handed in behind.
        a.compute(ids(450), Origin::HANDED_IN);
        a.rewind(310);
        EXPECT_EQ(384u, a.adopt(ids(450)));
    }
}

TEST(KvPrefix, WhatCameFromAFileIsForNobodyElse) {
    Pool f;
    Sequence a(f), b(f);
    a.table.make_writable(0, 200, [](uint32_t, uint32_t) {});
    a.trail.restore(200);
    a.compute(ids(400));
    EXPECT_EQ(0u, b.adopt(ids(400)));
    EXPECT_EQ(400u, a.adopt(ids(500)));
    b.compute(ids(400));
    a.rewind(100);
    EXPECT_EQ(100u, a.adopt(ids(400)));
    a.rewind(0);
    EXPECT_EQ(384u, a.adopt(ids(400)));
}

TEST(KvPrefix, WhoSharesNothingNeitherFindsNorIsFound) {
    Pool f;
    Sequence a(f), b(f), apart(f, Sharing::NOTHING);
    apart.compute(ids(300));
    EXPECT_EQ(0u, a.adopt(ids(400)));
    EXPECT_EQ(300u, apart.adopt(ids(400)));  // and waits for nobody
    a.compute(ids(400));
    apart.rewind(0);
    EXPECT_EQ(0u, apart.adopt(ids(400)));
    EXPECT_EQ(384u, b.adopt(ids(400)));
}

TEST(KvPrefix, ForksKnowWhatTheyHold) {
    Pool f;
    Sequence a(f), fork(f), c(f);
    a.compute(ids(300));
    fork.table.share(a.table, 200);
    fork.trail.share(a.trail, 200);
    a.rewind(0);
    Ids further = ids(600);
    further[250] = 0;
    EXPECT_EQ(200u, fork.adopt(further));
    fork.compute(further);
    EXPECT_EQ(512u, c.adopt(further));
}

TEST(KvPrefix, WhatNobodyHoldsIsKeptUntilItsMemoryIsNeeded) {
    Pool f(5);
    {
        Sequence a(f), b(f);
        a.compute(ids(300));        // blocks 0, 1 and part of 2
        b.compute(ids(200, 1000));  // 3 and part of 4
    }
    EXPECT_EQ(0u, f.pool.n_held());
    EXPECT_EQ(3u, f.pool.n_kept());
    EXPECT_EQ(3 * BYTES, f.budget.kept());
    EXPECT_EQ(0u, f.budget.used());
    Sequence c(f), d(f);
    EXPECT_EQ(256u, c.adopt(ids(300)));
    EXPECT_EQ(Blocks({0, 1}), c.blocks());
    EXPECT_EQ(1u, f.pool.n_kept());
    c.compute(ids(500));  // takes 2 and 4, which are free
    EXPECT_EQ(1u, f.pool.n_kept());
    d.compute(ids(10, 5000));  // and the one that is kept
    EXPECT_EQ(Blocks({3}), d.blocks());
    EXPECT_EQ(0u, f.pool.n_kept());
    expect_error(REPRISE_OUT_OF_MEMORY, {"5.0 of 5.0 MiB"}, [&] { d.compute(ids(200, 5000)); });
}

TEST(KvPrefix, TheLongestUnusedIsGivenUpFirstAndOfASequenceItsEnd) {
    Pool f(6);
    for (int32_t i = 0; i < 2; ++i) Sequence(f).compute(ids(384, i * 1000));  // 3 full blocks each
    {
        EXPECT_EQ(384u, Sequence(f).adopt(ids(385)));
    }
    Sequence taker(f);
    taker.compute(ids(130, 9000));
    EXPECT_EQ(384u, Sequence(f).adopt(ids(385)));
    EXPECT_EQ(128u, Sequence(f).adopt(ids(385, 1000)));
}

TEST(KvPrefix, NoMoreIsKeptThanItsPart) {
    Pool f(16, 4);
    Sequence(f).compute(ids(2048));
    EXPECT_EQ(4u, f.pool.n_kept());
    EXPECT_EQ(512u, Sequence(f).adopt(ids(2048)));
}

TEST(KvPrefix, PoolsGiveUpWhatTheyKeepForEachOther) {
    Pool f(4);
    Sequence(f).compute(ids(512));
    KvPool other(1000, 2 * BYTES, f.budget, [](uint32_t) {});
    const uint32_t block = other.take();
    EXPECT_EQ(2u, f.pool.n_kept());
    other.release(block);
    Sequence a(f);
    a.compute(ids(256, 7000));
    a.compute(ids(512, 7000));
    EXPECT_EQ(0u, f.pool.n_kept());
    expect_error(REPRISE_OUT_OF_MEMORY, {}, [&] { other.take(); });
}

TEST(KvPrefix, WhoWritesIntoABlockIsNotFoundThereAnyMore) {
    Pool f;
    Sequence a(f), b(f);
    a.compute(ids(256));
    a.rewind(200);
    Ids other = ids(256);
    other[210] = 0;
    a.compute(other);
    EXPECT_EQ(Blocks({0, 1}), a.blocks());  // nobody else had it
    EXPECT_EQ(128u, b.adopt(ids(300)));
    b.rewind(0);
    other.push_back(0);
    EXPECT_EQ(256u, b.adopt(other));
    // Whoever shares it goes on with what was there.
    b.rewind(130);
    b.compute(ids(256, 5));
    EXPECT_EQ(Blocks({0, 2}), b.blocks());
    EXPECT_EQ(256u, Sequence(f).adopt(other));
}

TEST(KvPrefix, WhoComesSecondWaitsForTheFirst) {
    Pool f;
    Sequence first(f), second(f);
    EXPECT_EQ(0u, first.adopt(ids(400)));
    std::atomic<bool> waits{true};
    std::thread thread([&] {
        EXPECT_EQ(256u, second.adopt(ids(300)));
        waits = false;
    });
    first.compute(ids(130));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_TRUE(waits);
    first.compute(ids(256));  // what comes behind is not waited for
    thread.join();
    EXPECT_EQ(Blocks({0, 1}), second.blocks());
}

TEST(KvPrefix, OneOfThoseWhoWaitTakesOverFromAFirstThatGivesUp) {
    Pool f;
    auto first = std::make_unique<Sequence>(f);
    first->adopt(ids(400));
    first->compute(ids(128));
    std::atomic<int> n_computing{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            Sequence sequence(f);
            const uint32_t n = sequence.adopt(ids(400));
            if (n < 384) {
                ++n_computing;
                EXPECT_EQ(128u, n);
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
                sequence.compute(ids(400));
            }
            EXPECT_EQ(0u, sequence.blocks()[0]);
        });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    first.reset();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(1, n_computing);
    EXPECT_EQ(0u, f.pool.n_held());
}

TEST(KvPrefix, WhatIsPublishedWhileItIsClaimedIsNotHeldForEver) {
    constexpr size_t N_BLOCKS = 32;
    for (int32_t round = 0; round < 2000; ++round) {
        Pool f;
        const Ids history = ids((N_BLOCKS + 1) * 128, round);
        {
            Sequence a(f), b(f);
            a.table.make_writable(0, N_BLOCKS * 128, [](uint32_t, uint32_t) {});
            std::atomic<bool> begin{false};
            std::thread publisher([&] {
                while (!begin) {
                }
                a.trail.append(0, std::span(history).first(N_BLOCKS * 128), Origin::HANDED_IN);
            });
            begin = true;
            b.adopt(history);
            publisher.join();
        }
        ASSERT_EQ(0u, f.pool.n_held()) << "round " << round;
    }
}

TEST(KvPrefix, WhoWaitsCanBeCancelled) {
    Pool f;
    Sequence first(f), second(f);
    first.adopt(ids(400));
    first.compute(ids(128));
    std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        second.cancel = true;
    });
    expect_error(REPRISE_CANCELLED, {}, [&] { second.adopt(ids(400)); });
    canceller.join();
    EXPECT_EQ(128u, second.trail.size());
    first.compute(ids(400));
    second.cancel = false;
    EXPECT_EQ(384u, second.adopt(ids(400)));
}

}  // namespace
}  // namespace reprise
