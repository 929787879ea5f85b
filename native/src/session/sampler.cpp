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
    check(s.min_p >= 0 && s.min_p <= 1, "min_p", s.min_p, "in [0, 1]");
    check(s.repeat_penalty > 0 && s.repeat_penalty <= 1000, "repeat_penalty", s.repeat_penalty, "in (0, 1000]");
    check(std::fabs(s.presence_penalty) <= 1000, "presence_penalty", s.presence_penalty, "in -1000 to 1000");
    check(std::fabs(s.frequency_penalty) <= 1000, "frequency_penalty", s.frequency_penalty, "in -1000 to 1000");
}

bool is_greedy(const reprise_sampling& s) { return s.temperature == 0 || s.min_p == 1; }

bool uses_counts(const reprise_sampling& s) {
    return s.repeat_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0;
}

namespace {

/// The id of a rank key.
uint32_t id_of(uint64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }

/// Keeps the count largest keys, in any order.
void keep_largest(std::vector<uint64_t>& keys, size_t count) {
    if (count >= keys.size()) return;
    std::nth_element(keys.begin(), keys.begin() + static_cast<ptrdiff_t>(count), keys.end(), std::greater<>());
    keys.resize(count);
}

/// Keeps the shortest run of keys, from the largest down, whose measures add up to target; all if they never do.
template <class Measure>
void keep_mass(std::vector<uint64_t>& keys, Measure measure, uint64_t target) {
    uint64_t sum = 0;
    size_t sorted = 0;
    // Mostly a few tokens hold the mass: sort the head of the list, further only where that is not enough.
    for (size_t head = 256; sorted < keys.size(); head *= 8) {
        const auto from = keys.begin() + static_cast<ptrdiff_t>(sorted);
        const auto to = keys.begin() + static_cast<ptrdiff_t>(std::min(head, keys.size()));
        std::partial_sort(from, to, keys.end(), std::greater<>());
        for (; sorted < std::min(head, keys.size()); ++sorted) {
            sum += measure(keys[sorted]);
            if (sum < target) continue;
            keys.resize(sorted + 1);
            return;
        }
    }
}

float log_probability(std::span<const float> logits, int32_t id) {
    float max = -std::numeric_limits<float>::infinity();
    for (const float l : logits) max = l > max ? l : max;
    double sum = 0;
    for (const float l : logits) sum += l == l ? std::exp(static_cast<double>(l - max)) : 0.0;
    return static_cast<float>(static_cast<double>(logits[id] - max) - std::log(sum));
}

}  // namespace

reprise_token CpuSampler::sample(std::span<const float> logits, const int32_t* counts, const reprise_sampling& s,
                                 uint32_t position) {
    const uint32_t n = static_cast<uint32_t>(logits.size());
    const bool penalties = uses_counts(s);
    uint64_t best = 0;
    keys_.resize(n);
    for (uint32_t i = 0; i < n; ++i) {
        const float l = penalties
                            ? penalized(logits[i], counts[i], s.repeat_penalty, s.presence_penalty, s.frequency_penalty)
                            : logits[i];
        adjusted_[i] = l;
        keys_[i] = rank_key(l, i);
        best = std::max(best, keys_[i]);
    }
    if (!is_drawable(best)) return {NO_TOKEN, std::numeric_limits<float>::quiet_NaN()};
    reprise_token token{static_cast<int32_t>(id_of(best)), std::numeric_limits<float>::quiet_NaN()};
    const float max = adjusted_[id_of(best)];
    if (!is_greedy(s) && std::isfinite(max)) {
        const auto below_max = [&](uint64_t key) { return add(adjusted_[id_of(key)], -max); };
        const auto mass = [&](uint64_t key) { return weight(below_max(key)); };
        if (s.top_k > 0) keep_largest(keys_, static_cast<size_t>(s.top_k));
        if (s.top_p < 1) {
            uint64_t total = 0;
            for (const uint64_t key : keys_) total += mass(key);
            keep_mass(keys_, mass, fraction_of(s.top_p, total));
        }
        if (s.min_p > 0) {
            const uint64_t least = fraction_of(s.min_p, uint64_t{1} << 32);
            std::erase_if(keys_, [&](uint64_t key) { return mass(key) < least; });
        }
        // In order of id, as every backend adds them up.
        const auto by_id = [](uint64_t a, uint64_t b) { return id_of(a) < id_of(b); };
        if (s.top_k > 0 || s.top_p < 1) std::sort(keys_.begin(), keys_.end(), by_id);

        weights_.clear();
        uint64_t total = 0;
        for (const uint64_t key : keys_) {
            weights_.push_back(weight(div(below_max(key), s.temperature)));
            total += weights_.back();
        }
        const uint64_t target = mul_high(philox(s.seed, position), total);
        uint64_t sum = 0;
        for (size_t i = 0; i < keys_.size(); ++i) {
            sum += weights_[i];
            if (sum > target) {
                token.id = static_cast<int32_t>(id_of(keys_[i]));
                break;
            }
        }
    }
    if (s.logprobs != 0) token.logprob = log_probability(logits, token.id);
    return token;
}

}  // namespace reprise
