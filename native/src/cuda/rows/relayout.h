// From the layout of quant_layout.cuh to that of rows/layout.cuh.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/linear.h"

namespace reprise::cuda::rows {

/// Whether there is a layout for the type.
bool has_layout(TensorType type);
/// to: device memory, as many bytes as matrix has, 256-byte aligned; gets the matrix in the other layout.
void relayout(const DeviceMatrix& matrix, uint8_t* to, cudaStream_t stream);

}  // namespace reprise::cuda::rows
