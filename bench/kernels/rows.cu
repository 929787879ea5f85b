// Products of 1 to 64 rows with the same bits for a row however many there are: one.cu of cuda/rows/ (one row, dp4a,
// the input quantised by every block) and many.cu (8 to 64 rows, mma.m16n8k32, the input quantised by a kernel of its
// own) over one layout of weights. Checks every kernel bit by bit against the arithmetic of rows/layout.cuh as a plain
// host loop states it, times products by themselves, then whole steps as one graph with programmatic launches (no keys
// and values: attention's place has what quantises its output), whose row 0 must have the same logits in every bucket.
//
// Build: nvcc -O3 -std=c++20 -arch=sm_90a --expt-relaxed-constexpr -I native/src -I native/include -I bench/kernels
//   bench/kernels/rows.cu native/src/cuda/rows/{one,many}.cu
//   native/src/cuda/{fused_project,bandwidth,device,linear_*,repack,attention_*,rope}.cu native/src/cuda/memory.cpp
//   native/src/core/error.cpp native/src/quant/{tensor_type,half}.cpp -Xcompiler -pthread
// Run: rows [check|products|chain] [8B|1.5B]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "bench.cuh"
#include "cuda/bandwidth.h"
#include "cuda/fused_project.h"
#include "cuda/launch.cuh"
#include "cuda/rows/many.h"
#include "cuda/rows/one.h"
#include "cuda/types/q4_k.cuh"
#include "cuda/types/q6_k.cuh"

using namespace reprise;
using namespace reprise::cuda;
using bench::hash;

namespace {

// ---------------------------------------------------------------- weights

/// Any bits that make sense for the type.
__host__ __device__ QuantGroup random_group(TensorType type, uint32_t seed, uint32_t row, uint32_t group, float scale) {
    QuantGroup g;
    uint32_t* words = reinterpret_cast<uint32_t*>(&g);
    for (uint32_t i = 0; i < sizeof(QuantGroup) / 4; ++i) {
        uint32_t x = seed + i + 16 * (group + 4096 * row);
        x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu;
        words[i] = x ^ (x >> 16);
    }
    if (type == TensorType::Q4_K) g.scale &= 0x3f3f;
    if (type == TensorType::Q6_K) g.scale &= 0xffff;
    const float own = scale * (1.f + static_cast<float>(row * 7 % 16) / 16.f);
    const uint32_t d = __half_as_ushort(__float2half(own)), m = __half_as_ushort(__float2half(own * 7.5f));
    g.super = type == TensorType::Q4_K ? d | (m << 16) : d;
    return g;
}

/// A thread a block of 256 columns of a tile: smaller pieces share bytes.
template <TensorType T>
__global__ void fill(uint8_t* tiles, TileLayout layout, uint32_t seed, float scale) {
    const uint32_t block = blockIdx.y * blockDim.x + threadIdx.x;
    if (block >= layout.units / 8) return;
    for (uint32_t row = 0; row < TILE_ROWS; ++row) {
        for (uint32_t group = block * 8; group < block * 8 + 8; ++group) {
            RowsType<T>::store_group(tiles + size_t{blockIdx.x} * layout.bytes, layout, row, group,
                                     random_group(T, seed, blockIdx.x * TILE_ROWS + row, group, scale));
        }
    }
}

uint32_t next_seed = 1;
constexpr float WEIGHT_SCALE = 0.003f;
float scale_of(TensorType type) { return type == TensorType::Q4_K ? WEIGHT_SCALE / 64 : WEIGHT_SCALE / 256; }

DeviceMatrix random_matrix(TensorType type, uint32_t rows, uint32_t cols) {
    DeviceMatrix m{type, rows, cols, nullptr, device_bytes(type, rows, cols)};
    check(cudaMalloc(&m.data, m.n_bytes), "allocating weights");
    const TileLayout layout = tile_layout(type, cols);
    const dim3 grid(tile_count(rows), (layout.units / 8 + 63) / 64);
    next_seed += 7919;
    if (type == TensorType::Q4_K) {
        fill<TensorType::Q4_K><<<grid, 64>>>(m.data, layout, next_seed, scale_of(type));
    } else {
        fill<TensorType::Q6_K><<<grid, 64>>>(m.data, layout, next_seed, scale_of(type));
    }
    check(cudaGetLastError(), "filling weights");
    return m;
}

template <typename T>
T* device(size_t n) {
    T* p;
    check(cudaMalloc(&p, n * sizeof(T)), "allocating");
    check(cudaMemset(p, 0xff, n * sizeof(T)), "poisoning");
    return p;
}

// ---------------------------------------------------------------- the arithmetic, as a host loop

int quant(TensorType type, const QuantGroup& g, int k) {
    const auto* q = reinterpret_cast<const uint8_t*>(g.quants);
    const int low = q[k % 16] >> (k / 16 * 4) & 15;
    if (type == TensorType::Q4_K) return low;
    return low + 16 * static_cast<int>(g.high[k / 16] >> (k % 4 * 8 + k % 16 / 4 * 2) & 3) - 32;
}

/// q and scale of column `column` of row `row` as quantise_rows() left them.
struct Quantised {
    uint32_t bucket;
    std::vector<uint8_t> bytes;
    int q(uint32_t row, uint32_t column) const {
        const uint32_t block = column / 256, group = column % 256 / 32, k = column % 32;
        const size_t chunk = size_t{block} * RowsChunk{bucket}.bytes();
        const uint32_t word = (row / 8 * 4 + group / 2) * 32 + row % 8 * 4 + k % 16 / 4;
        return static_cast<int8_t>(bytes[chunk + word * 16 + group % 2 * 8 + k / 16 * 4 + k % 4]);
    }
    float scale(uint32_t row, uint32_t block) const {
        float s;
        std::memcpy(&s, &bytes[size_t{block} * RowsChunk{bucket}.bytes() + RowsChunk{bucket}.scales() + row * 4], 4);
        return s;
    }
};
float half_of(uint32_t bits) { return __half2float(__ushort_as_half(static_cast<unsigned short>(bits))); }

struct Reference {
    float y;
    double exact, magnitude;
};
Reference reference(TensorType type, uint32_t seed, uint32_t weight_row, uint32_t cols, const Quantised& x,
                    uint32_t row) {
    const uint32_t n_blocks = block_count(cols), n_pairs = pair_count(cols);
    std::vector<float> pairs(n_pairs);
    double exact = 0, magnitude = 0;
    for (uint32_t b = 0; b < n_blocks; ++b) {
        int64_t products = 0, minima = 0;
        uint32_t super = 0;
        for (uint32_t group = b * 8; group < b * 8 + 8; ++group) {
            const QuantGroup g = random_group(type, seed, weight_row, group, scale_of(type));
            if (group % 8 == 0) super = g.super;
            int64_t of_half[2] = {}, sum = 0;
            for (int k = 0; k < 32; ++k) {
                const int q = x.q(row, group * 32 + k);
                of_half[k / 16] += quant(type, g, k) * q;
                sum += q;
            }
            if (type == TensorType::Q4_K) {
                products += (g.scale & 0xff) * (of_half[0] + of_half[1]);
                minima += (g.scale >> 8) * sum;
            } else {
                products += static_cast<int8_t>(g.scale) * of_half[0] + static_cast<int8_t>(g.scale >> 8) * of_half[1];
            }
        }
        const float d = half_of(super & 0xffff), dmin = half_of(super >> 16), xs = x.scale(row, b);
        volatile float v = d * static_cast<float>(products);
        if (type == TensorType::Q4_K) v = std::fmaf(-dmin, static_cast<float>(minima), v);
        if (b % 2 == 0) {
            volatile float a = xs * v;
            pairs[b / 2] = a;
        } else {
            pairs[b / 2] = std::fmaf(xs, v, pairs[b / 2]);
        }
        const double block = (double{d} * static_cast<double>(products) -
                              (type == TensorType::Q4_K ? double{dmin} * static_cast<double>(minima) : 0.)) *
                             xs;
        exact += block;
        magnitude += (std::fabs(double{d} * static_cast<double>(products)) +
                      (type == TensorType::Q4_K ? std::fabs(double{dmin} * static_cast<double>(minima)) : 0.)) *
                     xs;
    }
    float y = 0;
    for (uint32_t p = 0; p < SUM_PARTS; ++p) {
        float sum = 0;
        for (uint32_t i = first_pair(n_pairs, p); i < first_pair(n_pairs, p + 1); ++i) sum += pairs[i];
        y = p == 0 ? sum : y + sum;
    }
    return {y, exact, magnitude};
}

/// Numbers of warps that can share a unit's columns.
std::vector<int> k_warps_of(uint32_t bucket) {
    if (bucket == 8) return {1, 8};
    if (bucket == 16) return {1, 4, 8};
    return bucket == 32 ? std::vector<int>{1, 8} : std::vector<int>{1, 4};
}

uint32_t bits_of(float x) {
    uint32_t u;
    std::memcpy(&u, &x, 4);
    return u;
}
int failures = 0;
void report(bool right, const char* what) {
    if (right) return;
    ++failures;
    std::printf("WRONG: %s\n", what);
}

__global__ void fill_rows(float* x, uint32_t cols, uint32_t salt) {
    for (uint32_t i = threadIdx.x; i < cols; i += blockDim.x) {
        const uint32_t h = hash(blockIdx.x * 65537u + i * 3u + salt);
        x[size_t{blockIdx.x} * cols + i] = (static_cast<float>(h % 4001) - 2000.f) * 1e-3f * (h % 97 == 0 ? 8.f : 1.f);
    }
}
__global__ void to_bf16(const float* x, __nv_bfloat16* out, uint32_t n) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = __float2bfloat16_rn(x[i]);
}

SlotTurns slots;
bool turn() {
    static bool large = false;
    return large = !large;
}

/// One product in every bucket, with and without norm, bias, residual, from both kinds of input.
void check_product(TensorType type, TensorType other, uint32_t rows, uint32_t cols, cudaStream_t stream) {
    constexpr uint32_t MOST = 64;
    const uint32_t seed = next_seed + 7919;
    const DeviceMatrix a = random_matrix(type, rows, cols), b = random_matrix(other, rows, cols);
    float *x = device<float>(MOST * cols), *norm = device<float>(cols), *bias = device<float>(rows),
          *residual = device<float>(MOST * rows), *squares = device<float>(MOST * block_count(cols));
    auto* narrow = device<__nv_bfloat16>(MOST * cols);
    auto* chunks = device<uint8_t>(block_count(cols) * RowsChunk{MOST}.bytes());
    fill_rows<<<MOST, 256>>>(x, cols, 1);
    fill_rows<<<1, 256>>>(norm, cols, 2);
    fill_rows<<<1, 256>>>(bias, rows, 3);
    fill_rows<<<MOST, 256>>>(residual, rows, 4);
    to_bf16<<<(MOST * cols + 255) / 256, 256>>>(x, narrow, MOST * cols);
    check(cudaDeviceSynchronize(), "filling");
    size_t wrong_one = 0, wrong_many = 0, wrong_reference = 0, compared = 0;
    double worst = 0;
    for (int kind = 0; kind < 4; ++kind) {  // float32; bfloat16; norm, bias, residual; two parts beside each other
        const bool bf16 = kind == 1, full = kind == 2;
        const uint32_t n_parts = kind == 3 ? 2 : 1, stride = rows * n_parts;
        std::vector<float> one(MOST * stride), many(MOST * stride);
        float* out = device<float>(MOST * stride);
        for (uint32_t row = 0; row < MOST; ++row) {
            const FusedInput input = {bf16 ? static_cast<const void*>(narrow + row * cols) : x + row * cols,
                                      full ? norm : nullptr, 1e-5f, bf16};
            std::vector<MatvecPart> parts = {
                {&a, out + row * stride, full ? bias : nullptr, full ? residual + row * rows : nullptr}};
            if (n_parts == 2) parts.push_back({&b, out + row * stride + rows});
            rows::fused_project(parts, input, {}, slots.next(), stream);
        }
        check(cudaStreamSynchronize(stream), "one row");
        check(cudaMemcpy(one.data(), out, one.size() * 4, cudaMemcpyDeviceToHost), "reading");
        for (const uint32_t bucket : rows::ROW_BUCKETS) {
            for (const int k_warps : k_warps_of(bucket)) {
                const uint32_t n_rows = bucket == 16 ? 13 : bucket;
                check(cudaMemset(out, 0xff, one.size() * 4), "poisoning");
                rows::quantise_rows({bf16 ? static_cast<const void*>(narrow) : x, cols, bf16, full ? norm : nullptr},
                                    cols, bucket, n_rows, chunks, squares, stream);
                std::vector<rows::RowsPart> parts = {
                    {&a, out, stride, full ? bias : nullptr, full ? residual : nullptr}};
                if (n_parts == 2) parts.push_back({&b, out + rows, stride});
                rows::project_rows(parts, {chunks, full ? squares : nullptr, 1e-5f}, bucket, n_rows, {k_warps, turn()},
                                   stream);
                check(cudaStreamSynchronize(stream), "many rows");
                check(cudaMemcpy(many.data(), out, many.size() * 4, cudaMemcpyDeviceToHost), "reading");
                for (size_t i = 0; i < size_t{n_rows} * stride; ++i) wrong_many += bits_of(one[i]) != bits_of(many[i]);
                for (size_t i = size_t{n_rows} * stride; i < many.size(); ++i)
                    wrong_many += bits_of(many[i]) != 0xffffffffu;
                compared += size_t{n_rows} * stride;
                if (bucket == 64 && k_warps == 1 && !full) {
                    Quantised q{bucket, std::vector<uint8_t>(block_count(cols) * RowsChunk{bucket}.bytes())};
                    check(cudaMemcpy(q.bytes.data(), chunks, q.bytes.size(), cudaMemcpyDeviceToHost), "reading");
                    for (uint32_t i = 0; i < 400; ++i) {
                        const uint32_t row = hash(i) % MOST, column = i < 40 ? rows - 1 - i % rows : hash(i + 7) % rows;
                        const Reference r = reference(type, seed, column, cols, q, row);
                        wrong_reference += bits_of(r.y) != bits_of(many[row * stride + column]);
                        wrong_one += bits_of(r.y) != bits_of(one[row * stride + column]);
                        worst = std::max(worst, std::fabs(r.y - r.exact) / r.magnitude);
                    }
                }
            }
        }
        cudaFree(out);
    }
    // Gated feed-forward, of Q4_K.
    size_t wrong_gated = 0;
    if (type == TensorType::Q4_K && other == type) {
        auto* out = device<__nv_bfloat16>(MOST * rows);
        std::vector<uint16_t> one(MOST * rows), many(MOST * rows);
        for (uint32_t row = 0; row < MOST; ++row)
            rows::fused_gated_feed_forward(a, b, {x + row * cols, norm, 1e-5f}, out + row * rows, slots.next(), stream);
        check(cudaStreamSynchronize(stream), "one row");
        check(cudaMemcpy(one.data(), out, one.size() * 2, cudaMemcpyDeviceToHost), "reading");
        for (const uint32_t bucket : rows::ROW_BUCKETS) {
            for (const int k_warps : k_warps_of(bucket)) {
                check(cudaMemset(out, 0xff, one.size() * 2), "poisoning");
                rows::quantise_rows({x, cols, false, norm}, cols, bucket, bucket, chunks, squares, stream);
                const rows::RowsPart parts[] = {{&a, out, rows}, {&b, out, rows}};
                rows::gated_rows(parts, {chunks, squares, 1e-5f}, bucket, bucket, {k_warps, turn()}, stream);
                check(cudaStreamSynchronize(stream), "many rows");
                check(cudaMemcpy(many.data(), out, many.size() * 2, cudaMemcpyDeviceToHost), "reading");
                for (size_t i = 0; i < size_t{bucket} * rows; ++i) wrong_gated += one[i] != many[i];
                compared += size_t{bucket} * rows;
            }
        }
        cudaFree(out);
    }
    std::printf(
        "check %-5s %6u x %5u: %zu values compared; differ from the host loop: one row %zu, many %zu; many from "
        "one %zu, gated %zu; against double %.1e %s\n",
        traits(type).name, rows, cols, compared, wrong_one, wrong_reference, wrong_many, wrong_gated, worst,
        wrong_one + wrong_many + wrong_reference + wrong_gated == 0 && worst < 1e-6 ? "ok" : "WRONG");
    report(wrong_one + wrong_many + wrong_reference + wrong_gated == 0 && worst < 1e-6, "a product");
    std::fflush(stdout);
    for (void* p : {(void*)a.data, (void*)b.data, (void*)x, (void*)norm, (void*)bias, (void*)residual, (void*)squares,
                    (void*)narrow, (void*)chunks})
        cudaFree(p);
}

// ---------------------------------------------------------------- whole steps

struct Shape {
    const char* name;
    uint32_t layers, embd, kv, ff, vocab;
};
struct Layer {
    DeviceMatrix q, k, v, o, gate, up, down;
};
struct Timed {
    double us;
    uint64_t row0;
};

template <class Body>
double microseconds(cudaStream_t stream, int repeats, Body body) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
    body();
    check(cudaStreamEndCapture(stream, &graph), "capturing");
    check(cudaGraphInstantiate(&exec, graph, 0), "instantiating");
    cudaEvent_t start, stop;
    cudaEventCreate(&start);
    cudaEventCreate(&stop);
    std::vector<float> times;
    for (int i = 0; i < 2; ++i) check(cudaGraphLaunch(exec, stream), "replaying");
    for (int i = 0; i < 5; ++i) {
        cudaEventRecord(start, stream);
        for (int r = 0; r < repeats; ++r) check(cudaGraphLaunch(exec, stream), "replaying");
        cudaEventRecord(stop, stream);
        check(cudaStreamSynchronize(stream), "replaying");
        float ms;
        cudaEventElapsedTime(&ms, start, stop);
        times.push_back(ms * 1e3f / repeats);
    }
    std::sort(times.begin(), times.end());
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    return times[times.size() / 2];
}

void time_model(const Shape& s, double bandwidth, cudaStream_t stream) {
    using T = TensorType;
    constexpr uint32_t MOST = 64;
    std::vector<Layer> layers(s.layers);
    double bytes = 0;
    for (uint32_t i = 0; i < s.layers; ++i) {
        Layer& l = layers[i];
        l.q = random_matrix(T::Q4_K, s.embd, s.embd);
        l.k = random_matrix(T::Q4_K, s.kv, s.embd);
        l.v = random_matrix(i % 2 ? T::Q4_K : T::Q6_K, s.kv, s.embd);
        l.o = random_matrix(T::Q4_K, s.embd, s.embd);
        l.gate = random_matrix(T::Q4_K, s.ff, s.embd);
        l.up = random_matrix(T::Q4_K, s.ff, s.embd);
        l.down = random_matrix(i % 2 ? T::Q4_K : T::Q6_K, s.embd, s.ff);
        for (const DeviceMatrix* m : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down})
            bytes += static_cast<double>(m->n_bytes);
    }
    const DeviceMatrix head = random_matrix(T::Q6_K, s.vocab, s.embd);
    bytes += static_cast<double>(head.n_bytes);
    const uint32_t qkv_rows = s.embd + 2 * s.kv;
    float *x = device<float>(MOST * s.embd), *qkv = device<float>(MOST * qkv_rows), *norm = device<float>(s.embd),
          *logits = device<float>(size_t{MOST} * s.vocab), *squares = device<float>(MOST * block_count(s.embd));
    auto* ff = device<__nv_bfloat16>(MOST * s.ff);
    auto* chunks = device<uint8_t>(block_count(s.ff) * RowsChunk{MOST}.bytes());
    fill_rows<<<1, 256>>>(norm, s.embd, 9);
    check(cudaDeviceSynchronize(), "filling");
    const auto n_sms = static_cast<uint32_t>(device_traits().n_sms);

    const auto row0 = [&] {
        std::vector<uint32_t> words(s.vocab);
        check(cudaMemcpy(words.data(), logits, words.size() * 4, cudaMemcpyDeviceToHost), "reading");
        uint64_t h = 1469598103934665603ull;
        size_t bad = 0;
        for (const uint32_t w : words) h = (h ^ w) * 1099511628211ull, bad += (w >> 23 & 255) == 255;
        report(bad == 0, "logits that are not finite");
        return h;
    };
    struct Bound {
        rows::RowsTuning qkv, output, gated, down, head;
    };
    const auto step_of = [&](uint32_t bucket, const Bound& tuning) {
        const auto with = [&](rows::RowsTuning t) { return t.large = turn(), t; };
        fill_rows<<<bucket, 256, 0, stream>>>(x, s.embd, 77);
        const auto normed = [&] {
            rows::quantise_rows({x, s.embd, false, norm}, s.embd, bucket, bucket, chunks, squares, stream);
        };
        const rows::RowsInput with_norm{chunks, squares, 1e-5f}, plain{chunks, nullptr, 0};
        for (const Layer& l : layers) {
            normed();
            const rows::RowsPart in[] = {
                {&l.q, qkv, qkv_rows}, {&l.k, qkv + s.embd, qkv_rows}, {&l.v, qkv + s.embd + s.kv, qkv_rows}};
            rows::project_rows(in, with_norm, bucket, bucket, with(tuning.qkv), stream);
            rows::quantise_rows({qkv, qkv_rows, false, nullptr}, s.embd, bucket, bucket, chunks, nullptr, stream);
            const rows::RowsPart out[] = {{&l.o, x, s.embd, nullptr, x}};
            rows::project_rows(out, plain, bucket, bucket, with(tuning.output), stream);
            normed();
            const rows::RowsPart gated[] = {{&l.gate, ff, s.ff}, {&l.up, ff, s.ff}};
            rows::gated_rows(gated, with_norm, bucket, bucket, with(tuning.gated), stream);
            rows::quantise_rows({ff, s.ff, true, nullptr}, s.ff, bucket, bucket, chunks, nullptr, stream);
            const rows::RowsPart down[] = {{&l.down, x, s.embd, nullptr, x}};
            rows::project_rows(down, plain, bucket, bucket, with(tuning.down), stream);
        }
        normed();
        const rows::RowsPart last[] = {{&head, logits, s.vocab}};
        rows::project_rows(last, with_norm, bucket, bucket, with(tuning.head), stream);
    };
    // One row: the present kernels (whatever the bytes mean to them) and rows/one.cu.
    const auto one_step = [&](auto project, auto gated, bool prefetches) {
        fill_rows<<<1, 256, 0, stream>>>(x, s.embd, 77);
        for (const Layer& l : layers) {
            const MatvecPart in[] = {{&l.q, qkv}, {&l.k, qkv + s.embd}, {&l.v, qkv + s.embd + s.kv}};
            project(std::span<const MatvecPart>(in), FusedInput{x, norm, 1e-5f}, WeightPrefetch{});
            const MatvecPart out[] = {{&l.o, x, nullptr, x}};
            project(std::span<const MatvecPart>(out), FusedInput{qkv},
                    prefetches ? project_prefetch(l.down, l.gate.n_bytes + l.up.n_bytes, n_sms) : WeightPrefetch{});
            gated(l.gate, l.up, FusedInput{x, norm, 1e-5f});
            const MatvecPart down[] = {{&l.down, x, nullptr, x}};
            project(std::span<const MatvecPart>(down), FusedInput{ff, nullptr, 0, true}, WeightPrefetch{});
        }
        const MatvecPart last[] = {{&head, logits}};
        project(std::span<const MatvecPart>(last), FusedInput{x, norm, 1e-5f}, WeightPrefetch{});
    };
    const auto print = [&](const char* what, uint32_t n, double us, uint64_t h) {
        std::printf("%-14s %2u rows, %-22s %8.1f us/step %7.0f tokens/s, %5.0f GB/s = %4.1f %% | row 0 %016llx\n",
                    s.name, n, what, us, n * 1e6 / us, bytes / us * 1e-3, bytes / us * 1e8 / bandwidth,
                    (unsigned long long)h);
        std::fflush(stdout);
    };
    const int repeats = s.embd > 2000 ? 5 : 15;
    const double now = microseconds(stream, repeats, [&] {
        one_step(
            [&](auto parts, auto input, auto prefetch) { fused_project(parts, input, prefetch, slots.next(), stream); },
            [&](const auto& g, const auto& u, auto input) {
                fused_gated_feed_forward(g, u, input, ff, slots.next(), stream);
            },
            true);
    });
    print("present kernels", 1, now, 0);
    const auto one = [&] {
        one_step([&](auto parts, auto input,
                     auto prefetch) { rows::fused_project(parts, input, prefetch, slots.next(), stream); },
                 [&](const auto& g, const auto& u, auto input) {
                     rows::fused_gated_feed_forward(g, u, input, ff, slots.next(), stream);
                 },
                 true);
    };
    const double us_one = microseconds(stream, repeats, one);
    const uint64_t expected = row0();
    print("one row", 1, us_one, expected);
    const auto alone = [&](const char* name, auto project, auto gated) {
        const auto each = [&](auto body) {
            return microseconds(stream, 10,
                                [&] {
                                    for (const Layer& l : layers) body(l);
                                }) /
                   s.layers;
        };
        std::printf(
            "    %s alone: q k v %.2f output %.2f gated %.2f down %.2f head %.1f\n", name, each([&](const Layer& l) {
                const MatvecPart in[] = {{&l.q, qkv}, {&l.k, qkv + s.embd}, {&l.v, qkv + s.embd + s.kv}};
                project(std::span<const MatvecPart>(in), FusedInput{x, norm, 1e-5f});
            }),
            each([&](const Layer& l) {
                const MatvecPart out[] = {{&l.o, x, nullptr, x}};
                project(std::span<const MatvecPart>(out), FusedInput{qkv});
            }),
            each([&](const Layer& l) { gated(l.gate, l.up, FusedInput{x, norm, 1e-5f}); }), each([&](const Layer& l) {
                const MatvecPart down[] = {{&l.down, x, nullptr, x}};
                project(std::span<const MatvecPart>(down), FusedInput{ff, nullptr, 0, true});
            }),
            microseconds(stream, 10, [&] {
                const MatvecPart last[] = {{&head, logits}};
                project(std::span<const MatvecPart>(last), FusedInput{x, norm, 1e-5f});
            }));
    };
    alone(
        "present kernels", [&](auto parts, auto input) { fused_project(parts, input, {}, slots.next(), stream); },
        [&](const auto& g, const auto& u, auto input) {
            fused_gated_feed_forward(g, u, input, ff, slots.next(), stream);
        });
    alone(
        "one row", [&](auto parts, auto input) { rows::fused_project(parts, input, {}, slots.next(), stream); },
        [&](const auto& g, const auto& u, auto input) {
            rows::fused_gated_feed_forward(g, u, input, ff, slots.next(), stream);
        });
    for (const uint32_t bucket : rows::ROW_BUCKETS) {
        for (const int few : k_warps_of(bucket)) {
            if (few == 1) continue;
            for (const int many : {1, few}) {
                const Bound tuning{{few}, {few}, {many}, {few}, {many}};
                check(cudaMemset(logits, 0xff, size_t{MOST} * s.vocab * 4), "poisoning");
                const double us = microseconds(stream, repeats, [&] { step_of(bucket, tuning); });
                const uint64_t h = row0();
                char name[64];
                std::snprintf(name, sizeof name, "K warps %d, gated %d", few, many);
                print(name, bucket, us, h);
                report(h == expected, "row 0 differs from one row alone");
            }
        }
        // Parts by themselves, in a row.
        const rows::RowsInput with_norm{chunks, squares, 1e-5f}, plain{chunks, nullptr, 0};
        const auto each = [&](auto body) {
            return microseconds(stream, 3,
                                [&] {
                                    for (const Layer& l : layers) body(l);
                                }) /
                   s.layers;
        };
        std::printf("    alone: quantise %.2f / ff %.2f |", each([&](const Layer&) {
                        rows::quantise_rows({x, s.embd, false, norm}, s.embd, bucket, bucket, chunks, squares, stream);
                    }),
                    each([&](const Layer&) {
                        rows::quantise_rows({ff, s.ff, true, nullptr}, s.ff, bucket, bucket, chunks, nullptr, stream);
                    }));
        for (const int k : k_warps_of(bucket)) {
            const auto tuned = [&] { return rows::RowsTuning{k, turn()}; };
            std::printf(" %d: q k v %.2f output %.2f gated %.2f down %.2f head %.1f |", k, each([&](const Layer& l) {
                            const rows::RowsPart in[] = {{&l.q, qkv, qkv_rows},
                                                         {&l.k, qkv + s.embd, qkv_rows},
                                                         {&l.v, qkv + s.embd + s.kv, qkv_rows}};
                            rows::project_rows(in, with_norm, bucket, bucket, tuned(), stream);
                        }),
                        each([&](const Layer& l) {
                            const rows::RowsPart out[] = {{&l.o, x, s.embd, nullptr, x}};
                            rows::project_rows(out, plain, bucket, bucket, tuned(), stream);
                        }),
                        each([&](const Layer& l) {
                            const rows::RowsPart gated[] = {{&l.gate, ff, s.ff}, {&l.up, ff, s.ff}};
                            rows::gated_rows(gated, with_norm, bucket, bucket, tuned(), stream);
                        }),
                        each([&](const Layer& l) {
                            const rows::RowsPart down[] = {{&l.down, x, s.embd, nullptr, x}};
                            rows::project_rows(down, plain, bucket, bucket, tuned(), stream);
                        }),
                        microseconds(stream, 3, [&] {
                            const rows::RowsPart last[] = {{&head, logits, s.vocab}};
                            rows::project_rows(last, with_norm, bucket, bucket, tuned(), stream);
                        }));
        }
        std::printf("\n");
    }
    for (const Layer& l : layers) {
        for (const DeviceMatrix* m : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) cudaFree(m->data);
    }
    for (void* p :
         {(void*)head.data, (void*)x, (void*)qkv, (void*)norm, (void*)logits, (void*)squares, (void*)ff, (void*)chunks})
        cudaFree(p);
}

}  // namespace

int main(int argc, char** argv) {
    load_fused_kernels();
    rows::load_fused_kernels();
    rows::load_rows_kernels();
    cudaStream_t stream;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
    const char* what = argc > 1 ? argv[1] : "all";
    using T = TensorType;
    if (std::strcmp(what, "chain") != 0) {
        check_product(T::Q4_K, T::Q4_K, 1536, 1536, stream);
        check_product(T::Q6_K, T::Q4_K, 256, 1536, stream);
        check_product(T::Q4_K, T::Q6_K, 301, 8960, stream);
        check_product(T::Q4_K, T::Q4_K, 4096, 4096, stream);
        check_product(T::Q6_K, T::Q6_K, 700, 14336, stream);
        check_product(T::Q4_K, T::Q4_K, 7, 256, stream);
        check_product(T::Q6_K, T::Q4_K, 20, 1280, stream);
    }
    const double bandwidth = measure_read_bandwidth(0);
    const Shape shapes[] = {{"1.5B Q4_K_M", 28, 1536, 256, 8960, 151936}, {"8B Q4_K_M", 32, 4096, 1024, 14336, 128256}};
    if (std::strcmp(what, "check") != 0) {
        for (const Shape& s : shapes) {
            if (argc > 2 && std::strstr(s.name, argv[2]) == nullptr) continue;
            time_model(s, bandwidth, stream);
        }
    }
    std::printf(failures ? "%d failures\n" : "all right\n", failures);
    return failures != 0;
}
