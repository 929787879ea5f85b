// Kernel launches with programmatic dependence (sm_90 and later): a kernel may start while its predecessor in the
// stream still runs. Every kernel launched this way calls wait_for_predecessor() in all threads before it touches
// anything that a kernel of the same step writes: before that it may read only what never changes after load or was
// complete before the step began (launch_first()), and write nothing. Since all of them wait, completion is transitive
// along the stream.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "cuda/check.h"
#include "cuda/slot.h"

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

/// Whether this block is the last of n to get here; what the others wrote is then visible to it. counter: zero before
/// the first comes, and again once the last has come. All threads, once per kernel.
__device__ __forceinline__ bool is_last_arrival(uint32_t* counter, uint32_t n) {
    __shared__ bool last;
    // The barriers hand on what the one thread's addition orders.
    __syncthreads();
    if (threadIdx.x == 0) {
        uint32_t before;
        asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
                     : "=r"(before)
                     : "l"(counter), "r"(n - 1)
                     : "memory");
        last = before == n - 1;
    }
    __syncthreads();
    return last;
}

/// Called before global stores. In a build with REPRISE_DELAYS some warps wait there for up to 8 us, so that a result
/// that depends on luck changes; in every other build it is nothing.
__device__ __forceinline__ void delay_point() {
#ifdef REPRISE_DELAYS
    uint32_t h = static_cast<uint32_t>(clock64()) ^ blockIdx.x * 0x9e3779b9u ^ threadIdx.x / 32 * 0x85ebca6bu;
    h = (h ^ h >> 15) * 0x2c1b3ce5u;
    h ^= h >> 13;
    if (h % 4 == 0) __nanosleep(h % 8192);
#endif
}

/// Notes, in a build with REPRISE_TIMELINE, when the block's first thread came by the points of a kernel's course; in
/// every other build it is nothing. bench/kernels/decode_chain.cu prints what it notes.
enum class Point : uint32_t { ENTRY, FETCHING, RELEASED, INPUT_READY, COMPUTED, END };
constexpr uint32_t POINTS = 6;
#ifdef REPRISE_TIMELINE
struct TimelineRecord {
    uint64_t times[POINTS];  // nanoseconds
    const void* launch;      // what tells one launch from another: an address that no other uses
    uint32_t multiprocessor, block;
};
constexpr uint32_t TIMELINE_BLOCKS = 256, TIMELINE_RECORDS = 1024;  // of a block
extern __device__ TimelineRecord* timeline;                         // [TIMELINE_BLOCKS][TIMELINE_RECORDS]
extern __device__ uint32_t timeline_counts[TIMELINE_BLOCKS];
class Timeline {
  public:
    __device__ __forceinline__ explicit Timeline(const void* launch) {
        if (threadIdx.x != 0) return;
        record_ = {{}, launch, 0, blockIdx.x};
        asm volatile("mov.u32 %0, %smid;" : "=r"(record_.multiprocessor));
        index_ = atomicAdd(timeline_counts + blockIdx.x % TIMELINE_BLOCKS, 1);
        pass(Point::ENTRY);
    }
    __device__ __forceinline__ void pass(Point point) {
        if (threadIdx.x != 0) return;
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(record_.times[static_cast<uint32_t>(point)]));
        if (point == Point::END && index_ < TIMELINE_RECORDS)
            timeline[blockIdx.x % TIMELINE_BLOCKS * TIMELINE_RECORDS + index_] = record_;
    }

  private:
    TimelineRecord record_;
    uint32_t index_;
};
#else
struct Timeline {
    __device__ __forceinline__ explicit Timeline(const void*) {}
    __device__ __forceinline__ void pass(Point) {}
};
#endif

/// Properties of the current device that launches depend on.
struct DeviceTraits {
    int n_sms;
    bool programmatic_launch;
    uint32_t shared_per_sm, shared_per_block;  // bytes
};
template <int>
__global__ void probe_kernel() {}

/// Whether the code that a device runs waits for its predecessors: not what was compiled for an architecture
/// before 9.0.
inline bool code_waits(int device) {
    enum : int { UNKNOWN, NO, YES };
    constexpr int DEVICES = 64;
    static std::atomic<int> known[DEVICES];
    const auto ask = [] {
        cudaFuncAttributes attributes;
        check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(probe_kernel<0>)), "loading a kernel");
        return attributes.ptxVersion >= 90 ? YES : NO;
    };
    if (device >= DEVICES) return ask() == YES;
    if (known[device] == UNKNOWN) known[device] = ask();
    return known[device] == YES;
}
inline DeviceTraits device_traits() {
    int device = 0, n_sms = 0, per_sm = 0, per_block = 0;
    check(cudaGetDevice(&device), "finding the current device");
    check(cudaDeviceGetAttribute(&n_sms, cudaDevAttrMultiProcessorCount, device), "counting multiprocessors");
    check(cudaDeviceGetAttribute(&per_sm, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device),
          "reading the size of shared memory");
    check(cudaDeviceGetAttribute(&per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "reading the size of shared memory");
#ifdef REPRISE_SHARED_KIB
    per_sm = std::min(per_sm, REPRISE_SHARED_KIB * 1024);
    per_block = std::min(per_block, per_sm - 1024);
#endif
    return {n_sms, code_waits(device), static_cast<uint32_t>(per_sm), static_cast<uint32_t>(per_block)};
}

/// How much shared memory a kernel of a fused step asks for. Large and small ones alternate along the step, each with
/// one block per multiprocessor: a large one fits beside a small one, but neither two large ones nor a large one and
/// two small ones. So a kernel's blocks settle one to a multiprocessor while its predecessor still runs; without that,
/// two of them land on the multiprocessor that is free first, and the kernel takes twice as long.
struct SlotSize {
    uint32_t least, most;  // of dynamic shared memory
};
inline SlotSize slot_size(Slot slot, const DeviceTraits& traits) {
    const uint32_t half = traits.shared_per_sm / 2;
    // 1 KiB that CUDA takes for a block, twice, and the static variables of both kernels, rounded up.
    constexpr uint32_t REST = 10 * 1024;
    return slot == Slot::LARGE ? SlotSize{half, half} : SlotSize{half / 2 + 2048, half - REST};
}

/// If not null, gets the functions of the kernels that this thread launches: what a captured graph is checked against.
inline thread_local std::vector<const void*>* launch_record = nullptr;

template <typename... Params, typename... Args>
void launch_kernel(bool programmatic, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, Args&&... args) {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = programmatic ? 1 : 0;
    check(cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...), "launching a kernel");
    if (launch_record != nullptr) launch_record->push_back(reinterpret_cast<const void*>(kernel));
}

/// Lets the kernel start while its predecessor runs, where the device can do that.
template <typename... Params, typename... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            Args&&... args) {
    launch_kernel(device_traits().programmatic_launch, kernel, grid, block, shared_bytes, stream,
                  std::forward<Args>(args)...);
}

/// The first kernel of a step: it starts when everything before it has completed. So what earlier steps have left, and
/// no kernel of this step writes, is there for all kernels of the step from their first instruction on.
template <typename... Params, typename... Args>
void launch_first(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                  Args&&... args) {
    launch_kernel(false, kernel, grid, block, shared_bytes, stream, std::forward<Args>(args)...);
}

/// Loads the kernel now, so that a capture does not meet a lazy load.
template <typename... Params>
void load_kernel(void (*kernel)(Params...)) {
    cudaFuncAttributes attributes;
    check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)), "loading a kernel");
    // One split of the L1 for all: changing it between two kernels of a replay costs microseconds.
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared),
          "splitting the L1");
}

/// Loads the kernel and lets it have as much dynamic shared memory as the device gives a block.
template <typename... Params>
void load_kernel_with_shared_memory(void (*kernel)(Params...)) {
    load_kernel(kernel);
    cudaFuncAttributes attributes;
    check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)), "loading a kernel");
    const int most = static_cast<int>(device_traits().shared_per_block) - static_cast<int>(attributes.sharedSizeBytes);
    check(
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, most),
        "sizing shared memory");
}

}  // namespace reprise::cuda
