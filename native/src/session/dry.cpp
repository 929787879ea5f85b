#include "session/dry.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace reprise {

namespace {

/// Large enough to rule a token out beside any other, and finite: a token that alone is allowed can still be drawn.
constexpr double MOST = 1e30;

}  // namespace

bool uses_dry(const reprise_sampling& s) { return s.dry_multiplier > 0 && s.dry_last_n != 0; }

Dry::Dry(const reprise_sampling& s, size_t n_vocab)
    : multiplier_(s.dry_multiplier),
      base_(s.dry_base),
      allowed_length_(static_cast<size_t>(s.dry_allowed_length)),
      last_n_(s.dry_last_n < 0 ? std::numeric_limits<size_t>::max() : static_cast<size_t>(s.dry_last_n)),
      is_breaker_(n_vocab),
      continues_(n_vocab) {
    for (size_t i = 0; i < s.n_dry_breakers; ++i) is_breaker_[static_cast<size_t>(s.dry_breakers[i])] = true;
}

std::span<const TokenPenalty> Dry::penalties(std::span<const int32_t> history) {
    found_.clear();
    const size_t n = std::min(history.size(), last_n_);
    const auto back = [&](size_t k) { return history[history.size() - 1 - k]; };  // back(0) is the last token
    size_t unbroken = 0;  // tokens at the end that no breaker is among
    while (unbroken < n && !is_breaker(back(unbroken))) ++unbroken;
    if (unbroken < allowed_length_) return {};

    // The Z function (Gusfield, "Algorithms on strings, trees, and sequences", 1.4) of the history read backwards, so
    // that a history which is one repetition costs no more than any other: [from, to) is the match that reaches
    // farthest.
    match_.resize(n);
    for (size_t k = 1, from = 0, to = 0; k < n; ++k) {
        size_t length = k < to ? std::min(to - k, match_[k - from]) : 0;
        while (k + length < n && back(k + length) == back(length)) ++length;
        match_[k] = length;
        if (k + length > to) from = k, to = k + length;

        const size_t repeated = std::min(length, unbroken);
        const int32_t next = back(k - 1);
        if (repeated < allowed_length_ || is_breaker(next)) continue;
        size_t& longest = continues_[static_cast<size_t>(next)];
        if (longest == 0) found_.push_back({next, 0});
        longest = std::max(longest, repeated);
    }
    std::sort(found_.begin(), found_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    for (TokenPenalty& token : found_) {
        size_t& longest = continues_[static_cast<size_t>(token.id)];
        const double exponent = static_cast<double>(longest - allowed_length_);
        token.penalty = static_cast<float>(std::min(multiplier_ * std::pow(base_, exponent), MOST));
        longest = 0;
    }
    return found_;
}

}  // namespace reprise
