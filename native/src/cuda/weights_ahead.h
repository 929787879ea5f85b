// Weights that a kernel brings into the L2 for one to come: the start of what each of its blocks reads.
#pragma once

#include <cstdint>

namespace reprise::cuda {

struct WeightsAhead {
    const uint8_t* data[2] = {};
    uint32_t stride = 0;  // bytes of a matrix that a block reads, about
    uint32_t bytes = 0;   // of these, per matrix; 0: nothing is brought
    uint32_t blocks = 0;  // of the kernel to come
};

}  // namespace reprise::cuda
