// The decode step's fused kernels on random weights of real models' shapes: checked against the unfused products, then
// timed as one captured graph per token, with attention over a context of the given length (argument 2).
//
// Build: nvcc -O3 -std=c++20 -arch=sm_90 --expt-relaxed-constexpr -I native/src -I native/include
//   bench/kernels/decode_chain.cu native/src/cuda/{fused_project,linear_*,repack,attention_*,rope,bandwidth,device}.cu
//   native/src/cuda/memory.cpp native/src/core/error.cpp native/src/quant/{tensor_type,half}.cpp -Xcompiler -pthread
// With -DREPRISE_TIMELINE -rdc=true it also prints when the kernels of a step pass their points.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench.cuh"
#include "cuda/attention.h"
#include "cuda/bandwidth.h"
#include "cuda/fused_project.h"
#include "cuda/kv_layout.h"
#include "cuda/launch.cuh"
#include "cuda/quant_layout.cuh"

using namespace reprise;
using namespace reprise::cuda;
using bench::hash;

#ifdef REPRISE_TIMELINE
namespace reprise::cuda {
__device__ TimelineRecord* timeline;
__device__ uint32_t timeline_counts[TIMELINE_BLOCKS];
}  // namespace reprise::cuda
#endif

namespace {

template <TensorType T>
__global__ void fill_quantized(uint8_t* tiles, TileLayout layout, uint32_t rows, uint32_t seed, float scale) {
    const uint32_t row = blockIdx.x, group = threadIdx.x + blockIdx.y * blockDim.x;
    if (group >= layout.units) return;
    QuantGroup g;
    uint32_t* words = reinterpret_cast<uint32_t*>(&g);
    for (uint32_t i = 0; i < sizeof(QuantGroup) / 4; ++i) words[i] = hash(seed + i + 16 * (group + layout.units * row));
    const uint32_t d = __half_as_ushort(__float2half(scale)), m = __half_as_ushort(__float2half(scale * 4));
    if (T == TensorType::Q4_0 || T == TensorType::Q8_0) g.scale = d;
    if (T == TensorType::Q4_1) g.scale = d | (m << 16);
    if (T == TensorType::Q4_K || T == TensorType::Q5_K) g.scale &= 0x3f3f;
    g.super = d | (m << 16);
    store_group<T>(tiles + size_t{row / TILE_ROWS} * layout.bytes, layout, row % TILE_ROWS, group, g);
}
__global__ void fill_half(__half* data, size_t n, uint32_t seed) {
    for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < n; i += size_t{gridDim.x} * blockDim.x) {
        data[i] = __float2half((static_cast<float>(hash(seed + static_cast<uint32_t>(i)) % 2001) - 1000.f) * 2e-5f);
    }
}
__global__ void fill_float(float* data, size_t n, uint32_t seed, float scale, float offset) {
    for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < n; i += size_t{gridDim.x} * blockDim.x) {
        data[i] = offset + scale * (static_cast<float>(hash(seed + static_cast<uint32_t>(i)) % 2001) - 1000.f) * 1e-3f;
    }
}

float* floats(size_t n, uint32_t seed, float scale, float offset = 0) {
    float* p;
    check(cudaMalloc(&p, n * sizeof(float)), "allocating");
    fill_float<<<64, 256>>>(p, n, seed, scale, offset);
    return p;
}

uint32_t next_seed = 1;
SlotTurns slots;

DeviceMatrix random_matrix(TensorType type, uint32_t rows, uint32_t cols) {
    DeviceMatrix m{type, rows, cols, nullptr, device_bytes(type, rows, cols)};
    check(cudaMalloc(&m.data, m.n_bytes), "allocating weights");
    const TileLayout layout = tile_layout(type, cols);
    const dim3 grid(rows, (layout.units + 255) / 256);
    next_seed += 7919;
    const float s = 0.003f;
    switch (type) {
        case TensorType::Q4_0:
            fill_quantized<TensorType::Q4_0><<<grid, 256>>>(m.data, layout, rows, next_seed, s);
            break;
        case TensorType::Q4_1:
            fill_quantized<TensorType::Q4_1><<<grid, 256>>>(m.data, layout, rows, next_seed, s);
            break;
        case TensorType::Q8_0:
            fill_quantized<TensorType::Q8_0><<<grid, 256>>>(m.data, layout, rows, next_seed, s / 16);
            break;
        case TensorType::Q4_K:
            fill_quantized<TensorType::Q4_K><<<grid, 256>>>(m.data, layout, rows, next_seed, s / 64);
            break;
        case TensorType::Q5_K:
            fill_quantized<TensorType::Q5_K><<<grid, 256>>>(m.data, layout, rows, next_seed, s / 64);
            break;
        case TensorType::Q6_K:
            fill_quantized<TensorType::Q6_K><<<grid, 256>>>(m.data, layout, rows, next_seed, s / 256);
            break;
        default:
            fill_half<<<1024, 256>>>(reinterpret_cast<__half*>(m.data), m.n_bytes / 2 - 8, next_seed);
    }
    check(cudaGetLastError(), "filling weights");
    return m;
}

__global__ void widen(const __nv_bfloat16* x, float* out, uint32_t n) {
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) out[i] = __bfloat162float(x[i]);
}

struct Shape {
    const char* name;
    uint32_t layers, embd, q, kv, head_dim, ff, vocab;
    bool biased;                               // q, k and v
    TensorType main, v, down_a, down_b, head;  // down_b on every second layer
};

struct Layer {
    DeviceMatrix q, k, v, o, gate, up, down;
    float *norm1, *norm2, *bias;
};

/// Largest difference over the largest value.
float compare(const float* a, const float* b, size_t n) {
    std::vector<float> x(n), y(n);
    check(cudaMemcpy(x.data(), a, n * 4, cudaMemcpyDeviceToHost), "reading");
    check(cudaMemcpy(y.data(), b, n * 4, cudaMemcpyDeviceToHost), "reading");
    float most = 0, difference = 0;
    for (size_t i = 0; i < n; ++i) {
        most = std::max(most, std::fabs(x[i]));
        const float d = std::fabs(x[i] - y[i]);
        difference = d > difference || d != d ? d : difference;
    }
    return difference / most;
}

void check_type(TensorType type, uint32_t rows, uint32_t cols, cudaStream_t stream) {
    const DeviceMatrix a = random_matrix(type, rows, cols), b = random_matrix(type, rows, cols);
    float *x = floats(cols, 5, 1), *norm = floats(cols, 6, 0.2f, 1), *bias = floats(rows, 7, 1);
    float *out1 = floats(rows, 1, 0), *out2 = floats(rows, 1, 0), *normed = floats(std::max(rows, cols), 1, 0),
          *gate = floats(rows, 1, 0), *up = floats(rows, 1, 0);
    uint8_t* int8;
    check(cudaMalloc(&int8, int8_row_bytes(cols)), "allocating");
    check(cudaDeviceSynchronize(), "filling");
    rms_norm(x, norm, 1e-5f, 1, cols, {normed, int8, nullptr, nullptr}, stream);
    const MatvecPart reference[] = {{&a, out1, bias, nullptr}};
    matvec(reference, {normed, int8, nullptr, nullptr}, stream);
    const MatvecPart fused[] = {{&a, out2, bias, nullptr}};
    fused_project(fused, {x, norm, 1e-5f}, {}, slots.next(), stream);
    check(cudaStreamSynchronize(stream), "checking");
    const float e1 = compare(out1, out2, rows);
    const MatvecPart pair[] = {{&a, gate}, {&b, up}};
    matvec(pair, {normed, int8, nullptr, nullptr}, stream);
    swiglu(gate, up, rows, 1, rows, {out1, nullptr, nullptr, nullptr}, stream);
    fused_gated_feed_forward(a, b, {x, norm, 1e-5f}, out2, slots.next(), stream);
    check(cudaStreamSynchronize(stream), "checking");
    if (is_quantized(type)) {
        widen<<<1, 256, 0, stream>>>(reinterpret_cast<const __nv_bfloat16*>(out2), normed, rows);
        check(cudaStreamSynchronize(stream), "checking");
    }
    const float e2 = compare(out1, is_quantized(type) ? normed : out2, rows);
    std::printf("check %-5s %6u x %5u: project %.1e, gated %.1e %s\n", traits(type).name, rows, cols, e1, e2,
                e1 < 5e-3f && e2 < 2e-2f ? "ok" : "WRONG");
    for (void* p : {(void*)a.data, (void*)b.data, (void*)x, (void*)norm, (void*)bias, (void*)out1, (void*)out2,
                    (void*)normed, (void*)gate, (void*)up, (void*)int8})
        cudaFree(p);
}

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
    for (int i = 0; i < 3; ++i) check(cudaGraphLaunch(exec, stream), "replaying");
    for (int i = 0; i < 7; ++i) {
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

#ifdef REPRISE_TIMELINE
TimelineRecord* timeline_buffer;

/// Runs body once more and prints when each kind of launch passed its points, as means over all but the first and last
/// launches, in microseconds after the previous launch's last block ended: of the first block to get there / the last.
template <class Body>
void print_timeline(cudaStream_t stream, const std::vector<std::pair<std::string, const void*>>& launches, Body body) {
    const std::vector<uint32_t> zeros(TIMELINE_BLOCKS);
    std::vector<TimelineRecord> records(TIMELINE_BLOCKS * TIMELINE_RECORDS);
    std::vector<uint32_t> counts(TIMELINE_BLOCKS);
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
    body();
    check(cudaStreamEndCapture(stream, &graph), "capturing");
    check(cudaGraphInstantiate(&exec, graph, 0), "instantiating");
    for (int i = 0; i < 3; ++i) {
        check(cudaStreamSynchronize(stream), "replaying");
        check(cudaMemcpyToSymbol(timeline_counts, zeros.data(), zeros.size() * 4), "clearing");
        check(cudaGraphLaunch(exec, stream), "replaying");
    }
    check(cudaStreamSynchronize(stream), "replaying");
    check(cudaMemcpyFromSymbol(counts.data(), timeline_counts, counts.size() * 4), "reading");
    check(cudaMemcpy(records.data(), timeline_buffer, records.size() * sizeof records[0], cudaMemcpyDeviceToHost),
          "reading");
    struct Span {
        double first = 1e300, last = 0;
    };
    std::vector<std::array<Span, POINTS>> spans(launches.size());
    std::vector<uint32_t> most_on_one(launches.size());
    for (size_t i = 0; i < launches.size(); ++i) {
        std::vector<uint32_t> blocks(1024);
        for (uint32_t b = 0; b < TIMELINE_BLOCKS; ++b) {
            for (uint32_t r = 0; r < std::min(counts[b], TIMELINE_RECORDS); ++r) {
                const TimelineRecord& record = records[b * TIMELINE_RECORDS + r];
                if (record.launch != launches[i].second) continue;
                most_on_one[i] = std::max(most_on_one[i], ++blocks[record.multiprocessor]);
                for (uint32_t p = 0; p < POINTS; ++p) {
                    if (record.times[p] == 0) continue;
                    spans[i][p].first = std::min(spans[i][p].first, static_cast<double>(record.times[p]));
                    spans[i][p].last = std::max(spans[i][p].last, static_cast<double>(record.times[p]));
                }
            }
        }
    }
    std::vector<std::string> kinds;
    for (const auto& l : launches) {
        if (std::find(kinds.begin(), kinds.end(), l.first) == kinds.end()) kinds.push_back(l.first);
    }
    std::printf("    %-9s %15s %15s %15s %15s %15s %15s  blocks on one SM\n", "", "entry", "fetching", "released",
                "input ready", "computed", "end");
    for (const std::string& kind : kinds) {
        std::array<Span, POINTS> mean;
        for (Span& m : mean) m = {0, 0};
        uint32_t n = 0, crowded = 0;
        for (size_t i = 1; i < launches.size(); ++i) {
            if (launches[i].first != kind || spans[i][0].last == 0 || spans[i - 1][POINTS - 1].last == 0) continue;
            ++n;
            crowded += most_on_one[i] > 1;
            for (uint32_t p = 0; p < POINTS; ++p) {
                mean[p].first += spans[i][p].first - spans[i - 1][POINTS - 1].last;
                mean[p].last += spans[i][p].last - spans[i - 1][POINTS - 1].last;
            }
        }
        std::printf("    %-9s", kind.c_str());
        for (const Span& m : mean) {
            if (m.first > 1e200) {
                std::printf(" %15s", "-");
            } else {
                std::printf(" %7.2f/%7.2f", m.first / n * 1e-3, m.last / n * 1e-3);
            }
        }
        std::printf("  %u of %u launches crowded\n", crowded, n);
    }
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
}
#endif

void time_model(const Shape& s, uint32_t context, double bandwidth, cudaStream_t stream) {
    std::vector<Layer> layers(s.layers);
    for (uint32_t i = 0; i < s.layers; ++i) {
        Layer& l = layers[i];
        l.q = random_matrix(s.main, s.q, s.embd);
        l.k = random_matrix(s.main, s.kv, s.embd);
        l.v = random_matrix(i % 2 ? s.main : s.v, s.kv, s.embd);
        l.o = random_matrix(s.main, s.embd, s.q);
        l.gate = random_matrix(s.main, s.ff, s.embd);
        l.up = random_matrix(s.main, s.ff, s.embd);
        l.down = random_matrix(i % 2 ? s.down_b : s.down_a, s.embd, s.ff);
        l.norm1 = floats(s.embd, i, 0.1f, 1);
        l.norm2 = floats(s.embd, i + 99, 0.1f, 1);
        l.bias = s.biased ? floats(s.q + 2 * s.kv, i + 199, 0.1f) : nullptr;
    }
    const DeviceMatrix head = random_matrix(s.head, s.vocab, s.embd);
    float *x = floats(s.embd, 3, 1), *q = floats(s.q + 2 * s.kv, 1, 0), *k = q + s.q, *v = k + s.kv,
          *att = floats(s.q, 1, 0);
    float *ff = floats(s.ff, 1, 1), *logits = floats(s.vocab, 1, 0);
    const uint32_t n_heads = s.q / s.head_dim, n_kv_heads = s.kv / s.head_dim;
    const size_t cache_values = s.kv * kv_rows(context);
    __half* cache;
    check(cudaMalloc(&cache, 2 * s.layers * cache_values * sizeof(__half)), "allocating a KV cache");
    fill_half<<<1024, 256>>>(cache, 2 * s.layers * cache_values, 11);
    DecodeState* state;
    const DecodeState at = {0, context - 1, context, 0, 0, 0};
    check(cudaMalloc(&state, sizeof at), "allocating");
    check(cudaMemcpy(state, &at, sizeof at, cudaMemcpyHostToDevice), "copying");
    AttentionScratch scratch = {floats(attention_parts(n_heads, s.head_dim), 1, 0), nullptr, nullptr, nullptr};
    check(cudaMalloc(&scratch.arrived, attention_counters(n_heads, n_kv_heads) * 4), "allocating");
    check(cudaMemset(scratch.arrived, 0, attention_counters(n_heads, n_kv_heads) * 4), "clearing");
    double* turns;
    const std::vector<double> some_turns(s.head_dim / 2, 0.01);
    check(cudaMalloc(&turns, some_turns.size() * sizeof(double)), "allocating");
    check(cudaMemcpy(turns, some_turns.data(), some_turns.size() * sizeof(double), cudaMemcpyHostToDevice), "copying");
    check(cudaDeviceSynchronize(), "filling");

    const auto qkv = [&](const Layer& l) {
        const auto bias = [&](uint32_t first) { return s.biased ? l.bias + first : nullptr; };
        const MatvecPart parts[] = {{&l.q, q, bias(0)}, {&l.k, k, bias(s.q)}, {&l.v, v, bias(s.q + s.kv)}};
        fused_project(parts, {x, l.norm1, 1e-5f}, {}, slots.next(), stream);
    };
    const auto attention_prefetching = [&](const Layer& l, const WeightPrefetch& prefetch) {
        __half* keys = cache + 2 * static_cast<size_t>(&l - layers.data()) * cache_values;
        AttentionArgs args = {q,       s.q + 2 * s.kv, keys,       keys + cache_values,
                              n_heads, n_kv_heads,     s.head_dim, context,
                              0.1f,    state,          att,        nullptr};
        RopeKvArgs rope = {q,          s.q + 2 * s.kv,      nullptr,           nullptr,    0,     n_heads,
                           n_kv_heads, s.head_dim,          RopeStyle::HALVES, s.head_dim, turns, 1,
                           keys,       keys + cache_values, TensorType::F16,   context,    state};
        attention_fused(args, rope, scratch, prefetch, slots.next(), stream);
    };
    const auto attention = [&](const Layer& l) { attention_prefetching(l, {}); };  // timed by itself
    const auto output_prefetching = [&](const Layer& l, const WeightPrefetch& prefetch) {
        const MatvecPart parts[] = {{&l.o, x, nullptr, x}};
        fused_project(parts, {att}, prefetch, slots.next(), stream);
    };
    const auto output = [&](const Layer& l) { output_prefetching(l, {}); };
    const auto gated = [&](const Layer& l) {
        fused_gated_feed_forward(l.gate, l.up, {x, l.norm2, 1e-5f}, ff, slots.next(), stream);
    };
    const auto down = [&](const Layer& l) {
        const MatvecPart parts[] = {{&l.down, x, nullptr, x}};
        fused_project(parts, {ff, nullptr, 0, is_quantized(s.main)}, {}, slots.next(), stream);
    };
    const auto logits_of = [&] {
        const MatvecPart parts[] = {{&head, logits}};
        fused_project(parts, {x, layers[0].norm1, 1e-5f}, {}, slots.next(), stream);
    };
    const auto each = [&](auto step) {
        return microseconds(stream, 20,
                            [&] {
                                for (const Layer& l : layers) step(l);
                            }) /
               s.layers;
    };
    const auto n_sms = static_cast<uint32_t>(device_traits().n_sms);
    const auto whole_step = [&] {
        for (const Layer& l : layers) {
            qkv(l);
            attention_prefetching(l, gated_feed_forward_prefetch(l.gate, l.up, l.o.n_bytes, n_sms));
            output_prefetching(l, project_prefetch(l.down, l.gate.n_bytes + l.up.n_bytes, n_sms));
            gated(l);
            down(l);
        }
        logits_of();
    };
    const double total = microseconds(stream, 20, whole_step);
#ifdef REPRISE_TIMELINE
    std::vector<std::pair<std::string, const void*>> launches;
    for (const Layer& l : layers) {
        launches.emplace_back("qkv", l.q.data);
        launches.emplace_back("attention", cache + 2 * static_cast<size_t>(&l - layers.data()) * cache_values);
        launches.emplace_back("output", l.o.data);
        launches.emplace_back("gated", l.gate.data);
        launches.emplace_back("down", l.down.data);
    }
    launches.emplace_back("head", head.data);
    print_timeline(stream, launches, whole_step);
#endif
    double bytes = static_cast<double>(head.n_bytes);
    for (const Layer& l : layers)
        bytes += static_cast<double>(l.q.n_bytes + l.k.n_bytes + l.v.n_bytes + l.o.n_bytes + l.gate.n_bytes +
                                     l.up.n_bytes + l.down.n_bytes);
    std::printf("%-16s %7.1f us/token = %5.0f/s, %.3f GB, %.0f GB/s, %.1f %% of %.0f\n", s.name, total, 1e6 / total,
                bytes * 1e-9, bytes / total * 1e-3, bytes / total * 1e8 / bandwidth, bandwidth * 1e-9);
    const Layer& l0 = layers[0];
    const auto row = [&](const char* name, double us, double b) {
        std::printf("    %-9s %6.2f us  %7.3f MB  %6.0f GB/s, floor %.2f us\n", name, us, b * 1e-6, b / us * 1e-3,
                    b / bandwidth * 1e6);
    };
    row("qkv", each(qkv), static_cast<double>(l0.q.n_bytes + l0.k.n_bytes + l0.v.n_bytes));
    row("attention", each(attention), 4.0 * static_cast<double>(cache_values));
    row("output", each(output), static_cast<double>(l0.o.n_bytes));
    row("gated", each(gated), static_cast<double>(l0.gate.n_bytes + l0.up.n_bytes));
    row("down", each(down), static_cast<double>(layers[0].down.n_bytes + layers[1].down.n_bytes) / 2);
    row("head", microseconds(stream, 20, logits_of), static_cast<double>(head.n_bytes));
    for (const Layer& l : layers) {
        for (const DeviceMatrix* m : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) cudaFree(m->data);
    }
    cudaFree(head.data);
    cudaFree(cache);
}

}  // namespace

int main(int argc, char** argv) {
#ifdef REPRISE_TIMELINE
    check(cudaMalloc(&timeline_buffer, TIMELINE_BLOCKS * TIMELINE_RECORDS * sizeof(TimelineRecord)), "allocating");
    check(cudaMemcpyToSymbol(timeline, &timeline_buffer, sizeof timeline_buffer), "copying");
#endif
    load_linear_kernels();
    load_fused_kernels();
    load_attention_decode_kernels();
    cudaStream_t stream;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
    using T = TensorType;
    for (const T type : {T::Q4_0, T::Q4_1, T::Q8_0, T::Q4_K, T::Q5_K, T::Q6_K, T::F16}) {
        check_type(type, 1536, 1536, stream);
        check_type(type, 301, 8960, stream);
        check_type(type, 7, 256, stream);
    }
    check_type(T::Q8_0, 128, 896, stream);
    check_type(T::Q4_1, 192, 576, stream);
    if (argc > 1 && std::strcmp(argv[1], "check") == 0) return 0;
    const double bandwidth = measure_read_bandwidth(0);
    const Shape shapes[] = {
        {"1.5B Q4_K_M", 28, 1536, 1536, 256, 128, 8960, 151936, true, T::Q4_K, T::Q6_K, T::Q6_K, T::Q4_K, T::Q6_K},
        {"1B Q4_K_M", 16, 2048, 2048, 512, 64, 8192, 128256, false, T::Q4_K, T::Q6_K, T::Q6_K, T::Q4_K, T::Q6_K},
        {"0.5B Q8_0", 24, 896, 896, 128, 64, 4864, 151936, true, T::Q8_0, T::Q8_0, T::Q8_0, T::Q8_0, T::Q8_0},
        {"1.5B Q8_0", 28, 1536, 1536, 256, 128, 8960, 151936, true, T::Q8_0, T::Q8_0, T::Q8_0, T::Q8_0, T::Q8_0},
        {"1.5B F16", 28, 1536, 1536, 256, 128, 8960, 151936, true, T::F16, T::F16, T::F16, T::F16, T::F16},
        {"8B Q4_K_M", 32, 4096, 4096, 1024, 128, 14336, 128256, false, T::Q4_K, T::Q6_K, T::Q6_K, T::Q4_K, T::Q6_K},
    };
    for (const Shape& s : shapes) {
        if (argc > 1 && std::strstr(s.name, argv[1]) == nullptr) continue;
        time_model(s, argc > 2 ? static_cast<uint32_t>(std::atoi(argv[2])) : 128, bandwidth, stream);
    }
    return 0;
}
