// The decode step's fused products: norm, activation quantisation, matrix product and epilogue in one kernel that
// streams its weights while its predecessor still runs. One token; see linear.h for the unfused reference.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

#include "cuda/linear.h"
#include "cuda/slot.h"
#include "cuda/weights_ahead.h"

namespace reprise::cuda {

/// What all products of one kernel read: x, or rms_norm(x) * norm where norm is not null.
struct FusedInput {
    const void* x;                // [cols], float32 or bfloat16
    const float* norm = nullptr;  // [cols]
    float eps = 0;
    bool bf16 = false;            // x is bfloat16: what fused_gated_feed_forward() writes for quantised types
};

/// How many of the first matrices one fused_project() can take together: same columns, one type or a K-quant mix's pair.
/// 0: not even the first alone.
size_t fused_together(std::span<const MatvecPart> parts);
/// Whether fused_gated_feed_forward() can take these.
bool can_fuse_gated(const DeviceMatrix& gate, const DeviceMatrix& up);
/// Whether the current device's shared memory holds what a fused kernel of these needs: long rows of floats do not fit
/// everywhere.
bool fits_device(std::span<const MatvecPart> parts);
bool gated_fits_device(const DeviceMatrix& gate, const DeviceMatrix& up);

/// out = W input (+ bias) (+ residual) for as many matrices as fused_together() says at most. residual may be out. ahead:
/// what it brings into the L2 besides.
void fused_project(std::span<const MatvecPart> parts, const FusedInput& input, const WeightsAhead& ahead, Slot slot, cudaStream_t stream);

/// out = silu(gate input) * (up input), [gate.rows]: bfloat16 for quantised types, whose readers quantise it to 8 bits
/// anyway, else float32. bfloat16 rather than float16 because it holds any finite float32.
void fused_gated_feed_forward(const DeviceMatrix& gate, const DeviceMatrix& up, const FusedInput& input, void* out,
                              Slot slot, cudaStream_t stream);

/// The weights of a fused_gated_feed_forward() that begins when the product with between has begun: what the kernel before
/// that product brings into the L2.
WeightsAhead gated_feed_forward_ahead(const DeviceMatrix& gate, const DeviceMatrix& up, const DeviceMatrix& between);
/// The weights of a fused_project() of one matrix: what the kernel before its predecessor brings into the L2.
WeightsAhead project_ahead(const DeviceMatrix& matrix);

/// Whether fused_gated_feed_forward() writes bfloat16.
bool writes_bf16(const DeviceMatrix& gate);

/// Loads the kernels and sets their shared memory limits, so that no capture meets a lazy load.
void load_fused_kernels();

}  // namespace reprise::cuda
