// Kernel launches with programmatic dependence (sm_90 and later): a kernel may start while its predecessor in the stream
// still runs. Every kernel launched this way calls wait_for_predecessor() in all threads before it touches anything
// that a kernel writes: before that it may read only what never changes after load, and write nothing. Since all of
// them wait, completion is transitive along the stream.
#pragma once

#include <cuda_runtime.h>

#include <utility>

#include "cuda/check.h"

namespace reprise::cuda {

/// Lets the next kernel of the stream start once every block of this one has called it or ended.
__device__ __forceinline__ void release_successor() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Returns when all earlier kernels of the stream have completed and their writes are visible.
__device__ __forceinline__ void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Properties of the current device that launches depend on.
struct DeviceTraits {
    int n_sms;
    bool programmatic_launch;
};
inline DeviceTraits device_traits() {
    int device = 0, n_sms = 0, major = 0;
    check(cudaGetDevice(&device), "finding the current device");
    check(cudaDeviceGetAttribute(&n_sms, cudaDevAttrMultiProcessorCount, device), "counting multiprocessors");
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "reading the compute capability");
    return {n_sms, major >= 9};
}

template <typename... Params, typename... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Args&&... args) {
    cudaLaunchAttribute programmatic = {};
    programmatic.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    programmatic.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = &programmatic;
    config.numAttrs = device_traits().programmatic_launch ? 1 : 0;
    check(cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...), "launching a kernel");
}

/// Loads the kernel now, so that a capture does not meet a lazy load.
template <typename... Params>
void load_kernel(void (*kernel)(Params...)) {
    cudaFuncAttributes attributes;
    check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)), "loading a kernel");
}

}  // namespace reprise::cuda
