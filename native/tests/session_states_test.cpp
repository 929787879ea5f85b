// Models with recurrent states: what a session computes does not depend on how it came to where it is, to the last bit.
#include <gtest/gtest.h>

#include <thread>

#include "support/temp_dir.h"
#include "support/test_data.h"
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

class SessionStates : public ::testing::TestWithParam<const char*> {
  protected:
    static constexpr int32_t N_PROMPT = 40, N_NEW = 20;

    LoadedModel load(const std::string& folder) const {
        return {folder + "/" + GetParam() + "-q4_k_m.gguf", model_options(REPRISE_DEVICE_CPU)};
    }
    static Ids part(int32_t from, int32_t to) {
        const Ids all = some_ids(N_PROMPT);
        return {all.begin() + from, all.begin() + to};
    }
    /// Logits behind the prompt and the tokens that follow it.
    static std::pair<std::vector<float>, Ids> go_on(const OpenSession& session, const Ids& rest) {
        session.evaluate(rest);
        const std::vector<float> logits = session.logits();
        return {logits, session.generate({}, N_NEW).ids};
    }
    static std::pair<std::vector<float>, Ids> expected(const LoadedModel& model) {
        return go_on(model.open(session_options(256)), part(0, N_PROMPT));
    }
};

TEST_P(SessionStates, AreTheSameInStepsAndInChunks) {
    TEST_DATA_OR_SKIP(folder, "golden2");
    const LoadedModel model = load(folder);
    const Ids ids = part(0, N_PROMPT);
    const auto whole = model.open(session_options(256)).score(ids, REPRISE_SCORE_BATCH);
    EXPECT_EQ(whole, model.open(session_options(256, 7)).score(ids, REPRISE_SCORE_BATCH));
    EXPECT_EQ(whole, model.open(session_options(256)).score(ids, REPRISE_SCORE_STEP));
}

TEST_P(SessionStates, GoBackToWhereACopyIsAndToWhereNoneIs) {
    TEST_DATA_OR_SKIP(folder, "golden2");
    const LoadedModel model = load(folder);
    const auto wanted = expected(model);
    const OpenSession session = model.open(session_options(256));
    session.evaluate(part(0, 10));
    session.evaluate(part(10, N_PROMPT));
    session.generate({}, 5);
    for (const int32_t to : {N_PROMPT, 33, 10, 4, 0}) {
        session.rewind(to);
        EXPECT_EQ(wanted, go_on(session, part(to, N_PROMPT))) << to;
    }
    // Scores too begin where the session is.
    session.rewind(33);
    const auto rest = session.score(part(33, N_PROMPT), REPRISE_SCORE_BATCH);
    EXPECT_EQ(wanted.first, std::vector<float>(rest.end() - static_cast<ptrdiff_t>(wanted.first.size()), rest.end()));
}

TEST_P(SessionStates, OfAForkAreItsOwn) {
    TEST_DATA_OR_SKIP(folder, "golden2");
    const LoadedModel model = load(folder);
    const auto wanted = expected(model);
    const OpenSession session = model.open(session_options(256));
    session.evaluate(part(0, 10));
    session.evaluate(part(10, N_PROMPT));
    const OpenSession here = session.fork(), between = session.fork(25), at_copy = session.fork(10);
    EXPECT_EQ(wanted, go_on(here, {}));
    EXPECT_EQ(wanted, go_on(between, part(25, N_PROMPT)));
    EXPECT_EQ(wanted, go_on(at_copy, part(10, N_PROMPT)));
    EXPECT_EQ(wanted, go_on(session, {}));
    // In the middle of a generation.
    session.rewind(N_PROMPT);
    session.start({}, N_NEW);
    const Ids first = session.take(7).ids;
    const OpenSession fork = session.fork();
    const Ids rest = session.take().ids;
    EXPECT_EQ(rest, fork.generate({}, N_NEW - 7).ids);
    EXPECT_EQ(wanted.second, joined({first, rest}));
}

TEST_P(SessionStates, ComeBackFromAFile) {
    TEST_DATA_OR_SKIP(folder, "golden2");
    const LoadedModel model = load(folder);
    const auto wanted = expected(model);
    const TempDir dir;
    const std::string path = dir.file("session");
    const OpenSession session = model.open(session_options(256));
    session.evaluate(part(0, 10));
    session.evaluate(part(10, N_PROMPT));
    for (const int32_t at : {N_PROMPT, 25, 10}) {
        session.save(path, at);
        EXPECT_EQ(wanted, go_on(model.restore(path), part(at, N_PROMPT))) << at;
    }
}

TEST_P(SessionStates, OfSessionsThatShareStepsStayApart) {
    TEST_DATA_OR_SKIP(folder, "golden2");
    const LoadedModel model = load(folder);
    const auto wanted = expected(model);
    const OpenSession one = model.open(session_options(256)), other = model.open(session_options(256));
    std::pair<std::vector<float>, Ids> from_other;
    std::thread thread([&] { from_other = go_on(other, part(0, N_PROMPT)); });
    const auto from_one = go_on(one, part(0, N_PROMPT));
    thread.join();
    EXPECT_EQ(wanted, from_one);
    EXPECT_EQ(wanted, from_other);
}

// The last has layers of attention with windows and heads of several sizes, and no states.
INSTANTIATE_TEST_SUITE_P(Of, SessionStates,
                         ::testing::Values("lfm2", "qwen35", "granitehybrid", "nemotron_h", "falcon-h1", "gemma4-31b"),
                         [](const auto& model) {
                             std::string name = model.param;
                             std::erase_if(name, [](char c) { return c == '-' || c == '_'; });
                             return name;
                         });

}  // namespace
}  // namespace reprise::test
