#include <gtest/gtest.h>

#include <limits>

#include "cpu_test_support.h"

namespace reprise::cpu {
namespace {

struct Shape {
    size_t n_rows, k, row_begin, row_end, n_cols;
};

struct Result {
    std::vector<double> exact, magnitude;  // sum of products, sum of their magnitudes; [n_cols][n_rows]
};

Result reference(TensorType type, const std::vector<uint8_t>& weights, const std::vector<float>& x, const Shape& s) {
    Result result{std::vector<double>(s.n_cols * s.n_rows), std::vector<double>(s.n_cols * s.n_rows)};
    std::vector<float> row(s.k);
    for (size_t r = s.row_begin; r < s.row_end; ++r) {
        dequantize(type, &weights[r * row_bytes(type, s.k)], row.data(), s.k);
        for (size_t c = 0; c < s.n_cols; ++c) {
            for (size_t i = 0; i < s.k; ++i) {
                const double product = double(row[i]) * x[c * s.k + i];
                result.exact[c * s.n_rows + r] += product;
                result.magnitude[c * s.n_rows + r] += std::fabs(product);
            }
        }
    }
    return result;
}

std::vector<float> multiply(const Kernels& kernels, TensorType type, const std::vector<uint8_t>& weights,
                            const Prepared& x, const Shape& s) {
    std::vector<float> out(s.n_cols * s.n_rows, -777.0f);
    kernels.matmul(type, weights.data(), s.k, s.row_begin, s.row_end, x.bytes.data(), x.stride, s.n_cols, out.data(),
                   s.n_rows);
    return out;
}

void expect_matches(const Kernels& kernels, bool rounds_activations, TensorType type, const Shape& s, Random& random) {
    SCOPED_TRACE(testing::Message() << kernels.name << " " << traits(type).name << " k=" << s.k << " rows "
                                    << s.row_begin << ".." << s.row_end << " of " << s.n_rows << " cols=" << s.n_cols);
    const std::vector<uint8_t> weights = random.weights(type, s.n_rows, s.k);
    const std::vector<float> x = random.normals(s.n_cols * s.k);
    const Result expected = reference(type, weights, rounds_activations ? rounded_activations(type, x) : x, s);
    const std::vector<float> out = multiply(kernels, type, weights, Prepared(kernels, type, x, s.k), s);
    for (size_t c = 0; c < s.n_cols; ++c) {
        for (size_t r = 0; r < s.n_rows; ++r) {
            const size_t i = c * s.n_rows + r;
            if (r < s.row_begin || r >= s.row_end) {
                ASSERT_EQ(out[i], -777.0f) << "wrote outside its rows: row " << r << " column " << c;
            } else {
                ASSERT_NEAR(out[i], expected.exact[i], 1e-6 * expected.magnitude[i] + 1e-30)
                    << "row " << r << " column " << c;
            }
        }
    }
}

std::vector<Shape> shapes(TensorType type) {
    std::vector<size_t> ks = {32, 576, 896, 1536, 2080};
    if (traits(type).block_size == 64) ks = {64, 576, 896, 1536, 2112};
    if (traits(type).block_size == 256) ks = {256, 768, 1536, 2048, 2304};
    if (is_float(type)) ks = {1, 7, 31, 32, 33, 100, 576, 2049};
    std::vector<Shape> result;
    for (const size_t k : ks) {
        for (const size_t n_rows : {1, 3, 5, 17}) {
            for (const size_t n_cols : {1, 2, 3, 7, 8, 33}) result.push_back({n_rows, k, 0, n_rows, n_cols});
        }
        for (const size_t n_cols : {1, 9}) {
            result.push_back({50, k, 3, 38, n_cols});
            result.push_back({50, k, 47, 50, n_cols});
            result.push_back({50, k, 16, 16, n_cols});
        }
    }
    return result;
}

TEST(CpuMatmul, EveryInstructionSetMatchesDoublePrecision) {
    Random random(1);
    for (const Kernels* kernels : runnable_kernels()) {
        for (const TensorType type : kAllTypes) {
            for (const Shape& shape : shapes(type)) {
                expect_matches(*kernels, true, type, shape, random);
                if (HasFatalFailure()) return;
            }
        }
    }
}

TEST(CpuMatmul, ExactKernelsKeepActivationsInFloat) {
    Random random(2);
    for (const TensorType type : kAllTypes) {
        for (const Shape& shape : shapes(type)) {
            expect_matches(exact_kernels(), false, type, shape, random);
            if (HasFatalFailure()) return;
        }
    }
    // More weights than are dequantised at a time.
    expect_matches(exact_kernels(), false, TensorType::Q4_K, {3, 9216, 0, 3, 2}, random);
}

TEST(CpuMatmul, ColumnsDoNotDependOnTheirCompany) {
    Random random(3);
    std::vector<const Kernels*> all = runnable_kernels();
    all.push_back(&exact_kernels());
    for (const Kernels* kernels : all) {
        for (const TensorType type : kAllTypes) {
            const Shape shape{21, is_float(type) ? 1100u : 2304u, 0, 21, 150};
            const std::vector<uint8_t> weights = random.weights(type, shape.n_rows, shape.k);
            const Prepared x(*kernels, type, random.normals(shape.n_cols * shape.k), shape.k);
            const std::vector<float> together = multiply(*kernels, type, weights, x, shape);
            std::vector<float> alone(together.size());
            for (size_t c = 0; c < shape.n_cols; ++c) {
                // Rows in uneven pieces: neither do rows depend on theirs.
                for (const auto& [begin, end] : {std::pair<size_t, size_t>{0, 5}, {5, 21}}) {
                    kernels->matmul(type, weights.data(), shape.k, begin, end, &x.bytes[c * x.stride], x.stride, 1,
                                    &alone[c * shape.n_rows], shape.n_rows);
                }
            }
            ASSERT_EQ(together, alone) << kernels->name << " " << traits(type).name;
            for (const size_t n : {2, 3, 4, 5, 6, 7, 8, 9}) {
                std::vector<float> few(n * shape.n_rows);
                kernels->matmul(type, weights.data(), shape.k, 0, shape.n_rows, x.bytes.data(), x.stride, n, few.data(),
                                shape.n_rows);
                ASSERT_TRUE(std::equal(few.begin(), few.end(), alone.begin()))
                    << kernels->name << " " << traits(type).name << " " << n << " columns";
            }
        }
    }
}

TEST(CpuMatmul, ExtremeActivations) {
    constexpr size_t k = 512, n_rows = 19;
    Random random(4);
    for (const Kernels* kernels : runnable_kernels()) {
        for (const TensorType type : kAllTypes) {
            SCOPED_TRACE(testing::Message() << kernels->name << " " << traits(type).name);
            const std::vector<uint8_t> weights = random.weights(type, n_rows, k);
            const auto product = [&](const std::vector<float>& x) {
                return multiply(*kernels, type, weights, Prepared(*kernels, type, x, k), {n_rows, k, 0, n_rows, 1});
            };
            for (const float y : product(std::vector<float>(k, 0.0f))) ASSERT_EQ(y, 0.0f);
            for (const float y : product(std::vector<float>(k, 1e-41f))) ASSERT_NEAR(y, 0.0f, 1e-30f);

            std::vector<float> large = random.normals(k);
            for (float& x : large) x *= 1e5f;
            const Result expected =
                reference(type, weights, rounded_activations(type, large), {n_rows, k, 0, n_rows, 1});
            const std::vector<float> out = product(large);
            for (size_t r = 0; r < n_rows; ++r) ASSERT_NEAR(out[r], expected.exact[r], 1e-6 * expected.magnitude[r]);

            // All activations at the end of their range and every weight bit set: the sums that could overflow 16 bits.
            for (const float sign : {1.0f, -1.0f}) {
                std::vector<uint8_t> full = weights;
                for (const uint8_t fill : {0xff, 0x80, 0x7f}) {
                    if (is_float(type)) break;
                    std::fill(full.begin(), full.end(), fill);
                    for (size_t at = 0; at < full.size(); at += traits(type).block_bytes) {
                        random.set_factors(type, &full[at]);
                    }
                    const std::vector<float> x(k, sign);
                    const Result full_expected = reference(type, full, x, {n_rows, k, 0, n_rows, 1});
                    const std::vector<float> full_out =
                        multiply(*kernels, type, full, Prepared(*kernels, type, x, k), {n_rows, k, 0, n_rows, 1});
                    for (size_t r = 0; r < n_rows; ++r) {
                        ASSERT_NEAR(full_out[r], full_expected.exact[r], 2e-6 * full_expected.magnitude[r]);
                    }
                }
            }
        }
    }
}

TEST(CpuMatmul, ActivationsThatAreNotFiniteShowInTheResult) {
    constexpr size_t k = 512, n_rows = 5;
    Random random(5);
    for (const Kernels* kernels : runnable_kernels()) {
        for (const TensorType type : kAllTypes) {
            const std::vector<uint8_t> weights = random.weights(type, n_rows, k);
            for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
                                    std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
                std::vector<float> x = random.normals(2 * k);
                x[k + 77] = bad;
                const std::vector<float> out =
                    multiply(*kernels, type, weights, Prepared(*kernels, type, x, k), {n_rows, k, 0, n_rows, 2});
                for (size_t r = 0; r < n_rows; ++r) {
                    ASSERT_TRUE(std::isfinite(out[r])) << kernels->name << " " << traits(type).name;
                    ASSERT_FALSE(std::isfinite(out[n_rows + r])) << kernels->name << " " << traits(type).name;
                }
            }
        }
    }
}

TEST(CpuMatmul, ActivationRowsAreWholeCacheLines) {
    for (const Kernels* kernels : runnable_kernels()) {
        for (const TensorType type : kAllTypes) {
            EXPECT_EQ(kernels->activation_bytes(type, 576) % 64, 0u);
            EXPECT_GE(kernels->activation_bytes(type, 576), 576u);
        }
    }
}

}  // namespace
}  // namespace reprise::cpu
