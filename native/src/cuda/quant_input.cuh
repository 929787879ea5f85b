// A vector in 8 bits: per group of 32 values a float32 scale d with x = d * q, q in -127 .. 127. With G groups a row is
//   plane 0  [G] 16 bytes   q of values 0-15 of each group
//   plane 1  [G] 16 bytes   q of values 16-31
//   scales   [G] 8 bytes    float d, int16 sum of plane 0's q, int16 sum of plane 1's
// so that consecutive lanes with consecutive groups read 16 bytes each without a shared-memory bank conflict.
#pragma once

#include <cstdint>

#include "cuda/linear.h"

namespace reprise::cuda {

struct GroupScale {
    float d;
    int16_t sums[2];
};
static_assert(sizeof(GroupScale) == 8);

__host__ __device__ constexpr uint32_t int8_scales_offset(uint32_t groups) { return groups * 32; }

/// Quantises a group: each lane of a whole warp brings the group's value number lane. row is the row's start.
__device__ __forceinline__ void store_int8_group(uint8_t* row, uint32_t groups, uint32_t group, float value) {
    const uint32_t lane = threadIdx.x % 32;
    const float absmax = __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(fabsf(value))));
    // A tiny maximum makes the inverse infinite or d imprecise; the clamp keeps q in range then, and 0 * infinity is 0
    // in the conversion.
    const float inverse = 127.f / absmax;
    const int q = max(-127, min(127, __float2int_rn(value * inverse)));
    const float d = absmax * (1.f / 127.f);
    // Both sums in one reduction: the low half wraps, which the difference undoes.
    const int sum = __reduce_add_sync(~0u, lane < 16 ? q : q * 65536);
    const auto low = static_cast<int16_t>(sum & 0xffff);
    row[(lane / 16 * groups + group) * 16 + lane % 16] = static_cast<uint8_t>(static_cast<int8_t>(q));
    if (lane == 0) {
        reinterpret_cast<GroupScale*>(row + int8_scales_offset(groups))[group] =
            GroupScale{d, {low, static_cast<int16_t>((sum - low) >> 16)}};
    }
}

}  // namespace reprise::cuda
