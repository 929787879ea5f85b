// Shapes of published models.
#pragma once

#include <string>
#include <vector>

#include "synth/random_model.h"

namespace reprise {

/// Names in the order of size within each family.
std::vector<std::string> preset_names();
/// REPRISE_INVALID_ARGUMENT names what there is.
ModelSpec preset(const std::string& name);

}  // namespace reprise
