// How a token is drawn from logits. Every backend follows this definition to the last bit; the arithmetic that must
// agree is in sampler_math.h, which the CUDA kernels include too.
//
// With l the logits after constraint, bias and penalties, and m their maximum:
//   weight(x) = floor(exp(x) * 2^32) as a 64-bit integer, so that sums are exact in any order
//   top-k keeps the k largest by (l, then lower id); top-p keeps the shortest prefix of that order whose weights
//   weight(l - m) reach ceil(top_p * total); min-p keeps those with weight >= ceil(min_p * 2^32), and with min_p 1 the
//   first of that order alone
//   XTC applies if the third 32-bit Philox word of (seed, position) is below floor(xtc_probability * 2^32); it drops,
//   of what is left, all that come in that order before the last with weight >= ceil(xtc_threshold * total of what is
//   left)
//   the draw weighs what is left by weight((l - n) / temperature), n the largest l left, adds them up in order of id
//   and takes the first token whose running sum exceeds floor(u * total / 2^64), u the first two Philox words of
//   (seed, position).
// A NaN logit is never drawn. If m is infinite, the lowest id that has it is drawn; if every logit is NaN or -infinity,
// no token is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "reprise.h"
#include "session/host_part.h"

namespace reprise {

constexpr int32_t NO_TOKEN = -1;

/// Throws REPRISE_INVALID_ARGUMENT naming the field that is out of its range.
void check_sampling(const reprise_sampling& sampling, size_t n_vocab);

/// Whether it draws the largest logit after penalties, the lowest id among equals: at temperature 0, and where min_p is
/// 1, which no other token reaches.
bool is_greedy(const reprise_sampling& sampling);

/// Whether it has penalties, so that a draw needs the counts of the history.
bool uses_counts(const reprise_sampling& sampling);

class CpuSampler {
  public:
    explicit CpuSampler(size_t n_vocab) : adjusted_(n_vocab) {}
    /// counts[id]: how often id stands in the history; may be null if no penalty is set. NO_TOKEN where none can be
    /// drawn.
    reprise_token sample(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                         const reprise_sampling& sampling, uint32_t position);
    /// Alternatives of the token drawn from logits: the likeliest, as many as top has room for.
    void top(std::span<const float> logits, std::span<reprise_token> top);

  private:
    /// Leaves the logits as they are drawn from in adjusted_.
    void adjust(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                const reprise_sampling& sampling);

    std::vector<float> adjusted_;
    std::vector<uint64_t> keys_;     // rank keys of the tokens that are kept
    std::vector<uint64_t> weights_;  // of keys_
};

}  // namespace reprise
