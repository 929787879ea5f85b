// What a step computes: rows, of one sequence or of many.
#pragma once

#include <cstdint>

namespace reprise {

/// A token at a position of a sequence. Decoding one sequence is one row, many sequences many, a prompt's chunk many of
/// one.
struct Row {
    int32_t token;
    uint32_t position;
    uint32_t sequence;  // index among the sequences of the step
};

}  // namespace reprise
