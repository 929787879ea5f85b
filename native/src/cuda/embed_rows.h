// The beginning of a step of many sequences.
#pragma once

#include "cuda/linear.h"
#include "cuda/step_rows.h"

namespace reprise::cuda {

/// embed_rows() of the tokens that the sequences of a step's n rows evaluate next. rows: device memory. Rows without a
/// sequence stay as they are. load_linear_kernels() loads it.
void embed_step_rows(const DeviceMatrix& table, const StepRows* rows, uint32_t n, float* x, cudaStream_t stream);

}  // namespace reprise::cuda
