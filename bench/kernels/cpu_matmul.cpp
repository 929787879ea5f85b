// Times the CPU products of every weight type: decode (one column, weights from memory) in GB/s of weights, prefill
// (512 columns) in GFLOP/s, and attention. `cpu_matmul [THREADS] [ISA]`; the shapes are those of a 135M and a 1.5B
// model.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/thread_pool.h"

namespace {

using namespace reprise;
using namespace reprise::cpu;

constexpr size_t kWeightBytes = 256 << 20;  // more than any cache, so that decode reads memory

/// Seconds of the fastest of several runs.
template <class Body>
double best_seconds(ThreadPool& pool, const Body& body) {
    double best = 1e9, total = 0;
    for (int i = 0; i < 3 || (total < 0.2 && i < 1000); ++i) {
        const auto start = std::chrono::steady_clock::now();
        pool.run(body);
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        best = std::min(best, seconds);
        total += seconds;
    }
    return best;
}

struct Bench {
    const Kernels& kernels;
    ThreadPool& pool;
    std::vector<uint8_t> weights;

    /// One column, n_matrices different matrices in turn.
    void decode(TensorType type, size_t n_rows, size_t k, bool cached) {
        const size_t matrix = n_rows * row_bytes(type, k);
        const size_t n_matrices = cached ? 1 : std::max<size_t>(kWeightBytes / matrix, 1);
        const std::vector<float> x(k, 0.5f);
        std::vector<uint8_t> prepared(kernels.activation_bytes(type, k));
        std::vector<float> out(n_rows);
        kernels.prepare(type, x.data(), k, prepared.data());
        const size_t repeats = cached ? std::max<size_t>((16 << 20) / matrix, 1) : n_matrices;
        const double seconds = best_seconds(pool, [&](size_t thread) {
            const size_t begin = n_rows * thread / pool.size() / 16 * 16;
            const size_t end = thread + 1 == pool.size() ? n_rows : n_rows * (thread + 1) / pool.size() / 16 * 16;
            for (size_t m = 0; m < repeats; ++m) {
                kernels.matmul(type, &weights[cached ? 0 : m * matrix], k, begin, end, prepared.data(), prepared.size(),
                               1, out.data(), n_rows);
            }
        });
        std::printf("  %s %6.1f GB/s", cached ? "cached" : "decode",
                    static_cast<double>(repeats * matrix) / seconds * 1e-9);
    }

    void prefill(TensorType type, size_t n_rows, size_t k, size_t n_cols) {
        std::mt19937 random(1);
        std::normal_distribution<float> normal;
        std::vector<float> x(k);
        const size_t stride = kernels.activation_bytes(type, k);
        std::vector<uint8_t> prepared(n_cols * stride);
        std::vector<float> out(n_rows * n_cols);
        for (size_t c = 0; c < n_cols; ++c) {
            for (float& v : x) v = normal(random);
            kernels.prepare(type, x.data(), k, &prepared[c * stride]);
        }
        const double seconds = best_seconds(pool, [&](size_t thread) {
            const size_t begin = n_rows * thread / pool.size() / 16 * 16;
            const size_t end = thread + 1 == pool.size() ? n_rows : n_rows * (thread + 1) / pool.size() / 16 * 16;
            kernels.matmul(type, weights.data(), k, begin, end, prepared.data(), stride, n_cols, out.data(), n_rows);
        });
        std::printf("  x%-3zu %7.1f GFLOP/s", n_cols, 2e-9 * static_cast<double>(n_rows * k * n_cols) / seconds);
    }

    void attention(size_t head_dim, size_t group, size_t n_tokens, size_t before) {
        std::vector<float> q(n_tokens * group * head_dim, 0.1f), out(q.size());
        std::vector<uint16_t> kv((before + n_tokens) * head_dim, 0x3000);
        std::vector<uint32_t> n_keys;
        double pairs = 0;
        for (size_t t = 0; t < n_tokens; ++t) {
            n_keys.insert(n_keys.end(), group, static_cast<uint32_t>(before + t + 1));
            pairs += static_cast<double>(group * (before + t + 1));
        }
        std::vector<const uint8_t*> blocks;
        for (size_t at = 0; at < kv.size(); at += KV_BLOCK * head_dim)
            blocks.push_back(reinterpret_cast<const uint8_t*>(&kv[at]));
        const double seconds = best_seconds(pool, [&](size_t thread) {
            if (thread != 0) return;
            AttentionArgs args{};
            args.q = q.data(), args.q_stride = head_dim;
            args.blocks = blocks.data();
            args.k_stride = args.v_stride = 2 * head_dim;
            args.kv_type = TensorType::F16;
            args.n_keys = n_keys.data(), args.n_rows = n_keys.size();
            args.head_dim = args.value_dim = head_dim;
            args.scale = 0.125f;
            args.out = out.data(), args.out_stride = head_dim;
            kernels.attention(args);
        });
        std::printf(
            "attention, one thread, head_dim %3zu, group %zu, %3zu tokens after %4zu: %8.1f us, %6.1f GFLOP/s\n",
            head_dim, group, n_tokens, before, seconds * 1e6, 4e-9 * pairs * head_dim / seconds);
    }

    void vectors(size_t n) {
        std::vector<float> a(n, 1.5f), b(n, 0.5f), out(n);
        std::vector<uint8_t> prepared(kernels.activation_bytes(TensorType::Q8_0, n));
        const auto time = [&](const char* name, const auto& body) {
            const double seconds = best_seconds(pool, [&](size_t thread) {
                if (thread != 0) return;
                for (int i = 0; i < 1000; ++i) body();
            });
            std::printf("%s of %zu: %.3f us  ", name, n, seconds * 1e3);
        };
        time("rms_norm", [&] { kernels.rms_norm(a.data(), b.data(), 1e-5f, n, out.data()); });
        time("swiglu", [&] { kernels.swiglu(a.data(), b.data(), n, out.data()); });
        time("quantise", [&] { kernels.prepare(TensorType::Q8_0, a.data(), n, prepared.data()); });
        std::printf("\n");
    }
};

int run(size_t n_threads, const std::string& isa) {
    const Kernels* kernels = &reprise::cpu::kernels();
    for (const IsaEntry& set : instruction_sets()) {
        if (set.available && isa == set.kernels->name) kernels = set.kernels;
    }
    if (isa == "exact") kernels = &exact_kernels();
    ThreadPool pool(n_threads);
    std::printf("%s, %zu threads\n", kernels->name, pool.size());
    Bench bench{*kernels, pool, std::vector<uint8_t>(kWeightBytes + (64 << 20))};
    // Small half factors everywhere: 0x1515 is 0.00124, and every nibble, bit and byte is an ordinary quant.
    std::fill(bench.weights.begin(), bench.weights.end(), uint8_t{0x15});
    for (const TensorType type :
         {TensorType::Q4_0, TensorType::Q4_1, TensorType::Q8_0, TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K,
          TensorType::F16, TensorType::BF16, TensorType::F32}) {
        for (const auto& [n_rows, k] : {std::pair<size_t, size_t>{1536, 576}, {576, 1536}, {8960, 1536}}) {
            if (k % traits(type).block_size != 0) continue;
            std::printf("%-5s %5zu x %4zu", traits(type).name, n_rows, k);
            bench.decode(type, n_rows, k, false);
            bench.decode(type, n_rows, k, true);
            if (n_rows < 4096) {
                bench.prefill(type, n_rows, k, 4);
                bench.prefill(type, n_rows, k, 512);
            }
            std::printf("\n");
        }
    }
    bench.attention(64, 3, 1, 511);
    bench.attention(64, 3, 1, 3583);
    bench.attention(64, 3, 512, 0);
    bench.attention(128, 4, 128, 1024);
    bench.vectors(576);
    bench.vectors(1536);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    return run(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : available_threads(), argc > 2 ? argv[2] : "");
}
