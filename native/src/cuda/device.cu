// Compiled as CUDA for __CUDA_ARCH_LIST__: which architectures this library has code for.
#include "cuda/device.h"

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdio>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/launch.cuh"
#include "session/engine.h"

namespace reprise {

namespace {

constexpr int MIN_MAJOR = 8;  // cp.async and m16n8k16 products begin there
constexpr int BUILT_FOR[] = {__CUDA_ARCH_LIST__};

std::string cuda_version(int number) { return format("%d.%d", number / 1000, number % 1000 / 10); }

int driver_version() {
    int version = 0;
    return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

/// Devices, or 0 and why there are none.
int count_devices(std::string& reason) {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0) return count;
    cudaGetLastError();
    const int driver = driver_version();
    if (driver == 0) {
        reason = "no NVIDIA driver is installed (libcuda.so.1 cannot be loaded)";
    } else if (error == cudaErrorInsufficientDriver) {
        reason = "the NVIDIA driver supports CUDA " + cuda_version(driver) + ", Reprise was built with CUDA " +
                 cuda_version(CUDART_VERSION) + ": update the driver";
    } else if (error == cudaErrorNoDevice || error == cudaSuccess) {
        reason = "the NVIDIA driver sees no device (check nvidia-smi and CUDA_VISIBLE_DEVICES)";
    } else {
        reason = format("the NVIDIA driver reports: %s (%s)", cudaGetErrorString(error), cudaGetErrorName(error));
    }
    return 0;
}

/// Free memory of a device, without leaving a context behind on a device that had none. 0 if it cannot be told.
uint64_t free_bytes_of(int device) {
    const auto entry = [](const char* name) {
        void* function = nullptr;
        cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
        if (cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &result) != cudaSuccess)
            return static_cast<void*>(nullptr);
        return result == cudaDriverEntryPointSuccess ? function : nullptr;
    };
    const auto retain = reinterpret_cast<CUresult (*)(CUcontext*, CUdevice)>(entry("cuDevicePrimaryCtxRetain"));
    const auto release = reinterpret_cast<CUresult (*)(CUdevice)>(entry("cuDevicePrimaryCtxRelease"));
    const auto push = reinterpret_cast<CUresult (*)(CUcontext)>(entry("cuCtxPushCurrent"));
    const auto pop = reinterpret_cast<CUresult (*)(CUcontext*)>(entry("cuCtxPopCurrent"));
    const auto memory_info = reinterpret_cast<CUresult (*)(size_t*, size_t*)>(entry("cuMemGetInfo"));
    const auto get_device = reinterpret_cast<CUresult (*)(CUdevice*, int)>(entry("cuDeviceGet"));
    CUdevice handle;
    CUcontext context;
    if (!retain || !release || !push || !pop || !memory_info || !get_device) return 0;
    if (get_device(&handle, device) != CUDA_SUCCESS || retain(&context, handle) != CUDA_SUCCESS) return 0;
    size_t free_bytes = 0, total_bytes = 0;
    if (push(context) == CUDA_SUCCESS) {
        if (memory_info(&free_bytes, &total_bytes) != CUDA_SUCCESS) free_bytes = 0;
        pop(&context);
    }
    release(handle);
    return free_bytes;
}

std::string json_string(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return out + "\"";
}

std::string describe_device(int index, bool& usable) {
    cudaDeviceProp properties = {};
    const cudaError_t error = cudaGetDeviceProperties(&properties, index);
    const std::string reason = error == cudaSuccess
                                   ? cuda::unusable_reason(properties.name, properties.major, properties.minor)
                                   : cudaGetErrorString(error);
    usable = reason.empty();
    return format(
        "{\"index\": %d, \"name\": %s, \"compute_capability\": \"%d.%d\", \"memory_bytes\": %zu, \"free_bytes\": %llu, "
        "\"usable\": %s, \"reason\": %s}",
        index, json_string(properties.name).c_str(), properties.major, properties.minor, properties.totalGlobalMem,
        static_cast<unsigned long long>(usable ? free_bytes_of(index) : 0), usable ? "true" : "false",
        json_string(reason).c_str());
}

}  // namespace

std::string cuda_unavailable_reason(int32_t device_index) {
    std::string reason;
    const int count = count_devices(reason);
    if (count == 0) return reason;
    if (device_index < 0 || device_index >= count) {
        return format("CUDA device %d does not exist: there %s %d, numbered from 0", device_index,
                      count == 1 ? "is" : "are", count);
    }
    cudaDeviceProp properties = {};
    const cudaError_t error = cudaGetDeviceProperties(&properties, device_index);
    if (error != cudaSuccess) {
        cudaGetLastError();
        return format("CUDA device %d cannot be queried: %s", device_index, cudaGetErrorString(error));
    }
    return cuda::unusable_reason(properties.name, properties.major, properties.minor);
}

std::string describe_cuda_json() {
    std::string reason, devices;
    const int count = count_devices(reason);
    bool any_usable = false;
    for (int i = 0; i < count; ++i) {
        bool usable = false;
        devices += (i == 0 ? "" : ", ") + describe_device(i, usable);
        any_usable = any_usable || usable;
    }
    if (count > 0 && !any_usable) reason = "none of the CUDA devices can be used";
    const int driver = driver_version();
    return format("{\"compiled\": true, \"available\": %s, \"reason\": %s, \"driver\": %s, \"devices\": [%s]}",
                  any_usable ? "true" : "false", json_string(reason).c_str(),
                  driver == 0 ? "null" : json_string(cuda_version(driver)).c_str(), devices.c_str());
}

namespace cuda {

std::string unusable_reason(const char* name, int major, int minor) {
    if (major < MIN_MAJOR) {
        return format("%s has compute capability %d.%d; Reprise needs %d.0 or later", name, major, minor, MIN_MAJOR);
    }
    std::string built_for;
    for (const int arch : BUILT_FOR) {
        if (arch <= major * 100 + minor * 10) return "";
        built_for += (built_for.empty() ? "" : ", ") + format("%d.%d", arch / 100, arch % 100 / 10);
    }
    return format("%s has compute capability %d.%d; this library was built for %s", name, major, minor,
                  built_for.c_str());
}

DeviceMemory device_memory() {
    size_t free_bytes = 0, total_bytes = 0;
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for free device memory");
    return {free_bytes, total_bytes};
}

uint32_t multiprocessors() { return static_cast<uint32_t>(device_traits().n_sms); }
bool programmatic_launches() { return device_traits().programmatic_launch; }

std::string missing_overlap(int major, bool programmatic) {
    if (major < 9 || programmatic) return "";
    return "decoding is slower than it could be, since this library's code for the device was compiled for an older "
           "one, whose kernels cannot "
           "overlap: use a library built for compute capability 9.0 or later too (REPRISE_CUDA_ARCHITECTURES)";
}

}  // namespace cuda

}  // namespace reprise
