#include "model/backends.h"

#include <algorithm>

#include "core/error.h"

namespace reprise {

std::string cuda_refusal(const Plan& plan) {
    const bool has_words =
        std::ranges::any_of(plan.steps, [](const Step& step) { return std::holds_alternative<RowStep>(step); });
    if (!has_words && plan.rope.long_inv_freq.empty()) return "";
    return format("architecture %s, as this file has it, runs on the CPU backend only yet",
                  quoted(plan.hparams.architecture).c_str());
}

void check_cuda(const Plan& plan) {
    const std::string refusal = cuda_refusal(plan);
    if (!refusal.empty())
        fail(REPRISE_UNSUPPORTED_MODEL, "%s: load the model with device cpu or auto", refusal.c_str());
}

}  // namespace reprise
