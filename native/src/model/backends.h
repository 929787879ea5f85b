// Which backends run a plan.
#pragma once

#include "model/plan.h"

namespace reprise {

/// Why CUDA does not run the plan, naming the architecture; empty if it does.
std::string cuda_refusal(const Plan& plan);
/// Throws it as REPRISE_UNSUPPORTED_MODEL.
void check_cuda(const Plan& plan);

}  // namespace reprise
