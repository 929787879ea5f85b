// Random q, k and v, and what norms of heads and rotation make of them in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "cuda/rope.h"
#include "cuda_kv_support.h"
#include "cuda_linear_support.h"

namespace reprise::cuda {

struct QkvHeads {
    uint32_t n_heads, n_kv_heads, head_dim, n_rot;

    uint32_t row_width() const { return (n_heads + 2 * n_kv_heads) * head_dim; }
    bool is_q(uint32_t head) const { return head < n_heads; }
    bool is_v(uint32_t head) const { return head >= n_heads + n_kv_heads; }
};

/// Rows of q heads, k heads and v heads, one after the other, on the host and on the device.
struct TestQkv {
    QkvHeads heads;
    bool norms;
    std::vector<float> qkv, q_norm, k_norm;
    Rope rope;
    Buffer<float> device_qkv, device_q_norm, device_k_norm;
    Buffer<double> turns;

    TestQkv(cpu::Random& random, const QkvHeads& h, RopeStyle style, bool with_norms, uint32_t n)
        : heads(h),
          norms(with_norms),
          qkv(random.normals(size_t{n} * h.row_width())),
          q_norm(random.normals(h.head_dim)),
          k_norm(random.normals(h.head_dim)),
          rope(rope_of(style, h.n_rot)),
          device_qkv(qkv),
          device_q_norm(q_norm),
          device_k_norm(k_norm),
          turns(rope_turns(rope)) {}

    RopeKvArgs args(TensorType kv_type, void* k_cache, void* v_cache, uint32_t capacity,
                    const DecodeState* state) const {
        RopeKvArgs args = {};
        args.qkv = device_qkv.get();
        args.row_stride = heads.row_width();
        if (norms) {
            args.q_norm = device_q_norm.get();
            args.k_norm = device_k_norm.get();
        }
        args.rms_eps = 1e-5f;
        args.n_heads = heads.n_heads;
        args.n_kv_heads = heads.n_kv_heads;
        args.head_dim = heads.head_dim;
        args.style = rope.style;
        args.n_rot = rope.n_rot;
        args.turns = turns.get();
        args.magnitude = rope.magnitude;
        args.k_cache = k_cache;
        args.v_cache = v_cache;
        args.kv_type = kv_type;
        args.capacity = capacity;
        args.state = state;
        return args;
    }

    /// Head number head of [q heads, k heads, v heads] of a row that is at a position.
    std::vector<double> turned(uint32_t row, uint32_t head, uint32_t position) const {
        const float* in = &qkv[size_t{row} * heads.row_width() + head * heads.head_dim];
        std::vector<double> x(in, in + heads.head_dim);
        if (heads.is_v(head)) return x;
        if (norms) normalize(x, heads.is_q(head) ? q_norm : k_norm);
        rotate(x, position);
        return x;
    }

    /// How far from x[i] of a head what the cache holds of it may be. Norm and rotation in float32 are a few units in
    /// the last place of the pair's larger value off.
    static double cache_tolerance(TensorType type, const std::vector<double>& x, uint32_t i) {
        const double arithmetic = 2e-6 * std::max(1.0, largest(x, 0, x.size()));
        if (type == TensorType::F32) return arithmetic;
        if (type == TensorType::F16) return arithmetic + std::fabs(x[i]) / 2048;
        // Half a step is a 254th of the block's largest, and the step is rounded to float16.
        return arithmetic + largest(x, i / 32 * 32, 32) / 254 * (1 + 256.0 / 2048);
    }

  private:
    static double largest(const std::vector<double>& x, size_t first, size_t n) {
        double result = 0;
        for (size_t i = first; i < first + n; ++i) result = std::max(result, std::fabs(x[i]));
        return result;
    }
    static Rope rope_of(RopeStyle style, uint32_t n_rot) {
        Rope rope;
        rope.style = style;
        rope.n_rot = n_rot;
        rope.magnitude = style == RopeStyle::ADJACENT ? 1.0f : 0.7f;
        for (uint32_t i = 0; i < n_rot / 2; ++i)
            rope.inv_freq.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / n_rot)));
        return rope;
    }
    static void normalize(std::vector<double>& x, const std::vector<float>& weight) {
        double sum = 0;
        for (const double v : x) sum += v * v;
        const double factor = 1 / std::sqrt(sum / static_cast<double>(x.size()) + 1e-5);
        for (size_t i = 0; i < x.size(); ++i) x[i] *= factor * weight[i];
    }
    void rotate(std::vector<double>& x, uint32_t position) const {
        for (uint32_t i = 0; i < rope.n_rot / 2; ++i) {
            const bool adjacent = rope.style == RopeStyle::ADJACENT;
            double &a = x[adjacent ? 2 * i : i], &b = x[adjacent ? 2 * i + 1 : i + rope.n_rot / 2];
            const double angle = static_cast<double>(position) * rope.inv_freq[i];
            const double cos = rope.magnitude * std::cos(angle), sin = rope.magnitude * std::sin(angle);
            const double first = a * cos - b * sin;
            b = a * sin + b * cos;
            a = first;
        }
    }
};

}  // namespace reprise::cuda
