// A ring of pieces of memory in shared memory that belongs to one warp: it fetches its pieces itself, several ahead, and
// nobody else waits for them. Hopper and later bring a piece by one bulk copy; before, the lanes copy 16 bytes each.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/shared_address.cuh"

namespace reprise::cuda {

class CopyRing {
  public:
    /// A copy between equal offsets in a line of 128 bytes moves whole lines, any other is slower by a fifth. So a piece
    /// lies in its stage as it lies in memory, and a stage has a line more than the largest piece.
    static constexpr uint32_t LINE = 128;
    static constexpr uint32_t whole_lines(uint32_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

    /// data: n_stages * stage_bytes bytes of shared memory, 16-byte aligned; barriers: n_stages. By all lanes of the warp.
    __device__ CopyRing(uint8_t* data, uint64_t* barriers, uint32_t n_stages, uint32_t stage_bytes, uint32_t lane)
        : data_(data), barriers_(barriers), n_stages_(n_stages), stage_bytes_(stage_bytes), lane_(lane) {
        if (lane < n_stages) {
            asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barriers + lane)), "r"(ARRIVALS));
#if __CUDA_ARCH__ >= 900
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
        }
        __syncwarp();
    }

    /// Starts to fetch a piece of n_rows rows of row_bytes, pitch bytes apart in memory, into the next free stage. The
    /// caller has consumed what that stage held. tag: what tag() will say when the piece is the oldest.
    __device__ void fetch(const uint8_t* source, uint32_t n_rows, uint32_t row_bytes, uint32_t pitch, bool tag = false) {
        tags_ = (tags_ & ~(1u << fetch_stage_)) | static_cast<uint32_t>(tag) << fetch_stage_;
        const uint32_t shift = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(source)) % LINE;
        shifts_ = (shifts_ & ~(7u << (fetch_stage_ * 3))) | (shift / 16) << (fetch_stage_ * 3);
        uint8_t* stage = data_ + fetch_stage_ * stage_bytes_ + shift;
        const uint32_t barrier = shared_address(barriers_ + fetch_stage_);
#if __CUDA_ARCH__ >= 900
        if (lane_ == 0) {
            asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(n_rows * row_bytes) : "memory");
#pragma unroll 1
            for (uint32_t r = 0; r < n_rows; ++r) {
                asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                                 shared_address(stage + r * row_bytes)),
                             "l"(source + size_t{r} * pitch), "r"(row_bytes), "r"(barrier)
                             : "memory");
            }
        }
#else
        for (uint32_t r = 0; r < n_rows; ++r) {
            for (uint32_t i = lane_ * 16; i < row_bytes; i += 32 * 16) {
                asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(stage + r * row_bytes + i)),
                             "l"(source + size_t{r} * pitch + i)
                             : "memory");
            }
        }
        asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
#endif
        if (++fetch_stage_ == n_stages_) fetch_stage_ = 0;
    }

    /// Of the oldest piece not yet taken.
    __device__ bool tag() const { return tags_ >> take_stage_ & 1; }

    /// Waits for the oldest piece not yet taken.
    __device__ uint8_t* take() {
        const uint32_t barrier = shared_address(barriers_ + take_stage_);
        asm volatile(
            "{\n"
            ".reg .pred done;\n"
            "WAIT:\n"
#if __CUDA_ARCH__ >= 900
            "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
#else
            "mbarrier.test_wait.parity.shared.b64 done, [%0], %1;\n"
#endif
            "@done bra DONE;\n"
            "bra WAIT;\n"
            "DONE:\n"
            "}" ::"r"(barrier),
            "r"(take_parity_)
            : "memory");
        uint8_t* stage = data_ + take_stage_ * stage_bytes_ + ((shifts_ >> (take_stage_ * 3)) & 7) * 16;
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
    uint64_t* barriers_;
    uint32_t n_stages_, stage_bytes_, lane_;
    uint32_t fetch_stage_ = 0, take_stage_ = 0, take_parity_ = 0;
    uint32_t tags_ = 0;    // a bit a stage
    uint32_t shifts_ = 0;  // three bits a stage: where in a line its piece begins, in 16 bytes
};

}  // namespace reprise::cuda
