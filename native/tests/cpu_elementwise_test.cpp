#include <gtest/gtest.h>

#include <limits>

#include "cpu_test_support.h"

namespace reprise::cpu {
namespace {

std::vector<const Kernels*> all_kernels() {
    std::vector<const Kernels*> result = runnable_kernels();
    result.push_back(&exact_kernels());
    return result;
}

const std::vector<size_t> kLengths = {1, 3, 4, 15, 16, 17, 63, 64, 65, 576, 1001, 4096};

TEST(CpuElementwise, RmsNorm) {
    Random random(1);
    for (const Kernels* kernels : all_kernels()) {
        for (const size_t n : kLengths) {
            for (const float size : {1.0f, 1e-4f, 1e5f}) {
                std::vector<float> x = random.normals(n);
                for (float& v : x) v *= size;
                const std::vector<float> weight = random.normals(n);
                std::vector<float> out(n + 1, -777.0f);
                kernels->rms_norm(x.data(), weight.data(), 1e-5f, n, out.data());
                double squares = 0;
                for (const float v : x) squares += double(v) * v;
                const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5f);
                for (size_t i = 0; i < n; ++i) {
                    const double expected = x[i] * factor * weight[i];
                    ASSERT_NEAR(out[i], expected, 1e-6 * std::fabs(expected)) << kernels->name << " n=" << n;
                }
                ASSERT_EQ(out[n], -777.0f) << kernels->name;
            }
        }
    }
}

TEST(CpuElementwise, RmsNormInPlaceAndOfZeros) {
    for (const Kernels* kernels : all_kernels()) {
        std::vector<float> x(100, 2.0f), zeros(100, 0.0f);
        const std::vector<float> weight(100, 0.5f);
        kernels->rms_norm(x.data(), weight.data(), 0.0f, x.size(), x.data());
        kernels->rms_norm(zeros.data(), weight.data(), 1e-5f, zeros.size(), zeros.data());
        for (const float v : x) ASSERT_NEAR(v, 0.5f, 1e-6f);
        for (const float v : zeros) ASSERT_EQ(v, 0.0f);
    }
}

TEST(CpuElementwise, Swiglu) {
    Random random(2);
    std::vector<float> gate, up;
    for (float g = -120; g < 120; g += 0.01f) gate.push_back(g);
    for (const float g : {0.0f, -0.0f, 1e-30f, -1e-30f, 1e4f, -1e4f}) gate.push_back(g);
    up = random.normals(gate.size());
    for (const Kernels* kernels : all_kernels()) {
        std::vector<float> out(gate.size());
        kernels->swiglu(gate.data(), up.data(), gate.size(), out.data());
        for (size_t i = 0; i < gate.size(); ++i) {
            const double expected = gate[i] / (1 + std::exp(-double(gate[i]))) * up[i];
            ASSERT_NEAR(out[i], expected, 4e-7 * std::fabs(expected) + 1e-34) << kernels->name << " gate=" << gate[i];
        }
        const float nan = std::numeric_limits<float>::quiet_NaN(), one = 1;
        float result = 0;
        kernels->swiglu(&nan, &one, 1, &result);
        EXPECT_TRUE(std::isnan(result)) << kernels->name;
    }
}

TEST(CpuElementwise, AddAndSwigluOfEveryLength) {
    Random random(3);
    for (const Kernels* kernels : all_kernels()) {
        for (const size_t n : kLengths) {
            const std::vector<float> a = random.normals(n), b = random.normals(n);
            std::vector<float> sum(n + 1, -777.0f), gated(n + 1, -777.0f);
            kernels->add(a.data(), b.data(), n, sum.data());
            kernels->swiglu(a.data(), b.data(), n, gated.data());
            for (size_t i = 0; i < n; ++i) {
                ASSERT_EQ(sum[i], a[i] + b[i]) << kernels->name;
                ASSERT_NEAR(gated[i], a[i] / (1 + std::exp(-a[i])) * b[i], 1e-6f * std::fabs(gated[i]))
                    << kernels->name;
            }
            ASSERT_EQ(sum[n], -777.0f) << kernels->name;
            ASSERT_EQ(gated[n], -777.0f) << kernels->name;
        }
    }
}

TEST(CpuElementwise, StoreKvRoundsToNearestEven) {
    Random random(4);
    std::vector<float> x = random.normals(1000);
    for (const float v : {0.0f, -0.0f, 1.00048828125f, 1.00146484375f, 65504.0f, 65519.9f, 65520.0f, 1e9f, -1e9f,
                          5.96e-8f, 2.98e-8f, 6.1e-5f, 1e-41f, INFINITY, -INFINITY}) {
        x.push_back(v);
    }
    for (const Kernels* kernels : all_kernels()) {
        for (const size_t n : {size_t{1}, size_t{7}, size_t{64}, x.size()}) {
            const float* from = x.data() + x.size() - n;
            std::vector<uint16_t> halves(n + 1, 0x7777);
            kernels->store_kv(TensorType::F16, from, n, reinterpret_cast<uint8_t*>(halves.data()));
            for (size_t i = 0; i < n; ++i)
                ASSERT_EQ(halves[i], float_to_half(from[i])) << kernels->name << " " << from[i];
            ASSERT_EQ(halves[n], 0x7777) << kernels->name;
            std::vector<float> floats(n);
            kernels->store_kv(TensorType::F32, from, n, reinterpret_cast<uint8_t*>(floats.data()));
            for (size_t i = 0; i < n; ++i) ASSERT_EQ(floats[i], from[i]) << kernels->name;
        }
    }
}

TEST(CpuElementwise, StoreKvInQ8_0HasTheBitsOfTheReference) {
    Random random(5);
    std::vector<float> x;
    // From blocks whose factor is no normal half, or none at all, to those where it overflows.
    for (const float size : {1.0f, 0.02f, 1e3f, 3e-3f, 1e-5f, 3e-6f, 1e-9f, 1e-41f, 0.0f, 1e6f, 1e8f, 1e37f}) {
        for (const float v : random.normals(256)) x.push_back(v * size);
    }
    for (int i = 0; i < 256; ++i) x.push_back(static_cast<float>(i % 32 - 16) * 0.5f * 127);  // ties
    for (const Kernels* kernels : all_kernels()) {
        for (const size_t n : {size_t{32}, size_t{96}, x.size()}) {
            const float* from = x.data() + x.size() - n;
            std::vector<uint8_t> expected(n / 32 * 34 + 1, 0x77), stored = expected;
            quantize(TensorType::Q8_0, from, expected.data(), n);
            kernels->store_kv(TensorType::Q8_0, from, n, stored.data());
            ASSERT_EQ(stored, expected) << kernels->name << " n=" << n;
        }
    }
}

TEST(CpuElementwise, StoreKvInQ8_0IsOffByHalfAStep) {
    Random random(6);
    for (const Kernels* kernels : all_kernels()) {
        for (const float size : {1.0f, 1e-2f, 1e-4f, 1e-7f, 1e4f}) {
            std::vector<float> x = random.normals(1024), back(1024);
            for (float& v : x) v *= size;
            std::vector<uint8_t> blocks(row_bytes(TensorType::Q8_0, x.size()));
            kernels->store_kv(TensorType::Q8_0, x.data(), x.size(), blocks.data());
            dequantize(TensorType::Q8_0, blocks.data(), back.data(), back.size());
            for (size_t begin = 0; begin < x.size(); begin += 32) {
                double largest = 0;
                for (size_t i = begin; i < begin + 32; ++i) largest = std::max(largest, std::fabs(double{x[i]}));
                // Half a step of 1/127, the factor rounded to 11 bits; or its absolute error where it is subnormal,
                // 2^-25, 127 times over.
                const double bound = largest / 254 * (1 + 0x1p-11) + (largest < 127 * 0x1p-14 ? 127 * 0x1p-25 : 0);
                for (size_t i = begin; i < begin + 32; ++i) ASSERT_NEAR(x[i], back[i], bound) << kernels->name;
            }
        }
    }
}

TEST(CpuElementwise, StoreKvInQ8_0HidesNothingThatIsNotFinite) {
    Random random(7);
    for (const Kernels* kernels : all_kernels()) {
        for (const float bad : {std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY}) {
            for (const size_t at : {0, 17, 31}) {
                std::vector<float> x = random.normals(96), back(96);
                x[32 + at] = bad;
                std::vector<uint8_t> blocks(row_bytes(TensorType::Q8_0, x.size()));
                kernels->store_kv(TensorType::Q8_0, x.data(), x.size(), blocks.data());
                dequantize(TensorType::Q8_0, blocks.data(), back.data(), back.size());
                for (size_t i = 0; i < back.size(); ++i) {
                    ASSERT_EQ(i / 32 == 1, std::isnan(back[i])) << kernels->name << " " << bad << " at " << i;
                }
            }
        }
    }
}

}  // namespace
}  // namespace reprise::cpu
