// Matrix products on the device: weights, the forms their inputs take, one-token and many-token products.
//
// Every function enqueues on the given stream and returns; none allocates, synchronises or depends on anything but its
// arguments, so all of them may be captured into a graph. Results do not depend on scheduling: no atomics on values.
// Call load_linear_kernels() once per device before the first capture.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/tensor_type.h"

namespace reprise::cuda {

/// A weight matrix on the device in the layout the kernels read (quant_layout.cuh): y[rows] = W x[cols].
struct DeviceMatrix {
    TensorType type = TensorType::F32;  // F32 for every matrix of an exact model
    uint32_t rows = 0, cols = 0;
    uint8_t* data = nullptr;  // device_bytes() bytes, 256-byte aligned
    size_t n_bytes = 0;
};

/// Rows that are stored together; pieces of a matrix are repacked in multiples of it.
constexpr uint32_t TILE_ROWS = 4;

/// Type in which the rows of a file's type are uploaded: that type where the device has a layout for it, else a float
/// type, to which the host dequantises (converted_rows.h).
TensorType upload_type(TensorType file_type, bool exact);
/// Type that a matrix of a file's type has on the device.
TensorType device_type(TensorType file_type, bool exact);
/// Bytes of a matrix on the device. cols is a multiple of the type's block size.
size_t device_bytes(TensorType device_type, uint32_t rows, uint32_t cols);

/// Prepares matrix.data for repack_rows(): call once, before the first piece.
void begin_repack(const DeviceMatrix& matrix, cudaStream_t stream);
/// Repacks rows first_row .. first_row + n_rows - 1. blocks (device memory, 16-byte aligned) holds exactly those rows
/// as they lie in the file, in file_type, which upload_type() names. first_row is a multiple of TILE_ROWS, and so is
/// n_rows unless it ends the matrix.
void repack_rows(const DeviceMatrix& matrix, TensorType file_type, uint32_t first_row, uint32_t n_rows,
                 const void* blocks, cudaStream_t stream);

// ---- inputs ----

/// The form in which a product reads its input.
enum class InputForm {
    F32,   // float32, as it is
    INT8,  // 8 bits per value with a float32 scale per 32 values
    HALF,  // float16 with one power-of-two scale per row, so that any finite float32 row fits
};
InputForm matvec_input(TensorType device_type);  // INT8 for quantised types, else F32
InputForm matmul_input(TensorType device_type);  // F32 for F32, else HALF

/// Device buffers of one input in each form that some product wants; the others are null.
struct Activations {
    float* f32 = nullptr;         // [n] rows of cols values
    uint8_t* int8 = nullptr;      // [n] rows of int8_row_bytes(cols) bytes, 16-byte aligned
    __half* half = nullptr;       // [n] rows of half_row_values(cols) values, 16-byte aligned
    float* half_scale = nullptr;  // [n]: x = half * half_scale
};
size_t int8_row_bytes(uint32_t cols);   // cols a multiple of 32
size_t half_row_values(uint32_t cols);  // cols rounded up to 8; the padding is written as zero

/// out = x in every form that is not null. x: [n] rows of cols values, x_stride values apart.
void prepare(const float* x, size_t x_stride, uint32_t n, uint32_t cols, const Activations& out, cudaStream_t stream);
/// out = rms_norm(x) * weight, x / sqrt(mean(x^2) + eps), in every form that is not null. x: [n, cols].
void rms_norm(const float* x, const float* weight, float eps, uint32_t n, uint32_t cols, const Activations& out,
              cudaStream_t stream);
/// out = silu(gate) * up in every form that is not null. gate, up: [n] rows of cols values, stride values apart.
void swiglu(const float* gate, const float* up, size_t stride, uint32_t n, uint32_t cols, const Activations& out,
            cudaStream_t stream);
/// x[i] = row tokens[i] of table, in float32. tokens: [n] in device memory, each less than table.rows. x: [n, cols].
void embed_rows(const DeviceMatrix& table, const int32_t* tokens, uint32_t n, float* x, cudaStream_t stream);

// ---- products ----

/// out[r] = W[r] x (+ bias[r]) (+ residual[r]); residual may be out itself.
struct MatvecPart {
    const DeviceMatrix* matrix;
    float* out;                       // [rows]
    const float* bias = nullptr;      // [rows] or null
    const float* residual = nullptr;  // [rows] or null
};
/// One token: up to 4 products of one input, in one launch if their types allow (those of a K-quant mix do). x holds
/// the form that each matrix's matvec_input() names.
void matvec(std::span<const MatvecPart> parts, const Activations& x, cudaStream_t stream);
/// Launches that matvec() makes for these parts.
uint32_t matvec_launches(std::span<const MatvecPart> parts);

/// Many tokens: out[t * out_stride + r] = W[r] x[t] (+ bias[r]) (+ residual[t * out_stride + r]), t < n, of every part,
/// on tensor cores for all types but F32, with float32 accumulation. x holds the form that matmul_input() names.
/// scratch: device memory, matmul_scratch_bytes() of the largest matrix at least, 256-byte aligned, free for reuse in
/// stream order.
void matmul(std::span<const MatvecPart> parts, const Activations& x, uint32_t n, size_t out_stride, void* scratch,
            cudaStream_t stream);
/// Independent of n; at most 144 MiB and 256 bytes.
size_t matmul_scratch_bytes(const DeviceMatrix& matrix);

/// Loads every kernel of this file into the current device's context, so that no capture meets a lazy load.
void load_linear_kernels();

}  // namespace reprise::cuda
