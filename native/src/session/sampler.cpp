#include "session/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/error.h"
#include "session/sampler_math.h"

namespace reprise {

using namespace sampler;

void check_sampling(const reprise_sampling& s) {
    const auto check = [](bool ok, const char* field, double value, const char* range) {
        if (!ok) fail(REPRISE_INVALID_ARGUMENT, "sampling option %s is %g: it must be %s", field, value, range);
    };
    check(s.temperature >= 0 && s.temperature <= 1000, "temperature", s.temperature, "in 0 to 1000");
    // Below this (l - m) / temperature is no longer a useful number; greedy is temperature 0.
    check(s.temperature == 0 || s.temperature >= 1e-4f, "temperature", s.temperature, "0 (greedy) or at least 0.0001");
    check(s.top_k >= 0, "top_k", s.top_k, "0 (off) or positive");
    check(s.top_p > 0 && s.top_p <= 1, "top_p", s.top_p, "in (0, 1]");
    check(s.min_p >= 0 && s.min_p < 1, "min_p", s.min_p, "in [0, 1)");
    check(s.repeat_penalty > 0 && s.repeat_penalty <= 1000, "repeat_penalty", s.repeat_penalty, "in (0, 1000]");
    check(std::fabs(s.presence_penalty) <= 1000, "presence_penalty", s.presence_penalty, "in -1000 to 1000");
    check(std::fabs(s.frequency_penalty) <= 1000, "frequency_penalty", s.frequency_penalty, "in -1000 to 1000");
}

bool uses_counts(const reprise_sampling& s) { return s.repeat_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0; }

namespace {

/// The rank key of the token at which the sum of measure(id), taken from the highest key down, reaches target; 0 if it
/// never does. A histogram over the upper key bits finds the bucket, only that one is sorted.
template <class Key, class Measure>
uint64_t threshold(uint32_t n, Key key, Measure measure, uint64_t target) {
    constexpr int BUCKET_SHIFT = 48;
    std::vector<uint64_t> mass(size_t{1} << 16);
    for (uint32_t i = 0; i < n; ++i) mass[key(i) >> BUCKET_SHIFT] += measure(i);
    uint64_t sum = 0;
    size_t bucket = mass.size();
    while (bucket > 0 && sum + mass[bucket - 1] < target) sum += mass[--bucket];
    if (bucket == 0) return 0;
    --bucket;
    std::vector<uint64_t> keys;
    for (uint32_t i = 0; i < n; ++i) {
        if (key(i) >> BUCKET_SHIFT == bucket) keys.push_back(key(i));
    }
    std::sort(keys.begin(), keys.end(), std::greater<>());
    for (const uint64_t k : keys) {
        sum += measure(0xffffffffu - static_cast<uint32_t>(k));
        if (sum >= target) return k;
    }
    return 0;
}

float log_probability(std::span<const float> logits, int32_t id) {
    float max = -std::numeric_limits<float>::infinity();
    for (const float l : logits) max = l > max ? l : max;
    double sum = 0;
    for (const float l : logits) sum += l == l ? std::exp(static_cast<double>(l - max)) : 0.0;
    return static_cast<float>(static_cast<double>(logits[id] - max) - std::log(sum));
}

}  // namespace

reprise_token CpuSampler::sample(std::span<const float> logits, const int32_t* counts, const reprise_sampling& s, uint32_t position) {
    const uint32_t n = static_cast<uint32_t>(logits.size());
    const bool penalties = uses_counts(s);
    uint64_t best = 0;
    for (uint32_t i = 0; i < n; ++i) {
        const float l = penalties ? penalized(logits[i], counts[i], s.repeat_penalty, s.presence_penalty, s.frequency_penalty) : logits[i];
        adjusted_[i] = l;
        const uint64_t key = rank_key(l, i);
        best = key > best ? key : best;
    }
    const uint32_t argmax = 0xffffffffu - static_cast<uint32_t>(best);
    reprise_token token{static_cast<int32_t>(argmax), std::numeric_limits<float>::quiet_NaN()};
    const float max = adjusted_[argmax];
    if (s.temperature > 0 && std::isfinite(max)) {
        for (uint32_t i = 0; i < n; ++i) weights_[i] = weight(add(adjusted_[i], -max));

        const auto key = [&](uint32_t i) { return rank_key(adjusted_[i], i); };
        uint64_t keep_from = 0;  // rank keys at or above it are kept
        if (s.top_k > 0 && static_cast<uint32_t>(s.top_k) < n) {
            keep_from = threshold(n, key, [](uint32_t) { return uint64_t{1}; }, static_cast<uint64_t>(s.top_k));
        }
        if (s.top_p < 1) {
            const auto mass = [&](uint32_t i) { return key(i) >= keep_from ? weights_[i] : 0; };
            uint64_t total = 0;
            for (uint32_t i = 0; i < n; ++i) total += mass(i);
            keep_from = std::max(keep_from, threshold(n, key, mass, fraction_of(s.top_p, total)));
        }
        const uint64_t min_weight = fraction_of(s.min_p, uint64_t{1} << 32);

        uint64_t total = 0;
        for (uint32_t i = 0; i < n; ++i) {
            const bool kept = key(i) >= keep_from && weights_[i] >= min_weight;
            weights_[i] = kept ? weight(div(add(adjusted_[i], -max), s.temperature)) : 0;
            total += weights_[i];
        }
        const uint64_t target = mul_high(philox(s.seed, position), total);
        uint64_t sum = 0;
        for (uint32_t i = 0; i < n; ++i) {
            sum += weights_[i];
            if (sum > target) {
                token.id = static_cast<int32_t>(i);
                break;
            }
        }
    }
    if (s.logprobs != 0) token.logprob = log_probability(logits, token.id);
    return token;
}

}  // namespace reprise
