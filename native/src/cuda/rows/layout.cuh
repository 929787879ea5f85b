// How weights lie in device memory so that kernels of one row and of many read the same bytes, and the arithmetic that
// all of them follow. The sizes are those of quant_layout.cuh: tiles of four rows, bricks of 1024 columns.
//
// What a brick of n blocks of 256 columns holds is the order in which the lanes of mma.m16n8k32 hold a matrix: lane
// (g, t) = (lane / 4, lane % 4) has two rows, and of every group of 32 columns the columns 4t .. 4t + 3 and
// 16 + 4t .. 16 + 4t + 3. One row takes a brick with 8 lanes a block (two pairs of rows, four t); many rows take a
// block of four tiles, two lanes' worth of pairs of each. See the structs in types/.
//
// The arithmetic of K-quants (canonical order; all kernels, host reference in tests/rows_reference.h):
//
//   activations  int8, one float scale xs per row and block of 256 columns: xs = max / 127, q = rint(x * (127 / max))
//   block        I = sum over columns of scale * q_w * q_x and M = sum over groups of minimum * sum of q_x: integers
//                v = fma(-dmin, M, d * I)            each operation rounded once
//   pair         a = fma(xs1, v1, xs0 * v0)          blocks 2i and 2i + 1; without the latter xs0 * v0
//   part         A_p = 0 + a + a ...                 pairs n p / 8 .. n (p + 1) / 8 - 1 of n, p = 0 .. 7
//   y            ((A_0 + A_1) + A_2) + ... + A_7
//
// Nothing in it depends on how many rows there are, how columns are dealt to warps, or how many multiprocessors exist.
#pragma once

#include "cuda/quant_layout.cuh"

namespace reprise::cuda {

constexpr uint32_t BLOCK_COLUMNS = 256;
constexpr uint32_t BRICK_BLOCKS = 4;
constexpr uint32_t SUM_PARTS = 8;

__host__ __device__ constexpr uint32_t block_count(uint32_t cols) { return (cols + 255) / 256; }
__host__ __device__ constexpr uint32_t pair_count(uint32_t cols) { return (block_count(cols) + 1) / 2; }
/// The first pair of part p of n pairs.
__host__ __device__ constexpr uint32_t first_pair(uint32_t n, uint32_t p) { return n * p / SUM_PARTS; }

/// What one row's kernels read of an input of n blocks: q in the order of B fragments, a uint4 for each pair of groups
/// and t ({group 2j: columns 4t.., 16 + 4t..; group 2j + 1: the same}); sums of 16 and of 32 q; scales.
struct RowInput {
    uint32_t blocks;
    __host__ __device__ constexpr uint32_t sums16() const { return blocks * 256; }
    __host__ __device__ constexpr uint32_t sums32() const { return blocks * 288; }
    __host__ __device__ constexpr uint32_t scales() const { return blocks * 304; }
    __host__ __device__ constexpr uint32_t bytes() const { return blocks * 308; }
};

/// d + a.lo * b[0] + a.hi * b[1] (HIGH: b[2], b[3]); a: two signed 16 bits, b: bytes, unsigned or signed.
template <bool HIGH>
__device__ __forceinline__ int dot_halves_u8(uint32_t a, uint32_t b, int d) {
    if constexpr (HIGH) {
        asm("dp2a.hi.s32.u32 %0, %1, %2, %0;" : "+r"(d) : "r"(a), "r"(b));
    } else {
        asm("dp2a.lo.s32.u32 %0, %1, %2, %0;" : "+r"(d) : "r"(a), "r"(b));
    }
    return d;
}
template <bool HIGH>
__device__ __forceinline__ int dot_halves_s8(uint32_t a, uint32_t b, int d) {
    if constexpr (HIGH) {
        asm("dp2a.hi.s32.s32 %0, %1, %2, %0;" : "+r"(d) : "r"(a), "r"(b));
    } else {
        asm("dp2a.lo.s32.s32 %0, %1, %2, %0;" : "+r"(d) : "r"(a), "r"(b));
    }
    return d;
}
__device__ __forceinline__ uint4 load_shared16(const uint8_t* p) { return *reinterpret_cast<const uint4*>(p); }
__device__ __forceinline__ uint32_t load_shared4(const uint8_t* p) { return *reinterpret_cast<const uint32_t*>(p); }

/// The arithmetic of a type over the layout: block_v() for one row, Fragments for many. Specialised in types/.
template <TensorType T>
struct RowsType;

}  // namespace reprise::cuda
