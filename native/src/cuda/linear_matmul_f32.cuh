// out[t][r] = W[r] . X[t] in float32 arithmetic: for float32 weights, whose precision tensor cores would lose, and so
// for every exact model. A block computes 64 tokens by 64 rows, a thread 4 by 4.
#pragma once

#include <cstdint>

#include "cuda/launch.cuh"
#include "cuda/quant_layout.cuh"

namespace reprise::cuda {

struct F32MatmulArgs {
    const float* x;         // [n, cols]
    const uint8_t* w;       // tiles
    float* out;             // [n] rows, out_stride apart
    const float* bias;      // [rows] or null
    const float* residual;  // as out, or null; may be out
    size_t out_stride;
    uint32_t n, rows, cols;
    TileLayout layout;  // of w
};

namespace f32_matmul {

constexpr uint32_t BLOCK = 64, BK = 16, THREADS = 256;
constexpr uint32_t PITCH = BLOCK + 4;  // keeps 16-byte reads aligned, spreads the transposing writes over banks

/// slice[k][i] = value(first + i, k0 + k) of a matrix; zero outside it.
template <class Value>
__device__ __forceinline__ void load_slice(float (*slice)[PITCH], Value value, uint32_t first, uint32_t n_rows,
                                           uint32_t k0, uint32_t cols) {
#pragma unroll
    for (uint32_t i = threadIdx.x; i < BLOCK * BK; i += THREADS) {
        const uint32_t row = i / BK, k = i % BK;
        const bool valid = first + row < n_rows && k0 + k < cols;
        slice[k][row] = valid ? value(first + row, k0 + k) : 0.f;
    }
}

__global__ void __launch_bounds__(THREADS) kernel(const __grid_constant__ F32MatmulArgs args) {
    __shared__ __align__(16) float xs[BK][PITCH], ws[BK][PITCH];
    release_successor();
    wait_for_predecessor();
    const uint32_t first_token = blockIdx.x * BLOCK, first_row = blockIdx.y * BLOCK;
    const uint32_t tx = threadIdx.x % 16, ty = threadIdx.x / 16;  // rows tx * 4 .. + 3, tokens ty * 4 .. + 3
    const auto x = [&](uint32_t row, uint32_t col) { return args.x[size_t{row} * args.cols + col]; };
    const auto w = [&](uint32_t row, uint32_t col) {
        const uint8_t* tile = args.w + size_t{row / TILE_ROWS} * args.layout.bytes;
        return reinterpret_cast<const float*>(tile + float_word_offset(args.layout, row % TILE_ROWS, col / 4))[col % 4];
    };
    float acc[4][4] = {};
    for (uint32_t k0 = 0; k0 < args.cols; k0 += BK) {
        load_slice(xs, x, first_token, args.n, k0, args.cols);
        load_slice(ws, w, first_row, args.rows, k0, args.cols);
        __syncthreads();
#pragma unroll
        for (uint32_t k = 0; k < BK; ++k) {
            const float4 a = *reinterpret_cast<const float4*>(&xs[k][ty * 4]);
            const float4 b = *reinterpret_cast<const float4*>(&ws[k][tx * 4]);
            const float av[4] = {a.x, a.y, a.z, a.w}, bv[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
            for (int i = 0; i < 4; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) acc[i][j] = fmaf(av[i], bv[j], acc[i][j]);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t t = first_token + ty * 4 + i;
        if (t >= args.n) break;
#pragma unroll
        for (uint32_t j = 0; j < 4; ++j) {
            const uint32_t r = first_row + tx * 4 + j;
            if (r >= args.rows) break;
            float v = acc[i][j];
            if (args.bias != nullptr) v += args.bias[r];
            if (args.residual != nullptr) v += args.residual[t * args.out_stride + r];
            delay_point();
            args.out[t * args.out_stride + r] = v;
        }
    }
}

}  // namespace f32_matmul
}  // namespace reprise::cuda
