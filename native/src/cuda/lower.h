// A plan as launches of the CUDA kernels. Nothing else walks the plan.
#pragma once

#include <span>

#include "cuda/linear.h"
#include "cuda/program.h"

namespace reprise::cuda {

/// What a plan is lowered for.
struct Target {
    bool exact;          // every matrix is float32 on the device
    bool fused;          // decoding takes the fused kernels wherever there are some
    TensorType kv_type;  // of keys and values: F16, F32 or Q8_0
    uint32_t capacity;   // positions of a sequence

    // Whether the device's shared memory holds what fused kernels of these need.
    bool (*fits)(std::span<const MatvecPart> parts);
    bool (*gated_fits)(const DeviceMatrix& gate, const DeviceMatrix& up);
    // Whether kernels of many rows take these, with the results of the fused ones to the last bit.
    bool (*many_can)(std::span<const MatvecPart> parts);
    bool (*many_can_gate)(const DeviceMatrix& gate, const DeviceMatrix& up);

    /// The current device.
    static Target current(bool exact, bool fused, TensorType kv_type, uint32_t capacity);
    /// One whose shared memory holds everything: what buffers are sized for, where there may be no device.
    static Target any(bool exact, bool fused, TensorType kv_type, uint32_t capacity);
};

/// A step that evaluates a token of each of rows sequences, from the embedding to the logits; a number of more than one
/// is a bucket of rows/many.h. Where a launch has no fused kernel, or none of many rows, that one alone falls back.
CudaProgram lower(const Plan& plan, const Target& target, uint32_t rows);
/// A chunk of up to rows consecutive tokens of one sequence, without the output head.
CudaProgram lower_prefill(const Plan& plan, const Target& target, uint32_t rows);
/// The logits of a row that a chunk has left in the residual stream.
CudaProgram lower_head(const Plan& plan, const Target& target);

}  // namespace reprise::cuda
