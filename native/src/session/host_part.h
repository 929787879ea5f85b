// What of a drawing is computed on the host, the same for every backend: which tokens a constraint allows, and DRY's
// penalties. Both follow from the tokens drawn so far, so a backend that runs ahead does so by the forward part of a
// step alone and draws once the token before has been taken here.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "session/constraint.h"
#include "session/dry.h"

namespace reprise {

/// What the host gives to one drawing.
struct HostInput {
    std::span<const uint32_t> mask;           // bit i % 32 of word i / 32: token i may be drawn; empty: all may
    std::span<const TokenPenalty> penalties;  // by ascending id
};

class HostPart {
  public:
    /// Whether drawings need one. constraint may be null.
    static bool is_needed(const reprise_sampling& sampling, const Constraint* constraint);

    /// history: all ids in front of the first drawing. end_ids end the text: the constraint does not see them. sampling
    /// has passed check_sampling(); what it points to is copied.
    HostPart(const reprise_sampling& sampling, std::unique_ptr<Constraint> constraint, std::span<const int32_t> history,
             std::span<const int32_t> end_ids, size_t n_vocab);

    /// Computes the input of the next drawing, unless that is done. False: something went wrong, which input() throws,
    /// so that the tokens in front of it can be delivered first.
    bool prepare() noexcept;
    /// The input of the next drawing, prepared if need be; valid until accept().
    const HostInput& input();
    /// Takes the token that was drawn.
    void accept(int32_t token);
    /// Whether the token taken last was of end_ids: no drawing follows.
    bool ended() const { return ended_; }
    /// Whether the text so far is all that the constraint demands; true without one.
    bool complete() const { return constraint_ == nullptr || constraint_->complete(); }

  private:
    void compute();
    void compute_mask();

    const std::unique_ptr<Constraint> constraint_;
    std::optional<Dry> dry_;
    std::vector<int32_t> history_;  // where dry_ needs it
    std::vector<int32_t> end_ids_;
    std::vector<int32_t> banned_;  // by logit_bias
    std::vector<uint32_t> mask_;
    HostInput input_;
    bool prepared_ = false, ended_ = false;
    std::exception_ptr error_;
    size_t n_accepted_ = 0;
};

}  // namespace reprise
