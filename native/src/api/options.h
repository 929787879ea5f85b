// Options as they come over the C interface, checked and with their defaults filled in.
#pragma once

#include "reprise.h"
#include "session/engine.h"

namespace reprise {

/// Null means the defaults. Throws REPRISE_INVALID_ARGUMENT naming the option that is out of its range.
LoadOptions load_options(const reprise_model_options* options);
EngineOptions engine_options(const reprise_session_options* options, const HyperParams& hparams);

}  // namespace reprise
