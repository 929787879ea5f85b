// DRY, "don't repeat yourself": what reprise.h says of it, computed from the history on the host.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "reprise.h"

namespace reprise {

/// What is taken off a token's logit.
struct TokenPenalty {
    int32_t id;
    float penalty;
};

bool uses_dry(const reprise_sampling& sampling);

class Dry {
  public:
    /// sampling has passed check_sampling(). Its arrays are copied.
    Dry(const reprise_sampling& sampling, size_t n_vocab);
    /// Of the tokens that would continue a repetition in history, by ascending id; valid until the next call.
    std::span<const TokenPenalty> penalties(std::span<const int32_t> history);

  private:
    bool is_breaker(int32_t id) const { return is_breaker_[static_cast<size_t>(id)]; }

    const double multiplier_, base_;
    const size_t allowed_length_, last_n_;
    std::vector<bool> is_breaker_;     // [n_vocab]
    std::vector<size_t> continues_;    // [n_vocab]: length of the longest repetition that an id would continue; 0: none
    std::vector<size_t> match_;        // at k: how many tokens before the last k are those that end the history
    std::vector<TokenPenalty> found_;  // result of the last call
};

}  // namespace reprise
