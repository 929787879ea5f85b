// A launch of a step, as a thread sees it.
#pragma once

#include "cpu/executor.h"

namespace reprise::cpu {

struct Executor::Task {
    const Step& step;
    const Bound& bound;
    const Launch& launch;
    size_t thread;

    size_t n() const { return step.rows.size(); }
    const StepValue& value(ValueId id) const { return bound.program.values[id]; }
    uint8_t* bytes(ValueId id, size_t row = 0) const { return bound.values[id] + row * value(id).row_bytes; }
    float* floats(ValueId id, size_t row = 0) const { return reinterpret_cast<float*>(bytes(id, row)); }
    /// The first piece of a row.
    float* floats(const Pieces& pieces, size_t row) const { return floats(pieces.value, row) + pieces.offset; }
    const KvView& sequence(size_t row) const { return step.sequences[step.rows[row].sequence]; }
};

}  // namespace reprise::cpu
