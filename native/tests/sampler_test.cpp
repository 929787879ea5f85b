// The sampler against a literal reading of its definition (session/sampler.h), and the numbers under it.
#include "session/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "session/sampler_math.h"
#include "support/expect_error.h"
#include "support/tiny_session.h"

namespace reprise {
namespace {

using namespace sampler;
using test::expect_error;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

reprise_sampling defaults() {
    reprise_sampling sampling;
    reprise_sampling_default(&sampling);
    return sampling;
}

int32_t draw(const std::vector<float>& logits, const reprise_sampling& sampling, uint32_t position = 0,
             const std::vector<int32_t>& counts = {}) {
    return CpuSampler(logits.size()).sample(logits, counts.empty() ? nullptr : counts.data(), sampling, position).id;
}

// ---- Philox ----

/// Philox4x32-10 written from the paper: the published vectors use all of counter and key.
std::array<uint32_t, 4> philox_4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
        counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
                   static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
        key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
    }
    return counter;
}

TEST(Philox, HasThePublishedAnswers) {
    // kat_vectors of the authors' Random123 library.
    using Words = std::array<uint32_t, 4>;
    EXPECT_EQ((Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), philox_4x32_10({0, 0, 0, 0}, {0, 0}));
    EXPECT_EQ((Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}),
              philox_4x32_10({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}));
    EXPECT_EQ((Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}),
              philox_4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}));
    EXPECT_EQ(0xe169c58d6627e8d5, philox(0, 0));
}

TEST(Philox, IsThatOfSeedAndPosition) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 10000; ++i) {
        const uint64_t seed = random();
        const auto position = static_cast<uint32_t>(random());
        const auto words =
            philox_4x32_10({position, 0, 0, 0}, {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
        ASSERT_EQ(uint64_t{words[1]} << 32 | words[0], philox(seed, position));
    }
}

// ---- arithmetic ----

TEST(SamplerMath, WeightIsTheExponential) {
    EXPECT_EQ(uint64_t{1} << 32, weight(0.0f));
    EXPECT_EQ(uint64_t{1} << 32, weight(1.0f));
    for (const float x : {-22.0f, -100.0f, -kInf, kNan}) EXPECT_EQ(0u, weight(x)) << x;
    uint64_t previous = 0;
    for (float x = -21.999f; x < 0; x += 0.00037f) {
        const double exact = std::exp(static_cast<double>(x)) * 4294967296.0;
        ASSERT_NEAR(static_cast<double>(weight(x)), exact, exact * 4e-7 + 1) << x;
        ASSERT_LE(weight(x), uint64_t{1} << 32) << x;
        // Neighbours may swap by a rounding, but not more.
        ASSERT_GE(static_cast<double>(weight(x)), static_cast<double>(previous) * (1 - 4e-7)) << x;
        previous = weight(x);
    }
}

TEST(SamplerMath, KeysOrderAsFloatsDo) {
    const float ascending[] = {kNan, -kInf, -3e38f, -1.5f, -1e-42f, 0.0f, 1e-42f, 1.5f, 3e38f, kInf};
    for (size_t i = 0; i + 1 < std::size(ascending); ++i)
        EXPECT_LT(order_key(ascending[i]), order_key(ascending[i + 1])) << i;
    EXPECT_EQ(order_key(0.0f), order_key(-0.0f));
    EXPECT_GT(rank_key(1.0f, 3), rank_key(1.0f, 4));
    EXPECT_GT(rank_key(1.0f, 4), rank_key(0.5f, 3));
}

TEST(SamplerMath, FractionsAreRoundedUp) {
    EXPECT_EQ(0u, fraction_of(0.0f, 1000));
    EXPECT_EQ(1u, fraction_of(1e-20f, 1000));  // not nothing
    EXPECT_EQ(500u, fraction_of(0.5f, 1000));
    EXPECT_EQ(501u, fraction_of(0.5f, 1001));
    EXPECT_EQ(1000u, fraction_of(1.0f, 1000));
    std::mt19937_64 random(2);
    for (int i = 0; i < 10000; ++i) {
        const auto f = static_cast<uint32_t>(random() >> 40) + 1;  // 24 bits: exact in float32
        const uint64_t total = random() >> (8 + random() % 50);
        const auto product = static_cast<unsigned __int128>(f) * total;
        const auto up = static_cast<uint64_t>((product + 0xffffff) >> 24);
        ASSERT_EQ(up, fraction_of(static_cast<float>(f) / 16777216.0f, total)) << f << " of " << total;
    }
}

// ---- against the definition ----

/// Sorts everything, keeps what each rule keeps, walks the sum.
int32_t oracle(const std::vector<float>& logits, const std::vector<int32_t>& counts, const reprise_sampling& s,
               uint32_t position) {
    const auto n = static_cast<uint32_t>(logits.size());
    std::vector<float> l(n);
    for (uint32_t i = 0; i < n; ++i) {
        l[i] = logits[i];
        if (counts[i] == 0 || (s.repeat_penalty == 1 && s.presence_penalty == 0 && s.frequency_penalty == 0)) continue;
        l[i] = l[i] > 0 ? l[i] / s.repeat_penalty : l[i] * s.repeat_penalty;
        const float cost = static_cast<float>(counts[i]) * s.frequency_penalty;
        l[i] -= cost + s.presence_penalty;
    }
    std::vector<uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        if (std::isnan(l[a]) || std::isnan(l[b])) return !std::isnan(l[a]) && std::isnan(l[b]);
        return l[a] > l[b];
    });
    const float max = l[order[0]];
    if (!(max > -kInf)) return NO_TOKEN;
    if (s.temperature == 0 || !std::isfinite(max)) return static_cast<int32_t>(order[0]);

    if (s.top_k > 0) order.resize(std::min<size_t>(n, static_cast<size_t>(s.top_k)));
    if (s.top_p < 1) {
        unsigned __int128 total = 0, sum = 0;
        for (const uint32_t id : order) total += weight(l[id] - max);
        const auto p = std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(s.top_p) * 4294967296.0));
        const unsigned __int128 target = (p * total + 0xffffffffu) >> 32;
        size_t kept = 0;
        while (sum < target) sum += weight(l[order[kept++]] - max);
        order.resize(kept);
    }
    const auto least = static_cast<uint64_t>(std::ceil(static_cast<double>(s.min_p) * 4294967296.0));
    std::erase_if(order, [&](uint32_t id) { return weight(l[id] - max) < least; });

    std::sort(order.begin(), order.end());
    unsigned __int128 total = 0, sum = 0;
    for (const uint32_t id : order) total += weight((l[id] - max) / s.temperature);
    const auto target = static_cast<uint64_t>((philox(s.seed, position) * total) >> 64);
    for (const uint32_t id : order) {
        sum += weight((l[id] - max) / s.temperature);
        if (sum > target) return static_cast<int32_t>(id);
    }
    return -1;
}

struct RandomCase {
    std::vector<float> logits;
    std::vector<int32_t> counts;
    reprise_sampling sampling = defaults();
    uint32_t position;

    /// n_vocab 0: any number of tokens.
    explicit RandomCase(std::mt19937_64& random, size_t n_vocab = 0) {
        const auto chance = [&](uint64_t one_in) { return random() % one_in == 0; };
        const auto uniform = [&](float low, float high) {
            return std::uniform_real_distribution<float>(low, high)(random);
        };
        const size_t n = n_vocab != 0 ? n_vocab : chance(8) ? 1 + random() % 5 : 1 + random() % 700;
        logits.resize(n);
        counts.resize(n);
        const float spread = uniform(0.1f, 12.0f), step = chance(3) ? 0.5f : 0.0f;
        std::normal_distribution<float> normal(uniform(-20, 20), spread);
        for (float& logit : logits) {
            logit = normal(random);
            if (step > 0) logit = std::round(logit / step) * step;  // ties
            if (chance(200)) logit = chance(2) ? -kInf : chance(2) ? kNan : 1e30f;
        }
        for (int32_t& count : counts) count = chance(4) ? static_cast<int32_t>(random() % 9) : 0;
        if (!chance(8)) sampling.temperature = chance(6) ? uniform(1e-4f, 0.01f) : uniform(0.05f, 3);
        if (chance(2)) sampling.top_k = static_cast<int32_t>(1 + random() % (chance(2) ? 5 : 2 * n));
        if (chance(2)) sampling.top_p = chance(5) ? 1e-12f : uniform(0.01f, 1);
        if (chance(3)) sampling.min_p = chance(5) ? 1e-12f : uniform(0, 0.6f);
        if (chance(3)) sampling.repeat_penalty = uniform(0.7f, 2);
        if (chance(3)) sampling.presence_penalty = uniform(-2, 2);
        if (chance(3)) sampling.frequency_penalty = uniform(-1, 1);
        sampling.seed = random();
        position = static_cast<uint32_t>(random() >> 33);
    }
};

TEST(CpuSampler, FollowsItsDefinition) {
    std::mt19937_64 random(3);
    for (int i = 0; i < 20000; ++i) {
        const RandomCase c(random);
        const reprise_sampling& s = c.sampling;
        ASSERT_EQ(oracle(c.logits, c.counts, s, c.position), draw(c.logits, s, c.position, c.counts))
            << "case " << i << ": " << c.logits.size() << " logits, temperature " << s.temperature << ", top-k "
            << s.top_k << ", top-p " << s.top_p << ", min-p " << s.min_p << ", penalties " << s.repeat_penalty << " "
            << s.presence_penalty << " " << s.frequency_penalty;
    }
}

TEST(CpuSampler, FollowsItsDefinitionOnAWholeVocabulary) {
    std::mt19937_64 random(4);
    std::normal_distribution<float> normal(0, 3);
    std::vector<float> logits(150000);
    const std::vector<int32_t> counts(logits.size());
    for (float& logit : logits) logit = normal(random);
    for (uint32_t position = 0; position < 20; ++position) {
        reprise_sampling sampling = defaults();
        sampling.temperature = 1;
        if (position % 2 == 0) sampling.top_p = 0.99f;
        if (position % 3 == 0) sampling.top_k = 100000;
        ASSERT_EQ(oracle(logits, counts, sampling, position), draw(logits, sampling, position, counts));
    }
}

TEST(ModelSample, DrawsOnTheDeviceAsOnTheCpu) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    const test::TempDir dir;
    const test::LoadedModel model(test::write_tiny_model(dir, test::tiny_spec(), uniform_types(TensorType::F16)),
                                  test::model_options(REPRISE_DEVICE_CUDA));
    std::mt19937_64 random(5);
    for (int i = 0; i < 500; ++i) {
        const RandomCase c(random, 512);
        reprise_token token;
        test::ok(reprise_sample(model.handle(), c.logits.data(), c.counts.data(), 512, &c.sampling,
                                static_cast<int32_t>(c.position), &token));
        ASSERT_EQ(draw(c.logits, c.sampling, c.position, c.counts), token.id) << "case " << i;
    }
}

// ---- properties ----

TEST(CpuSampler, GreedyTakesTheLowestIdAmongEquals) {
    EXPECT_EQ(1, draw({1, 5, 5, 5, 2}, defaults()));
    EXPECT_EQ(0, draw({-0.0f, 0.0f}, defaults()));
    reprise_sampling one = defaults();
    one.temperature = 1;
    one.top_k = 1;
    for (uint32_t position = 0; position < 50; ++position) EXPECT_EQ(1, draw({1, 5, 5, 5, 2}, one, position));
}

TEST(CpuSampler, NeverDrawsWhatIsNoNumber) {
    EXPECT_EQ(2, draw({kNan, -kInf, -1e30f, kNan}, defaults()));
    EXPECT_EQ(3, draw({kNan, 1, 2, kInf}, defaults()));
    reprise_sampling hot = defaults();
    hot.temperature = 1000;
    for (uint32_t position = 0; position < 200; ++position) {
        EXPECT_NE(0, draw({kNan, 1, 1, 1}, hot, position));
        EXPECT_EQ(3, draw({kNan, -kInf, -kInf, -3}, hot, position));
        EXPECT_EQ(1, draw({0, kInf, 0, kInf}, hot, position));
        EXPECT_EQ(NO_TOKEN, draw({kNan, kNan, -kInf}, hot, position));
    }
    EXPECT_EQ(NO_TOKEN, draw({kNan, kNan}, defaults()));
    EXPECT_EQ(NO_TOKEN, draw({-kInf, kNan}, defaults()));
    EXPECT_EQ(0, draw({-3e38f, kNan}, defaults()));
}

TEST(CpuSampler, DrawsInProportionToSoftmax) {
    constexpr int kDraws = 40000;
    for (const float temperature : {0.5f, 1.0f, 2.0f}) {
        const std::vector<float> logits = {1.0f, 0.0f, -1.0f, 2.0f, 1.5f, -3.0f, 0.25f, 0.5f};
        reprise_sampling sampling = defaults();
        sampling.temperature = temperature;
        sampling.seed = 20;
        std::vector<int> drawn(logits.size());
        for (uint32_t position = 0; position < kDraws; ++position)
            ++drawn[static_cast<size_t>(draw(logits, sampling, position))];
        double total = 0, chi_squared = 0;
        for (const float logit : logits) total += std::exp(logit / temperature);
        for (size_t i = 0; i < logits.size(); ++i) {
            const double expected = kDraws * std::exp(logits[i] / temperature) / total;
            chi_squared += (drawn[i] - expected) * (drawn[i] - expected) / expected;
        }
        EXPECT_LT(chi_squared, 24.3) << temperature;  // 7 degrees of freedom, one in a thousand
    }
}

TEST(CpuSampler, SeedsAreIndependent) {
    const std::vector<float> logits(16);
    reprise_sampling sampling = defaults();
    sampling.temperature = 1;
    std::vector<int> drawn(16);
    for (uint64_t seed = 0; seed < 16000; ++seed) {
        sampling.seed = seed;
        ++drawn[static_cast<size_t>(draw(logits, sampling, 5))];
    }
    double chi_squared = 0;
    for (const int n : drawn) chi_squared += (n - 1000.0) * (n - 1000.0) / 1000;
    EXPECT_LT(chi_squared, 37.7);  // 15 degrees of freedom, one in a thousand
}

TEST(CpuSampler, KeepsTheLikeliestTokenWhateverTheLimits) {
    reprise_sampling sampling = defaults();
    sampling.temperature = 2;
    for (uint32_t position = 0; position < 100; ++position) {
        sampling.top_p = 1e-30f;
        sampling.min_p = 0;
        EXPECT_EQ(2, draw({0, 1, 1.1f, 1}, sampling, position));
        sampling.top_p = 1;
        sampling.min_p = 0.9999f;
        EXPECT_EQ(2, draw({0, 1, 1.1f, 1}, sampling, position));
    }
}

TEST(CpuSampler, MinPOfOneKeepsTheLikeliestTokenAlone) {
    reprise_sampling sampling = defaults();
    sampling.min_p = 1;
    for (const float temperature : {1.0f, 1000.0f}) {
        sampling.temperature = temperature;
        for (uint32_t position = 0; position < 100; ++position) {
            EXPECT_EQ(2, draw({0, 1, 1.1f, 1}, sampling, position));
            EXPECT_EQ(1, draw({0, 1, 1, 1}, sampling, position));  // the lowest id among equals, as greedy
            // So close that its weight is that of the largest.
            EXPECT_EQ(1, draw({1e-9f, 2e-9f, -1, 0}, sampling, position));
            EXPECT_EQ(3, draw({kNan, -kInf, 1, kInf}, sampling, position));
        }
    }
    sampling.presence_penalty = 1;
    EXPECT_EQ(3, draw({0, 1, 1.1f, 1}, sampling, 7, {0, 1, 1, 0}));
}

TEST(CpuSampler, PenaltiesCountTheHistory) {
    reprise_sampling sampling = defaults();
    const std::vector<float> logits = {3.0f, 2.5f, -1.0f, 2.0f};
    EXPECT_EQ(0, draw(logits, sampling, 0, {9, 9, 9, 9}));
    sampling.repeat_penalty = 1.3f;  // 3 / 1.3 < 2.5
    EXPECT_EQ(1, draw(logits, sampling, 0, {1, 0, 0, 0}));
    EXPECT_EQ(0, draw(logits, sampling, 0, {0, 0, 0, 0}));
    sampling.repeat_penalty = 1;
    sampling.presence_penalty = 0.6f;
    EXPECT_EQ(1, draw(logits, sampling, 0, {1, 0, 0, 0}));
    EXPECT_EQ(0, draw(logits, sampling, 0, {5, 1, 0, 0}));  // once, however often
    sampling.presence_penalty = 0;
    sampling.frequency_penalty = 0.2f;
    EXPECT_EQ(0, draw(logits, sampling, 0, {2, 0, 0, 0}));
    EXPECT_EQ(1, draw(logits, sampling, 0, {3, 0, 0, 0}));
    sampling.frequency_penalty = -2;
    EXPECT_EQ(2, draw(logits, sampling, 0, {0, 0, 3, 0}));
    // A penalty pushes negative logits down too.
    sampling = defaults();
    sampling.repeat_penalty = 2;
    EXPECT_EQ(1, draw({-1.0f, -1.5f}, sampling, 0, {1, 0}));
}

TEST(CpuSampler, LogProbabilitiesAreOfTheUnmodifiedLogits) {
    const std::vector<float> logits = {0.5f, 2.0f, kNan, 1.0f, -kInf};
    const std::vector<int32_t> counts = {0, 9, 0, 0, 0};
    reprise_sampling sampling = defaults();
    sampling.logprobs = 1;
    sampling.presence_penalty = 1.5f;
    const reprise_token token = CpuSampler(logits.size()).sample(logits, counts.data(), sampling, 0);
    EXPECT_EQ(3, token.id);
    EXPECT_NEAR(1.0 - std::log(std::exp(0.5) + std::exp(2.0) + std::exp(1.0)), token.logprob, 1e-6);
    sampling.logprobs = 0;
    EXPECT_TRUE(std::isnan(CpuSampler(logits.size()).sample(logits, counts.data(), sampling, 0).logprob));
}

}  // namespace
}  // namespace reprise
