// Several matrices in one launch of a product of many tokens.
#pragma once

#include <cstdint>

namespace reprise::cuda {

constexpr uint32_t MAX_TOGETHER = 3;

/// Of n parts, the one that place is in. first: the member that says where a part begins.
template <class Part>
__device__ __forceinline__ const Part& part_at(const Part* parts, uint32_t n, uint32_t place, uint32_t Part::* first) {
    uint32_t i = 0;
    while (i + 1 < n && place >= parts[i + 1].*first) ++i;
    return parts[i];
}

}  // namespace reprise::cuda
