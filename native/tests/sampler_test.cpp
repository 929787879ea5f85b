// The sampler against a literal reading of its definition (session/sampler.h), and the numbers under it.
#include "session/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <sstream>

#include "session/sampler_math.h"
#include "support/expect_error.h"
#include "support/tiny_session.h"

namespace reprise {
namespace {

using namespace sampler;
using test::expect_error;
using test::kBackends;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

reprise_sampling defaults() {
    reprise_sampling sampling;
    reprise_sampling_default(&sampling);
    return sampling;
}

int32_t draw(const std::vector<float>& logits, const reprise_sampling& sampling, uint32_t position = 0,
             const std::vector<int32_t>& counts = {}) {
    return CpuSampler(logits.size())
        .sample(logits, counts.empty() ? nullptr : counts.data(), {}, sampling, position)
        .id;
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

struct RandomCase {
    std::vector<float> logits;
    std::vector<int32_t> history, breakers;
    std::vector<uint32_t> mask;  // empty: all
    std::vector<reprise_logit_bias> bias;
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
        const float spread = uniform(0.1f, 12.0f), step = chance(3) ? 0.5f : 0.0f;
        std::normal_distribution<float> normal(uniform(-20, 20), spread);
        for (float& logit : logits) {
            logit = normal(random);
            if (step > 0) logit = std::round(logit / step) * step;  // ties
            if (chance(200)) logit = chance(2) ? -kInf : chance(2) ? kNan : 1e30f;
        }
        history.resize(random() % 200);
        const size_t n_used = 1 + random() % (chance(3) ? n : std::min<size_t>(n, 4));
        for (int32_t& id : history) id = static_cast<int32_t>(random() % n_used * 37 % n);
        if (!chance(8)) sampling.temperature = chance(6) ? uniform(1e-4f, 0.01f) : uniform(0.05f, 3);
        if (chance(2)) sampling.top_k = static_cast<int32_t>(1 + random() % (chance(2) ? 5 : 2 * n));
        if (chance(2)) sampling.top_p = chance(5) ? 1e-12f : uniform(0.01f, 1);
        if (chance(3)) sampling.min_p = chance(5) ? 1e-12f : uniform(0, 0.6f);
        if (chance(3)) sampling.repeat_penalty = uniform(0.7f, 2);
        if (chance(3)) sampling.presence_penalty = uniform(-2, 2);
        if (chance(3)) sampling.frequency_penalty = uniform(-1, 1);
        if (chance(3)) {
            sampling.xtc_probability = chance(3) ? 1 : uniform(0, 1);
            sampling.xtc_threshold = chance(5) ? 1e-12f : uniform(0.001f, 0.6f);
        }
        if (chance(3)) {
            sampling.dry_multiplier = uniform(0.1f, 4);
            sampling.dry_base = chance(4) ? 1 : uniform(1, 3);
            sampling.dry_allowed_length = static_cast<int32_t>(1 + random() % 4);
            if (chance(2)) sampling.dry_last_n = static_cast<int32_t>(random() % 300);
            for (size_t i = random() % 3; i > 0; --i)
                breakers.push_back(history.empty() ? 0 : history[random() % history.size()]);
            sampling.dry_breakers = breakers.data();
            sampling.n_dry_breakers = breakers.size();
        }
        if (chance(3)) {
            for (size_t id = random() % n; id < n; id += 1 + random() % n)
                bias.push_back({static_cast<int32_t>(id), chance(3) ? -kInf : uniform(-10, 10)});
            sampling.logit_bias = bias.data();
            sampling.n_logit_bias = bias.size();
        }
        if (chance(3)) {
            mask.resize((n + 31) / 32);
            const uint64_t one_in = chance(2) ? 2 : 1 + n / 3;
            for (size_t i = 0; i < n; ++i) mask[i / 32] |= static_cast<uint32_t>(chance(one_in)) << i % 32;
        }
        sampling.seed = random();
        position = static_cast<uint32_t>(random() >> 33);
    }

    std::vector<int32_t> counts() const {
        std::vector<int32_t> counts(logits.size());
        for (const int32_t id : history) ++counts[static_cast<size_t>(id)];
        return counts;
    }
    std::string words() const {
        std::ostringstream out;
        const reprise_sampling& s = sampling;
        out << logits.size() << " logits, " << history.size() << " ids, temperature " << s.temperature << ", top-k "
            << s.top_k << ", top-p " << s.top_p << ", min-p " << s.min_p << ", penalties " << s.repeat_penalty << " "
            << s.presence_penalty << " " << s.frequency_penalty << ", xtc " << s.xtc_probability << " "
            << s.xtc_threshold << ", dry " << s.dry_multiplier << " " << s.dry_base << " " << s.dry_allowed_length
            << " " << s.dry_last_n << ", " << breakers.size() << " breakers, " << bias.size() << " biases"
            << (mask.empty() ? "" : ", masked");
        return out.str();
    }
};

/// Looks at every place in the history. By id, 0 where nothing is taken off.
std::vector<float> dry_oracle(const std::vector<int32_t>& history, size_t n_vocab, const reprise_sampling& s) {
    std::vector<float> penalties(n_vocab);
    if (s.dry_multiplier == 0 || s.dry_last_n == 0) return penalties;
    const auto is_breaker = [&](int32_t id) {
        return std::count(s.dry_breakers, s.dry_breakers + s.n_dry_breakers, id) > 0;
    };
    const size_t n = s.dry_last_n < 0 ? history.size() : std::min(history.size(), static_cast<size_t>(s.dry_last_n));
    const std::vector<int32_t> h(history.end() - static_cast<ptrdiff_t>(n), history.end());
    for (size_t next = 1; next < n; ++next) {
        size_t length = 0;
        while (length < next && h[next - 1 - length] == h[n - 1 - length] && !is_breaker(h[n - 1 - length])) ++length;
        if (length < static_cast<size_t>(s.dry_allowed_length) || is_breaker(h[next])) continue;
        const double power =
            std::pow(double{s.dry_base}, static_cast<double>(length) - static_cast<double>(s.dry_allowed_length));
        float& penalty = penalties[static_cast<size_t>(h[next])];
        penalty = std::max(penalty, static_cast<float>(std::min(1e30, double{s.dry_multiplier} * power)));
    }
    return penalties;
}

/// Sorts everything, keeps what each rule keeps, walks the sum.
int32_t oracle(const RandomCase& c) {
    const reprise_sampling& s = c.sampling;
    const auto n = static_cast<uint32_t>(c.logits.size());
    std::vector<float> l = c.logits;
    for (uint32_t i = 0; i < n && !c.mask.empty(); ++i)
        if ((c.mask[i / 32] & 1u << i % 32) == 0) l[i] = -kInf;
    for (const auto& [id, bias] : c.bias) l[static_cast<size_t>(id)] += bias;
    const std::vector<int32_t> counts = c.counts();
    const std::vector<float> dry = dry_oracle(c.history, n, s);
    for (uint32_t i = 0; i < n; ++i) {
        if (counts[i] != 0 && (s.repeat_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0)) {
            l[i] = l[i] > 0 ? l[i] / s.repeat_penalty : l[i] * s.repeat_penalty;
            const float cost = static_cast<float>(counts[i]) * s.frequency_penalty;
            l[i] -= cost + s.presence_penalty;
        }
        l[i] -= dry[i];
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

    const auto mass = [&](const std::vector<uint32_t>& ids) {
        unsigned __int128 sum = 0;
        for (const uint32_t id : ids) sum += weight(l[id] - max);
        return sum;
    };
    const auto fraction = [](float f, unsigned __int128 of) {
        const auto p = std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(f) * 4294967296.0));
        return (p * of + 0xffffffffu) >> 32;
    };
    if (s.top_k > 0) order.resize(std::min<size_t>(n, static_cast<size_t>(s.top_k)));
    if (s.top_p < 1) {
        unsigned __int128 sum = 0;
        const unsigned __int128 target = fraction(s.top_p, mass(order));
        size_t kept = 0;
        while (sum < target) sum += weight(l[order[kept++]] - max);
        order.resize(kept);
    }
    const auto least = static_cast<uint64_t>(std::ceil(static_cast<double>(s.min_p) * 4294967296.0));
    std::erase_if(order, [&](uint32_t id) { return weight(l[id] - max) < least; });
    const double coin =
        philox_4x32_10({c.position, 0, 0, 0}, {static_cast<uint32_t>(s.seed), static_cast<uint32_t>(s.seed >> 32)})[2];
    if (coin < std::floor(static_cast<double>(s.xtc_probability) * 4294967296.0)) {
        const unsigned __int128 likely = fraction(s.xtc_threshold, mass(order));
        size_t last = 0;
        for (size_t i = 0; i < order.size(); ++i)
            if (weight(l[order[i]] - max) >= likely) last = i;
        order.erase(order.begin(), order.begin() + static_cast<ptrdiff_t>(last));
    }

    const float top = l[order[0]];
    std::sort(order.begin(), order.end());
    unsigned __int128 total = 0, sum = 0;
    for (const uint32_t id : order) total += weight((l[id] - top) / s.temperature);
    const auto target = static_cast<uint64_t>((philox(s.seed, c.position) * total) >> 64);
    for (const uint32_t id : order) {
        sum += weight((l[id] - top) / s.temperature);
        if (sum > target) return static_cast<int32_t>(id);
    }
    return -2;  // never: the first of what is left has a weight
}

int32_t draw(const RandomCase& c) {
    const std::vector<int32_t> counts = c.counts();
    Dry dry(c.sampling, c.logits.size());
    HostInput host = {c.mask, {}};
    if (uses_dry(c.sampling)) host.penalties = dry.penalties(c.history);
    return CpuSampler(c.logits.size()).sample(c.logits, counts.data(), host, c.sampling, c.position).id;
}

TEST(CpuSampler, FollowsItsDefinition) {
    std::mt19937_64 random(3);
    for (int i = 0; i < 40000; ++i) {
        const RandomCase c(random);
        ASSERT_EQ(oracle(c), draw(c)) << "case " << i << ": " << c.words();
    }
}

TEST(CpuSampler, FollowsItsDefinitionOnAWholeVocabulary) {
    std::mt19937_64 random(4);
    std::normal_distribution<float> normal(0, 3);
    RandomCase c(random, 150000);
    c.mask.clear();
    for (float& logit : c.logits) logit = normal(random);
    for (c.position = 0; c.position < 20; ++c.position) {
        c.sampling = defaults();
        c.sampling.temperature = 1;
        if (c.position % 2 == 0) c.sampling.top_p = 0.99f;
        if (c.position % 3 == 0) c.sampling.top_k = 100000;
        if (c.position % 4 < 2) c.sampling.xtc_probability = 1;
        c.sampling.xtc_threshold = c.position % 8 < 4 ? 0.001f : 1e-6f;
        c.bias.clear();
        ASSERT_EQ(oracle(c), draw(c)) << c.words();
    }
}

class ModelSample : public test::SessionTest {};
ON_EVERY_BACKEND(ModelSample);

TEST_P(ModelSample, DrawsAsDefined) {
    const test::LoadedModel model = load_tiny();
    std::mt19937_64 random(5);
    for (int i = 0; i < 500; ++i) {
        const RandomCase c(random, 512);
        reprise_token token = {};
        const reprise_status status = reprise_sample(model.handle(), c.logits.data(), 512, c.history.data(),
                                                     c.history.size(), c.mask.empty() ? nullptr : c.mask.data(),
                                                     &c.sampling, static_cast<int32_t>(c.position), &token, nullptr);
        const int32_t expected = oracle(c);
        if (expected == NO_TOKEN) {
            EXPECT_EQ(REPRISE_INVALID_ARGUMENT, status) << "case " << i;
        } else {
            test::ok(status);
            ASSERT_EQ(expected, token.id) << "case " << i << ": " << c.words();
        }
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
    CpuSampler sampler(logits.size());
    const reprise_token token = sampler.sample(logits, counts.data(), {}, sampling, 0);
    EXPECT_EQ(3, token.id);
    EXPECT_NEAR(1.0 - std::log(std::exp(0.5) + std::exp(2.0) + std::exp(1.0)), token.logprob, 1e-6);
    const uint32_t mask = 1;
    const reprise_token allowed = sampler.sample(logits, counts.data(), {{&mask, 1}, {}}, sampling, 0);
    EXPECT_EQ(0, allowed.id);
    EXPECT_NEAR(0.5 - std::log(std::exp(0.5) + std::exp(2.0) + std::exp(1.0)), allowed.logprob, 1e-6);
    sampling.logprobs = 0;
    EXPECT_TRUE(std::isnan(sampler.sample(logits, counts.data(), {}, sampling, 0).logprob));
}

// ---- alternatives ----

TEST_P(ModelSample, GivesTheLikeliestTokensAsAlternatives) {
    const test::LoadedModel model = load_tiny();
    std::mt19937_64 random(6);
    for (int i = 0; i < 200; ++i) {
        RandomCase c(random, 512);
        if (i == 0) std::fill(c.logits.begin() + 7, c.logits.end(), i % 2 == 0 ? -kInf : kNan);
        if (std::ranges::count(c.logits, kInf) > 0) continue;
        const size_t n = 1 + random() % REPRISE_MAX_TOP_LOGPROBS;
        c.sampling.n_top_logprobs = static_cast<int32_t>(n);
        c.sampling.logprobs = 1;
        std::vector<reprise_token> top(n);
        reprise_token token;
        if (reprise_sample(model.handle(), c.logits.data(), 512, c.history.data(), c.history.size(), nullptr,
                           &c.sampling, static_cast<int32_t>(c.position), &token, top.data()) != REPRISE_OK)
            continue;  // nothing to draw
        std::vector<int32_t> order;
        double sum = 0, max = -kInf;
        for (int32_t id = 0; id < 512; ++id) {
            const float l = c.logits[static_cast<size_t>(id)];
            if (!(l > -kInf)) continue;
            order.push_back(id);
            max = std::max(max, double{l});
        }
        const auto logit = [&](int32_t id) { return c.logits[static_cast<size_t>(id)]; };
        for (const int32_t id : order) sum += std::exp(logit(id) - max);
        std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logit(a) > logit(b); });
        for (size_t j = 0; j < n; ++j) {
            if (j >= order.size()) {
                ASSERT_EQ(-1, top[j].id) << "case " << i;
                ASSERT_TRUE(std::isnan(top[j].logprob)) << "case " << i;
                continue;
            }
            ASSERT_EQ(order[j], top[j].id) << "case " << i << ", alternative " << j;
            const double expected = logit(order[j]) - max - std::log(sum);
            ASSERT_NEAR(expected, top[j].logprob, 1e-5 * std::max(1.0, std::fabs(expected))) << "case " << i;
            if (top[j].id == token.id) {
                ASSERT_EQ(token.logprob, top[j].logprob) << "case " << i;
            }
        }
    }
}

// ---- bias, XTC, DRY ----

TEST(CpuSampler, BiasMovesALogitAndBans) {
    reprise_sampling sampling = defaults();
    const std::vector<float> logits = {3.0f, 2.5f, -1.0f, 2.0f};
    std::vector<reprise_logit_bias> bias = {{0, -kInf}, {3, 0.6f}};
    sampling.logit_bias = bias.data();
    sampling.n_logit_bias = bias.size();
    EXPECT_EQ(3, draw(logits, sampling));
    bias[1].bias = 0.4f;
    EXPECT_EQ(1, draw(logits, sampling));
    sampling.temperature = 1000;
    for (uint32_t position = 0; position < 200; ++position) EXPECT_NE(0, draw(logits, sampling, position));
    // Before the penalties: 3 + 1 halved is less than 2.5.
    sampling = defaults();
    bias = {{0, 1.0f}};
    sampling.logit_bias = bias.data();
    sampling.n_logit_bias = 1;
    sampling.repeat_penalty = 2;
    EXPECT_EQ(1, draw(logits, sampling, 0, {1, 0, 0, 0}));
}

TEST(CpuSampler, XtcDropsAllTopChoicesButTheLeastLikely) {
    // Probabilities 0.44, 0.27, 0.2, 0.06, 0.03.
    std::vector<float> logits;
    for (const double p : {0.06, 0.27, 0.03, 0.44, 0.2}) logits.push_back(static_cast<float>(std::log(p)));
    reprise_sampling sampling = defaults();
    sampling.temperature = 1;
    sampling.xtc_probability = 1;
    const auto drawn = [&](float threshold) {
        sampling.xtc_threshold = threshold;
        std::vector<bool> seen(5);
        for (uint32_t position = 0; position < 500; ++position)
            seen[static_cast<size_t>(draw(logits, sampling, position))] = true;
        return seen;
    };
    EXPECT_EQ((std::vector<bool>{true, false, true, false, true}), drawn(0.1f));
    EXPECT_EQ((std::vector<bool>{true, true, true, false, true}), drawn(0.25f));
    EXPECT_EQ((std::vector<bool>{true, true, true, true, true}), drawn(0.3f));  // one token alone
    EXPECT_EQ((std::vector<bool>{false, false, true, false, false}), drawn(0.01f));
    sampling.top_k = 2;  // 0.62 and 0.38
    EXPECT_EQ((std::vector<bool>{false, true, false, false, false}), drawn(0.3f));
    // A low temperature must not leave it without a token: the distance is that from the likeliest left.
    sampling.top_k = 0;
    sampling.temperature = 1e-3f;
    EXPECT_EQ((std::vector<bool>{false, false, false, false, true}), drawn(0.1f));
    sampling.temperature = 0;
    EXPECT_EQ(3, draw(logits, sampling));
}

TEST(CpuSampler, XtcTakesEffectAsOftenAsAsked) {
    const std::vector<float> logits = {1.0f, 1.0f};
    reprise_sampling sampling = defaults();
    sampling.temperature = 1;
    sampling.xtc_threshold = 0.4f;
    sampling.xtc_probability = 0.3f;
    int first = 0;
    for (uint32_t position = 0; position < 40000; ++position) first += draw(logits, sampling, position) == 0;
    // Without effect one of two; where it has one the higher id, which is the last of equals.
    EXPECT_NEAR(40000 * 0.7 / 2, first, 300);  // three standard deviations
}

TEST(Dry, PenalisesWhatWouldContinueARepetition) {
    reprise_sampling sampling = defaults();
    sampling.dry_multiplier = 0.8f;
    const auto penalties = [&](std::vector<int32_t> history) {
        Dry dry(sampling, 20);
        std::map<int32_t, float> found;
        for (const auto& [id, penalty] : dry.penalties(history)) found[id] = penalty;
        return found;
    };
    using Found = std::map<int32_t, float>;
    EXPECT_EQ((Found{}), penalties({}));
    EXPECT_EQ((Found{}), penalties({1}));
    EXPECT_EQ((Found{}), penalties({1, 2, 3, 1}));  // one token is shorter than the two that are free of it
    EXPECT_EQ((Found{{3, 0.8f}}), penalties({1, 2, 3, 1, 2}));
    EXPECT_EQ((Found{{4, 0.8f * 1.75f}}), penalties({1, 2, 3, 4, 5, 1, 2, 3}));
    // The longest of several runs counts; each token has its own.
    EXPECT_EQ((Found{{4, 0.8f * 1.75f}, {6, 0.8f}}), penalties({1, 2, 3, 4, 9, 2, 3, 6, 1, 2, 3}));
    // Runs may overlap.
    EXPECT_EQ((Found{{7, static_cast<float>(double{0.8f} * 1.75 * 1.75)}}), penalties({7, 7, 7, 7, 7}));
    sampling.dry_last_n = 4;
    EXPECT_EQ((Found{}), penalties({1, 2, 3, 1, 2}));
    sampling.dry_last_n = 5;
    EXPECT_EQ((Found{{3, 0.8f}}), penalties({1, 2, 3, 1, 2}));
    sampling.dry_last_n = -1;
    const int32_t breaker = 2;
    sampling.dry_breakers = &breaker;
    sampling.n_dry_breakers = 1;
    EXPECT_EQ((Found{}), penalties({1, 2, 3, 4, 1, 2, 3}));
    EXPECT_EQ((Found{{5, 0.8f}}), penalties({2, 3, 4, 5, 2, 3, 4}));  // the breaker is no part of it
    EXPECT_EQ((Found{}), penalties({3, 4, 2, 3, 4}));                 // nor what a repetition goes on with
}

TEST(Dry, NeverRulesOutTheOnlyTokenAllowed) {
    reprise_sampling sampling = defaults();
    sampling.dry_multiplier = 1000;
    sampling.dry_base = 1000;
    const std::vector<int32_t> history(500, 3);
    Dry dry(sampling, 5);
    const uint32_t mask = 1u << 3;
    const std::vector<float> logits(5);
    const HostInput host = {{&mask, 1}, dry.penalties(history)};
    ASSERT_EQ(1u, host.penalties.size());
    EXPECT_EQ(1e30f, host.penalties[0].penalty);
    EXPECT_EQ(3, CpuSampler(5).sample(logits, nullptr, host, sampling, 0).id);
}

TEST(Dry, TakesTimeInProportionToTheHistory) {
    reprise_sampling sampling = defaults();
    sampling.dry_multiplier = 1;
    const std::vector<int32_t> history(1 << 20, 3);  // the square of this would take minutes
    Dry dry(sampling, 5);
    EXPECT_EQ(1u, dry.penalties(history).size());
    EXPECT_TRUE(dry.penalties(std::vector<int32_t>(3, 1)).size() == 1);  // nothing is left of the call before
}

}  // namespace
}  // namespace reprise
