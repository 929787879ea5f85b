// What a block of the sampler's kernels does together: maxima, prefix sums, sorting, finding where a sum reaches a
// target. All threads call these and get the same answer, unless it says otherwise.
#pragma once

#include <algorithm>
#include <cstdint>

namespace reprise::cuda::sampler_block {

using u64 = unsigned long long;

constexpr uint32_t THREADS = 256;
constexpr uint32_t WARPS = THREADS / 32;

__device__ inline u64 warp_max(u64 v) {
    for (int offset = 16; offset > 0; offset /= 2) {
        const u64 other = __shfl_xor_sync(~0u, v, offset);
        v = other > v ? other : v;
    }
    return v;
}
__device__ inline u64 block_max(u64 v) {
    __shared__ u64 partial[WARPS];
    v = warp_max(v);
    __syncthreads();
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = v;
    __syncthreads();
    return warp_max(partial[threadIdx.x % WARPS]);
}

/// Sum of v over the threads before this one; total: over all.
__device__ inline u64 block_prefix(u64 v, u64& total) {
    __shared__ u64 partial[WARPS];
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u64 inclusive = v;
    for (int offset = 1; offset < 32; offset *= 2) {
        const u64 other = __shfl_up_sync(~0u, inclusive, offset);
        if (lane >= static_cast<uint32_t>(offset)) inclusive += other;
    }
    __syncthreads();
    if (lane == 31) partial[warp] = inclusive;
    __syncthreads();
    u64 before = 0;
    total = 0;
    for (uint32_t w = 0; w < WARPS; ++w) {
        if (w < warp) before += partial[w];
        total += partial[w];
    }
    return before + inclusive - v;
}

/// Sorts keys in shared memory, the smallest first. keys has room for a power of two.
__device__ inline void sort_keys(u64* keys, uint32_t n) {
    uint32_t padded = 2;
    while (padded < n) padded *= 2;
    for (uint32_t i = n + threadIdx.x; i < padded; i += THREADS) keys[i] = ~u64{0};
    // Bitonic: every run of size keys is sorted, from one end or the other in turns.
    for (uint32_t size = 2; size <= padded; size *= 2) {
        for (uint32_t stride = size / 2; stride > 0; stride /= 2) {
            __syncthreads();
            for (uint32_t i = threadIdx.x; i < padded / 2; i += THREADS) {
                const uint32_t low = (i & ~(stride - 1)) * 2 + (i & (stride - 1)), high = low + stride;
                const u64 a = keys[low], b = keys[high];
                if ((a > b) == ((low & size) == 0)) keys[low] = b, keys[high] = a;
            }
        }
    }
    __syncthreads();
}

/// The element at which the sum of measure(i), from i = 0 on, reaches target, and the sum before it.
struct Crossing {
    uint32_t index;
    u64 before, target;
};
/// Of n elements. target_of(sum of all) is between 1 and that sum.
template <class Measure, class TargetOf>
__device__ inline Crossing find_crossing(uint32_t n, Measure measure, TargetOf target_of) {
    __shared__ Crossing found;
    // A thread has consecutive elements, so that prefix sums over threads run in their order.
    const uint32_t per_thread = (n + THREADS - 1) / THREADS;
    const uint32_t first = threadIdx.x * per_thread, end = min(first + per_thread, n);
    u64 own = 0, total;
    for (uint32_t i = first; i < end; ++i) own += measure(i);
    u64 before = block_prefix(own, total);
    const u64 target = target_of(total);
    if (before < target && before + own >= target) {
        uint32_t i = first;
        for (u64 of_element = measure(i); before + of_element < target; of_element = measure(i))
            before += of_element, ++i;
        found = {i, before, target};
    }
    __syncthreads();
    const Crossing result = found;
    __syncthreads();
    return result;
}

/// The largest key such that measure summed over the keys at or above it reaches target: digit by digit from the top.
template <class Measure>
__device__ inline u64 find_key(const u64* keys, uint32_t n, u64 target, Measure measure) {
    constexpr uint32_t DIGITS = 256;
    __shared__ u64 mass[DIGITS];
    u64 prefix = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        __syncthreads();
        mass[threadIdx.x] = 0;
        static_assert(THREADS == DIGITS);
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < n; i += THREADS) {
            const u64 key = __ldcg(keys + i);
            const bool in_prefix = shift == 56 || key >> (shift + 8) == prefix >> (shift + 8);
            if (in_prefix) atomicAdd(&mass[key >> shift & 255], measure(key));
        }
        __syncthreads();
        const Crossing crossing =
            find_crossing(DIGITS, [&](uint32_t i) { return mass[DIGITS - 1 - i]; }, [&](u64) { return target; });
        target -= crossing.before;
        prefix |= static_cast<u64>(DIGITS - 1 - crossing.index) << shift;
    }
    return prefix;
}

}  // namespace reprise::cuda::sampler_block
