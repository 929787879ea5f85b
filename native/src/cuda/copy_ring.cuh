// A ring of pieces of memory in shared memory that belongs to one warp: it fetches its pieces itself, several ahead,
// and nobody else waits for them. Hopper and later bring a piece by one bulk copy; before, the lanes copy 16 bytes
// each.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/bulk_copy.cuh"
#include "cuda/shared_address.cuh"

namespace reprise::cuda {

class CopyRing {
  public:
    /// A copy between equal offsets in a line of 128 bytes moves whole lines, any other is slower by a fifth. So a
    /// piece lies in its stage as it lies in memory, and a stage has a line more than the largest piece.
    static constexpr uint32_t LINE = 128;
    static constexpr uint32_t whole_lines(uint32_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

    /// data: n_stages (at most 8) * stage_bytes bytes of shared memory, 16-byte aligned; barriers: n_stages. By all
    /// lanes of the warp.
    __device__ CopyRing(uint8_t* data, uint64_t* barriers, uint32_t n_stages, uint32_t stage_bytes, uint32_t lane)
        : data_(data),
          data_address_(opaque(shared_address(data))),
          barriers_(opaque(shared_address(barriers))),
          n_stages_(n_stages),
          stage_bytes_(stage_bytes),
          lane_(lane) {
        if (lane < n_stages) init_barrier(barriers_ + lane * 8, ARRIVALS);
        __syncwarp();
    }

    /// Starts to fetch a piece of that many bytes into the next free stage. The caller has consumed what that stage
    /// held. tag: what tag() will say when the piece is the oldest.
    __device__ void fetch(const uint8_t* source, uint32_t bytes, bool tag = false) {
        const uint32_t shift = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(source)) % LINE;
        places_ |= (shift / 16 | (tag ? 8u : 0u)) << (n_fetched_++ * 4);
        const uint32_t stage = data_address_ + fetch_stage_ * stage_bytes_ + shift;
        const uint32_t barrier = barriers_ + fetch_stage_ * 8;
#if __CUDA_ARCH__ >= 900
        if (lane_ == 0) bulk_copy(stage, source, bytes, barrier);
#else
        for (uint32_t i = lane_ * 16; i < bytes; i += 32 * 16) {
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(stage + i), "l"(source + i) : "memory");
        }
        asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
#endif
        if (++fetch_stage_ == n_stages_) fetch_stage_ = 0;
    }

    /// Of the oldest piece not yet taken.
    __device__ bool tag() const { return places_ & 8; }

    /// Waits for the oldest piece not yet taken.
    __device__ uint8_t* take() {
        wait_at_barrier(barriers_ + take_stage_ * 8, take_parity_);
        uint8_t* stage = data_ + take_stage_ * stage_bytes_ + (places_ & 7) * 16;
        places_ >>= 4;
        --n_fetched_;
        if (++take_stage_ == n_stages_) {
            take_stage_ = 0;
            take_parity_ ^= 1;
        }
        return stage;
    }

  private:
#if __CUDA_ARCH__ >= 900
    static constexpr uint32_t ARRIVALS = 1;
#else
    static constexpr uint32_t ARRIVALS = 32;
#endif
    uint8_t* data_;
    uint32_t data_address_, barriers_;  // in shared memory
    uint32_t n_stages_, stage_bytes_, lane_;
    uint32_t fetch_stage_ = 0, take_stage_ = 0, take_parity_ = 0;
    // Of the pieces fetched and not taken, the oldest lowest, four bits each: where in a line it begins, in 16 bytes;
    // tag.
    uint32_t places_ = 0, n_fetched_ = 0;
};

}  // namespace reprise::cuda
