// A decode step's attention alone: from a row of q, k and v as the products left them, through RoPE and into the cache,
// to the heads' outputs. Each version is checked against double precision, then timed as one captured graph of launches
// that all have a cache of their own: at least 32, up to 1024 where it takes so many to fill the L2 twice.
//
// Versions:
//   1  The definition: rope_kv(), then a warp per head and 256 keys that takes one key after the other, then a kernel
//      that adds up the parts. Every q head reads its keys itself, and each takes a round trip to memory that nothing
//      hides. The grid depends on the length of the context, so a captured graph serves one length.
//   2  rope_kv() and attention_decode(): a block has up to 8 heads that share their keys, as the columns of tensor-core
//      products, and bulk copies bring tiles of 16 keys ahead of their use, so that keys cross the memory bus once. The
//      grid is fixed, the length is read from device memory, and the last block to finish adds up the parts.
//   3  attention_fused(): both in one kernel, whose first tiles are under way while its predecessor still runs, and
//      whose blocks are of such a size that two launches fit a multiprocessor side by side (slot_size() in launch.cuh).
//   4  The same with keys and values in Q8_0: 17/32 of the bytes, expanded to float16 in shared memory.
//   r  The same with float32, by plain float32 arithmetic: the reference arithmetic, not a step of the ladder.
// Launches overlap with each other as far as a version allows, in a decode step with products. The state and older rows
// never change, so they are complete before a graph's first kernel begins, as attention_fused() wants them.
//
//   nvcc -O3 -std=c++20 -arch=sm_90 --expt-relaxed-constexpr -I native/src -I native/include
//        bench/kernels/attention_decode.cu native/src/cuda/{attention_decode,rope,bandwidth,device}.cu
//        native/src/cuda/memory.cpp native/src/core/error.cpp native/src/quant/{tensor_type,half}.cpp -Xcompiler
//        -pthread -o attention_decode
//   ./attention_decode [SHAPE [CONTEXT]]      SHAPE: a part of its name, "" for all; CONTEXT: tokens
//
// us are per layer (of versions 1 and 2 all their kernels), KV the bytes that one has to read, % of the read bandwidth
// that was measured at the start. error: of a head's output, norm of the difference over the norm: at most 2e-5 in
// float32 (versions 1 and r), 1e-3 where softmax weights are rounded to float16 (native/tests/cuda_attention_test.cpp
// has 5e-6 and 1e-3, without RoPE and over 16384 keys at most). stored: of a new key or value in the cache: at most
// 1e-5, 1e-3 and 1.5e-2 in F32, F16 and Q8_0. Of contexts beyond 2048 only the last KV heads are checked.
#include <cuda_fp16.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numbers>
#include <thread>
#include <tuple>

#include "../../native/tests/cuda_kv_support.h"
#include "bench.cuh"
#include "cuda/attention.h"
#include "cuda/bandwidth.h"
#include "cuda/launch.cuh"

using namespace reprise;
using namespace reprise::cuda;
using namespace reprise::cuda::bench;

namespace {

constexpr uint32_t SPLIT = 256;  // keys of a warp

/// Block: a warp; blockIdx.x: head, blockIdx.y: split. A lane has DIM / 32 dimensions. A part: out [DIM], not yet
/// divided by the sum, then maximum and sum.
template <uint32_t DIM>
__global__ void __launch_bounds__(32) plain_attention(const __grid_constant__ AttentionArgs args, float* parts) {
    constexpr uint32_t VALUES = DIM / 32;
    const uint32_t head = blockIdx.x, split = blockIdx.y, first_dim = threadIdx.x * VALUES;
    const uint32_t kv_head = head / (args.n_heads / args.n_kv_heads);
    const __half* keys = static_cast<const __half*>(args.k) + kv_head * kv_rows(args.capacity) * DIM;
    const __half* values = static_cast<const __half*>(args.v) + kv_head * kv_rows(args.capacity) * DIM;
    float q[VALUES], out[VALUES] = {}, max = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < VALUES; ++i) q[i] = args.q[head * DIM + first_dim + i] * args.scale;
    const uint32_t end = min((split + 1) * SPLIT, args.state->seq_len);
    for (uint32_t key = split * SPLIT; key < end; ++key) {
        const size_t at = size_t{key} * DIM + kv_chunk(key, first_dim / 8, DIM) * 8 + first_dim % 8;
        float score = 0;
        for (uint32_t i = 0; i < VALUES; ++i) score += q[i] * __half2float(keys[at + i]);
        for (int offset = 16; offset > 0; offset /= 2) score += __shfl_xor_sync(~0u, score, offset);
        const float largest = fmaxf(max, score), decay = expf(max - largest), weight = expf(score - largest);
        max = largest;
        sum = sum * decay + weight;
        for (uint32_t i = 0; i < VALUES; ++i) out[i] = out[i] * decay + weight * __half2float(values[at + i]);
    }
    float* part = parts + (size_t{head} * gridDim.y + split) * (DIM + 2);
    for (uint32_t i = 0; i < VALUES; ++i) part[first_dim + i] = out[i];
    if (threadIdx.x == 0) part[DIM] = max, part[DIM + 1] = sum;
}

/// blockIdx.x: head; threadIdx.x: dimension.
template <uint32_t DIM>
__global__ void __launch_bounds__(DIM) plain_combine(const float* parts, uint32_t n_splits, float* out) {
    const float* of_head = parts + size_t{blockIdx.x} * n_splits * (DIM + 2);
    float max = -INFINITY, sum = 0, total = 0;
    for (uint32_t s = 0; s < n_splits; ++s) max = fmaxf(max, of_head[s * (DIM + 2) + DIM]);
    for (uint32_t s = 0; s < n_splits; ++s) {
        const float* part = of_head + s * (DIM + 2);
        const float weight = expf(part[DIM] - max);
        sum += weight * part[DIM + 1];
        total += weight * part[threadIdx.x];
    }
    out[blockIdx.x * DIM + threadIdx.x] = total / sum;
}

struct Shape {
    const char* name;
    uint32_t n_heads, n_kv_heads, head_dim;
    RopeStyle style;
    double rope_base;
};
constexpr Shape SHAPES[] = {{"Qwen2.5-1.5B", 12, 2, 128, RopeStyle::HALVES, 1e6},
                            {"Llama-3.2-1B", 32, 8, 64, RopeStyle::ADJACENT, 5e5},
                            {"Llama-3.1-8B", 32, 8, 128, RopeStyle::ADJACENT, 5e5}};
constexpr uint32_t CONTEXTS[] = {128, 1024, 4096, 16384, 65536};

/// Whole tiles of random values, most of them between -1 and 1.
__global__ void fill_rows(TensorType type, uint8_t* rows, size_t bytes, uint32_t head_dim, uint32_t seed) {
    const size_t step = type == TensorType::F32 ? 4 : 2;
    for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < bytes / step;
         i += size_t{gridDim.x} * blockDim.x) {
        const uint32_t random = hash(seed + static_cast<uint32_t>(i));
        const bool is_quants = type == TensorType::Q8_0 && i * 2 % kv_q8_tile_bytes(head_dim) < KV_TILE * head_dim;
        const float uniform = static_cast<float>(random >> 8) * 0x1p-23f - 1.f;
        const float value = type == TensorType::Q8_0 ? (1.f + 0.5f * uniform) / 128 : uniform;
        if (type == TensorType::F32) {
            reinterpret_cast<float*>(rows)[i] = value;
        } else {
            reinterpret_cast<uint16_t*>(rows)[i] =
                is_quants ? static_cast<uint16_t>(random) : __half_as_ushort(__float2half(value));
        }
    }
}

/// All that the versions of a shape have in common.
struct Memory {
    Buffer<uint8_t> caches;
    Buffer<DecodeState> state{1};
    Buffer<float> qkv, out, parts, plain_parts;
    Buffer<uint32_t> arrived;
    Buffer<double> turns;
    Memory(size_t cache_bytes, const Shape& s, uint32_t context)
        : caches(cache_bytes),
          qkv((s.n_heads + 2 * s.n_kv_heads) * s.head_dim),
          out(s.n_heads * s.head_dim),
          parts(attention_parts(s.n_heads, s.head_dim)),
          plain_parts(size_t{s.n_heads} * (context / SPLIT + 1) * (s.head_dim + 2)),
          arrived(attention_counters(s.n_heads, s.n_kv_heads)),
          turns(s.head_dim / 2) {}
};

struct Layers {
    const Shape& shape;
    const Memory& memory;
    TensorType type;
    uint32_t context;
    size_t bytes;  // keys or values of a layer

    uint8_t* rows(uint32_t layer, bool is_value) const {
        return memory.caches.data + (2 * size_t{layer} + is_value) * bytes;
    }
    AttentionArgs attention(uint32_t layer) const {
        return {.q = memory.qkv.data,
                .q_stride = memory.qkv.n,
                .k = rows(layer, false),
                .v = rows(layer, true),
                .n_heads = shape.n_heads,
                .n_kv_heads = shape.n_kv_heads,
                .head_dim = shape.head_dim,
                .capacity = context,
                .scale = 1 / std::sqrt(static_cast<float>(shape.head_dim)),
                .state = memory.state.data,
                .out = memory.out.data,
                .int8 = nullptr};
    }
    RopeKvArgs rope(uint32_t layer) const {
        return {.qkv = memory.qkv.data,
                .row_stride = memory.qkv.n,
                .q_norm = nullptr,
                .k_norm = nullptr,
                .rms_eps = 0,
                .n_heads = shape.n_heads,
                .n_kv_heads = shape.n_kv_heads,
                .head_dim = shape.head_dim,
                .style = shape.style,
                .n_rot = shape.head_dim,
                .turns = memory.turns.data,
                .magnitude = 1,
                .k_cache = rows(layer, false),
                .v_cache = rows(layer, true),
                .kv_type = type,
                .capacity = context,
                .state = memory.state.data};
    }
    AttentionScratch scratch() const { return {memory.parts.data, memory.arrived.data, nullptr, nullptr}; }
};

void run_plain(const Layers& l, uint32_t layer, cudaStream_t stream) {
    const uint32_t n_splits = (l.context + SPLIT - 1) / SPLIT, dim = l.shape.head_dim;
    rope_kv(l.rope(layer), 1, stream);
    (dim == 64 ? plain_attention<64> : plain_attention<128>)<<<dim3(l.shape.n_heads, n_splits), 32, 0, stream>>>(
        l.attention(layer), l.memory.plain_parts.data);
    (dim == 64 ? plain_combine<64> : plain_combine<128>)<<<l.shape.n_heads, dim, 0, stream>>>(
        l.memory.plain_parts.data, n_splits, l.memory.out.data);
    check(cudaGetLastError(), "launching the plain kernels");
}
void run_unfused(const Layers& l, uint32_t layer, cudaStream_t stream) {
    rope_kv(l.rope(layer), 1, stream);
    attention_decode(l.attention(layer), l.type, l.scratch(), stream);
}
void run_fused(const Layers& l, uint32_t layer, cudaStream_t stream) {
    attention_fused(l.attention(layer), l.rope(layer), l.scratch(), {}, layer % 2 == 0 ? Slot::LARGE : Slot::SMALL,
                    stream);
}

struct Version {
    const char* name;
    TensorType type;
    void (*run)(const Layers&, uint32_t layer, cudaStream_t);
    double error, stored;  // at most
};
constexpr Version VERSIONS[] = {{"1 plain", TensorType::F16, run_plain, 2e-5, 1e-3},
                                {"2 unfused", TensorType::F16, run_unfused, 1e-3, 1e-3},
                                {"3 fused", TensorType::F16, run_fused, 1e-3, 1e-3},
                                {"4 fused", TensorType::Q8_0, run_fused, 1e-3, 1.5e-2},
                                {"r fused", TensorType::F32, run_fused, 2e-5, 1e-5}};

using Head = std::vector<double>;

double relative_difference(const Head& actual, const Head& expected) {
    double squares = 0, norm = 0;
    for (size_t i = 0; i < expected.size(); ++i)
        squares += std::pow(actual[i] - expected[i], 2), norm += std::pow(expected[i], 2);
    const double difference = std::sqrt(squares / norm);
    return std::isnan(difference) ? INFINITY : difference;
}

/// Head number head of [q heads, k heads, v heads], turned.
Head turned(const Layers& l, const std::vector<float>& qkv, const std::vector<double>& turns, uint32_t head) {
    const Shape& s = l.shape;
    const auto first = qkv.begin() + head * s.head_dim;
    Head x(first, first + s.head_dim);
    for (uint32_t p = 0; p < s.head_dim / 2 && head < s.n_heads + s.n_kv_heads; ++p) {
        const bool halves = s.style == RopeStyle::HALVES;
        double &a = x[halves ? p : 2 * p], &b = x[halves ? p + s.head_dim / 2 : 2 * p + 1];
        const double angle = 2 * std::numbers::pi * std::fmod((l.context - 1) * turns[p], 1.0), c = cos(angle),
                     d = sin(angle);
        std::tie(a, b) = std::tuple(a * c - b * d, a * d + b * c);
    }
    return x;
}

Head cached(const Layers& l, const uint8_t* rows, uint32_t position) {
    Head x(l.shape.head_dim);
    for (uint32_t i = 0; i < x.size(); ++i) x[i] = kv_value(l.type, l.shape.head_dim, rows, position, i);
    return x;
}

/// softmax(scale q K^T) V from the rows of a KV head, in two passes.
Head attend(const Layers& l, const Head& q, const uint8_t* keys, const uint8_t* values) {
    const uint32_t dim = l.shape.head_dim;
    std::vector<double> scores(l.context);
    for (uint32_t key = 0; key < l.context; ++key) {
        const Head k = cached(l, keys, key);
        for (uint32_t i = 0; i < dim; ++i) scores[key] += q[i] * k[i];
        scores[key] /= std::sqrt(static_cast<double>(dim));
    }
    const double max = *std::max_element(scores.begin(), scores.end());
    Head out(dim);
    double sum = 0;
    for (uint32_t key = 0; key < l.context; ++key) {
        const double weight = std::exp(scores[key] - max);
        const Head v = cached(l, values, key);
        for (uint32_t i = 0; i < dim; ++i) out[i] += weight * v[i];
        sum += weight;
    }
    for (double& x : out) x /= sum;
    return out;
}

struct Errors {
    double out = 0, stored = 0;
};
/// Of one launch on a layer, whose newest row and output nobody has written yet.
Errors errors_of(const Version& version, const Layers& l, uint32_t layer, const std::vector<float>& qkv,
                 const std::vector<double>& turns) {
    const Shape& s = l.shape;
    check(cudaMemcpy(l.memory.qkv.data, qkv.data(), qkv.size() * sizeof(float), cudaMemcpyHostToDevice), "uploading");
    check(cudaMemset(l.memory.out.data, 0xff, l.memory.out.n * sizeof(float)), "clearing");
    fill_rows<<<1024, 256>>>(l.type, l.rows(layer, false), 2 * l.bytes, s.head_dim, 17);
    check(cudaDeviceSynchronize(), "filling a cache");
    version.run(l, layer, nullptr);
    check(cudaDeviceSynchronize(), "running a version");

    const std::vector<float> out = l.memory.out.download();
    const uint32_t n_checked = std::clamp(16384 / l.context, 1u, s.n_kv_heads), first = s.n_kv_heads - n_checked;
    const uint32_t per_kv_head = s.n_heads / s.n_kv_heads;
    const size_t head_bytes = l.bytes / s.n_kv_heads;
    std::vector<uint8_t> rows[2];  // keys, values
    Errors errors;
    for (const bool is_value : {false, true}) {
        rows[is_value].resize(n_checked * head_bytes);
        const uint8_t* from = l.rows(layer, is_value) + first * head_bytes;
        check(cudaMemcpy(rows[is_value].data(), from, n_checked * head_bytes, cudaMemcpyDeviceToHost), "downloading");
        for (uint32_t i = 0; i < n_checked; ++i) {
            const Head expected = turned(l, qkv, turns, s.n_heads + is_value * s.n_kv_heads + first + i);
            errors.stored =
                std::max(errors.stored,
                         relative_difference(cached(l, &rows[is_value][i * head_bytes], l.context - 1), expected));
        }
    }
    std::vector<Head> heads(n_checked * per_kv_head);
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < heads.size(); ++i) {
        threads.emplace_back([&, i] {
            const size_t at = i / per_kv_head * head_bytes;
            heads[i] = attend(l, turned(l, qkv, turns, first * per_kv_head + i), &rows[0][at], &rows[1][at]);
        });
    }
    for (std::thread& t : threads) t.join();
    for (uint32_t i = 0; i < heads.size(); ++i) {
        const auto from = out.begin() + (first * per_kv_head + i) * s.head_dim;
        errors.out = std::max(errors.out, relative_difference(Head(from, from + s.head_dim), heads[i]));
    }
    return errors;
}

/// Whether all versions are right.
bool run_context(const Memory& memory, const Shape& s, uint32_t context, double bandwidth) {
    const std::vector<float> qkv = normals(memory.qkv.n, context, 1.7f);  // scores of a standard deviation of about 1
    std::vector<double> turns(s.head_dim / 2);
    for (size_t p = 0; p < turns.size(); ++p)
        turns[p] = std::pow(s.rope_base, -2.0 * p / s.head_dim) / (2 * std::numbers::pi);
    const DecodeState state = {0, context - 1, context, 0, 0, 0};
    check(cudaMemcpy(memory.turns.data, turns.data(), turns.size() * sizeof(double), cudaMemcpyHostToDevice),
          "uploading");
    check(cudaMemcpy(memory.state.data, &state, sizeof state, cudaMemcpyHostToDevice), "uploading");
    int l2_bytes;
    check(cudaDeviceGetAttribute(&l2_bytes, cudaDevAttrL2CacheSize, 0), "reading the size of the L2");

    std::printf("%s, %u heads of %u over %u KV heads, %u tokens\n", s.name, s.n_heads, s.head_dim, s.n_kv_heads,
                context);
    bool right = true;
    for (const Version& version : VERSIONS) {
        const size_t row = row_bytes(version.type, s.head_dim);
        const Layers l = {s, memory, version.type, context, s.n_kv_heads * kv_rows(context) * row};
        const size_t wanted = std::clamp<size_t>(2 * static_cast<size_t>(l2_bytes) / (2 * l.bytes), 32, 1024);
        const auto n_layers = static_cast<uint32_t>(std::min(wanted, memory.caches.n / (2 * l.bytes)));
        if (n_layers == 0) fail(REPRISE_OUT_OF_DEVICE_MEMORY, "no device memory for a layer");
        fill_rows<<<1024, 256>>>(l.type, l.rows(0, false), 2 * l.bytes * n_layers, s.head_dim, 5);
        const Errors errors = errors_of(version, l, n_layers - 1, qkv, turns);
        const double us = time_graph(
                              [&](cudaStream_t stream) {
                                  for (uint32_t layer = 0; layer < n_layers; ++layer) version.run(l, layer, stream);
                              },
                              7, true) /
                          n_layers;
        const double kv_bytes = 2.0 * s.n_kv_heads * context * static_cast<double>(row);
        const bool ok = errors.out <= version.error && errors.stored <= version.stored;
        right = right && ok;
        std::printf("  %-9s %-4s %4u layers %9.2f us  KV %8.3f MB  %6.0f GB/s %5.1f %%  error %.1e  stored %.1e%s\n",
                    version.name, traits(version.type).name, n_layers, us, kv_bytes * 1e-6, kv_bytes / us * 1e-3,
                    kv_bytes / us * 1e8 / bandwidth, errors.out, errors.stored, ok ? "" : "  WRONG");
        std::fflush(stdout);
    }
    return right;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const double bandwidth = measure_read_bandwidth(0);
        if (bandwidth == 0) fail(REPRISE_ENGINE_FAILED, "no CUDA device");
        std::printf("read bandwidth %.0f GB/s\n", bandwidth * 1e-9);
        load_attention_decode_kernels();
        load_rope_kernels();
        for (const auto kernel : {plain_attention<64>, plain_attention<128>}) load_kernel(kernel);
        for (const auto kernel : {plain_combine<64>, plain_combine<128>}) load_kernel(kernel);
        std::vector<uint32_t> contexts(std::begin(CONTEXTS), std::end(CONTEXTS));
        if (argc > 2) contexts = {static_cast<uint32_t>(std::max(1, std::atoi(argv[2])))};
        const uint32_t longest = *std::max_element(contexts.begin(), contexts.end());
        bool right = true;
        for (const Shape& s : SHAPES) {
            if (argc > 1 && std::strstr(s.name, argv[1]) == nullptr) continue;
            size_t free_bytes, total_bytes;
            check(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for free memory");
            const size_t most = std::max(size_t{32} * 2 * s.n_kv_heads * kv_rows(longest) * s.head_dim * sizeof(float),
                                         size_t{256} << 20);
            const Memory memory(std::min(most, free_bytes / 10 * 9), s, longest);
            for (const uint32_t context : contexts) right = run_context(memory, s, context, bandwidth) && right;
        }
        return right ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "attention_decode: %s\n", error.what());
        return 1;
    }
}
