// Owners of what CUDA hands out. Each remembers its device and frees on it; an error while freeing is dropped, since
// after an unrecoverable error every call fails and the process goes on.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace reprise::cuda {

/// The device that Reprise last made the calling thread's current one: what another session in the thread, or the end
/// of whatever is on another device, has changed shows here without a call of the driver.
inline thread_local int chosen_device = -1;
/// Makes device the current one of the calling thread.
void use_device(int device);
/// The same where things are freed; false if that fails.
bool use_device_to_free(int device) noexcept;

/// Device memory, 256-byte aligned.
class DeviceBuffer {
  public:
    DeviceBuffer() = default;
    /// On the current device. Throws REPRISE_OUT_OF_DEVICE_MEMORY naming what was to be held.
    DeviceBuffer(size_t n_bytes, const char* what);
    DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
    DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
    ~DeviceBuffer() { reset(); }
    uint8_t* data() const { return data_; }
    size_t size() const { return n_bytes_; }

  private:
    void reset() noexcept;
    uint8_t* data_ = nullptr;
    size_t n_bytes_ = 0;
    int device_ = 0;
};

/// Page-locked host memory that kernels can reach at the same address.
class PinnedBuffer {
  public:
    PinnedBuffer() = default;
    PinnedBuffer(size_t n_bytes, const char* what);
    PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
    PinnedBuffer& operator=(PinnedBuffer&& other) noexcept;
    ~PinnedBuffer() { reset(); }
    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data_);
    }
    size_t size() const { return n_bytes_; }

  private:
    void reset() noexcept;
    uint8_t* data_ = nullptr;
    size_t n_bytes_ = 0;
    int device_ = 0;
};

/// A stream that does not synchronise with the default stream.
class Stream {
  public:
    Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream();
    operator cudaStream_t() const { return stream_; }
    /// Waits for this stream alone.
    void synchronize(const char* what) const;

  private:
    cudaStream_t stream_ = nullptr;
    int device_ = 0;
};

/// Marks a point in a stream that the host can wait for.
class Event {
  public:
    Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    ~Event();
    void record(cudaStream_t stream);
    /// Returns at once if nothing was recorded yet.
    void wait() const;

  private:
    cudaEvent_t event_ = nullptr;
    int device_ = 0;
};

/// Hands out 256-byte aligned pieces of one buffer; with a null base it only counts.
class Carver {
  public:
    explicit Carver(uint8_t* base) : base_(base) {}
    template <class T>
    T* take(size_t count) {
        uint8_t* piece = base_ == nullptr ? nullptr : base_ + used_;
        used_ += (count * sizeof(T) + 255) / 256 * 256;
        return reinterpret_cast<T*>(piece);
    }
    size_t used() const { return used_; }

  private:
    uint8_t* base_;
    size_t used_ = 0;
};

}  // namespace reprise::cuda
