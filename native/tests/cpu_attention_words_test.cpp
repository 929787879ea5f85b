// Attention with windows, soft caps, sinks and values shorter than keys, against double precision.
#include <gtest/gtest.h>

#include "cpu_test_support.h"

namespace reprise::cpu {
namespace {

std::vector<const Kernels*> all_kernels() {
    std::vector<const Kernels*> result = runnable_kernels();
    result.push_back(&exact_kernels());
    return result;
}

struct Rules {
    size_t key_dim, value_dim;
    uint32_t window = 0;  // 0: none
    float soft_cap = 0;
    bool sinks = false, values_are_keys = false;
};

/// Queries at the last n positions of a cache in float32.
class Case {
  public:
    Case(const Rules& rules, size_t n_positions, size_t n, Random& random)

        : rules_(rules),
          scale_(1.6f / std::sqrt(static_cast<float>(rules.key_dim))),
          n_positions_(n_positions),
          q_(random.normals(n * rules.key_dim)) {
        k_ = random.normals(kv_blocks(static_cast<uint32_t>(n_positions)) * KV_BLOCK * rules.key_dim);
        v_ = random.normals(kv_blocks(static_cast<uint32_t>(n_positions)) * KV_BLOCK * rules.value_dim);
        for (float& x : q_) x *= 3;
        for (size_t i = 0; i < n; ++i) {
            n_keys_.push_back(static_cast<uint32_t>(n_positions - n + i + 1));
            first_.push_back(rules.window == 0 ? 0 : n_keys_[i] - std::min(n_keys_[i], rules.window));
        }
        sinks_ = random.normals(n);
        for (float& x : sinks_) x *= 4;
    }

    std::vector<float> run(const Kernels& kernels, size_t begin, size_t end) const {
        // Blocks hold keys and values; here they are two arrays, which blocks of one address space span.
        std::vector<const uint8_t*> blocks;
        std::vector<std::vector<float>> data;
        const size_t keys = KV_BLOCK * rules_.key_dim,
                     values = rules_.values_are_keys ? 0 : KV_BLOCK * rules_.value_dim;
        for (size_t b = 0; b * KV_BLOCK < n_positions_; ++b) {
            std::vector<float>& block = data.emplace_back(keys + values);
            std::copy_n(&k_[b * keys], keys, block.begin());
            if (values > 0) std::copy_n(&v_[b * values], values, block.begin() + static_cast<ptrdiff_t>(keys));
        }
        for (const auto& block : data) blocks.push_back(reinterpret_cast<const uint8_t*>(block.data()));
        std::vector<float> out((end - begin) * rules_.value_dim);
        AttentionArgs args{};
        args.q = &q_[begin * rules_.key_dim];
        args.q_stride = rules_.key_dim;
        args.blocks = blocks.data();
        args.k_offset = 0;
        args.v_offset = values == 0 ? 0 : keys * sizeof(float);
        args.k_stride = rules_.key_dim * sizeof(float);
        args.v_stride = (values == 0 ? rules_.key_dim : rules_.value_dim) * sizeof(float);
        args.kv_type = TensorType::F32;
        args.n_keys = &n_keys_[begin];
        args.n_rows = end - begin;
        args.head_dim = rules_.key_dim;
        args.value_dim = rules_.value_dim;
        args.scale = scale_;
        args.out = out.data();
        args.out_stride = rules_.value_dim;
        args.first_keys = rules_.window == 0 ? nullptr : &first_[begin];
        args.soft_cap = rules_.soft_cap;
        args.sinks = rules_.sinks ? &sinks_[begin] : nullptr;
        kernels.attention(args);
        return out;
    }

    std::vector<double> expected() const {
        std::vector<double> out;
        for (size_t i = 0; i < n_keys_.size(); ++i) {
            std::vector<double> sums(rules_.value_dim), weights;
            double total = rules_.sinks ? std::exp(double(sinks_[i])) : 0;
            for (size_t p = first_[i]; p < n_keys_[i]; ++p) {
                double score = 0;
                for (size_t d = 0; d < rules_.key_dim; ++d)
                    score += double(q_[i * rules_.key_dim + d]) * k_[p * rules_.key_dim + d];
                score *= scale_;
                if (rules_.soft_cap != 0) score = rules_.soft_cap * std::tanh(score / rules_.soft_cap);
                const double weight = std::exp(score);
                total += weight;
                const float* v = rules_.values_are_keys ? &k_[p * rules_.key_dim] : &v_[p * rules_.value_dim];
                for (size_t d = 0; d < rules_.value_dim; ++d) sums[d] += weight * v[d];
            }
            for (const double sum : sums) out.push_back(sum / total);
        }
        return out;
    }
    size_t n() const { return n_keys_.size(); }
    size_t width() const { return rules_.value_dim; }

  private:
    Rules rules_;
    float scale_;
    size_t n_positions_;
    std::vector<float> q_, k_, v_, sinks_;
    std::vector<uint32_t> n_keys_, first_;
};

TEST(CpuAttentionWords, MatchDoublePrecisionAndDoNotDependOnOtherRows) {
    Random random(1);
    const std::vector<Rules> rules = {
        {64, 64, 1},
        {64, 64, 5},
        {64, 64, 32},
        {64, 64, 33},
        {64, 64, 1000},
        {64, 64, 0, 5},
        {64, 64, 40, 2},
        {64, 64, 0, 0, true},
        {64, 64, 3, 0, true},
        {64, 64, 20, 10, true},
        {96, 64},
        {192, 128, 7},
        {288, 256, 0, 0, false, true},
        {576, 512, 0, 0, false, true},
        {512, 512, 50, 3, true},
    };
    for (const Rules& r : rules) {
        for (const auto& [n_positions, n] : {std::pair<size_t, size_t>{1, 1}, {200, 1}, {70, 70}, {300, 37}}) {
            const Case c(r, n_positions, n, random);
            const std::vector<double> expected = c.expected();
            for (const Kernels* kernels : all_kernels()) {
                const std::vector<float> out = c.run(*kernels, 0, n);
                for (size_t i = 0; i < out.size(); ++i) {
                    ASSERT_NEAR(out[i], expected[i], 2e-5)
                        << kernels->name << " keys " << r.key_dim << " window " << r.window << " cap " << r.soft_cap
                        << " sinks " << r.sinks << " positions " << n_positions << " at " << i;
                }
                std::vector<float> alone;
                for (size_t i = 0; i < n; ++i) {
                    const std::vector<float> row = c.run(*kernels, i, i + 1);
                    alone.insert(alone.end(), row.begin(), row.end());
                }
                ASSERT_EQ(out, alone) << kernels->name << " window " << r.window;
            }
        }
    }
}

TEST(CpuActivations, MatchDoublePrecision) {
    Random random(2);
    std::vector<float> gate;
    for (float g = -60; g < 60; g += 0.037f) gate.push_back(g);
    for (const float g : {0.0f, -0.0f, 1e-30f, 7.0f, -7.0f, 1e4f, -1e4f}) gate.push_back(g);
    std::vector<float> up = random.normals(gate.size());
    for (float& u : up) u *= 5;
    const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
    const auto expected = [&](Activation activation, double g, double u) {
        switch (activation) {
            case Activation::NONE:
                return g * u;
            case Activation::SILU:
                return g * sigmoid(g) * u;
            case Activation::GELU:
                return 0.5 * g * (1 + std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g))) * u;
            case Activation::RELU_SQUARED:
                return g > 0 ? g * g * u : 0;
            case Activation::SIGMOID:
                return sigmoid(g) * u;
            case Activation::CLAMPED_SILU:
                g = std::min(g, 7.0);
                return g * sigmoid(1.702 * g) * (std::clamp(u, -7.0, 7.0) + 1);
        }
        return 0.0;
    };
    for (const Kernels* kernels : all_kernels()) {
        for (const Activation activation : {Activation::NONE, Activation::SILU, Activation::GELU,
                                            Activation::RELU_SQUARED, Activation::SIGMOID, Activation::CLAMPED_SILU}) {
            std::vector<float> out(gate.size()), without_up(gate.size());
            kernels->activate(activation, gate.data(), up.data(), gate.size(), out.data());
            kernels->activate(activation, gate.data(), nullptr, gate.size(), without_up.data());
            for (size_t i = 0; i < gate.size(); ++i) {
                const double with = expected(activation, gate[i], up[i]), one = expected(activation, gate[i], 1);
                ASSERT_NEAR(out[i], with, 2e-6 * std::fabs(with) + 2e-6)
                    << kernels->name << " " << int(activation) << " of " << gate[i];
                ASSERT_NEAR(without_up[i], one, 2e-6 * std::fabs(one) + 2e-6) << kernels->name << " " << gate[i];
            }
        }
    }
}

}  // namespace
}  // namespace reprise::cpu
