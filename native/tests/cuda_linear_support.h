// Device buffers, uploaded matrices and the reference product, for the tests of the CUDA matrix products.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <iostream>
#include <limits>
#include <vector>

#include "cpu_test_support.h"
#include "cuda/check.h"
#include "cuda/linear.h"

namespace reprise::cuda {

/// Why no CUDA device can run the tests; empty if one can.
inline std::string missing_device() {
    int n = 0;
    const cudaError_t error = cudaGetDeviceCount(&n);
    if (error != cudaSuccess) return std::string("no CUDA device: ") + cudaGetErrorString(error);
    return n > 0 ? "" : "no CUDA device";
}

#define SKIP_WITHOUT_CUDA()                                                 \
    do {                                                                    \
        if (const std::string reason = missing_device(); !reason.empty()) { \
            std::cout << "skipped: " << reason << "\n";                     \
            GTEST_SKIP() << reason;                                         \
        }                                                                   \
    } while (false)

/// The types that matrices have on the device.
inline std::vector<TensorType> device_types() {
    std::vector<TensorType> types = cpu::kAllTypes;
    std::erase_if(types, [](TensorType type) { return device_type(type, false) != type; });
    return types;
}

template <typename T>
class Buffer {
  public:
    explicit Buffer(size_t n) : n_(n) {
        check(cudaMalloc(reinterpret_cast<void**>(&data_), n * sizeof(T) + 256), "allocating a test buffer");
        check(cudaMemset(data_, 0xff, n * sizeof(T) + 256), "poisoning a test buffer");  // floats: NaN
    }
    explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) { upload(values); }
    ~Buffer() { cudaFree(data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    T* get() const { return data_; }
    size_t size() const { return n_; }
    void upload(const std::vector<T>& values) {
        check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "uploading");
    }
    std::vector<T> download() const {
        std::vector<T> values(n_);
        check(cudaDeviceSynchronize(), "running");
        check(cudaMemcpy(values.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost), "downloading");
        return values;
    }

  private:
    T* data_ = nullptr;
    size_t n_;
};

/// Random weights on the host and, repacked, on the device.
struct TestMatrix {
    std::vector<float> weights;  // [rows, cols], dequantised
    Buffer<uint8_t> data;
    DeviceMatrix matrix;

    /// pieces: in how many calls the rows are repacked.
    TestMatrix(cpu::Random& random, TensorType type, uint32_t rows, uint32_t cols, bool exact = false,
               uint32_t pieces = 1)
        : weights(size_t{rows} * cols), data(device_bytes(device_type(type, exact), rows, cols)) {
        std::vector<uint8_t> blocks = random.weights(type, rows, cols);
        if (cpu::is_float(type)) fill_float(random, type, blocks);
        for (uint32_t r = 0; r < rows; ++r) {
            dequantize(type, blocks.data() + r * row_bytes(type, cols), weights.data() + size_t{r} * cols, cols);
        }
        matrix = {device_type(type, exact), rows, cols, data.get(), data.size()};
        const Buffer<uint8_t> staged(blocks);
        begin_repack(matrix, nullptr);
        const uint32_t step = ((rows + pieces - 1) / pieces + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
        for (uint32_t first = 0; first < rows; first += step) {
            const uint32_t n = std::min(step, rows - first);
            // A piece starts at an aligned address, as in a staging buffer.
            const Buffer<uint8_t> piece(n * row_bytes(type, cols));
            check(cudaMemcpy(piece.get(), staged.get() + first * row_bytes(type, cols), piece.size(),
                             cudaMemcpyDeviceToDevice),
                  "staging");
            repack_rows(matrix, type, first, n, piece.get(), nullptr);
            check(cudaDeviceSynchronize(), "repacking");
        }
    }

    /// Float weights like a model's, some of them large.
    static void fill_float(cpu::Random& random, TensorType type, std::vector<uint8_t>& blocks) {
        const size_t n = blocks.size() / traits(type).block_bytes;
        std::vector<float> values(n);
        for (float& v : values) v = random.normal() * 0.05f;
        quantize(type, values.data(), blocks.data(), n);
    }
};

/// W x + bias + residual in double, and how large its rounding errors may be expected to be.
struct Reference {
    std::vector<double> values;
    std::vector<double>
        norms;        // root sums of squares of each value's terms: unlike the values not small when terms cancel
    double norm = 0;  // of norms
};
inline Reference reference(const TestMatrix& w, const std::vector<double>& x, const float* bias = nullptr,
                           const float* residual = nullptr) {
    Reference out = {std::vector<double>(w.matrix.rows), std::vector<double>(w.matrix.rows)};
    for (uint32_t r = 0; r < w.matrix.rows; ++r) {
        double sum = 0, squares = 0;
        const auto add = [&](double term) {
            sum += term;
            squares += term * term;
        };
        for (uint32_t i = 0; i < w.matrix.cols; ++i) add(double{w.weights[size_t{r} * w.matrix.cols + i]} * x[i]);
        if (bias != nullptr) add(bias[r]);
        if (residual != nullptr) add(residual[r]);
        out.values[r] = sum;
        out.norms[r] = std::sqrt(squares);
        out.norm += squares;
    }
    out.norm = std::sqrt(out.norm);
    return out;
}

/// Rounding of a product with one token, as a relative_error(). A value is rounded some hundred times on its way, by
/// 2^-25 on average and mostly in different directions: together a few 1e-7. Scales and factors of quantised types come
/// to more.
inline double matvec_bound(TensorType type) { return type == TensorType::F32 ? 2e-6 : 1e-5; }

/// |out - expected| / norm; NaN if any output is not finite.
inline double relative_error(const float* out, const Reference& expected) {
    double squares = 0;
    for (size_t i = 0; i < expected.values.size(); ++i) {
        squares += (out[i] - expected.values[i]) * (out[i] - expected.values[i]);
    }
    return expected.norm == 0 ? std::sqrt(squares) : std::sqrt(squares) / expected.norm;
}

/// An input in every form, and what each form says on the host.
struct TestInput {
    std::vector<float> x;  // [n, cols]
    uint32_t n, cols;
    Buffer<float> device, f32;
    Buffer<uint8_t> int8;
    Buffer<__half> half;
    Buffer<float> half_scale;
    Activations forms;

    TestInput(std::vector<float> values, uint32_t rows, uint32_t columns, bool wants_int8, bool wants_half = true)
        : x(std::move(values)),
          n(rows),
          cols(columns),
          device(x),
          f32(x.size()),
          int8(n * int8_row_bytes(cols)),
          half(n * half_row_values(cols)),
          half_scale(n) {
        forms.f32 = f32.get();
        if (wants_int8) forms.int8 = int8.get();
        if (wants_half) {
            forms.half = half.get();
            forms.half_scale = half_scale.get();
        }
        prepare(device.get(), cols, n, cols, forms, nullptr);
    }

    /// Row t as form holds it.
    std::vector<double> values(InputForm form, uint32_t t) const {
        std::vector<double> out(cols);
        if (form == InputForm::F32) {
            const std::vector<float> v = f32.download();
            for (uint32_t i = 0; i < cols; ++i) out[i] = v[size_t{t} * cols + i];
        } else if (form == InputForm::HALF) {
            const std::vector<__half> v = half.download();
            const double scale = half_scale.download()[t];
            for (uint32_t i = 0; i < cols; ++i) out[i] = __half2float(v[t * half_row_values(cols) + i]) * scale;
        } else {
            const std::vector<uint8_t> all = int8.download();
            const uint8_t* row = all.data() + t * int8_row_bytes(cols);
            const uint32_t groups = cols / 32;
            for (uint32_t g = 0; g < groups; ++g) {
                float d;
                int16_t sums[2];
                std::memcpy(&d, row + groups * 32 + g * 8, 4);
                std::memcpy(sums, row + groups * 32 + g * 8 + 4, 4);
                for (uint32_t half_group = 0; half_group < 2; ++half_group) {
                    int sum = 0;
                    for (uint32_t i = 0; i < 16; ++i) {
                        const auto q = static_cast<int8_t>(row[(half_group * groups + g) * 16 + i]);
                        sum += q;
                        out[g * 32 + half_group * 16 + i] = double{d} * q;
                    }
                    EXPECT_EQ(sum, sums[half_group]);
                }
            }
        }
        return out;
    }
};

}  // namespace reprise::cuda
