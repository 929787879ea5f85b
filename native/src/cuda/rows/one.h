// The fused products of one row of a step: norm, activation quantisation, matrix product and epilogue in one kernel
// that streams its weights while its predecessor still runs, over the layout and in the arithmetic of rows/layout.cuh.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

#include "cuda/fused_project.h"
#include "cuda/linear.h"
#include "cuda/slot.h"
#include "cuda/weight_prefetch.h"

namespace reprise::cuda::rows {

/// How many of the first matrices one fused_project() can take together: same columns, one type or a K-quant mix's
/// pair. 0: not even the first alone.
size_t fused_together(std::span<const MatvecPart> parts);
/// Whether fused_gated_feed_forward() can take these.
bool can_fuse_gated(const DeviceMatrix& gate, const DeviceMatrix& up);
/// Whether the current device's shared memory holds what a fused kernel of these needs: long rows of floats do not fit
/// everywhere.
bool fits_device(std::span<const MatvecPart> parts);
bool gated_fits_device(const DeviceMatrix& gate, const DeviceMatrix& up);

/// out = W input (+ bias) (+ residual) for as many matrices as fused_together() says at most. residual may be out.
/// prefetch: the weights of a kernel to come that it brings into the L2.
void fused_project(std::span<const MatvecPart> parts, const FusedInput& input, const WeightPrefetch& prefetch,
                   Slot slot, cudaStream_t stream);

/// out = silu(gate input) * (up input), [gate.rows]: bfloat16 for quantised types, whose readers quantise it to 8 bits
/// anyway, else float32. bfloat16 rather than float16 because it holds any finite float32.
void fused_gated_feed_forward(const DeviceMatrix& gate, const DeviceMatrix& up, const FusedInput& input, void* out,
                              Slot slot, cudaStream_t stream);

/// What to prefetch of a fused_gated_feed_forward() that begins when a kernel that reads bytes_between has begun: for
/// the kernel before that. n_sms: multiprocessors of the device.
WeightPrefetch gated_feed_forward_prefetch(const DeviceMatrix& gate, const DeviceMatrix& up, size_t bytes_between,
                                           uint32_t n_sms);
/// The same of a fused_project() of one matrix.
WeightPrefetch project_prefetch(const DeviceMatrix& matrix, size_t bytes_between, uint32_t n_sms);

/// Whether fused_gated_feed_forward() writes bfloat16, and whether fused_project() can read it.
bool writes_bf16(const DeviceMatrix& gate);
bool takes_bf16(const DeviceMatrix& matrix);

/// Loads the kernels and sets their shared memory limits, so that no capture meets a lazy load.
void load_fused_kernels();

}  // namespace reprise::cuda::rows
