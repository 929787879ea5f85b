// Steps of rows on the CPU: what a row gives is the same to the last bit whatever else is in the step.
#include <gtest/gtest.h>

#include <cstring>

#include "cpu/executor.h"
#include "cpu_test_support.h"
#include "support/expect_error.h"
#include "support/library.h"
#include "support/tiny_model.h"

namespace reprise::cpu {
namespace {

using test::expect_error;
using test::tiny_spec;
using Ids = std::vector<int32_t>;

constexpr uint32_t VOCAB = 512;
constexpr uint32_t MAX_ROWS = 64;

struct Model {
    std::vector<uint8_t> bytes;  // in which the weights lie
    std::shared_ptr<const GgufFile> file;
    std::unique_ptr<Plan> plan;

    Model(const std::string& architecture, const char* types) {
        const ModelSpec spec = tiny_spec(architecture);
        bytes = random_model(spec, named_types(types, spec), 1).bytes();
        file = GgufFile::parse(bytes, "tiny.gguf");
        plan = build_plan(*file);
    }
};

/// An executor and the keys and values of its sequences.
struct Engine {
    Engine(const Model& model, const Kernels& kernels, TensorType kv_type, size_t n_threads, uint64_t n_blocks = 400)
        : pool(n_threads),
          budget(n_blocks * KvLayout(model.plan->hparams, kv_type).block_bytes),
          cache(std::make_shared<KvCache>(model.plan->hparams, kv_type, budget)),
          executor(*model.plan, kernels, pool, MAX_ROWS) {}

    ThreadPool pool;
    KvBudget budget;
    std::shared_ptr<KvCache> cache;
    Executor executor;
};

/// Logits behind every token of a sequence, one token a step.
std::vector<float> alone(Engine& engine, const Ids& ids) {
    KvSequence kv(engine.cache);
    std::vector<float> logits(ids.size() * VOCAB);
    for (uint32_t i = 0; i < ids.size(); ++i) {
        kv.make_writable(i, i + 1);
        const Row row = {ids[i], i, 0};
        const KvView view = kv.view();
        const RowLogits out = {0, &logits[i * VOCAB]};
        EXPECT_TRUE(engine.executor.run({{&row, 1}, {&view, 1}, {&out, 1}}, [] { return false; }));
    }
    return logits;
}

/// Sequences that share steps, each along one of a few streams of tokens. Streams come in pairs with the same
/// beginning, so that a sequence can become a fork that goes another way.
class Company {
  public:
    static constexpr uint32_t LENGTH = 150, SHARED = 100;

    Company(Engine& engine, uint32_t n_streams, uint32_t n_sequences, uint64_t seed) : engine_(engine), random_(seed) {
        for (uint32_t s = 0; s < n_streams; ++s) {
            Ids ids(LENGTH);
            for (int32_t& id : ids) id = static_cast<int32_t>(random_() % VOCAB);
            if (s % 2 == 1) std::copy_n(streams_[s - 1].begin(), SHARED, ids.begin());
            expected_.push_back(alone(engine, ids));
            streams_.push_back(std::move(ids));
        }
        for (uint32_t i = 0; i < n_sequences; ++i)
            members_.push_back({std::make_unique<KvSequence>(engine.cache), below(n_streams), 0});
    }

    /// A step of n rows. A sequence gets 1 row, or some; its turn comes at random.
    void step(uint32_t n) {
        std::vector<Row> rows;
        std::vector<KvView> views;
        std::vector<RowLogits> wanted;
        struct Expected {
            uint32_t stream, position;
        };
        std::vector<Expected> expected;
        std::vector<float> logits(n * VOCAB, -777.0f);
        for (uint32_t first = below(members_.size()), i = 0; i < members_.size() && rows.size() < n; ++i) {
            Member& m = members_[(first + i) % members_.size()];
            if (m.position == LENGTH) {
                m.position = 0;
                m.kv->truncate(0);
            }
            const uint32_t room = std::min<uint32_t>(n - static_cast<uint32_t>(rows.size()), LENGTH - m.position);
            const bool last_chance = i + 1 == members_.size();
            const uint32_t n_rows = last_chance ? room : std::min(room, below(3) == 0 ? 1 + below(40) : 1);
            m.kv->make_writable(m.position, m.position + n_rows);
            for (uint32_t r = 0; r < n_rows; ++r) {
                // Not all logits are asked for.
                if (below(4) != 0) {
                    // In any order in memory, and beside each other.
                    wanted.push_back({static_cast<uint32_t>(rows.size()), nullptr});
                    expected.push_back({m.stream, m.position + r});
                }
                rows.push_back(
                    {streams_[m.stream][m.position + r], m.position + r, static_cast<uint32_t>(views.size())});
            }
            views.push_back(m.kv->view());
            m.position += n_rows;
        }
        const bool reversed = below(2) == 0;
        for (size_t i = 0; i < wanted.size(); ++i)
            wanted[i].out = &logits[(reversed ? wanted.size() - 1 - i : i) * VOCAB];
        ASSERT_TRUE(engine_.executor.run({rows, views, wanted}, [] { return false; }));
        for (size_t i = 0; i < wanted.size(); ++i) {
            const float* right = &expected_[expected[i].stream][expected[i].position * VOCAB];
            ASSERT_EQ(0, std::memcmp(right, wanted[i].out, VOCAB * sizeof(float)))
                << "row " << wanted[i].row << " of " << rows.size() << ", position " << expected[i].position
                << " of stream " << expected[i].stream;
        }
        if (below(3) == 0) leave(members_[below(members_.size())]);
    }

  private:
    struct Member {
        std::unique_ptr<KvSequence> kv;
        uint32_t stream, position;
    };

    uint32_t below(size_t n) { return static_cast<uint32_t>(random_() % n); }

    /// The sequence starts anew, goes back, or becomes a fork of another.
    void leave(Member& m) {
        switch (below(3)) {
            case 0:
                m = {std::make_unique<KvSequence>(engine_.cache), below(streams_.size()), 0};
                break;
            case 1:
                m.position = below(m.position + 1);
                m.kv->truncate(m.position);
                break;
            default:
                Member& other = members_[below(members_.size())];
                if (&other == &m) break;
                m.stream = other.stream;
                m.position = below(other.position + 1);
                m.kv->share(*other.kv, m.position);
                if (m.position <= SHARED && below(2) == 0) m.stream ^= 1;
        }
        if (m.position == LENGTH) {
            m.position = 0;
            m.kv->truncate(0);
        }
    }

    Engine& engine_;
    std::mt19937_64 random_;
    std::vector<Ids> streams_;
    std::vector<std::vector<float>> expected_;
    std::vector<Member> members_;
};

TEST(EveryIsaCpuRows, GiveTheBitsThatTheyGiveAlone) {
    NEEDS_ISA();
    for (const char* types : {"Q4_K_M", "Q8_0", "F16"}) {
        const Model model(types[0] == 'F' ? "qwen3" : "llama", types);
        for (const TensorType kv_type : {TensorType::F16, TensorType::Q8_0}) {
            Engine engine(model, kernels(), kv_type, 3);
            Company company(engine, 6, 70, 1);
            for (int round = 0; round < 4; ++round) {
                for (const uint32_t n : {1u, 2u, 7u, 16u, 64u, 3u, 33u, 1u}) {
                    company.step(n);
                    if (::testing::Test::HasFatalFailure()) return;
                }
            }
        }
    }
}

TEST(CpuRows, GiveTheBitsThatTheyGiveAloneInExactArithmetic) {
    const Model model("qwen2", "Q4_K_M");
    Engine engine(model, exact_kernels(), TensorType::F32, 2);
    Company company(engine, 2, 20, 2);
    for (const uint32_t n : {1u, 2u, 7u, 16u, 64u, 5u}) {
        company.step(n);
        if (::testing::Test::HasFatalFailure()) return;
    }
}

TEST(CpuRows, DoNotDependOnTheNumberOfThreads) {
    const Model model("llama", "Q4_K_M");
    Engine one(model, kernels(), TensorType::F16, 1), five(model, kernels(), TensorType::F16, 5);
    Ids ids(140);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 37 % VOCAB);
    EXPECT_EQ(alone(one, ids), alone(five, ids));
}

/// Every value of the program, by launch and name, of the rows [first, first + n) of a step.
using Values = std::vector<std::pair<std::string, std::vector<float>>>;

TEST(CpuRows, EveryValueOfAProgramIsThatOfTheRowAlone) {
    const Model model("qwen3", "Q4_K_M");
    Engine engine(model, kernels(), TensorType::F16, 2);
    KvSequence a(engine.cache), b(engine.cache);
    const auto values_of = [&](const std::vector<Row>& rows, const std::vector<KvView>& views, size_t row) {
        Values values;
        const Trace trace = [&](const Launch& launch, const StepValue& value, std::span<const float> floats) {
            const auto mine = floats.subspan(row * value.width(), value.width());
            values.emplace_back(kernel_name(launch.kernel) + (" " + value.name), std::vector(mine.begin(), mine.end()));
        };
        EXPECT_TRUE(engine.executor.run({rows, views, {}}, [] { return false; }, &trace));
        return values;
    };
    a.make_writable(0, 3);
    b.make_writable(0, 1);
    const Values together = values_of({{7, 0, 0}, {8, 1, 0}, {9, 2, 0}, {5, 0, 1}}, {a.view(), b.view()}, 3);
    const Values by_itself = values_of({{5, 0, 0}}, {b.view()}, 0);
    ASSERT_EQ(1u * 2 + 2 * (3 + 2 + 1 + 2 + 2 + 2), together.size());
    for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(together[i], by_itself[i]) << together[i].first;
}

TEST(CpuRows, AStepCanBeGivenUpAndComputedAgain) {
    const Model model("llama", "Q4_K_M");
    Engine engine(model, kernels(), TensorType::F16, 2);
    KvSequence kv(engine.cache);
    kv.make_writable(0, 2);
    const Row rows[] = {{3, 0, 0}, {4, 1, 0}};
    const KvView view = kv.view();
    std::vector<float> logits(2 * VOCAB);
    const RowLogits out[] = {{0, &logits[0]}, {1, &logits[VOCAB]}};
    int asked = 0;
    EXPECT_FALSE(engine.executor.run({rows, {&view, 1}, out}, [&] { return ++asked == 2; }));
    EXPECT_EQ(2, asked);
    EXPECT_TRUE(engine.executor.run({rows, {&view, 1}, out}, [] { return false; }));
    EXPECT_EQ(alone(engine, {3, 4}), logits);
}

TEST(CpuRows, TheWorkspaceIsWhatWasForetold) {
    const Model model("qwen2", "Q4_K_M");
    Engine engine(model, kernels(), TensorType::F16, 3);
    EXPECT_EQ(Executor::workspace_bytes(*model.plan, kernels(), MAX_ROWS, 3), engine.executor.workspace_bytes());
}

TEST(CpuRows, APoolThatIsUsedUpLeavesSequencesAsTheyWere) {
    const Model model("llama", "Q8_0");
    Engine engine(model, kernels(), TensorType::F16, 2, 2);
    KvSequence a(engine.cache), b(engine.cache);
    a.make_writable(0, 128);
    b.make_writable(0, 1);
    expect_error(REPRISE_OUT_OF_MEMORY, {"keys and values", "kv_memory"}, [&] { b.make_writable(1, 129); });
    b.make_writable(1, 128);
    a.truncate(0);
    b.make_writable(128, 129);
    EXPECT_EQ(2u, engine.cache->pool().n_held());
}

}  // namespace
}  // namespace reprise::cpu
