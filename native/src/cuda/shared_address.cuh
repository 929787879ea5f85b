// Addresses of shared memory as PTX takes them, and how the compiler is kept from reckoning such values again.
#pragma once

#include <cstdint>

namespace reprise::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/// The same value; the compiler keeps it in a register instead of reckoning it again wherever it is needed.
__device__ __forceinline__ uint32_t opaque(uint32_t value) {
    asm volatile("" : "+r"(value));
    return value;
}

}  // namespace reprise::cuda
