// The transformer of the llama family in double precision, written as its papers have it: what the backends' logits are
// compared with where a file asks for something out of the ordinary.
#pragma once

#include <cstdint>
#include <vector>

#include "gguf/gguf.h"
#include "model/plan.h"
#include "synth/random_model.h"

namespace reprise::test {

/// What a file's metadata comes to: stated by the test, not read from the file.
struct ReferenceRules {
    RopeStyle style = RopeStyle::ADJACENT;
    uint32_t n_rot = 0;         // leading dimensions of a head that are turned
    double rope_divisor = 1;    // of positions
    double rope_magnitude = 1;  // on the turned dimensions of q and of k
    double attention_scale = 0;
};

/// The rules of a spec's architecture without anything out of the ordinary.
ReferenceRules usual_rules(const ModelSpec& spec);

/// [ids.size()][n_vocab], of a file whose tensors are all F32 and whose hyper-parameters are those of the spec.
std::vector<double> reference_logits(const GgufFile& file, const ModelSpec& spec, const ReferenceRules& rules,
                                     const std::vector<int32_t>& ids);

}  // namespace reprise::test
