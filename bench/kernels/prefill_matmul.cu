// Many tokens' products: time and rate per type and shape, and of all products of a model's prompt (no attention).
//
//   nvcc -O3 -std=c++20 -arch=sm_90 --expt-relaxed-constexpr -I native/src -I native/include
//        bench/kernels/prefill_matmul.cu native/src/cuda/{repack,linear_input,linear_matvec,linear_matmul}.cu
//        native/src/quant/*.cpp native/src/core/error.cpp
#include <array>
#include <cstring>

#include "linear_bench.cuh"

using namespace reprise;
using namespace reprise::cuda;
using namespace reprise::cuda::bench;

namespace {

void run_shape(TensorType type, uint32_t rows, uint32_t cols, uint32_t n) {
    const Matrix w(type, rows, cols);
    const std::vector<float> x = normals(size_t{n} * cols, 1);
    const Buffer<float> device_x(x), out(size_t{n} * rows);
    const Buffer<uint8_t> scratch(std::max<size_t>(matmul_scratch_bytes(w.matrix), 1));
    const Inputs inputs(n, cols);
    const Activations form = inputs.form(matmul_input(type));
    prepare(device_x.data, cols, n, cols, form, nullptr);
    const double us = time_graph([&](cudaStream_t stream) {
        matmul(std::array{MatvecPart{&w.matrix, out.data}}, form, n, rows, scratch.data, stream);
    });
    const std::vector<float> last(x.end() - cols, x.end()), values = out.download();
    const double error = band_error(w, last, values.data() + size_t{n - 1} * rows, rows);
    std::printf("%-5s %6u x %5u  %4u tokens  %8.1f us  %6.1f TFLOP/s  error %.1e%s\n", traits(type).name, rows, cols, n,
                us, 2e-6 * rows * cols * n / us, error, error < 1e-2 ? "" : "  WRONG");
    std::fflush(stdout);
}

void run_model(const ModelShape& s, TensorType type, bool mixed, uint32_t n) {
    const Model model(s, type, mixed);
    const Buffer<float> norm(std::vector<float>(s.n_embd, 1.f)), x(normals(size_t{n} * s.n_embd, 2));
    const size_t qkv_dim = s.q_dim + 2 * s.kv_dim;
    const Buffer<float> qkv(n * qkv_dim), ff(size_t{n} * 2 * s.n_ff);
    const Inputs embd(n, s.n_embd), att(n, s.q_dim), hidden(n, s.n_ff);
    const Buffer<uint8_t> scratch((size_t{144} << 20) + 256);
    const InputForm form = matmul_input(type);
    const double us = time_graph(
        [&](cudaStream_t stream) {
            const auto product = [&](const Matrix& w, const Inputs& in, float* out, size_t stride,
                                     const float* residual) {
                matmul(std::array{MatvecPart{&w.matrix, out, nullptr, residual}}, in.form(form), n, stride,
                       scratch.data, stream);
            };
            for (const Model::Layer& l : model.layers) {
                rms_norm(x.data, norm.data, 1e-6f, n, s.n_embd, embd.form(form), stream);
                product(*l.q, embd, qkv.data, qkv_dim, nullptr);
                product(*l.k, embd, qkv.data + s.q_dim, qkv_dim, nullptr);
                product(*l.v, embd, qkv.data + s.q_dim + s.kv_dim, qkv_dim, nullptr);
                prepare(qkv.data, qkv_dim, n, s.q_dim, att.form(form), stream);
                product(*l.o, att, x.data, s.n_embd, x.data);
                rms_norm(x.data, norm.data, 1e-6f, n, s.n_embd, embd.form(form), stream);
                product(*l.gate, embd, ff.data, 2 * s.n_ff, nullptr);
                product(*l.up, embd, ff.data + s.n_ff, 2 * s.n_ff, nullptr);
                swiglu(ff.data, ff.data + s.n_ff, 2 * s.n_ff, n, s.n_ff, hidden.form(form), stream);
                product(*l.down, hidden, x.data, s.n_embd, x.data);
            }
        },
        5);
    const double per_layer = double(s.n_embd) * (s.q_dim * 2.0 + s.kv_dim * 2.0 + s.n_ff * 3.0);
    std::printf("%-13s %-5s%s %5u tokens %9.0f us %7.0f tok/s %6.1f TFLOP/s\n", s.name, traits(type).name,
                mixed ? "+Q6_K" : "     ", n, us, n / us * 1e6, 2e-6 * per_layer * s.layers * n / us);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        load_linear_kernels();
        const bool shapes = argc < 2 || std::strcmp(argv[1], "models") != 0,
                   models = argc < 2 || std::strcmp(argv[1], "shapes") != 0;
        constexpr uint32_t SHAPES[][2] = {{1536, 1536}, {8960, 1536},  {1536, 8960},
                                          {4096, 4096}, {14336, 4096}, {4096, 14336}};
        if (shapes) {
            for (const TensorType type : ALL_TYPES) {
                for (const auto& shape : SHAPES) run_shape(type, shape[0], shape[1], 512);
            }
            for (const uint32_t n : {1u, 16u, 64u, 128u, 2048u}) {
                for (const auto& shape : SHAPES) run_shape(TensorType::F16, shape[0], shape[1], n);
            }
        }
        for (const uint32_t n : models ? std::vector{512u, 2048u} : std::vector<uint32_t>{}) {
            run_model(MODELS[2], TensorType::Q4_K, true, n);
            run_model(MODELS[3], TensorType::Q4_K, true, n);
            run_model(MODELS[2], TensorType::F16, false, n);
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "prefill_matmul: %s\n", error.what());
        return 1;
    }
}
