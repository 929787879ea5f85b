// Matrix products on the device against the dequantised weights in double precision.
#include <array>

#include "cuda_linear_support.h"

namespace reprise::cuda {
namespace {

using cpu::Random;

struct Shape {
    uint32_t rows, cols;
};

/// Shapes that a type can have: small odd ones, and those of real models with fewer rows where columns are what
/// matters.
std::vector<Shape> shapes(TensorType type) {
    const uint32_t block = traits(type).block_size;
    if (block == 256) {
        return {{1, 256},     {3, 512},     {4, 768},    {37, 1536}, {130, 2304},
                {2048, 1536}, {1536, 8960}, {70, 14336}, {9, 16640}, {5, 28672}};
    }
    if (block == 32) {
        return {{1, 32},     {2, 64},      {5, 96},    {37, 288},  {896, 896},
                {128, 4864}, {2048, 1536}, {70, 8960}, {6, 14336}, {9, 16416}};
    }
    return {{1, 1},     {2, 7},       {3, 33},    {37, 100},  {130, 514},
            {960, 576}, {2048, 1536}, {70, 4100}, {70, 8960}, {6, 14336}};
}

/// Rounding of dequantised weights to float16 in tensor-core products; F16 weights are exact, but tensor cores truncate
/// the sums that they accumulate, which grows with the columns.
double matmul_bound(TensorType type) { return type == TensorType::F32 ? 1e-5 : type == TensorType::F16 ? 5e-5 : 5e-4; }

class CudaLinear : public ::testing::TestWithParam<TensorType> {
  protected:
    void SetUp() override {
        SKIP_WITHOUT_CUDA();
        load_linear_kernels();
    }
};
std::string type_name(const ::testing::TestParamInfo<TensorType>& info) { return traits(info.param).name; }
INSTANTIATE_TEST_SUITE_P(AllTypes, CudaLinear, ::testing::ValuesIn(device_types()), type_name);

TEST_P(CudaLinear, EmbeddingRowsAreTheReferenceDequantisation) {
    Random random(1);
    for (const Shape& shape : shapes(GetParam())) {
        const TestMatrix table(random, GetParam(), shape.rows, shape.cols, false, 3);
        const std::vector<int32_t> ids = {static_cast<int32_t>(shape.rows - 1), 0,
                                          static_cast<int32_t>(shape.rows / 2)};
        const Buffer<int32_t> tokens(ids);
        const Buffer<float> x(ids.size() * shape.cols);
        embed_rows(table.matrix, tokens.get(), 3, x.get(), nullptr);
        const std::vector<float> out = x.download();
        for (size_t t = 0; t < ids.size(); ++t) {
            for (uint32_t i = 0; i < shape.cols; ++i) {
                ASSERT_EQ(table.weights[size_t(ids[t]) * shape.cols + i], out[t * shape.cols + i])
                    << shape.rows << "x" << shape.cols;
            }
        }
    }
}

TEST_P(CudaLinear, MatvecIsTheProductWithItsInputForm) {
    Random random(2);
    for (const Shape& shape : shapes(GetParam())) {
        SCOPED_TRACE(std::to_string(shape.rows) + "x" + std::to_string(shape.cols));
        const TestMatrix w(random, GetParam(), shape.rows, shape.cols, false, 2);
        const InputForm form = matvec_input(w.matrix.type);
        const TestInput input(random.normals(shape.cols), 1, shape.cols, form == InputForm::INT8);
        const std::vector<float> bias = random.normals(shape.rows), residual = random.normals(shape.rows);
        const Buffer<float> device_bias(bias), out(shape.rows), accumulated(residual);
        const MatvecPart plain = {&w.matrix, out.get()};
        const MatvecPart full = {&w.matrix, accumulated.get(), device_bias.get(), accumulated.get()};
        matvec(std::span(&plain, 1), input.forms, nullptr);
        matvec(std::span(&full, 1), input.forms, nullptr);
        const std::vector<double> x = input.values(form, 0);
        EXPECT_LT(relative_error(out.download().data(), reference(w, x)), matvec_bound(GetParam()));
        EXPECT_LT(relative_error(accumulated.download().data(), reference(w, x, bias.data(), residual.data())),
                  matvec_bound(GetParam()));
    }
}

TEST_P(CudaLinear, ExactMatricesKeepFloat32Precision) {
    Random random(3);
    for (const Shape& shape : shapes(GetParam())) {
        SCOPED_TRACE(std::to_string(shape.rows) + "x" + std::to_string(shape.cols));
        const TestMatrix w(random, GetParam(), shape.rows, shape.cols, true, 2);
        ASSERT_EQ(TensorType::F32, w.matrix.type);
        const TestInput input(random.normals(3 * shape.cols), 3, shape.cols, false, false);
        const Buffer<float> one(shape.rows), three(3 * shape.rows);
        const MatvecPart part = {&w.matrix, one.get()};
        matvec(std::span(&part, 1), input.forms, nullptr);
        matmul(std::array{MatvecPart{&w.matrix, three.get()}}, input.forms, 3, shape.rows, nullptr, nullptr);
        const std::vector<float> many = three.download();
        EXPECT_LT(relative_error(one.download().data(), reference(w, input.values(InputForm::F32, 0))), 2e-6);
        for (uint32_t t = 0; t < 3; ++t) {
            EXPECT_LT(relative_error(many.data() + t * shape.rows, reference(w, input.values(InputForm::F32, t))),
                      1e-5);
        }
    }
}

void expect_product(Random& random, TensorType type, const Shape& shape, uint32_t n, size_t stride) {
    SCOPED_TRACE(std::to_string(shape.rows) + "x" + std::to_string(shape.cols) + ", " + std::to_string(n) + " tokens");
    const TestMatrix w(random, type, shape.rows, shape.cols);
    const InputForm form = matmul_input(w.matrix.type);
    const Buffer<uint8_t> scratch(matmul_scratch_bytes(w.matrix));
    const TestInput input(random.normals(size_t{n} * shape.cols), n, shape.cols, false);
    const std::vector<float> bias = random.normals(shape.rows), residual = random.normals(n * stride);
    const Buffer<float> device_bias(bias), plain(n * stride), full(residual);
    matmul(std::array{MatvecPart{&w.matrix, plain.get()}}, input.forms, n, stride, scratch.get(), nullptr);
    matmul(std::array{MatvecPart{&w.matrix, full.get(), device_bias.get(), full.get()}}, input.forms, n, stride,
           scratch.get(), nullptr);
    const std::vector<float> out = plain.download(), with_extras = full.download();
    for (const uint32_t t : {0u, n / 2, n - 1}) {
        const std::vector<double> x = input.values(form, t);
        EXPECT_LT(relative_error(out.data() + t * stride, reference(w, x)), matmul_bound(type));
        EXPECT_LT(
            relative_error(with_extras.data() + t * stride, reference(w, x, bias.data(), residual.data() + t * stride)),
            matmul_bound(type));
    }
    for (size_t k = 0; k < out.size(); ++k) ASSERT_EQ(k % stride < shape.rows, std::isfinite(out[k])) << k;
}

TEST_P(CudaLinear, MatmulIsTheProductForAnyNumberOfTokens) {
    Random random(4);
    const std::vector<uint32_t> counts = {1, 9, 31, 33, 65, 200, 513};
    size_t i = 0;
    for (const Shape& shape : shapes(GetParam())) {
        for (const uint32_t gap : {0u, 3u})
            expect_product(random, GetParam(), shape, counts[i++ % counts.size()], shape.rows + gap);
    }
    // The largest tiles, not shared, on 132 multiprocessors: 128 by 128 and 64 by 128.
    for (const uint32_t rows : {4352u, 2048u}) expect_product(random, GetParam(), {rows, 256}, 513, rows);
}

TEST_P(CudaLinear, MatrixThatNeedsSeveralStripsIsWhole) {
    Random random(5);
    const uint32_t cols = 2048, rows = 33 * 1024 + 5;  // 132 MiB in float16
    const TestMatrix w(random, GetParam(), rows, cols);
    for (const uint32_t n : {3u, 200u}) {  // in strips, of types that take some, only many
        const TestInput input(random.normals(n * cols), n, cols, false);
        const Buffer<uint8_t> scratch(matmul_scratch_bytes(w.matrix));
        const Buffer<float> out(n * size_t{rows});
        matmul(std::array{MatvecPart{&w.matrix, out.get()}}, input.forms, n, rows, scratch.get(), nullptr);
        const std::vector<float> values = out.download();
        EXPECT_LT(relative_error(values.data() + (n - 1) * size_t{rows},
                                 reference(w, input.values(matmul_input(w.matrix.type), n - 1))),
                  matmul_bound(GetParam()));
    }
}

TEST_P(CudaLinear, SeveralMatricesAreAsEachAlone) {
    Random random(8);
    const uint32_t cols = 512, stride = 300;
    const TensorType other = GetParam() == TensorType::Q6_K ? TensorType::Q4_K : TensorType::Q6_K;
    const TestMatrix a(random, GetParam(), 71, cols), b(random, GetParam(), 33, cols), c(random, other, 101, cols),
        d(random, GetParam(), 20, cols);
    const std::vector<float> bias = random.normals(stride);
    const Buffer<float> device_bias(bias);
    const Buffer<uint8_t> scratch(matmul_scratch_bytes(c.matrix));
    for (const uint32_t n : {1u, 8u, 20u, 70u, 300u}) {
        const TestInput input(random.normals(n * cols), n, cols, false);
        const Buffer<float> together(std::vector<float>(n * stride, 0.f)), alone(std::vector<float>(n * stride, 0.f));
        const auto parts_to = [&](float* out) {
            return std::array{MatvecPart{&a.matrix, out, device_bias.get()}, MatvecPart{&b.matrix, out + 71},
                              MatvecPart{&d.matrix, out + 220}, MatvecPart{&c.matrix, out + 110, device_bias.get()}};
        };
        matmul(parts_to(together.get()), input.forms, n, stride, scratch.get(), nullptr);
        for (const MatvecPart& part : parts_to(alone.get()))
            matmul({&part, 1}, input.forms, n, stride, scratch.get(), nullptr);
        // Blocks may share tiles otherwise, and so add up in another order.
        const std::vector<float> expected = alone.download(), actual = together.download();
        double squares = 0, differences = 0;
        for (size_t i = 0; i < expected.size(); ++i) {
            squares += double{expected[i]} * expected[i];
            differences += (double{actual[i]} - expected[i]) * (double{actual[i]} - expected[i]);
        }
        EXPECT_LT(std::sqrt(differences / squares), 1e-6) << n << " tokens";
    }
}

TEST_P(CudaLinear, ActivationsOfAHundredThousandStayFiniteAndPrecise) {
    Random random(6);
    for (const uint32_t n : {40u, 250u}) {
        const uint32_t rows = 64, cols = 512;
        const TestMatrix w(random, GetParam(), rows, cols);
        std::vector<float> x = random.normals(n * cols);
        for (uint32_t t = 0; t < n; ++t) x[t * cols + t % cols] = 1e5f;
        for (uint32_t i = 0; i < cols; ++i) x[cols + i] *= 1e7f;
        const TestInput input(x, n, cols, matvec_input(w.matrix.type) == InputForm::INT8);
        const Buffer<uint8_t> scratch(matmul_scratch_bytes(w.matrix));
        const Buffer<float> many(n * rows), one(rows);
        matmul(std::array{MatvecPart{&w.matrix, many.get()}}, input.forms, n, rows, scratch.get(), nullptr);
        const MatvecPart part = {&w.matrix, one.get()};
        matvec(std::span(&part, 1), input.forms, nullptr);
        const std::vector<float> out = many.download();
        for (const uint32_t t : {0u, 1u, n - 1}) {
            const std::vector<double> exact(x.begin() + t * cols, x.begin() + (t + 1) * cols);
            EXPECT_LT(relative_error(out.data() + t * rows, reference(w, exact)), 1e-3);
        }
        EXPECT_LT(relative_error(one.download().data(), reference(w, input.values(matvec_input(w.matrix.type), 0))),
                  matvec_bound(GetParam()));
    }
}

TEST_P(CudaLinear, RepeatedProductsAreEqualToTheLastBit) {
    Random random(7);
    const uint32_t rows = 1031, cols = 8960 / 256 * 256;
    const TestMatrix w(random, GetParam(), rows, cols);
    for (const uint32_t n : {13u, 77u, 250u}) {
        const TestInput input(random.normals(n * cols), n, cols, matvec_input(w.matrix.type) == InputForm::INT8);
        const Buffer<uint8_t> scratch(matmul_scratch_bytes(w.matrix));
        std::vector<float> first_one, first_many;
        for (int i = 0; i < 5; ++i) {
            const Buffer<float> one(rows), many(n * rows);
            const MatvecPart part = {&w.matrix, one.get()};
            matvec(std::span(&part, 1), input.forms, nullptr);
            matmul(std::array{MatvecPart{&w.matrix, many.get()}}, input.forms, n, rows, scratch.get(), nullptr);
            if (i == 0) {
                first_one = one.download();
                first_many = many.download();
            }
            EXPECT_EQ(first_one, one.download());
            EXPECT_EQ(first_many, many.download());
        }
    }
}

class CudaLinearInput : public ::testing::Test {
  protected:
    void SetUp() override { SKIP_WITHOUT_CUDA(); }
};

void expect_near_form(const TestInput& input, InputForm form, const std::vector<double>& expected, uint32_t t) {
    const std::vector<double> values = input.values(form, t);
    for (uint32_t first = 0; first < input.cols; first += 32) {
        const uint32_t end = std::min(first + 32, input.cols);
        double max = 0;
        for (uint32_t i = first; i < end; ++i) max = std::max(max, std::abs(expected[i]));
        for (uint32_t i = first; i < end; ++i) {
            const double bound = form == InputForm::INT8   ? max / 127 * 0.501
                                 : form == InputForm::HALF ? std::abs(expected[i]) / 2000 + max * 1e-6
                                                           : std::abs(expected[i]) * 1e-5;
            ASSERT_LE(std::abs(values[i] - expected[i]), bound + 1e-30) << "column " << i << " of " << input.cols;
        }
    }
}

TEST_F(CudaLinearInput, PrepareKeepsEveryFormWithinItsRounding) {
    Random random(8);
    for (const uint32_t cols : {32u, 64u, 1536u, 8960u, 14336u}) {
        for (const uint32_t n : {1u, 3u, 100u}) {
            std::vector<float> x = random.normals(size_t{n} * cols);
            for (uint32_t i = 0; i < 32; ++i) x[i] = 0;  // a group of nothing but zeros
            const TestInput input(x, n, cols, true);
            for (const uint32_t t : {0u, n - 1}) {
                const std::vector<double> expected(x.begin() + size_t{t} * cols, x.begin() + size_t{t + 1} * cols);
                for (const InputForm form : {InputForm::F32, InputForm::INT8, InputForm::HALF})
                    expect_near_form(input, form, expected, t);
            }
        }
    }
}

TEST_F(CudaLinearInput, RmsNormWritesEveryForm) {
    Random random(9);
    for (const uint32_t cols : {32u, 576u, 896u, 4096u}) {
        for (const uint32_t n : {1u, 70u}) {
            const std::vector<float> x = random.normals(size_t{n} * cols), weight = random.normals(cols);
            const Buffer<float> device_weight(weight);
            const TestInput input(x, n, cols, true);  // prepared; now overwritten by the norm
            rms_norm(input.device.get(), device_weight.get(), 1e-5f, n, cols, input.forms, nullptr);
            const uint32_t t = n - 1;
            double squares = 0;
            for (uint32_t i = 0; i < cols; ++i) squares += double{x[size_t{t} * cols + i]} * x[size_t{t} * cols + i];
            std::vector<double> expected(cols);
            for (uint32_t i = 0; i < cols; ++i)
                expected[i] = x[size_t{t} * cols + i] / std::sqrt(squares / cols + 1e-5) * weight[i];
            for (const InputForm form : {InputForm::F32, InputForm::INT8, InputForm::HALF})
                expect_near_form(input, form, expected, t);
        }
    }
}

TEST_F(CudaLinearInput, SwigluWritesEveryForm) {
    Random random(10);
    for (const uint32_t cols : {64u, 8960u}) {
        for (const uint32_t n : {1u, 70u}) {
            std::vector<float> both = random.normals(size_t{n} * cols * 2);
            both[0] = -200.f;  // exp() of its negative overflows
            const Buffer<float> device(both);
            const TestInput input(random.normals(size_t{n} * cols), n, cols, true);
            swiglu(device.get(), device.get() + cols, size_t{cols} * 2, n, cols, input.forms, nullptr);
            for (const uint32_t t : {0u, n - 1}) {
                std::vector<double> expected(cols);
                for (uint32_t i = 0; i < cols; ++i) {
                    const double g = both[size_t{t} * cols * 2 + i], u = both[size_t{t} * cols * 2 + cols + i];
                    expected[i] = g / (1 + std::exp(-g)) * u;
                }
                for (const InputForm form : {InputForm::F32, InputForm::INT8, InputForm::HALF})
                    expect_near_form(input, form, expected, t);
            }
        }
    }
}

TEST_F(CudaLinearInput, PartsOfSeveralTypesShareALaunch) {
    Random random(11);
    const uint32_t cols = 1536;
    struct Case {
        std::array<TensorType, 3> types;
        uint32_t launches;
    };
    const Case cases[] = {
        {{TensorType::Q4_K, TensorType::Q4_K, TensorType::Q6_K}, 1},
        {{TensorType::Q6_K, TensorType::Q4_K, TensorType::Q6_K}, 1},
        {{TensorType::Q5_K, TensorType::Q5_K, TensorType::Q6_K}, 1},
        {{TensorType::Q8_0, TensorType::Q8_0, TensorType::Q8_0}, 1},
        {{TensorType::Q4_0, TensorType::Q4_1, TensorType::Q6_K}, 3},
        {{TensorType::Q8_0, TensorType::F16, TensorType::F32}, 3},
    };
    for (const Case& c : cases) {
        const TestMatrix q(random, c.types[0], 1536, cols), k(random, c.types[1], 257, cols),
            v(random, c.types[2], 254, cols);
        const TestInput input(random.normals(cols), 1, cols, true);
        const Buffer<float> out(1536 + 257 + 254);
        const MatvecPart parts[] = {
            {&q.matrix, out.get()}, {&k.matrix, out.get() + 1536}, {&v.matrix, out.get() + 1536 + 257}};
        EXPECT_EQ(c.launches, matvec_launches(parts));
        matvec(parts, input.forms, nullptr);
        const std::vector<float> values = out.download();
        uint32_t first = 0;
        for (const TestMatrix* w : {&q, &k, &v}) {
            const Reference expected = reference(*w, input.values(matvec_input(w->matrix.type), 0));
            EXPECT_LT(relative_error(values.data() + first, expected), 1e-5);
            first += w->matrix.rows;
        }
    }
}

}  // namespace
}  // namespace reprise::cuda
