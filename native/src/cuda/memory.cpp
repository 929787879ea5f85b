#include "cuda/memory.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "cuda/check.h"

namespace reprise::cuda {

namespace {

int current_device() {
    int device = 0;
    check(cudaGetDevice(&device), "finding the current device");
    return device;
}

/// Clears the error that a failed call leaves behind for the next cudaGetLastError().
void check_allocation(cudaError_t error, size_t n_bytes, const char* what, const char* where) {
    if (error == cudaSuccess) return;
    cudaGetLastError();
    if (error == cudaErrorMemoryAllocation) {
        fail(REPRISE_OUT_OF_DEVICE_MEMORY, "%s needs %.1f MiB of %s, which are not to be had", what,
             static_cast<double>(n_bytes) / (1 << 20), where);
    }
    check(error, what);
}

}  // namespace

void use_device(int device) {
    int current = -1;
    if (cudaGetDevice(&current) != cudaSuccess || current != device)
        check(cudaSetDevice(device), "choosing the CUDA device");
    chosen_device = device;
}

bool use_device_to_free(int device) noexcept {
    if (cudaSetDevice(device) != cudaSuccess) return false;
    chosen_device = device;
    return true;
}

DeviceBuffer::DeviceBuffer(size_t n_bytes, const char* what) : n_bytes_(n_bytes), device_(current_device()) {
    void* p = nullptr;
    check_allocation(cudaMalloc(&p, std::max<size_t>(n_bytes, 1)), n_bytes, what, "device memory");
    data_ = static_cast<uint8_t*>(p);
}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
    if (this != &other) {
        reset();
        data_ = std::exchange(other.data_, nullptr);
        n_bytes_ = std::exchange(other.n_bytes_, 0);
        device_ = other.device_;
    }
    return *this;
}

void DeviceBuffer::reset() noexcept {
    if (data_ == nullptr) return;
    if (use_device_to_free(device_)) cudaFree(data_);
    data_ = nullptr;
    n_bytes_ = 0;
}

PinnedBuffer::PinnedBuffer(size_t n_bytes, const char* what) : n_bytes_(n_bytes), device_(current_device()) {
    void* p = nullptr;
    const unsigned flags = cudaHostAllocPortable | cudaHostAllocMapped;
    check_allocation(cudaHostAlloc(&p, std::max<size_t>(n_bytes, 1), flags), n_bytes, what, "page-locked host memory");
    data_ = static_cast<uint8_t*>(p);
    std::fill_n(data_, n_bytes, uint8_t{0});
}

PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
    if (this != &other) {
        reset();
        data_ = std::exchange(other.data_, nullptr);
        n_bytes_ = std::exchange(other.n_bytes_, 0);
        device_ = other.device_;
    }
    return *this;
}

void PinnedBuffer::reset() noexcept {
    if (data_ == nullptr) return;
    if (use_device_to_free(device_)) cudaFreeHost(data_);
    data_ = nullptr;
    n_bytes_ = 0;
}

Stream::Stream() : device_(current_device()) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}

Stream::~Stream() {
    if (use_device_to_free(device_)) cudaStreamDestroy(stream_);
}

void Stream::synchronize(const char* what) const { check(cudaStreamSynchronize(stream_), what); }

Event::Event() : device_(current_device()) {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event");
}

Event::~Event() {
    if (use_device_to_free(device_)) cudaEventDestroy(event_);
}

void Event::record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }

void Event::wait() const { check(cudaEventSynchronize(event_), "waiting for the device"); }

}  // namespace reprise::cuda
