// out[t][r] = W[r] . X[t] on tensor cores: float16 operands, both with the summed dimension contiguous, float32
// accumulation (mma.sync m16n8k16). A block computes BM tokens by BN rows, streaming BK-wide slices of both operands
// through a ring in shared memory.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/launch.cuh"
#include "cuda/linear_matmul_parts.cuh"
#include "cuda/quant_layout.cuh"
#include "cuda/tensor_core.cuh"

namespace reprise::cuda {

struct HalfMatmulArgs {
    /// Matrices with one input, one after the other.
    struct Part {
        const __half* w;        // [rows] rows of pitch values, or tiles of as many
        float* out;             // [n] rows, out_stride apart
        const float* bias;      // [rows] or null
        const float* residual;  // as out, or null; may be out
        uint32_t rows;
        uint32_t first_block;  // along y
        uint32_t first_row;    // among those of all parts
    } parts[MAX_TOGETHER];
    uint32_t n_parts;
    const __half* x;       // [n] rows of pitch values
    const float* x_scale;  // [n]
    const float* w_scale;  // one value in device memory, or null for 1
    size_t out_stride;
    uint32_t n, pitch;      // pitch: a multiple of 8, padding is zero in x and finite in w
    uint32_t w_brick_bits;  // log2 of a row's values in a brick of w
    bool paired_stores;     // out and out_stride allow 8-byte stores
    // Where blocks are few, several share a tile, along z: each sums up slices of its own, and add_kernel() adds.
    float* sums;            // [gridDim.z][n][all_rows], or null where one block does
    uint32_t split_slices;  // of a block
    uint32_t all_rows;      // of all parts, rounded up to an even number

    static constexpr uint32_t TILES = 8;       // quant_layout.cuh
    static constexpr uint32_t ROW_MAJOR = 31;  // a brick is four whole rows
    static_assert(1 << TILES == BRICK_UNITS * 8);
};

namespace half_matmul {

constexpr uint32_t BK = 64;  // 128 bytes: eight 16-byte chunks, swizzled by the row

/// Byte offset of chunk (16 bytes) of a row in a slice.
__device__ __forceinline__ uint32_t chunk_offset(uint32_t row, uint32_t chunk) {
    return row * 128 + ((chunk ^ row) & 7) * 16;
}

/// Where a thread finds its part of a slice: for all of its rows the same.
struct SlicePlace {
    uint32_t in_tile;  // of its rows, within their tiles; 0 of a row-major matrix
    uint32_t offset;   // in values, from the first row of the tile or, of a row-major matrix, from the row
};

/// brick_bits: as HalfMatmulArgs::w_brick_bits. The slice, from column k on, is of one brick.
__device__ __forceinline__ SlicePlace place_in_tiles(uint32_t pitch, uint32_t k, uint32_t brick_bits) {
    const uint32_t in_tile = threadIdx.x / 8 % TILE_ROWS;
    const uint32_t brick = k >> brick_bits << brick_bits, brick_pitch = min(1u << brick_bits, pitch - brick);
    return {in_tile, brick * TILE_ROWS + (k - brick) + in_tile * brick_pitch};
}

template <uint32_t ROWS, uint32_t THREADS>
__device__ __forceinline__ void copy_slice(uint32_t to, const __half* from, uint32_t first_row, uint32_t n_rows,
                                           uint32_t pitch, uint32_t k, const SlicePlace& place) {
    static_assert(ROWS * 8 % THREADS == 0 && ROWS % TILE_ROWS == 0 && THREADS / 8 % TILE_ROWS == 0);
#pragma unroll
    for (uint32_t i = 0; i < ROWS * 8 / THREADS; ++i) {
        const uint32_t index = i * THREADS + threadIdx.x, row = index / 8, chunk = index % 8;
        const bool valid = first_row + row < n_rows && k + chunk * 8 < pitch;
        const __half* source =
            from + (valid ? size_t{first_row + row - place.in_tile} * pitch + chunk * 8 + place.offset : 0);
        copy16(to + chunk_offset(row, chunk), source, valid);
    }
}

/// WARPS_M x WARPS_N warps.
template <uint32_t BM, uint32_t BN, uint32_t WARPS_M, uint32_t WARPS_N, uint32_t STAGES>
struct Tile {
    static constexpr uint32_t M = BM, N = BN;
    static constexpr uint32_t THREADS = WARPS_M * WARPS_N * 32;
    static constexpr uint32_t BLOCKS =
        THREADS > 128 ? 2 : 1;  // of a multiprocessor, at least: registers are to allow that
    static constexpr uint32_t STAGE_BYTES = (BM + BN) * BK * sizeof(__half);
    static constexpr uint32_t SHARED_BYTES = STAGES * STAGE_BYTES;
    static constexpr uint32_t WARP_M = BM / WARPS_M, WARP_N = BN / WARPS_N;
    static constexpr uint32_t MS = WARP_M / 16, NS = WARP_N / 8;
    static_assert(WARP_M % 16 == 0 && WARP_N % 16 == 0);
    static_assert(SHARED_BYTES <= 99 * 1024, "what a block may have on every device from compute capability 8.0 on");

    __device__ static void run(const HalfMatmulArgs& args) {
        extern __shared__ __align__(128) uint8_t shared[];
        const uint32_t base = shared_address(shared);
        const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        const uint32_t warp_m = warp / WARPS_N * WARP_M, warp_n = warp % WARPS_N * WARP_N;
        const HalfMatmulArgs::Part& part =
            part_at(args.parts, args.n_parts, blockIdx.y, &HalfMatmulArgs::Part::first_block);
        const uint32_t first_token = blockIdx.x * BM, first_row = (blockIdx.y - part.first_block) * BN;
        const uint32_t first_slice = blockIdx.z * args.split_slices,
                       slices = min((args.pitch + BK - 1) / BK, first_slice + args.split_slices);

        const auto copy = [&](uint32_t slice) {
            if (slice < slices) {
                const uint32_t stage = base + slice % STAGES * STAGE_BYTES, k = slice * BK;
                copy_slice<BM, THREADS>(stage, args.x, first_token, args.n, args.pitch, k, {0, k});
                copy_slice<BN, THREADS>(stage + BM * 128, part.w, first_row, part.rows, args.pitch, k,
                                        place_in_tiles(args.pitch, k, args.w_brick_bits));
            }
            commit_copies();
        };
        float acc[MS][NS][4] = {};
#pragma unroll
        for (uint32_t s = 0; s + 1 < STAGES; ++s) copy(first_slice + s);
        for (uint32_t slice = first_slice; slice < slices; ++slice) {
            wait_copies<STAGES - 2>();
            __syncthreads();
            copy(slice + STAGES - 1);
            const uint32_t x = base + slice % STAGES * STAGE_BYTES, w = x + BM * 128;
#pragma unroll
            for (uint32_t k = 0; k < BK / 16; ++k) {
                uint32_t a[MS][4], b[NS][2];
#pragma unroll
                for (uint32_t m = 0; m < MS; ++m) {
                    load_matrices(a[m], x + chunk_offset(warp_m + m * 16 + lane % 16, k * 2 + lane / 16));
                }
#pragma unroll
                for (uint32_t n = 0; n < NS; n += 2) {
                    load_matrices(b[n],
                                  w + chunk_offset(warp_n + n * 8 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
                }
#pragma unroll
                for (uint32_t m = 0; m < MS; ++m) {
#pragma unroll
                    for (uint32_t n = 0; n < NS; ++n) multiply(acc[m][n], a[m], b[n]);
                }
            }
        }
        if (args.sums != nullptr) {
            store_sums(args, part, acc, first_token + warp_m + lane / 4, first_row + warp_n + lane % 4 * 2);
        } else {
            store(args, part, acc, first_token + warp_m + lane / 4, first_row + warp_n + lane % 4 * 2);
        }
    }

    __device__ static void store_sums(const HalfMatmulArgs& args, const HalfMatmulArgs::Part& part,
                                      const float (&acc)[MS][NS][4], uint32_t token, uint32_t row) {
#pragma unroll
        for (uint32_t m = 0; m < MS * 2; ++m) {
            const uint32_t t = token + m * 8;
            if (t >= args.n) break;
            float* sums = args.sums + (size_t{blockIdx.z} * args.n + t) * args.all_rows + part.first_row;
#pragma unroll
            for (uint32_t n = 0; n < NS; ++n) {
                const uint32_t r = row + n * 8;
                if (r >= part.rows) break;
                delay_point();
                if (r + 1 < part.rows && part.first_row % 2 == 0) {
                    *reinterpret_cast<float2*>(sums + r) =
                        make_float2(acc[m / 2][n][m % 2 * 2], acc[m / 2][n][m % 2 * 2 + 1]);
                } else {
                    sums[r] = acc[m / 2][n][m % 2 * 2];
                    if (r + 1 < part.rows) sums[r + 1] = acc[m / 2][n][m % 2 * 2 + 1];
                }
            }
        }
    }

    /// token, row: of this lane's first value.
    __device__ static void store(const HalfMatmulArgs& args, const HalfMatmulArgs::Part& part,
                                 const float (&acc)[MS][NS][4], uint32_t token, uint32_t row) {
        const float w_scale = args.w_scale == nullptr ? 1.f : *args.w_scale;
#pragma unroll
        for (uint32_t m = 0; m < MS * 2; ++m) {
            const uint32_t t = token + m * 8;
            if (t >= args.n) break;
            const float scale = args.x_scale[t] * w_scale;
            float* out = part.out + t * args.out_stride;
            const float* residual = part.residual == nullptr ? nullptr : part.residual + t * args.out_stride;
#pragma unroll
            for (uint32_t n = 0; n < NS; ++n) {
                const uint32_t r = row + n * 8;
                if (r >= part.rows) break;
                const bool both = r + 1 < part.rows;
                float v0 = acc[m / 2][n][m % 2 * 2] * scale, v1 = acc[m / 2][n][m % 2 * 2 + 1] * scale;
                if (part.bias != nullptr) {
                    v0 += part.bias[r];
                    if (both) v1 += part.bias[r + 1];
                }
                if (residual != nullptr) {
                    v0 += residual[r];
                    if (both) v1 += residual[r + 1];
                }
                delay_point();
                if (args.paired_stores && both) {
                    *reinterpret_cast<float2*>(out + r) = make_float2(v0, v1);
                } else {
                    out[r] = v0;
                    if (both) out[r + 1] = v1;
                }
            }
        }
    }
};

template <typename T>
__global__ void __launch_bounds__(T::THREADS, T::BLOCKS) kernel(const __grid_constant__ HalfMatmulArgs args) {
    release_successor();
    wait_for_predecessor();
    T::run(args);
}

constexpr uint32_t ADD_THREADS = 256;

/// Adds the sums of n_splits blocks, in order, for one value a thread.
__global__ void __launch_bounds__(ADD_THREADS)
    add_kernel(const __grid_constant__ HalfMatmulArgs args, uint32_t n_splits) {
    release_successor();
    wait_for_predecessor();
    const uint32_t t = blockIdx.y, of_all = blockIdx.x * ADD_THREADS + threadIdx.x;
    const HalfMatmulArgs::Part& part = part_at(args.parts, args.n_parts, of_all, &HalfMatmulArgs::Part::first_row);
    const uint32_t row = of_all - part.first_row;
    if (row >= part.rows) return;
    float sum = 0;
    for (uint32_t split = 0; split < n_splits; ++split)
        sum += args.sums[(size_t{split} * args.n + t) * args.all_rows + of_all];
    sum *= args.x_scale[t] * (args.w_scale == nullptr ? 1.f : *args.w_scale);
    if (part.bias != nullptr) sum += part.bias[row];
    const size_t at = t * args.out_stride + row;
    if (part.residual != nullptr) sum += part.residual[at];
    delay_point();
    part.out[at] = sum;
}

}  // namespace half_matmul
}  // namespace reprise::cuda
