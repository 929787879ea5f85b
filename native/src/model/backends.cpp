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

}  // namespace reprise
