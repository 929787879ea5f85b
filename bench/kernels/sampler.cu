// Drawing a token from logits that lie on the device: checked against the host's sampler, then timed as one captured
// graph of 32 draws, each from logits of its own. They are in the L2 all along, as in a decode step, whose last product
// has just written them: the time is that of launches and of waiting, and no bandwidth is its bound.
//
// Versions:
//   1  The definition (session/sampler.h) read aloud. Greedy: one block looks at all logits. Else all rank keys are
//      sorted (cub), and one block walks down the sorted list for top-k and top-p, then up the ids for the draw.
//   2  sample(): a block per 1024 ids. A histogram finds the bucket in which a threshold lies; if at most 1024 keys lie
//      in the buckets down to there, one block sorts those and draws, else the threshold is looked for in that bucket
//      and all blocks take part in the drawing; the last block to finish a kernel does what needs all of them. Each
//      kernel starts while the one before ends. On top of version 1 it looks for penalties, counts the token, and hands
//      it to the next step and to the host's ring.
// Version 1's output is one word. It knows no XTC, no alternatives and no mask, which version 2 is timed with alone;
// the mask leaves 50 tokens, which it reads from the host's memory.
//
//   nvcc -O3 -std=c++20 -arch=sm_90 --expt-relaxed-constexpr -Xcompiler -ffp-contract=off -I native/src
//        -I native/include bench/kernels/sampler.cu native/src/cuda/sampler.cu native/src/cuda/memory.cpp
//        native/src/session/sampler.cpp native/src/session/dry.cpp native/src/session/host_part.cpp
//        native/src/core/error.cpp -o sampler
//   ./sampler [VOCABULARY [SPREAD]]      SPREAD: standard deviation of the logits, 3 if not given; VOCABULARY: 0 for
//      all
//
// us are per token, GB/s those of reading the logits once. wrong: drawn tokens of 32 that are not the host's; there is
// no tolerance.
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/device/device_radix_sort.cuh>

#include <cstdio>
#include <cstdlib>

#include "bench.cuh"
#include "cuda/launch.cuh"
#include "cuda/memory.h"
#include "cuda/sampler.h"
#include "session/sampler.h"
#include "session/sampler_math.h"

using namespace reprise;
using namespace reprise::cuda;
using namespace reprise::cuda::bench;
using namespace reprise::sampler;

namespace {

using u64 = unsigned long long;

constexpr uint32_t DRAWS = 32;
static_assert(DRAWS <= RING_SIZE);
constexpr uint32_t FIRST_POSITION = 1000;

// ---- version 1 ----

constexpr uint32_t THREADS = 512;  // of its one block

__device__ uint32_t id_of(u64 key) { return 0xffffffffu - static_cast<uint32_t>(key); }

/// In all threads.
template <class Measure>
__device__ u64 sum_of(uint32_t n, Measure measure) {
    using Reduce = cub::BlockReduce<u64, THREADS>;
    __shared__ typename Reduce::TempStorage storage;
    __shared__ u64 result;
    u64 own = 0;
    for (uint32_t i = threadIdx.x; i < n; i += THREADS) own += measure(i);
    const u64 total = Reduce(storage).Sum(own);
    if (threadIdx.x == 0) result = total;
    __syncthreads();
    const u64 sum = result;
    __syncthreads();
    return sum;
}

/// The first i at which the sum of measure(0) to measure(i) is at least target, n if there is none. In all threads.
template <class Measure>
__device__ uint32_t first_reaching(u64 target, uint32_t n, Measure measure) {
    using Scan = cub::BlockScan<u64, THREADS>;
    __shared__ typename Scan::TempStorage storage;
    __shared__ uint32_t found;
    if (threadIdx.x == 0) found = n;
    u64 before = 0;
    for (uint32_t first = 0; first < n; first += THREADS) {
        const uint32_t i = first + threadIdx.x;
        const u64 own = i < n ? measure(i) : 0;
        u64 inclusive, total;
        __syncthreads();
        Scan(storage).InclusiveSum(own, inclusive, total);
        if (before + inclusive >= target && before + inclusive - own < target) found = i;
        before += total;
        if (before >= target) break;  // in all threads
    }
    __syncthreads();
    const uint32_t result = found;
    __syncthreads();
    return result;
}

__global__ void __launch_bounds__(THREADS) plain_greedy(const float* logits, uint32_t n, int32_t* token) {
    using Reduce = cub::BlockReduce<u64, THREADS>;
    __shared__ typename Reduce::TempStorage storage;
    u64 best = 0;
    for (uint32_t id = threadIdx.x; id < n; id += THREADS) best = max(best, static_cast<u64>(rank_key(logits[id], id)));
    best = Reduce(storage).Reduce(best, [](u64 a, u64 b) { return a > b ? a : b; });
    if (threadIdx.x == 0) *token = static_cast<int32_t>(id_of(best));
}

__global__ void plain_rank(const float* logits, uint32_t n, u64* keys) {
    const uint32_t id = blockIdx.x * blockDim.x + threadIdx.x;
    if (id < n) keys[id] = rank_key(logits[id], id);
}

/// sorted: rank keys, the largest first. No penalties, no min-p.
__global__ void __launch_bounds__(THREADS) plain_draw(const float* logits, const u64* sorted, uint32_t n,
                                                      reprise_sampling s, uint32_t position, int32_t* token) {
    const float max = logits[id_of(sorted[0])];
    const auto mass = [&](uint32_t i) { return static_cast<u64>(weight(add(logits[id_of(sorted[i])], -max))); };
    uint32_t n_kept = s.top_k > 0 ? min(static_cast<uint32_t>(s.top_k), n) : n;
    if (s.top_p < 1) n_kept = first_reaching(fraction_of(s.top_p, sum_of(n_kept, mass)), n_kept, mass) + 1;
    const u64 keep_from = sorted[n_kept - 1];
    const auto weight_of = [&](uint32_t id) {
        return rank_key(logits[id], id) < keep_from
                   ? u64{0}
                   : static_cast<u64>(weight(div(add(logits[id], -max), s.temperature)));
    };
    // The first running sum that exceeds the target is the first to reach one more.
    const u64 target = mul_high(philox(s.seed, position), sum_of(n, weight_of)) + 1;
    const uint32_t id = first_reaching(target, n, weight_of);
    if (threadIdx.x == 0) *token = static_cast<int32_t>(id);
}

class PlainSampler {
  public:
    explicit PlainSampler(uint32_t n_vocab)
        : n_(n_vocab), keys_(n_vocab), sorted_(n_vocab), storage_(sort_bytes(n_vocab)) {}

    void draw(const float* logits, const reprise_sampling& s, uint32_t position, int32_t* token,
              cudaStream_t stream) const {
        if (s.temperature == 0) {
            plain_greedy<<<1, THREADS, 0, stream>>>(logits, n_, token);
        } else {
            size_t bytes = storage_.n;
            plain_rank<<<(n_ + 255) / 256, 256, 0, stream>>>(logits, n_, keys_.data);
            check(cub::DeviceRadixSort::SortKeysDescending(storage_.data, bytes, keys_.data, sorted_.data, n_, 0, 64,
                                                           stream),
                  "sorting");
            plain_draw<<<1, THREADS, 0, stream>>>(logits, sorted_.data, n_, s, position, token);
        }
        check(cudaGetLastError(), "launching the plain kernels");
    }

  private:
    static size_t sort_bytes(uint32_t n) {
        size_t bytes = 0;
        u64* keys = nullptr;
        check(cub::DeviceRadixSort::SortKeysDescending(nullptr, bytes, keys, keys, n), "sizing the sort");
        return bytes;
    }
    uint32_t n_;
    Buffer<u64> keys_, sorted_;
    Buffer<uint8_t> storage_;
};

// ---- version 2 ----

class LibrarySampler {
  public:
    explicit LibrarySampler(uint32_t n_vocab)
        : memory_(SamplerBuffers::bytes_with_state(n_vocab)),
          pinned_(SamplerBuffers::pinned_bytes(n_vocab, 0), "the ring") {
        Carver carver(memory_.data), carver_of_pinned(pinned_.as<uint8_t>());
        buffers_.carve_with_state(carver, n_vocab);
        buffers_.carve_pinned(carver_of_pinned, n_vocab, 0);
    }

    /// As for a session that has just been opened, with position as the one before the first draw's.
    void start(const reprise_sampling& s, const HostInput& host, uint32_t position) {
        kind_ = sampling_kind(s, buffers_.n_vocab, !host.mask.empty());
        write_host_input(buffers_, host);
        check(cudaMemset(memory_.data, 0, memory_.n), "clearing");
        place(buffers_.state, 0, position, 0, 0, nullptr);
        set_sampling(buffers_, s, nullptr);
        check(cudaDeviceSynchronize(), "starting");
    }
    void draw(float* logits, cudaStream_t stream) const {
        SamplerBuffers buffers = buffers_;
        buffers.logits = logits;
        sample(buffers, kind_, 1, stream);
    }
    uint32_t launches() const { return sampler_launches(kind_); }
    int32_t token(uint32_t draw) const { return RingEntry::token_of(buffers_.ring[draw % RING_SIZE].number_and_token); }

  private:
    Buffer<uint8_t> memory_;
    PinnedBuffer pinned_;
    SamplerBuffers buffers_ = {};
    uint32_t kind_ = 0;
};

// ---- both ----

struct Setting {
    const char* name;
    float temperature;
    int32_t top_k;
    float top_p;
    float xtc_probability = 0;
    int32_t n_top_logprobs = 0;
    bool masked = false;
    bool is_plain() const { return xtc_probability == 0 && n_top_logprobs == 0 && !masked; }
};
constexpr Setting SETTINGS[] = {{"greedy", 0, 0, 1},
                                {"temperature 0.8", 0.8f, 0, 1},
                                {"temperature 0.8, top-k 40", 0.8f, 40, 1},
                                {"temperature 0.8, top-p 0.95", 0.8f, 0, 0.95f},
                                {"temperature 0.8, top-k 40, top-p 0.95", 0.8f, 40, 0.95f},
                                {"the same, XTC", 0.8f, 40, 0.95f, 1},
                                {"temperature 0.8, XTC", 0.8f, 0, 1, 1},
                                {"greedy, 5 alternatives", 0, 0, 1, 0, 5},
                                {"greedy, 20 alternatives", 0, 0, 1, 0, 20},
                                {"greedy, mask", 0, 0, 1, 0, 0, true},
                                {"temperature 0.8, top-k 40, top-p 0.95, mask", 0.8f, 40, 0.95f, 0, 0, true}};

uint32_t wrong_tokens(const std::vector<int32_t>& actual, const std::vector<int32_t>& expected) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < DRAWS; ++i) n += actual[i] != expected[i];
    return n;
}

/// Whether all draws are right.
bool run_vocabulary(uint32_t n_vocab, float spread) {
    const std::vector<float> logits = normals(size_t{DRAWS} * n_vocab, n_vocab, spread);
    const Buffer<float> device_logits(logits);
    const Buffer<int32_t> tokens(DRAWS);
    const PlainSampler plain(n_vocab);
    LibrarySampler library(n_vocab);
    CpuSampler cpu(n_vocab);
    bool right = true;
    std::printf("%u tokens, logits of a standard deviation of %g\n", n_vocab, spread);
    for (const Setting& setting : SETTINGS) {
        reprise_sampling s = {};
        s.temperature = setting.temperature;
        s.top_k = setting.top_k;
        s.top_p = setting.top_p;
        s.repeat_penalty = 1;
        s.seed = 0x5eed0123456789ab;
        s.xtc_probability = setting.xtc_probability;
        s.xtc_threshold = 0.1f;
        s.n_top_logprobs = setting.n_top_logprobs;
        s.logprobs = s.n_top_logprobs > 0 ? 1 : 0;
        std::vector<uint32_t> mask(setting.masked ? (n_vocab + 31) / 32 : 0);
        for (uint32_t i = 0; i < 50 && setting.masked; ++i)
            mask[i * 613 % n_vocab / 32] |= 1u << i * 613 % n_vocab % 32;
        const HostInput host = {mask, {}};
        const auto position_of = [](uint32_t draw) { return FIRST_POSITION + draw; };
        std::vector<int32_t> expected(DRAWS), actual(DRAWS);
        for (uint32_t i = 0; i < DRAWS; ++i) {
            expected[i] =
                cpu.sample(std::span(logits).subspan(size_t{i} * n_vocab, n_vocab), nullptr, host, s, position_of(i))
                    .id;
        }
        const auto row = [&](const char* name, uint32_t wrong, double us) {
            const double bytes = 4.0 * n_vocab;
            right = right && wrong == 0;
            std::printf("  %-44s %-10s %8.2f us  %.3f MB  %5.0f GB/s  %u wrong%s", setting.name, name, us, bytes * 1e-6,
                        bytes / us * 1e-3, wrong, wrong == 0 ? "" : "  WRONG");
        };

        check(cudaMemset(tokens.data, 0xff, DRAWS * sizeof(int32_t)), "clearing");
        check(cudaDeviceSynchronize(), "clearing");
        const auto draw_plain = [&](cudaStream_t stream) {
            for (uint32_t i = 0; i < DRAWS; ++i)
                plain.draw(device_logits.data + size_t{i} * n_vocab, s, position_of(i), tokens.data + i, stream);
        };
        if (setting.is_plain()) {
            draw_plain(nullptr);
            check(cudaDeviceSynchronize(), "drawing");
            actual = tokens.download();
            row("1 plain", wrong_tokens(actual, expected), time_graph(draw_plain, 7, true) / DRAWS);
            std::printf("\n");
        }

        library.start(s, host, FIRST_POSITION - 1);
        const auto draw = [&](cudaStream_t stream) {
            for (uint32_t i = 0; i < DRAWS; ++i) library.draw(device_logits.data + size_t{i} * n_vocab, stream);
        };
        draw(nullptr);
        check(cudaDeviceSynchronize(), "drawing");
        for (uint32_t i = 0; i < DRAWS; ++i) actual[i] = library.token(i);
        row("2 sample()", wrong_tokens(actual, expected), time_graph(draw, 7, true) / DRAWS);
        std::printf("  %u kernels\n", library.launches());
        std::fflush(stdout);
    }
    return right;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        load_sampler_kernels();
        load_kernel(plain_greedy);
        load_kernel(plain_rank);
        load_kernel(plain_draw);
        const auto only = static_cast<uint32_t>(argc > 1 ? std::max(0, std::atoi(argv[1])) : 0);
        const float spread = argc > 2 ? static_cast<float>(std::atof(argv[2])) : 3.f;
        bool right = true;
        for (const uint32_t n_vocab : only > 0 ? std::vector{only} : std::vector{32000u, 151936u})
            right = run_vocabulary(n_vocab, spread) && right;
        return right ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "sampler: %s\n", error.what());
        return 1;
    }
}
