// What kernels of every backend are made for. Without functions, since kernels compiled for one instruction set include
// it.
#pragma once

#include <cstdint>

namespace reprise {

/// Values of an attention head's keys in the cache; its values are as many or fewer.
constexpr uint32_t MAX_HEAD_DIM = 576;

}  // namespace reprise
