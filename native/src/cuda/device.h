// Which CUDA devices there are and whether Reprise can use them. Nothing here throws for want of a driver or a device.
#pragma once

#include <cstdint>
#include <string>

namespace reprise::cuda {

/// Why a device of this compute capability cannot be used; empty if it can.
std::string unusable_reason(const char* name, int major, int minor);

struct DeviceMemory {
    uint64_t free_bytes, total_bytes;
};
/// Of the current device.
DeviceMemory device_memory();
uint32_t multiprocessors();
/// Whether kernels may start while their predecessors run.
bool programmatic_launches();
/// Why they may not though a device of this compute capability can do that; empty if it cannot, or they may.
std::string missing_overlap(int major, bool programmatic);

}  // namespace reprise::cuda
