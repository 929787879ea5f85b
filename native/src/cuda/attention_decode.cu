// One row at a time against a long context. blockIdx: split of the context, 8 heads of a KV head, row.
#include <algorithm>

#include "cuda/attention.h"
#include "cuda/attention_warp.cuh"
#include "cuda/launch.cuh"
#include "cuda/quant_input.cuh"
#include "cuda/rope_head.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t WARPS = 4;
constexpr uint32_t THREADS = WARPS * 32;
constexpr uint32_t BLOCK_KEYS = WARPS * TILE_KEYS;
constexpr uint32_t MAX_SPLITS = 64;
constexpr uint32_t WANTED_BLOCKS = 256;  // about two per multiprocessor of a large device

constexpr uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
uint32_t head_groups(uint32_t n_heads, uint32_t n_kv_heads) { return ceil_div(n_heads / n_kv_heads, HEADS); }
/// The same on every device, so that results are.
uint32_t split_count(uint32_t n_heads, uint32_t n_kv_heads) {
    return std::clamp(WANTED_BLOCKS / (n_kv_heads * head_groups(n_heads, n_kv_heads)), 1u, MAX_SPLITS);
}

struct DecodeArgs {
    AttentionArgs common;
    AttentionScratch scratch;
    uint32_t groups;  // of up to 8 heads, per KV head
    RopeKvArgs rope;  // of the fused kernel
};

/// The fused kernel's way in: the block's q heads, turned, to shared memory; and the new key and value to the cache, by
/// the block whose keys they end.
template <class Element, int DIM>
__device__ void take_heads(const RopeKvArgs& rope, float* q, uint32_t first_head, uint32_t n_heads, uint32_t kv_head, bool has_newest) {
    const uint32_t position = rope.state->position;
    for (uint32_t i = threadIdx.x / 32; i < n_heads + (has_newest ? 2 : 0); i += WARPS) {
        const bool is_q = i < n_heads;
        const uint32_t head = is_q ? first_head + i : rope.n_heads + (i - n_heads) * rope.n_kv_heads + kv_head;
        const TurnedHead turned = turn_head(rope, head, rope.qkv + size_t{head} * rope.head_dim, position);
        delay_point();
        if (is_q) {
            turned.store(rope, q + i * rope.head_dim);
        } else {
            store_to_cache<Element>(rope, head, turned, position);
        }
    }
    __syncthreads();
}

/// A part: out [head_dim], not divided by sum, then max and sum.
__device__ __forceinline__ size_t part_values(const AttentionArgs& args) { return args.head_dim + 2; }

__device__ __forceinline__ void store(const AttentionArgs& args, uint32_t row, uint32_t head, uint32_t dim, float value) {
    const uint32_t width = args.n_heads * args.head_dim, i = head * args.head_dim + dim;
    if (args.out != nullptr) args.out[size_t{row} * width + i] = value;
    if (args.int8 != nullptr) store_int8_group(args.int8, width / 32, i / 32, value);
}

/// Whether this block is the last of n to get here. Counts modulo n, so that the counter ends as it began.
__device__ bool is_last_arrival(uint32_t* counter, uint32_t n) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(counter, n - 1) == n - 1;
    __syncthreads();
    if (last) __threadfence();
    return last;
}

/// Adds up the parts of n_heads heads in order of the context.
__device__ void combine(const AttentionArgs& args, const float* parts, uint32_t n_parts, uint32_t n_splits, uint32_t first_head,
                        uint32_t n_heads) {
    __shared__ float weights[HEADS][MAX_SPLITS];
    __shared__ float factor[HEADS];
    const size_t size = part_values(args);
    const uint32_t lane = threadIdx.x % 32;
    for (uint32_t h = threadIdx.x / 32; h < n_heads; h += WARPS) {
        const float* of_head = parts + size_t{first_head + h} * n_splits * size + args.head_dim;
        float largest = LOWEST;
        for (uint32_t s = lane; s < n_parts; s += 32) {
            weights[h][s] = __ldcg(of_head + s * size);
            largest = fmaxf(largest, weights[h][s]);
        }
        for (int offset = 16; offset > 0; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, offset));
        float sum = 0;
        for (uint32_t s = lane; s < n_parts; s += 32) {
            weights[h][s] = exp2f(weights[h][s] - largest);
            sum = fmaf(weights[h][s], __ldcg(of_head + s * size + 1), sum);
        }
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
        if (lane == 0) factor[h] = 1.f / sum;
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < n_heads * args.head_dim; i += THREADS) {
        const uint32_t h = i / args.head_dim, dim = i % args.head_dim;
        const float* part = parts + size_t{first_head + h} * n_splits * size + dim;
        float value = 0;
#pragma unroll 8
        for (uint32_t s = 0; s < n_parts; ++s) value = fmaf(weights[h][s], __ldcg(part + s * size), value);
        delay_point();
        store(args, 0, first_head + h, dim, value * factor[h]);
    }
}

template <template <int> class Warp, int DIM, bool FUSED>
__global__ void __launch_bounds__(THREADS) attention_decode_kernel(const __grid_constant__ DecodeArgs decode) {
    using Element = typename Warp<DIM>::Element;
    __shared__ WarpResult<DIM> results[WARPS];
    release_successor();
    wait_for_predecessor();
    const AttentionArgs& args = decode.common;
    const uint32_t warp = threadIdx.x / 32, row = blockIdx.z;
    const uint32_t kv_head = blockIdx.y / decode.groups, per_kv_head = args.n_heads / args.n_kv_heads;
    const uint32_t first_in_group = blockIdx.y % decode.groups * HEADS;
    const uint32_t first_head = kv_head * per_kv_head + first_in_group;
    const uint32_t n_heads = min(HEADS, per_kv_head - first_in_group);

    const uint32_t seq_len = min(args.state->seq_len + row, args.capacity);
    const uint32_t keys_per_split = (seq_len + gridDim.x * BLOCK_KEYS - 1) / (gridDim.x * BLOCK_KEYS) * BLOCK_KEYS;
    const uint32_t n_parts = (seq_len + keys_per_split - 1) / keys_per_split;
    if (blockIdx.x >= n_parts) return;
    const uint32_t begin = blockIdx.x * keys_per_split, end = min(begin + keys_per_split, seq_len);

    {
        const size_t cache = size_t{kv_head} * args.capacity * args.head_dim;
        const float* q = args.q + row * args.q_stride + size_t{first_head} * args.head_dim;
        if constexpr (FUSED) {
            __shared__ float turned_q[HEADS * DIM];
            take_heads<Element, DIM>(decode.rope, turned_q, first_head, n_heads, kv_head, end == seq_len);
            q = turned_q;
        }
        Warp<DIM> state;
        state.begin(q, n_heads, args.head_dim, args.scale);
        state.attend(static_cast<const Element*>(args.k) + cache, static_cast<const Element*>(args.v) + cache,
                     begin + warp * TILE_KEYS, BLOCK_KEYS, end);
        state.finish(results[warp]);
    }
    __syncthreads();

    for (uint32_t i = threadIdx.x; i < n_heads * args.head_dim; i += THREADS) {
        const uint32_t h = i / args.head_dim, dim = i % args.head_dim;
        float largest = results[0].max[h];
        for (uint32_t w = 1; w < WARPS; ++w) largest = fmaxf(largest, results[w].max[h]);
        float value = 0, sum = 0;
        for (uint32_t w = 0; w < WARPS; ++w) {
            const float weight = exp2f(results[w].max[h] - largest);
            value = fmaf(weight, results[w].out[h][dim], value);
            sum = fmaf(weight, results[w].sum[h], sum);
        }
        delay_point();
        if (n_parts == 1) {
            store(args, row, first_head + h, dim, value / sum);
            continue;
        }
        float* part = decode.scratch.parts + (size_t{first_head + h} * gridDim.x + blockIdx.x) * part_values(args);
        part[dim] = value;
        if (dim == 0) {
            part[args.head_dim] = largest;
            part[args.head_dim + 1] = sum;
        }
    }
    if (n_parts > 1 && is_last_arrival(decode.scratch.arrived + blockIdx.y, n_parts)) {
        combine(args, decode.scratch.parts, n_parts, gridDim.x, first_head, n_heads);
    }
}

using Kernel = void (*)(DecodeArgs);

template <bool FUSED>
Kernel kernel_of(TensorType kv_type, uint32_t head_dim) {
    const bool half = kv_type == TensorType::F16;
    if (head_dim % 8 != 0 || head_dim > MAX_HEAD_DIM) fail(REPRISE_INTERNAL, "attention: heads of %u", head_dim);
    if (head_dim <= 64) return half ? attention_decode_kernel<HalfWarp, 64, FUSED> : attention_decode_kernel<FloatWarp, 64, FUSED>;
    if (head_dim <= 128) return half ? attention_decode_kernel<HalfWarp, 128, FUSED> : attention_decode_kernel<FloatWarp, 128, FUSED>;
    return half ? attention_decode_kernel<HalfWarp, 256, FUSED> : attention_decode_kernel<FloatWarp, 256, FUSED>;
}

}  // namespace

size_t attention_parts(uint32_t n_heads, uint32_t n_kv_heads, uint32_t head_dim) {
    return size_t{n_heads} * split_count(n_heads, n_kv_heads) * (head_dim + 2);
}

size_t attention_counters(uint32_t n_heads, uint32_t n_kv_heads) { return size_t{n_kv_heads} * head_groups(n_heads, n_kv_heads); }

void attention_decode(const AttentionArgs& args, TensorType kv_type, const AttentionScratch& scratch, cudaStream_t stream) {
    if (args.int8 != nullptr && args.head_dim % 32 != 0) fail(REPRISE_INTERNAL, "attention: no 8-bit output of heads of %u", args.head_dim);
    const uint32_t groups = head_groups(args.n_heads, args.n_kv_heads);
    const dim3 grid(split_count(args.n_heads, args.n_kv_heads), args.n_kv_heads * groups, 1);
    launch(kernel_of<false>(kv_type, args.head_dim), grid, THREADS, 0, stream, DecodeArgs{args, scratch, groups, {}});
}

void attention_fused(const AttentionArgs& args, const RopeKvArgs& rope, const AttentionScratch& scratch, cudaStream_t stream) {
    const uint32_t groups = head_groups(args.n_heads, args.n_kv_heads);
    const dim3 grid(split_count(args.n_heads, args.n_kv_heads), args.n_kv_heads * groups, 1);
    launch(kernel_of<true>(rope.kv_type, args.head_dim), grid, THREADS, 0, stream, DecodeArgs{args, scratch, groups, rope});
}

/// Prefill with float32 keys and values: the same, one row per block, the context in one piece.
void attention_prefill_float(const AttentionArgs& args, uint32_t n, cudaStream_t stream) {
    const uint32_t groups = head_groups(args.n_heads, args.n_kv_heads);
    const dim3 grid(1, args.n_kv_heads * groups, n);
    launch(kernel_of<false>(TensorType::F32, args.head_dim), grid, THREADS, 0, stream, DecodeArgs{args, {}, groups, {}});
}

void load_attention_decode_kernels() {
    for (const TensorType type : {TensorType::F16, TensorType::F32}) {
        for (const uint32_t head_dim : {64u, 128u, 256u}) {
            load_kernel(kernel_of<false>(type, head_dim));
            load_kernel(kernel_of<true>(type, head_dim));
        }
    }
}

}  // namespace reprise::cuda
