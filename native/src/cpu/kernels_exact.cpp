// The reference arithmetic: weights dequantised to float32, activations and scores in float32, plain C++ for any
// x86-64. The fast kernels are judged against it, so it stays simple; it is the arithmetic of --exact.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/kernels.h"

namespace reprise::cpu {
namespace {

constexpr size_t kLanes = 16;    // partial sums of a dot product
constexpr size_t kChunk = 4096;  // weights dequantised at a time, a multiple of every block size
constexpr size_t kMaxHeadDim = MAX_HEAD_DIM;

size_t activation_bytes(TensorType, size_t k) { return (k * sizeof(float) + 63) / 64 * 64; }

void prepare(TensorType, const float* x, size_t k, uint8_t* out) { std::memcpy(out, x, k * sizeof(float)); }

float dot(const float* a, const float* b, size_t n) {
    float sums[kLanes] = {};
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
    }
    float tail = 0;
    for (; i < n; ++i) tail += a[i] * b[i];
    for (size_t half = kLanes / 2; half > 0; half /= 2) {
        for (size_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
    }
    return sums[0] + tail;
}

void matmul(TensorType type, const uint8_t* weights, size_t k, size_t row_begin, size_t row_end,
            const uint8_t* activations, size_t activation_stride, size_t n_cols, float* out, size_t out_stride) {
    alignas(64) float row[kChunk];
    const size_t bytes = row_bytes(type, k);
    for (size_t r = row_begin; r < row_end; ++r) {
        for (size_t begin = 0; begin < k; begin += kChunk) {
            const size_t n = k - begin < kChunk ? k - begin : kChunk;
            dequantize(type, weights + r * bytes + row_bytes(type, begin), row, n);
            for (size_t c = 0; c < n_cols; ++c) {
                const float* x = reinterpret_cast<const float*>(activations + c * activation_stride) + begin;
                float& sum = out[c * out_stride + r];
                sum = dot(row, x, n) + (begin == 0 ? 0.0f : sum);
            }
        }
    }
}

void rms_norm(const float* x, const float* weight, float eps, size_t n, float* out) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += double(x[i]) * x[i];
    const float factor = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(n) + eps));
    for (size_t i = 0; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

void swiglu(const float* gate, const float* up, size_t n, float* out) {
    for (size_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

float activated(Activation activation, float g, float u) {
    switch (activation) {
        case Activation::NONE:
            return g * u;
        case Activation::SILU:
            return g * sigmoid(g) * u;
        case Activation::GELU:
            return 0.5f * g * (1.0f + std::tanh(0.797884561f * g * (1.0f + 0.044715f * g * g))) * u;
        case Activation::RELU_SQUARED:
            return g > 0 ? g * g * u : 0.0f;
        case Activation::SIGMOID:
            return sigmoid(g) * u;
        case Activation::CLAMPED_SILU: {
            const float x = std::min(g, 7.0f);
            return x * sigmoid(1.702f * x) * (std::clamp(u, -7.0f, 7.0f) + 1.0f);
        }
    }
    return 0;
}

void activate(Activation activation, const float* gate, const float* up, size_t n, float* out) {
    for (size_t i = 0; i < n; ++i) out[i] = activated(activation, gate[i], up == nullptr ? 1.0f : up[i]);
}

void add(const float* a, const float* b, size_t n, float* out) {
    for (size_t i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

const uint8_t* kv_row(const AttentionArgs& args, size_t offset, size_t stride, uint32_t position) {
    return args.blocks[position / KV_BLOCK] + offset + position % KV_BLOCK * stride;
}

const float* load_kv(TensorType type, const uint8_t* row, size_t n, float* buffer) {
    if (type == TensorType::F32) return reinterpret_cast<const float*>(row);
    dequantize(type, row, buffer, n);
    return buffer;
}

void attention(const AttentionArgs& args) {
    alignas(64) float buffer[kMaxHeadDim];
    alignas(64) double sums[kMaxHeadDim];
    const size_t n = args.head_dim;
    for (size_t i = 0; i < args.n_rows; ++i) {
        const float* q = args.q + i * args.q_stride;
        // The sums are in double, so a running maximum costs no accuracy worth a second pass.
        double maximum = args.sinks == nullptr ? -INFINITY : args.sinks[i], total = args.sinks == nullptr ? 0 : 1;
        std::memset(sums, 0, sizeof sums);
        for (uint32_t p = args.first_keys == nullptr ? 0 : args.first_keys[i]; p < args.n_keys[i]; ++p) {
            double score =
                dot(q, load_kv(args.kv_type, kv_row(args, args.k_offset, args.k_stride, p), n, buffer), n) * args.scale;
            if (args.soft_cap != 0) score = args.soft_cap * std::tanh(score / args.soft_cap);
            if (score > maximum) {
                const double shrink = std::exp(maximum - score);
                total *= shrink;
                for (size_t d = 0; d < args.value_dim; ++d) sums[d] *= shrink;
                maximum = score;
            }
            const double weight = std::exp(score - maximum);
            const float* v =
                load_kv(args.kv_type, kv_row(args, args.v_offset, args.v_stride, p), args.value_dim, buffer);
            for (size_t d = 0; d < args.value_dim; ++d) sums[d] += weight * v[d];
            total += weight;
        }
        for (size_t d = 0; d < args.value_dim; ++d)
            args.out[i * args.out_stride + d] = static_cast<float>(sums[d] / total);
    }
}

void store_kv(TensorType type, const float* x, size_t n, uint8_t* out) { quantize(type, x, out, n); }

}  // namespace

const Kernels& exact_kernels() {
    static constexpr Kernels table = {"exact", activation_bytes, prepare,   nullptr, matmul, rms_norm, swiglu,
                                      add,     activate,         attention, store_kv};
    return table;
}

}  // namespace reprise::cpu
