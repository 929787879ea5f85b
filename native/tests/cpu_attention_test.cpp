#include <gtest/gtest.h>

#include <limits>

#include "cpu_test_support.h"

namespace reprise::cpu {
namespace {

const std::vector<TensorType> kKvTypes = {TensorType::F16, TensorType::F32, TensorType::Q8_0};

/// A KV cache of one head and queries on it.
struct Fixture {
    size_t head_dim;
    TensorType kv_type;
    size_t kv_stride;                            // bytes: rows lie among those of other heads
    std::vector<uint8_t> kv;                     // whole blocks, the last first: keys, then values
    mutable std::vector<const uint8_t*> blocks;  // of args()
    std::vector<float> q;
    std::vector<uint32_t> n_keys;

    Fixture(size_t head_dim, TensorType kv_type, std::vector<uint32_t> n_keys, float spread, Random& random)
        : head_dim(head_dim),
          kv_type(kv_type),
          kv_stride(3 * row_bytes(kv_type, head_dim)),
          kv(2 * kv_blocks(n_keys.back()) * KV_BLOCK * kv_stride),
          q(random.normals(n_keys.size() * (head_dim + 5))),
          n_keys(std::move(n_keys)) {
        for (float& x : q) x *= spread;
        for (size_t p = 0; p < this->n_keys.back(); ++p) {
            for (const bool value : {false, true})
                exact_kernels().store_kv(kv_type, random.normals(head_dim).data(), head_dim, &kv[at(value, p)]);
        }
    }

    size_t block_bytes() const { return 2 * KV_BLOCK * kv_stride; }
    /// Where the row of a position begins.
    size_t at(bool value, size_t position) const {
        const size_t n_blocks = kv_blocks(n_keys.back());
        return (n_blocks - 1 - position / KV_BLOCK) * block_bytes() + (value ? KV_BLOCK * kv_stride : 0) +
               position % KV_BLOCK * kv_stride;
    }

    /// The same values in float32.
    Fixture widened() const {
        Fixture result = *this;
        result.kv_type = TensorType::F32;
        result.kv_stride = 2 * row_bytes(TensorType::F32, head_dim);
        result.kv.assign(kv_blocks(n_keys.back()) * result.block_bytes(), 0);
        for (const bool value : {false, true}) {
            for (size_t p = 0; p < n_keys.back(); ++p) {
                auto* row = reinterpret_cast<float*>(&result.kv[result.at(value, p)]);
                dequantize(kv_type, &kv[at(value, p)], row, head_dim);
            }
        }
        return result;
    }

    AttentionArgs args(size_t first, size_t n_rows, float* out) const {
        blocks.clear();
        for (size_t p = 0; p < n_keys.back(); p += KV_BLOCK) blocks.push_back(&kv[at(false, p)]);
        return {q.data() + first * (head_dim + 5),
                head_dim + 5,
                blocks.data(),
                0,
                KV_BLOCK * kv_stride,
                kv_stride,
                kv_stride,
                kv_type,
                n_keys.data() + first,
                n_rows,
                head_dim,
                head_dim,
                1.0f / std::sqrt(static_cast<float>(head_dim)),
                out + first * out_stride(),
                out_stride(),
                nullptr,
                0,
                nullptr};
    }
    size_t out_stride() const { return head_dim + 3; }

    std::vector<float> run(const Kernels& kernels) const {
        std::vector<float> out(n_keys.size() * out_stride(), -777.0f);
        kernels.attention(args(0, n_keys.size(), out.data()));
        return out;
    }

    std::vector<double> reference() const {
        std::vector<double> out(n_keys.size() * out_stride(), -777.0);
        std::vector<float> row(head_dim);
        for (size_t i = 0; i < n_keys.size(); ++i) {
            std::vector<double> weights(n_keys[i]);
            double largest = -INFINITY, total = 0;
            for (size_t p = 0; p < n_keys[i]; ++p) {
                dequantize(kv_type, &kv[at(false, p)], row.data(), head_dim);
                for (size_t d = 0; d < head_dim; ++d) weights[p] += double(q[i * (head_dim + 5) + d]) * row[d];
                weights[p] /= std::sqrt(static_cast<double>(head_dim));
                largest = std::max(largest, weights[p]);
            }
            for (double& w : weights) total += w = std::exp(w - largest);
            for (size_t d = 0; d < head_dim; ++d) out[i * out_stride() + d] = 0;
            for (size_t p = 0; p < n_keys[i]; ++p) {
                dequantize(kv_type, &kv[at(true, p)], row.data(), head_dim);
                for (size_t d = 0; d < head_dim; ++d) out[i * out_stride() + d] += weights[p] / total * row[d];
            }
        }
        return out;
    }
};

std::vector<uint32_t> prefill_keys(size_t group, uint32_t before, uint32_t n_tokens) {
    std::vector<uint32_t> result;
    for (uint32_t t = 1; t <= n_tokens; ++t) result.insert(result.end(), group, before + t);
    return result;
}

void expect_matches(const Kernels& kernels, const Fixture& fixture, double tolerance) {
    const std::vector<double> expected = fixture.reference();
    const std::vector<float> out = fixture.run(kernels);
    for (size_t i = 0; i < out.size(); ++i) {
        ASSERT_NEAR(out[i], expected[i], tolerance)
            << kernels.name << " head_dim=" << fixture.head_dim << " " << traits(fixture.kv_type).name
            << " rows=" << fixture.n_keys.size() << " keys=" << fixture.n_keys.back() << " at " << i;
    }
}

std::vector<const Kernels*> all_kernels() {
    std::vector<const Kernels*> result = runnable_kernels();
    result.push_back(&exact_kernels());
    return result;
}

TEST(CpuAttention, MatchesTwoPassSoftmaxInDouble) {
    Random random(1);
    for (const Kernels* kernels : all_kernels()) {
        for (const TensorType kv_type : {TensorType::F16, TensorType::F32}) {
            for (const size_t head_dim : {8, 24, 64, 80, 128, 256}) {
                for (const uint32_t n : {1u, 2u, 31u, 32u, 33u, 64u, 300u}) {
                    for (const size_t group : {1, 3, 7}) {
                        const Fixture fixture(head_dim, kv_type, std::vector<uint32_t>(group, n), 1, random);
                        expect_matches(*kernels, fixture, 2e-6);
                        if (HasFatalFailure()) return;
                    }
                }
                for (const uint32_t before : {0u, 5u, 100u}) {
                    expect_matches(*kernels, Fixture(head_dim, kv_type, prefill_keys(3, before, 41), 1, random), 2e-6);
                    if (HasFatalFailure()) return;
                }
            }
        }
    }
}

TEST(CpuAttention, RowsOfEveryTypeGiveTheBitsOfTheirValues) {
    Random random(6);
    for (const Kernels* kernels : all_kernels()) {
        for (const TensorType kv_type : kKvTypes) {
            for (const size_t head_dim : {8, 32, 64, 96, 128, 160, 256}) {
                if (head_dim % traits(kv_type).block_size != 0) continue;
                for (const uint32_t before : {0u, 5u, 31u, 100u}) {
                    const Fixture fixture(head_dim, kv_type, prefill_keys(3, before, 41), 1, random);
                    ASSERT_EQ(fixture.run(*kernels), fixture.widened().run(*kernels))
                        << kernels->name << " head_dim=" << head_dim << " " << traits(kv_type).name << " " << before;
                }
            }
        }
    }
}

TEST(CpuAttention, ScoresThatSpanTheExponentRange) {
    Random random(2);
    for (const Kernels* kernels : all_kernels()) {
        // Scores of some +-300: all but a few weights vanish, and the maximum moves by more than e^88 between blocks.
        expect_matches(*kernels, Fixture(64, TensorType::F32, prefill_keys(2, 70, 30), 100, random), 1e-4);
        if (HasFatalFailure()) return;
    }
}

TEST(CpuAttention, RowsDoNotDependOnTheirCompany) {
    Random random(3);
    for (const Kernels* kernels : all_kernels()) {
        for (const TensorType kv_type : kKvTypes) {
            const Fixture fixture(kv_type == TensorType::Q8_0 ? 96 : 72, kv_type, prefill_keys(3, 20, 90), 1, random);
            const std::vector<float> together = fixture.run(*kernels);
            std::vector<float> alone(together.size(), -777.0f);
            for (size_t row = 0; row < fixture.n_keys.size(); row += 3) {
                kernels->attention(fixture.args(row, 3, alone.data()));
            }
            ASSERT_EQ(together, alone) << kernels->name;
        }
    }
}

TEST(CpuAttention, KeysPastTheLastAreNotRead) {
    Random random(4);
    for (const Kernels* kernels : all_kernels()) {
        for (const TensorType kv_type : kKvTypes) {
            Fixture fixture(64, kv_type, prefill_keys(2, 3, 40), 1, random);
            const std::vector<float> expected = fixture.run(*kernels);
            // A cache holds whatever an earlier, longer history left there: here NaN.
            for (const bool value : {false, true}) {
                const auto row = fixture.kv.begin() + static_cast<ptrdiff_t>(fixture.at(value, fixture.n_keys.back()));
                std::fill_n(row, (KV_BLOCK - fixture.n_keys.back()) * fixture.kv_stride, 0xff);
            }
            ASSERT_EQ(fixture.run(*kernels), expected) << kernels->name;
        }
    }
}

TEST(CpuAttention, ValuesThatAreNotFiniteDoNotCrash) {
    Random random(5);
    for (const Kernels* kernels : all_kernels()) {
        Fixture fixture(64, TensorType::F32, {40, 40}, 1, random);
        fixture.q[3] = std::numeric_limits<float>::quiet_NaN();
        const std::vector<float> out = fixture.run(*kernels);
        for (size_t d = 0; d < 64; ++d) {
            ASSERT_FALSE(std::isfinite(out[d])) << kernels->name;
            ASSERT_TRUE(std::isfinite(out[fixture.out_stride() + d])) << kernels->name;
        }
    }
}

}  // namespace
}  // namespace reprise::cpu
