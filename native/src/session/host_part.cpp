#include "session/host_part.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace reprise {

bool HostPart::is_needed(const reprise_sampling& sampling, const Constraint* constraint) {
    return constraint != nullptr || uses_dry(sampling);
}

HostPart::HostPart(const reprise_sampling& sampling, std::unique_ptr<Constraint> constraint,
                   std::span<const int32_t> history, std::span<const int32_t> end_ids, size_t n_vocab)
    : constraint_(std::move(constraint)), end_ids_(end_ids.begin(), end_ids.end()) {
    if (constraint_ != nullptr) {
        mask_.resize((n_vocab + 31) / 32);
        for (const reprise_logit_bias& bias : std::span(sampling.logit_bias, sampling.n_logit_bias))
            if (std::isinf(bias.bias)) banned_.push_back(bias.id);
    }
    if (uses_dry(sampling)) {
        dry_.emplace(sampling, n_vocab);
        history_.assign(history.begin(), history.end());
    }
}

void HostPart::compute_mask() {
    constraint_->mask(mask_);
    const auto is_empty = [&] { return std::ranges::all_of(mask_, [](uint32_t word) { return word == 0; }); };
    if (is_empty())
        fail(REPRISE_INVALID_ARGUMENT,
             "after %zu generated tokens no token of the vocabulary continues what the constraint demands",
             n_accepted_);
    for (const int32_t id : banned_) mask_[static_cast<size_t>(id) / 32] &= ~(1u << id % 32);
    if (is_empty())
        fail(REPRISE_INVALID_ARGUMENT,
             "after %zu generated tokens logit_bias bans every token that the constraint allows", n_accepted_);
    input_.mask = mask_;
}

void HostPart::compute() {
    if (constraint_ != nullptr) compute_mask();
    if (dry_) input_.penalties = dry_->penalties(history_);
}

bool HostPart::prepare() noexcept {
    if (!prepared_) {
        prepared_ = true;
        try {
            compute();
        } catch (...) {
            error_ = std::current_exception();
        }
    }
    return error_ == nullptr;
}

const HostInput& HostPart::input() {
    if (!prepare()) std::rethrow_exception(error_);
    return input_;
}

void HostPart::accept(int32_t token) {
    ++n_accepted_;
    prepared_ = false;
    ended_ = std::ranges::find(end_ids_, token) != end_ids_.end();
    if (ended_) return;
    if (constraint_ != nullptr) constraint_->accept(token);
    if (dry_) history_.push_back(token);
}

}  // namespace reprise
