// What the kernels of a step know of its rows: a list in device memory at an address that stays, so that a captured
// graph serves whichever sequences take part. A graph is of a number of rows, a bucket; rows that it has too many are
// null, and cost next to nothing.
#pragma once

#include <cstdint>

#include "cuda/decode_state.h"
#include "cuda/sampler.h"

namespace reprise::cuda {

/// A sequence, in device memory at an address that stays while it is open.
struct Sequence {
    DecodeState state;
    const uint32_t* blocks;  // ids of the blocks of keys and values (exec/kv_block.h), in the order of positions
    SamplerBuffers sampler;  // addresses; state is that of this sequence
};

constexpr uint32_t MAX_STEP_ROWS = 64;

/// Decoding: row r evaluates sequences[r]->state.token at sequences[r]->state.position. A prompt's chunk: row i is
/// token i of the chunk, at sequences[0]->state.position + i.
struct StepRows {
    Sequence* sequences[MAX_STEP_ROWS];  // null: nothing is computed for the row, and nothing written
};

}  // namespace reprise::cuda
