// What decode and prefill attention have in common.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace reprise::cuda {

/// exp2 of what follows never sees (-inf) - (-inf).
constexpr float LOWEST = -1e30f;

/// exp2 of what is not positive; what would be subnormal is zero.
__device__ __forceinline__ float exp2_of(float x) {
    asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(x));
    return x;
}

/// The exponent, as float32 has it, of a power of two that is at least largest and at most twice it; of 1 for zero,
/// what is too large for such a power to have an inverse, infinities and NaN.
__device__ __forceinline__ uint32_t exponent_above(float largest) {
    const uint32_t exponent = __float_as_uint(largest) >> 23;
    return exponent == 0 || exponent >= 0xfd ? 127 : exponent + 1;
}

}  // namespace reprise::cuda
