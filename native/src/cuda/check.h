// CUDA return codes become reprise::Error. Out of memory keeps its own status; everything else is the engine failing.
#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace reprise::cuda {

inline void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    const reprise_status status =
        error == cudaErrorMemoryAllocation ? REPRISE_OUT_OF_DEVICE_MEMORY : REPRISE_ENGINE_FAILED;
    fail(status, "%s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

}  // namespace reprise::cuda
