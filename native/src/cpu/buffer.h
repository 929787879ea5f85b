// Memory of the CPU backend, mapped so that what is not touched costs nothing.
#pragma once

#include <cstdint>
#include <memory>

namespace reprise::cpu {

/// Zeroed memory, 64-byte aligned, committed by the kernel only where it is touched.
class Buffer {
  public:
    Buffer() = default;
    /// Throws REPRISE_OUT_OF_MEMORY naming what was to be held.
    Buffer(uint64_t n_bytes, const char* what);
    uint8_t* bytes() const { return data_.get(); }
    float* floats() const { return reinterpret_cast<float*>(data_.get()); }
    uint64_t size() const { return n_bytes_; }

  private:
    struct Unmap {
        uint64_t n_bytes;
        void operator()(uint8_t* p) const;
    };
    std::unique_ptr<uint8_t, Unmap> data_{nullptr, Unmap{0}};
    uint64_t n_bytes_ = 0;
};

/// A range of addresses whose memory is there from the beginning up to where grow() brought it, and given back by the
/// page in between.
class Region {
  public:
    /// As many bytes as can be had, at most n_bytes. Throws REPRISE_OUT_OF_MEMORY naming what was to be held where they
    /// are fewer than least.
    Region(uint64_t n_bytes, uint64_t least, const char* what);
    ~Region();
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

    uint8_t* bytes() const { return data_; }
    uint64_t size() const { return n_bytes_; }
    /// Makes the first n_bytes usable. False if the memory is not to be had.
    bool grow(uint64_t n_bytes);
    /// What lies there is of no use any more; begin and n_bytes are whole pages.
    void forget(uint64_t begin, uint64_t n_bytes);

  private:
    uint8_t* data_ = nullptr;
    uint64_t n_bytes_ = 0, usable_ = 0;
};

/// Memory that the process may still take: what the system has available, at most the limit of its container.
uint64_t available_memory();

}  // namespace reprise::cpu
