// Products of 8-bit integers on the tensor cores, and what a block of 256 columns of many rows looks like in memory.
#pragma once

#include "cuda/rows/layout.cuh"

namespace reprise::cuda {

/// Rows of a step that one mma instruction takes: its columns.
constexpr uint32_t MMA_ROWS = 8;

/// A block of 256 columns of T rows, T a multiple of MMA_ROWS, for the kernels of many rows:
///
///   q       [T / 8][pair of groups 4][row 8][t 4]  16 bytes: B registers, as in RowInput
///   sums    [T / 8][row 8][t 4]                    8 bytes: of sums of 16 q, 4t to 4t + 3: sum >> 7, then sum & 127
///   scales  [T]                                    float
struct RowsChunk {
    uint32_t rows;
    __host__ __device__ constexpr uint32_t sums() const { return rows * 256; }
    __host__ __device__ constexpr uint32_t scales() const { return rows * 288; }
    __host__ __device__ constexpr uint32_t bytes() const { return rows * 292; }
};

/// d = a b: 16 rows of weights, 8 of inputs, 32 columns.
__device__ __forceinline__ void mma_u8_k32(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%10, %10, %10, %10};"
        : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(0));
}
/// d += a b, of 16 columns.
__device__ __forceinline__ void mma_u8_k16(int (&d)[4], uint32_t a0, uint32_t a1, uint32_t b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a0), "r"(a1), "r"(b));
}
__device__ __forceinline__ void mma_s8_k16(int (&d)[4], uint32_t a0, uint32_t a1, uint32_t b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a0), "r"(a1), "r"(b));
}

/// Copies to shared memory that this thread waits for itself. Weights pass the L1 by where the size allows it.
__device__ __forceinline__ void copy_async16(uint32_t to, const uint8_t* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
template <int N>
__device__ __forceinline__ void copy_async(uint32_t to, const uint8_t* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(from), "n"(N) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits for all but the last N groups.
template <int N>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

}  // namespace reprise::cuda
