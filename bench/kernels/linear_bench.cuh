// What the benchmarks of matrix products share: matrices with random weights, model shapes.
#pragma once

#include <cuda_fp16.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <memory>

#include "bench.cuh"
#include "cuda/linear.h"

namespace reprise::cuda::bench {

constexpr TensorType ALL_TYPES[] = {TensorType::Q4_0, TensorType::Q4_1, TensorType::Q8_0,
                                    TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K,
                                    TensorType::F16,  TensorType::BF16, TensorType::F32};

/// Random rows that fill a matrix by repetition; quantising fresh ones for each matrix would take minutes.
struct Band {
    static constexpr uint32_t ROWS = 64;
    std::vector<float> weights;  // [ROWS, cols], dequantised
    std::unique_ptr<Buffer<uint8_t>> blocks;

    static const Band& of(TensorType type, uint32_t cols) {
        static std::map<std::pair<TensorType, uint32_t>, Band> bands;
        Band& band = bands[{type, cols}];
        if (band.blocks == nullptr) {
            band.weights = normals(size_t{ROWS} * cols, cols, 0.05f);
            std::vector<uint8_t> blocks(ROWS * row_bytes(type, cols));
            quantize(type, band.weights.data(), blocks.data(), band.weights.size());
            dequantize(type, blocks.data(), band.weights.data(), band.weights.size());
            band.blocks = std::make_unique<Buffer<uint8_t>>(blocks);
        }
        return band;
    }
};

class Matrix {
  public:
    const Band& band;
    DeviceMatrix matrix;

    Matrix(TensorType type, uint32_t rows, uint32_t cols)
        : band(Band::of(type, cols)), data_(device_bytes(type, rows, cols)) {
        matrix = {type, rows, cols, data_.data, data_.n};
        begin_repack(matrix, nullptr);
        for (uint32_t first = 0; first < rows; first += Band::ROWS) {
            repack_rows(matrix, type, first, std::min(Band::ROWS, rows - first), band.blocks->data, nullptr);
        }
        check(cudaDeviceSynchronize(), "repacking");
    }

  private:
    Buffer<uint8_t> data_;
};

/// Device buffers for n inputs of up to cols values in every form.
struct Inputs {
    Buffer<float> f32;
    Buffer<uint8_t> int8;
    Buffer<__half> half;
    Buffer<float> scale;
    Inputs(uint32_t n, uint32_t cols)
        : f32(size_t{n} * cols), int8(n * int8_row_bytes(cols)), half(n * half_row_values(cols)), scale(n) {}
    Activations form(InputForm form) const {
        Activations a;
        if (form == InputForm::F32) a.f32 = f32.data;
        if (form == InputForm::INT8) a.int8 = int8.data;
        if (form == InputForm::HALF) a.half = half.data, a.half_scale = scale.data;
        return a;
    }
};

/// Largest difference of out from the band's product with x, over the rms of that product.
inline double band_error(const Matrix& w, const std::vector<float>& x, const float* out, uint32_t rows) {
    double worst = 0, squares = 0;
    for (uint32_t r = 0; r < Band::ROWS; ++r) {
        double sum = 0;
        for (uint32_t i = 0; i < w.matrix.cols; ++i)
            sum += double{w.band.weights[size_t{r} * w.matrix.cols + i]} * x[i];
        squares += sum * sum;
        for (uint32_t row = r; row < rows; row += Band::ROWS) {
            const double difference = std::abs(out[row] - sum);
            if (!(difference <= worst)) worst = difference;
        }
    }
    return worst / std::sqrt(squares / Band::ROWS);
}

struct ModelShape {
    const char* name;
    uint32_t layers, n_embd, q_dim, kv_dim, n_ff, n_vocab;
};
constexpr ModelShape MODELS[] = {
    {"Qwen2.5-0.5B", 24, 896, 896, 128, 4864, 151936},
    {"Llama-3.2-1B", 16, 2048, 2048, 512, 8192, 128256},
    {"Qwen2.5-1.5B", 28, 1536, 1536, 256, 8960, 151936},
    {"Llama-3.1-8B", 32, 4096, 4096, 1024, 14336, 128256},
};

/// The weights of a model's products. A K-quant mix (_M) has v and down in Q6_K in half of the layers, and the head.
struct Model {
    struct Layer {
        std::unique_ptr<Matrix> q, k, v, o, gate, up, down;
    };
    ModelShape shape;
    std::vector<Layer> layers;
    std::unique_ptr<Matrix> head;
    size_t n_bytes = 0;

    Model(const ModelShape& s, TensorType type, bool mixed) : shape(s) {
        const auto make = [&](TensorType t, uint32_t rows, uint32_t cols) {
            auto m = std::make_unique<Matrix>(t, rows, cols);
            n_bytes += m->matrix.n_bytes;
            return m;
        };
        for (uint32_t l = 0; l < s.layers; ++l) {
            const TensorType finer = mixed && l % 2 == 0 ? TensorType::Q6_K : type;
            layers.push_back({make(type, s.q_dim, s.n_embd), make(type, s.kv_dim, s.n_embd),
                              make(finer, s.kv_dim, s.n_embd), make(type, s.n_embd, s.q_dim),
                              make(type, s.n_ff, s.n_embd), make(type, s.n_ff, s.n_embd),
                              make(finer, s.n_embd, s.n_ff)});
        }
        head = make(mixed ? TensorType::Q6_K : type, s.n_vocab, s.n_embd);
    }
};

}  // namespace reprise::cuda::bench
