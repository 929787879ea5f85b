// Products of 8 to 64 rows on the integer tensor cores, with the results of one.h to the last bit.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

#include "cuda/linear.h"

namespace reprise::cuda::rows {

/// Rows quantised for products: of every block of 256 columns a RowsChunk, and the sums of squares of its rows.
struct RowsInput {
    const uint8_t* chunks;  // [cols / 256] RowsChunk{bucket}
    const float* squares;   // [cols / 256][bucket], or null: no norm
    float eps;
};

/// What quantise_rows() reads: float32 or bfloat16 [rows][stride], times norm where that is not null.
struct RowsSource {
    const void* x;
    uint32_t stride;
    bool bf16;
    const float* norm;
};

struct RowsPart {
    const DeviceMatrix* matrix;
    void* out;  // [rows][stride]: float32, or bfloat16 of gated feed-forward
    uint32_t stride;
    const float* bias = nullptr;
    const float* residual = nullptr;  // [rows][stride]; may be out
};

/// Numbers of rows that there are kernels for.
constexpr uint32_t ROW_BUCKETS[] = {8, 16, 32, 64};

/// bucket: of ROW_BUCKETS; n_rows: at most that. chunks, squares: as RowsInput has them.
void quantise_rows(const RowsSource& source, uint32_t cols, uint32_t bucket, uint32_t n_rows, uint8_t* chunks,
                   float* squares, cudaStream_t stream);

struct RowsTuning {
    int k_warps = 0;    // 1 or 4; 0: by the number of tiles
    bool large = true;  // which of the two sizes of shared memory that take turns
};
void project_rows(std::span<const RowsPart> parts, const RowsInput& input, uint32_t bucket, uint32_t n_rows,
                  const RowsTuning& tuning, cudaStream_t stream);
/// out = silu(gate) * up as bfloat16. parts: gate, up.
void gated_rows(std::span<const RowsPart> parts, const RowsInput& input, uint32_t bucket, uint32_t n_rows,
                const RowsTuning& tuning, cudaStream_t stream);
void load_rows_kernels();

}  // namespace reprise::cuda::rows
