// Every value of a model's steps beside the exact backend's: which launch is wrong.
#pragma once

#include <cstdint>
#include <span>

#include "reprise.h"

namespace tool {

struct StepComparison {
    double tolerance;  // of the difference, by the root mean square of a row of the exact value
    size_t n_rows;     // in a step; 1: as decoding has it
};

/// Feeds ids from position 0 to both models, prints how far the float values of model's steps are from those of the
/// same name in exact's, and names the first that is off. True if none is.
bool compare_steps(reprise_handle model, reprise_handle exact, const reprise_session_options& options,
                   std::span<const int32_t> ids, const StepComparison& how);

}  // namespace tool
