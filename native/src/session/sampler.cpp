#include "session/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/error.h"
#include "session/sampler_math.h"

namespace reprise {

using namespace sampler;

namespace {

void check_id(const char* field, int32_t id, size_t n_vocab) {
    if (id < 0 || static_cast<size_t>(id) >= n_vocab)
        fail(REPRISE_INVALID_ARGUMENT, "sampling option %s has id %d, which is outside the vocabulary of %zu tokens",
             field, id, n_vocab);
}

void check_logit_bias(const reprise_sampling& s, size_t n_vocab) {
    if (s.n_logit_bias > 0 && s.logit_bias == nullptr)
        fail(REPRISE_INVALID_ARGUMENT, "sampling option logit_bias is null, n_logit_bias is %zu", s.n_logit_bias);
    std::vector<int32_t> ids;
    size_t n_banned = 0;
    for (const auto& [id, bias] : std::span(s.logit_bias, s.n_logit_bias)) {
        check_id("logit_bias", id, n_vocab);
        if (!std::isfinite(bias) && !(bias < 0))
            fail(REPRISE_INVALID_ARGUMENT,
                 "sampling option logit_bias is %g for id %d: it must be finite, or -infinity to ban the token",
                 static_cast<double>(bias), id);
        ids.push_back(id);
        n_banned += std::isinf(bias);
    }
    std::sort(ids.begin(), ids.end());
    if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end())
        fail(REPRISE_INVALID_ARGUMENT, "sampling option logit_bias has id %d more than once", *twice);
    if (n_banned == n_vocab)
        fail(REPRISE_INVALID_ARGUMENT, "sampling option logit_bias bans all %zu tokens of the vocabulary", n_vocab);
}

void check_dry_breakers(const reprise_sampling& s, size_t n_vocab) {
    if (s.n_dry_breakers > 0 && s.dry_breakers == nullptr)
        fail(REPRISE_INVALID_ARGUMENT, "sampling option dry_breakers is null, n_dry_breakers is %zu", s.n_dry_breakers);
    for (const int32_t id : std::span(s.dry_breakers, s.n_dry_breakers)) check_id("dry_breakers", id, n_vocab);
}

}  // namespace

void check_sampling(const reprise_sampling& s, size_t n_vocab) {
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
    check(s.n_top_logprobs >= 0 && s.n_top_logprobs <= REPRISE_MAX_TOP_LOGPROBS, "n_top_logprobs", s.n_top_logprobs,
          "in 0 to 20");
    check(s.xtc_probability >= 0 && s.xtc_probability <= 1, "xtc_probability", s.xtc_probability, "in 0 (off) to 1");
    check(s.xtc_threshold > 0 && s.xtc_threshold <= 1, "xtc_threshold", s.xtc_threshold, "in (0, 1]");
    check(s.dry_multiplier >= 0 && s.dry_multiplier <= 1000, "dry_multiplier", s.dry_multiplier, "in 0 (off) to 1000");
    check(s.dry_base >= 1 && s.dry_base <= 1000, "dry_base", s.dry_base, "in 1 to 1000");
    check(s.dry_allowed_length >= 1, "dry_allowed_length", s.dry_allowed_length, "at least 1");
    check(s.dry_last_n >= -1, "dry_last_n", s.dry_last_n, "-1 (all), 0 (off) or positive");
    check_dry_breakers(s, n_vocab);
    check_logit_bias(s, n_vocab);
}
static_assert(REPRISE_MAX_TOP_LOGPROBS == 20);

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

/// Softmax of logits: log-probabilities are (logit - max) - log_sum.
struct LogSoftmax {
    explicit LogSoftmax(std::span<const float> logits) {
        for (const float l : logits) max = l > max ? l : max;
        double sum = 0;
        for (const float l : logits) sum += l == l ? std::exp(static_cast<double>(l - max)) : 0.0;
        log_sum = std::log(sum);
    }
    float of(float logit) const { return static_cast<float>(static_cast<double>(logit - max) - log_sum); }
    float max = -std::numeric_limits<float>::infinity();
    double log_sum;
};

}  // namespace

void CpuSampler::adjust(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                        const reprise_sampling& s) {
    std::copy(logits.begin(), logits.end(), adjusted_.begin());
    const auto at = [&](int32_t id) -> float& { return adjusted_[static_cast<size_t>(id)]; };
    if (!host.mask.empty()) {
        for (size_t i = 0; i < logits.size(); ++i)
            if (!(host.mask[i / 32] >> i % 32 & 1)) adjusted_[i] = -std::numeric_limits<float>::infinity();
    }
    for (const auto& [id, bias] : std::span(s.logit_bias, s.n_logit_bias)) at(id) = add(at(id), bias);
    if (uses_counts(s)) {
        for (size_t i = 0; i < logits.size(); ++i)
            adjusted_[i] =
                penalized(adjusted_[i], counts[i], s.repeat_penalty, s.presence_penalty, s.frequency_penalty);
    }
    for (const auto& [id, penalty] : host.penalties) at(id) = add(at(id), -penalty);
}

reprise_token CpuSampler::sample(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                                 const reprise_sampling& s, uint32_t position) {
    const uint32_t n = static_cast<uint32_t>(logits.size());
    adjust(logits, counts, host, s);
    uint64_t best = 0;
    keys_.resize(n);
    for (uint32_t i = 0; i < n; ++i) {
        keys_[i] = rank_key(adjusted_[i], i);
        best = std::max(best, keys_[i]);
    }
    if (!is_drawable(best)) return {NO_TOKEN, std::numeric_limits<float>::quiet_NaN()};
    reprise_token token{static_cast<int32_t>(id_of(best)), std::numeric_limits<float>::quiet_NaN()};
    const float max = adjusted_[id_of(best)];
    if (!is_greedy(s) && std::isfinite(max)) {
        float top = max;
        const auto below_top = [&](uint64_t key) { return add(adjusted_[id_of(key)], -top); };
        const auto mass = [&](uint64_t key) { return weight(below_top(key)); };
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
        if (s.xtc_probability > 0 && xtc_applies(s.xtc_probability, s.seed, position)) {
            uint64_t total = 0, last = best;
            for (const uint64_t key : keys_) total += mass(key);
            const uint64_t least = fraction_of(s.xtc_threshold, total);
            for (const uint64_t key : keys_) last = mass(key) >= least ? std::min(last, key) : last;
            std::erase_if(keys_, [&](uint64_t key) { return key > last; });
            top = adjusted_[id_of(last)];
        }
        // In order of id, as every backend adds them up.
        const auto by_id = [](uint64_t a, uint64_t b) { return id_of(a) < id_of(b); };
        if (s.top_k > 0 || s.top_p < 1) std::sort(keys_.begin(), keys_.end(), by_id);

        weights_.clear();
        uint64_t total = 0;
        for (const uint64_t key : keys_) {
            weights_.push_back(weight(div(below_top(key), s.temperature)));
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
    if (s.logprobs != 0) token.logprob = LogSoftmax(logits).of(logits[static_cast<size_t>(token.id)]);
    return token;
}

void CpuSampler::top(std::span<const float> logits, std::span<reprise_token> top) {
    keys_.resize(logits.size());
    for (uint32_t i = 0; i < logits.size(); ++i) keys_[i] = rank_key(logits[i], i);
    const size_t n = std::min(top.size(), keys_.size());
    std::partial_sort(keys_.begin(), keys_.begin() + static_cast<ptrdiff_t>(n), keys_.end(), std::greater<>());
    const LogSoftmax softmax(logits);
    for (size_t i = 0; i < top.size(); ++i) {
        top[i] = {NO_TOKEN, std::numeric_limits<float>::quiet_NaN()};
        if (i >= n || !is_drawable(keys_[i])) continue;
        const uint32_t id = id_of(keys_[i]);
        top[i] = {static_cast<int32_t>(id), softmax.of(logits[id])};
    }
}

}  // namespace reprise
