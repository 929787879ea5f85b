// Which CUDA devices there are and whether Reprise can use them. Nothing here throws for want of a driver or a device.
#pragma once

#include <cstdint>
#include <string>

namespace reprise::cuda {

struct DeviceMemory {
    uint64_t free_bytes, total_bytes;
};
/// Of the current device.
DeviceMemory device_memory();

}  // namespace reprise::cuda
