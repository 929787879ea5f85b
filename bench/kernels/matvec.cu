// One token's products: time and bandwidth per type and shape, and of all products of a model in decode order (no
// attention, no sampling). Weights rotate through more memory than the L2 cache holds.
//
//   nvcc -O3 -std=c++20 -arch=sm_90 --expt-relaxed-constexpr -I native/src -I native/include bench/kernels/matvec.cu
//        native/src/cuda/{repack,linear_input,linear_matvec,linear_matmul,bandwidth,device}.cu
//        native/src/cuda/memory.cpp native/src/quant/*.cpp native/src/core/error.cpp -Xcompiler -pthread
#include <cstring>

#include "cuda/bandwidth.h"
#include "linear_bench.cuh"

using namespace reprise;
using namespace reprise::cuda;
using namespace reprise::cuda::bench;

namespace {

void run_shape(TensorType type, uint32_t rows, uint32_t cols) {
    const size_t bytes = device_bytes(type, rows, cols);
    const size_t copies = std::clamp<size_t>((size_t{400} << 20) / bytes, 2, 64);
    std::vector<std::unique_ptr<Matrix>> matrices;
    for (size_t i = 0; i < copies; ++i) matrices.push_back(std::make_unique<Matrix>(type, rows, cols));
    const std::vector<float> x = normals(cols, 1);
    const Buffer<float> device_x(x), out(rows);
    const Inputs inputs(1, cols);
    const Activations form = inputs.form(matvec_input(type));
    prepare(device_x.data, cols, 1, cols, form, nullptr);
    const double us = time_graph([&](cudaStream_t stream) {
                          for (const auto& m : matrices) {
                              const MatvecPart part = {&m->matrix, out.data};
                              matvec(std::span(&part, 1), form, stream);
                          }
                      }) /
                      static_cast<double>(copies);
    const double error = band_error(*matrices[0], x, out.download().data(), rows);
    std::printf("%-5s %6u x %5u  %8.2f us  %6.0f GB/s  error %.1e%s\n", traits(type).name, rows, cols, us,
                static_cast<double>(bytes) / us * 1e-3, error, error < 5e-2 ? "" : "  WRONG");
    std::fflush(stdout);
}

void run_model(const ModelShape& s, TensorType type, bool mixed, double bandwidth) {
    const Model model(s, type, mixed);
    const Buffer<float> norm(std::vector<float>(s.n_embd, 1.f)), x(normals(s.n_embd, 2)), qkv(s.q_dim + 2 * s.kv_dim);
    const Buffer<float> ff(2 * s.n_ff), logits(s.n_vocab);
    const Inputs embd(1, s.n_embd), att(1, s.q_dim), hidden(1, s.n_ff);
    const InputForm form = matvec_input(type);
    uint32_t launches = 0;
    const double us = time_graph([&](cudaStream_t stream) {
        launches = 0;
        const auto products = [&](std::initializer_list<MatvecPart> parts, const Inputs& in) {
            matvec({parts.begin(), parts.size()}, in.form(form), stream);
            launches += matvec_launches({parts.begin(), parts.size()}) + 1;
        };
        for (const Model::Layer& l : model.layers) {
            rms_norm(x.data, norm.data, 1e-6f, 1, s.n_embd, embd.form(form), stream);
            products({{&l.q->matrix, qkv.data},
                      {&l.k->matrix, qkv.data + s.q_dim},
                      {&l.v->matrix, qkv.data + s.q_dim + s.kv_dim}},
                     embd);
            prepare(qkv.data, s.q_dim, 1, s.q_dim, att.form(form), stream);
            products({{&l.o->matrix, x.data, nullptr, x.data}}, att);
            rms_norm(x.data, norm.data, 1e-6f, 1, s.n_embd, embd.form(form), stream);
            products({{&l.gate->matrix, ff.data}, {&l.up->matrix, ff.data + s.n_ff}}, embd);
            swiglu(ff.data, ff.data + s.n_ff, 0, 1, s.n_ff, hidden.form(form), stream);
            products({{&l.down->matrix, x.data, nullptr, x.data}}, hidden);
        }
        rms_norm(x.data, norm.data, 1e-6f, 1, s.n_embd, embd.form(form), stream);
        products({{&model.head->matrix, logits.data}}, embd);
    });
    std::printf(
        "%-13s %-5s%s %6.2f GB %8.1f us %6.0f tok/s %5.0f GB/s, %u kernels, %.2f us each above the time to read the "
        "weights\n",
        s.name, traits(type).name, mixed ? "+Q6_K" : "     ", model.n_bytes * 1e-9, us, 1e6 / us,
        model.n_bytes / us * 1e-3, launches, (us - model.n_bytes / bandwidth * 1e6) / launches);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        load_linear_kernels();
        const bool shapes = argc < 2 || std::strcmp(argv[1], "models") != 0,
                   models = argc < 2 || std::strcmp(argv[1], "shapes") != 0;
        if (shapes) {
            constexpr uint32_t SHAPES[][2] = {{2048, 1536}, {1536, 1536}, {17920, 1536}, {1536, 8960},  {151936, 1536},
                                              {6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}, {128256, 4096}};
            for (const TensorType type : ALL_TYPES) {
                for (const auto& shape : SHAPES) run_shape(type, shape[0], shape[1]);
            }
        }
        if (models) {
            const double bandwidth = measure_read_bandwidth(0);
            run_model(MODELS[2], TensorType::Q4_K, true, bandwidth);
            run_model(MODELS[3], TensorType::Q4_K, true, bandwidth);
            run_model(MODELS[1], TensorType::Q4_K, true, bandwidth);
            run_model(MODELS[0], TensorType::Q8_0, false, bandwidth);
            run_model(MODELS[2], TensorType::Q8_0, false, bandwidth);
            run_model(MODELS[2], TensorType::F16, false, bandwidth);
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "matvec: %s\n", error.what());
        return 1;
    }
}
