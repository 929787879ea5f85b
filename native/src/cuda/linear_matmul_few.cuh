// out[t][r] = W[r] . X[t] for few tokens, on tensor cores (mma.sync m16n8k16): every warp turns the weights it loads
// into float16 in registers, so that nothing but the file's bytes comes from memory.
//
// A block has up to 8 * GROUPS tokens and 8 * LANE_ROWS * ROW_WARPS rows; its warps share out rows and the summed
// dimension, which they walk along four groups of 32 at a time, and sums of the same rows are added up in order in the
// end. Of four groups lane 4g + t has group t of rows g, g + 8 ... and of tokens g, g + 8 ...: which weights meet in
// one instruction is free as long as the input's values meet there too, and so a lane needs no other's weights.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/half_weights.cuh"
#include "cuda/launch.cuh"
#include "cuda/linear_matmul_parts.cuh"
#include "cuda/quant_layout.cuh"
#include "cuda/tensor_core.cuh"

namespace reprise::cuda {

struct FewMatmulArgs {
    /// Matrices of one type and input, one after the other.
    struct Part {
        const uint8_t* tiles;
        const uint32_t* absmax;  // the word behind the tiles
        float* out;              // [n] rows, out_stride apart
        const float* bias;       // [rows] or null
        const float* residual;   // as out, or null; may be out
        uint32_t rows;
        uint32_t first_block;  // among those of the first tokens
    } parts[MAX_TOGETHER];
    uint32_t n_parts;
    TileLayout layout;
    const __half* x;       // [n] rows of pitch values
    const float* x_scale;  // [n]
    size_t out_stride;
    uint32_t n, pitch;
    uint32_t token_blocks;  // of the same rows, one after the other
};

namespace few_matmul {

constexpr uint32_t WARPS = 8, THREADS = WARPS * 32;

/// Weights are loaded a turn ahead.
template <TensorType T, uint32_t GROUPS, uint32_t LANE_ROWS, uint32_t ROW_WARPS>
__global__ void __launch_bounds__(THREADS) kernel(const __grid_constant__ FewMatmulArgs args) {
    constexpr uint32_t PARTS = WARPS / ROW_WARPS,
                       STEP = PARTS * 4;  // of the summed dimension; groups of a turn of all of them
    constexpr uint32_t WARP_ROWS = LANE_ROWS * 8, ROWS = WARP_ROWS * ROW_WARPS, TOKENS = GROUPS * 8, PITCH = ROWS + 1;
    __shared__ float sums[PARTS][TOKENS * PITCH];
    release_successor();
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const uint32_t token_block = blockIdx.x % args.token_blocks, row_block = blockIdx.x / args.token_blocks;
    const FewMatmulArgs::Part& part = part_at(args.parts, args.n_parts, row_block, &FewMatmulArgs::Part::first_block);
    const uint32_t first_token = token_block * TOKENS, first_row = (row_block - part.first_block) * ROWS;
    const uint32_t units = args.layout.units, n_groups = group_count<T>(units),
                   row_of_warp = warp % ROW_WARPS * WARP_ROWS;

    // Rows and tokens that are not there are computed as the last that are, and not stored; weights that are not there
    // meet zeros of the input.
    const uint8_t* tiles[LANE_ROWS];
#pragma unroll
    for (uint32_t i = 0; i < LANE_ROWS; ++i) {
        const uint32_t tile = (first_row + row_of_warp + i * 8 + g) / TILE_ROWS;
        tiles[i] = part.tiles + size_t{min(tile, tile_count(part.rows) - 1)} * args.layout.bytes;
    }
    const auto load = [&](uint32_t group, WeightGroup<T>* weights) {
#pragma unroll
        for (uint32_t i = 0; i < LANE_ROWS; ++i)
            weights[i] = load_weights<T>(tiles[i], args.layout, g % TILE_ROWS, group);
    };
    const __half* tokens[GROUPS];
#pragma unroll
    for (uint32_t group = 0; group < GROUPS; ++group)
        tokens[group] = args.x + size_t{min(first_token + group * 8 + g, args.n - 1)} * args.pitch;

    WeightGroup<T> weights[2][LANE_ROWS];
    uint32_t own_group = warp / ROW_WARPS * 4 + t;
    load(own_group, weights[0]);
    const float scale = half_range_scale(__uint_as_float(*part.absmax)), factor = 1.f / scale;
    wait_for_predecessor();

    float acc[LANE_ROWS / 2][GROUPS][4] = {};
    const auto turn = [&](const WeightGroup<T>* current, WeightGroup<T>* next) {
        const auto is_there = [&](uint32_t eight) {
            return is_quantized(T) ? own_group < n_groups : own_group * 4 + eight < units;
        };
        uint4 x[GROUPS][4];
#pragma unroll
        for (uint32_t group = 0; group < GROUPS; ++group) {
            const uint4* source = reinterpret_cast<const uint4*>(tokens[group]) + own_group * 4;
#pragma unroll
            for (uint32_t i = 0; i < 4; ++i) x[group][i] = is_there(i) ? source[i] : make_uint4(0, 0, 0, 0);
        }
        load(own_group + STEP, next);
#pragma unroll
        for (uint32_t m = 0; m < LANE_ROWS / 2; ++m) {
            uint32_t upper[GROUP_PAIRS], lower[GROUP_PAIRS];
            half_weights<T>(current[2 * m], factor, upper);
            half_weights<T>(current[2 * m + 1], factor, lower);
#pragma unroll
            for (uint32_t group = 0; group < GROUPS; ++group) {
#pragma unroll
                for (uint32_t step = 0; step < GROUP_PAIRS / 2; ++step) {
                    const uint32_t a[4] = {upper[2 * step], lower[2 * step], upper[2 * step + 1], lower[2 * step + 1]};
                    const uint4& values = x[group][step / 2];
                    const uint32_t b[2] = {step % 2 == 0 ? values.x : values.z, step % 2 == 0 ? values.y : values.w};
                    multiply(acc[m][group], a, b);
                }
            }
        }
        own_group += STEP;
    };
    // Lanes of a warp leave together.
#pragma unroll 1
    while (own_group - t < n_groups) {
        turn(weights[0], weights[1]);
        if (own_group - t < n_groups) turn(weights[1], weights[0]);
    }

#pragma unroll
    for (uint32_t m = 0; m < LANE_ROWS / 2; ++m) {
#pragma unroll
        for (uint32_t group = 0; group < GROUPS; ++group) {
#pragma unroll
            for (uint32_t i = 0; i < 4; ++i) {
                const uint32_t row = row_of_warp + m * 16 + i / 2 * 8 + g, token = group * 8 + t * 2 + i % 2;
                sums[warp / ROW_WARPS][token * PITCH + row] = acc[m][group][i];
            }
        }
    }
    __syncthreads();
#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < TOKENS * ROWS; i += THREADS) {
        const uint32_t token = first_token + i / ROWS, row = first_row + i % ROWS;
        if (token >= args.n || row >= part.rows) continue;
        float sum = 0;
#pragma unroll
        for (uint32_t p = 0; p < PARTS; ++p) sum += sums[p][i / ROWS * PITCH + i % ROWS];
        sum *= args.x_scale[token] * scale;
        const size_t at = token * args.out_stride + row;
        if (part.bias != nullptr) sum += part.bias[row];
        if (part.residual != nullptr) sum += part.residual[at];
        delay_point();
        part.out[at] = sum;
    }
}

}  // namespace few_matmul
}  // namespace reprise::cuda
