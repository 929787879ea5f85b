// One row at a time against a long context. blockIdx.x: 8 heads of a KV head, split of the context; blockIdx.z: row.
#include <algorithm>
#include <type_traits>

#include "cuda/attention.h"
#include "cuda/attention_warp.cuh"
#include "cuda/launch.cuh"
#include "cuda/quant_input.cuh"
#include "cuda/rope_head.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t MAX_SPLITS = 64;

/// Warps of a block: as many as leave a product's block room for its registers on the same multiprocessor.
constexpr uint32_t warps_for(int dim) { return dim <= 128 ? 8 : 4; }

constexpr uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
uint32_t head_groups(uint32_t n_heads, uint32_t n_kv_heads) { return ceil_div(n_heads / n_kv_heads, HEADS); }

struct DecodeArgs {
    AttentionArgs common;
    AttentionScratch scratch;
    uint32_t groups;    // of up to 8 heads, per KV head
    uint32_t n_splits;  // of the context
    RopeKvArgs rope;    // of the fused kernel
};

/// Rows of the turned q heads in shared memory, apart so that lanes of different heads meet different banks.
constexpr uint32_t padded(uint32_t head_dim) { return head_dim + 8; }

/// The fused kernel's way in: the block's q heads, turned, to shared memory; and the new key and value to the cache, by
/// the block whose keys they end.
template <uint32_t WARPS>
class HeadIntake {
  public:
    /// Sends out all loads: they depend on nothing that the block has to wait for.
    __device__ __forceinline__ HeadIntake(const RopeKvArgs& rope, uint32_t first_head, uint32_t n_heads, uint32_t kv_head)
        : rope_(rope), first_head_(first_head), n_heads_(n_heads), kv_head_(kv_head) {
#pragma unroll
        for (uint32_t round = 0; round < ROUNDS; ++round) {
            const uint32_t i = threadIdx.x / 32 + round * WARPS;
            if (i < n_heads + 2) heads_[round] = load_head(rope, rope.qkv + size_t{head_of(i)} * rope.head_dim);
        }
    }

    template <class Element>
    __device__ __forceinline__ void finish(float* q, uint32_t position, bool has_newest) {
        const uint32_t n = n_heads_ + (has_newest ? 2 : 0);
#pragma unroll
        for (uint32_t round = 0; round < ROUNDS; ++round) {
            const uint32_t i = threadIdx.x / 32 + round * WARPS;
            if (i >= n) break;
            turn_head(rope_, head_of(i), position, heads_[round]);
            delay_point();
            if (i < n_heads_) {
                heads_[round].store(rope_, q + i * padded(rope_.head_dim));
            } else {
                store_to_cache<Element>(rope_, head_of(i), heads_[round], position);
            }
        }
        __syncthreads();
    }

  private:
    static constexpr uint32_t ROUNDS = (HEADS + 2 + WARPS - 1) / WARPS;
    __device__ __forceinline__ uint32_t head_of(uint32_t i) const {
        return i < n_heads_ ? first_head_ + i : rope_.n_heads + (i - n_heads_) * rope_.n_kv_heads + kv_head_;
    }
    const RopeKvArgs& rope_;
    uint32_t first_head_, n_heads_, kv_head_;
    TurnedHead heads_[ROUNDS];
};
/// In its place where q is turned already.
struct NoIntake {
    __device__ __forceinline__ NoIntake(const RopeKvArgs&, uint32_t, uint32_t, uint32_t) {}
};

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

/// Adds up the parts of n_heads heads in order of the context. Every thread has its loads in flight at once.
template <uint32_t WARPS>
__device__ void combine(const AttentionArgs& args, const float* parts, uint32_t n_parts, uint32_t n_splits, uint32_t first_head,
                        uint32_t n_heads) {
    __shared__ float weights[HEADS][MAX_SPLITS];
    __shared__ float factor[HEADS];
    const size_t size = part_values(args);
    const uint32_t lane = threadIdx.x % 32;
    for (uint32_t h = threadIdx.x / 32; h < n_heads; h += WARPS) {
        constexpr uint32_t ROUNDS = MAX_SPLITS / 32;
        const float* of_head = parts + size_t{first_head + h} * n_splits * size + args.head_dim;
        float2 max_sum[ROUNDS];
        float largest = LOWEST, sum = 0;
#pragma unroll
        for (uint32_t round = 0; round < ROUNDS; ++round) {
            const uint32_t s = lane + round * 32;
            max_sum[round] = s < n_parts ? __ldcg(reinterpret_cast<const float2*>(of_head + s * size)) : make_float2(LOWEST, 0.f);
            largest = fmaxf(largest, max_sum[round].x);
        }
        for (int offset = 16; offset > 0; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, offset));
#pragma unroll
        for (uint32_t round = 0; round < ROUNDS; ++round) {
            const float weight = exp2f(max_sum[round].x - largest);
            weights[h][lane + round * 32] = weight;
            sum = fmaf(weight, max_sum[round].y, sum);
        }
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
        if (lane == 0) factor[h] = 1.f / sum;
    }
    __syncthreads();
    // A warp takes 32 dimensions of a head at a time, so that store() has whole groups; two at once, for more loads in flight.
    const uint32_t pieces_per_head = (args.head_dim + 31) / 32, n_pieces = n_heads * pieces_per_head;
    const uint32_t warp = threadIdx.x / 32;
    for (uint32_t first = warp; first < n_pieces; first += 2 * WARPS) {
        float value[2] = {};
        uint32_t head[2], dim[2];
        bool valid[2];
#pragma unroll
        for (uint32_t j = 0; j < 2; ++j) {
            const uint32_t piece = first + j * WARPS;
            head[j] = piece / pieces_per_head;
            dim[j] = piece % pieces_per_head * 32 + lane;
            valid[j] = piece < n_pieces && dim[j] < args.head_dim;
        }
#pragma unroll 4
        for (uint32_t s = 0; s < n_parts; ++s) {
#pragma unroll
            for (uint32_t j = 0; j < 2; ++j) {
                if (!valid[j]) continue;
                const float* part = parts + (size_t{first_head + head[j]} * n_splits + s) * size;
                value[j] = fmaf(weights[head[j]][s], __ldcg(part + dim[j]), value[j]);
            }
        }
        delay_point();
#pragma unroll
        for (uint32_t j = 0; j < 2; ++j) {
            if (valid[j]) store(args, 0, first_head + head[j], dim[j], value[j] * factor[head[j]]);
        }
    }
}

/// A block's shared memory.
template <template <int> class Warp, int DIM>
struct BlockMemory {
    WarpResult<DIM> results[warps_for(DIM)];
    typename Warp<DIM>::Queries queries;
    float turned_q[HEADS * padded(DIM)];
};

template <template <int> class Warp, int DIM, bool FUSED>
__global__ void __launch_bounds__(warps_for(DIM) * 32, DIM <= 128 ? 2 : 1) attention_decode_kernel(const __grid_constant__ DecodeArgs decode) {
    using Element = typename Warp<DIM>::Element;
    constexpr uint32_t WARPS = warps_for(DIM), BLOCK_KEYS = WARPS * TILE_KEYS;
    // Combining parts takes as long as attending to that many keys more.
    constexpr uint32_t MIN_SPLIT_KEYS = 2 * BLOCK_KEYS;
    extern __shared__ __align__(16) uint8_t dynamic[];
    auto& memory = *reinterpret_cast<BlockMemory<Warp, DIM>*>(dynamic);
    WarpResult<DIM>* const results = memory.results;
    release_successor();
    wait_for_predecessor();
    const AttentionArgs& args = decode.common;
    const uint32_t warp = threadIdx.x / 32, row = blockIdx.z;
    const uint32_t n_units = args.n_kv_heads * decode.groups, unit = blockIdx.x % n_units, split = blockIdx.x / n_units;
    if (split >= decode.n_splits) return;
    const uint32_t kv_head = unit / decode.groups, per_kv_head = args.n_heads / args.n_kv_heads;
    const uint32_t first_in_group = unit % decode.groups * HEADS;
    const uint32_t first_head = kv_head * per_kv_head + first_in_group;
    const uint32_t n_heads = min(HEADS, per_kv_head - first_in_group);

    std::conditional_t<FUSED, HeadIntake<WARPS>, NoIntake> intake(decode.rope, first_head, n_heads, kv_head);
    const uint32_t seq_len = min(args.state->seq_len + row, args.capacity), position = args.state->position;
    const uint32_t even_split = (seq_len + decode.n_splits * BLOCK_KEYS - 1) / (decode.n_splits * BLOCK_KEYS) * BLOCK_KEYS;
    const uint32_t keys_per_split = max(even_split, MIN_SPLIT_KEYS);
    const uint32_t n_parts = (seq_len + keys_per_split - 1) / keys_per_split;
    if (split >= n_parts) return;
    const uint32_t begin = split * keys_per_split, end = min(begin + keys_per_split, seq_len);

    {
        const size_t cache = size_t{kv_head} * args.capacity * args.head_dim;
        const float* q = args.q + row * args.q_stride + size_t{first_head} * args.head_dim;
        uint32_t q_stride = args.head_dim;
        if constexpr (FUSED) {
            intake.template finish<Element>(memory.turned_q, position, end == seq_len);
            q = memory.turned_q;
            q_stride = padded(args.head_dim);
        }
        Warp<DIM> state;
        state.begin(q, q_stride, n_heads, args.head_dim, args.scale, memory.queries);
        __syncthreads();
        state.attend(static_cast<const Element*>(args.k) + cache, static_cast<const Element*>(args.v) + cache,
                     begin + warp * TILE_KEYS, BLOCK_KEYS, end);
        state.finish(results[warp]);
    }
    __syncthreads();

    const uint32_t lane = threadIdx.x % 32;
    for (uint32_t h = warp; h < n_heads; h += WARPS) {
        float weights[WARPS];
        float largest = results[0].max[h], sum = 0;
#pragma unroll
        for (uint32_t w = 1; w < WARPS; ++w) largest = fmaxf(largest, results[w].max[h]);
#pragma unroll
        for (uint32_t w = 0; w < WARPS; ++w) {
            weights[w] = exp2f(results[w].max[h] - largest);
            sum = fmaf(weights[w], results[w].sum[h], sum);
        }
        const float factor = n_parts == 1 ? 1.f / sum : 1.f;
        float* part = decode.scratch.parts + (size_t{first_head + h} * decode.n_splits + split) * part_values(args);
        for (uint32_t dim = lane; dim < args.head_dim; dim += 32) {
            float value = 0;
#pragma unroll
            for (uint32_t w = 0; w < WARPS; ++w) value = fmaf(weights[w], results[w].out[h][dim], value);
            delay_point();
            if (n_parts == 1) {
                store(args, row, first_head + h, dim, value * factor);
            } else {
                part[dim] = value;
            }
        }
        if (n_parts > 1 && lane == 0) {
            part[args.head_dim] = largest;
            part[args.head_dim + 1] = sum;
        }
    }
    if (n_parts > 1 && is_last_arrival(decode.scratch.arrived + unit, n_parts)) {
        combine<WARPS>(args, decode.scratch.parts, n_parts, decode.n_splits, first_head, n_heads);
    }
}

struct KernelEntry {
    void (*kernel)(DecodeArgs);
    uint32_t threads, shared_bytes;
};
template <template <int> class Warp, int DIM, bool FUSED>
constexpr KernelEntry entry() {
    return {attention_decode_kernel<Warp, DIM, FUSED>, warps_for(DIM) * 32, sizeof(BlockMemory<Warp, DIM>)};
}

template <bool FUSED>
KernelEntry kernel_of(TensorType kv_type, uint32_t head_dim) {
    const bool half = kv_type == TensorType::F16;
    if (head_dim % 8 != 0 || head_dim > MAX_HEAD_DIM) fail(REPRISE_INTERNAL, "attention: heads of %u", head_dim);
    if (head_dim <= 64) return half ? entry<HalfWarp, 64, FUSED>() : entry<FloatWarp, 64, FUSED>();
    if (head_dim <= 128) return half ? entry<HalfWarp, 128, FUSED>() : entry<FloatWarp, 128, FUSED>();
    return half ? entry<HalfWarp, 256, FUSED>() : entry<FloatWarp, 256, FUSED>();
}

DecodeArgs decode_args(const AttentionArgs& args, const AttentionScratch& scratch, uint32_t max_splits) {
    DecodeArgs decode = {args, scratch, head_groups(args.n_heads, args.n_kv_heads), 1, {}};
    const uint32_t n_units = args.n_kv_heads * decode.groups;
    decode.n_splits = std::clamp(static_cast<uint32_t>(device_traits().n_sms) / n_units, 1u, max_splits);
    return decode;
}

}  // namespace

size_t attention_parts(uint32_t n_heads, uint32_t, uint32_t head_dim) { return size_t{n_heads} * MAX_SPLITS * (head_dim + 2); }

size_t attention_counters(uint32_t n_heads, uint32_t n_kv_heads) { return size_t{n_kv_heads} * head_groups(n_heads, n_kv_heads); }

void attention_decode(const AttentionArgs& args, TensorType kv_type, const AttentionScratch& scratch, cudaStream_t stream) {
    if (args.int8 != nullptr && args.head_dim % 32 != 0) fail(REPRISE_INTERNAL, "attention: no 8-bit output of heads of %u", args.head_dim);
    const KernelEntry entry = kernel_of<false>(kv_type, args.head_dim);
    const DecodeArgs decode = decode_args(args, scratch, MAX_SPLITS);
    launch(entry.kernel, args.n_kv_heads * decode.groups * decode.n_splits, entry.threads, entry.shared_bytes, stream, decode);
}

void attention_fused(const AttentionArgs& args, const RopeKvArgs& rope, const AttentionScratch& scratch, Slot slot,
                     cudaStream_t stream) {
    const KernelEntry entry = kernel_of<true>(rope.kv_type, args.head_dim);
    DecodeArgs decode = decode_args(args, scratch, MAX_SPLITS);
    decode.rope = rope;
    // A block on every multiprocessor, of a slot's size: see slot_size().
    const DeviceTraits traits = device_traits();
    const uint32_t grid = std::max(args.n_kv_heads * decode.groups * decode.n_splits, static_cast<uint32_t>(traits.n_sms));
    launch(entry.kernel, grid, entry.threads, std::max(entry.shared_bytes, slot_size(slot, traits).least), stream, decode);
}

/// One row per block, the context in one piece.
void attention_prefill_by_row(const AttentionArgs& args, TensorType kv_type, uint32_t n, cudaStream_t stream) {
    const KernelEntry entry = kernel_of<false>(kv_type, args.head_dim);
    const DecodeArgs decode = decode_args(args, {}, 1);
    launch(entry.kernel, dim3(args.n_kv_heads * decode.groups, 1, n), entry.threads, entry.shared_bytes, stream, decode);
}

void load_attention_decode_kernels() {
    for (const TensorType type : {TensorType::F16, TensorType::F32}) {
        for (const uint32_t head_dim : {64u, 128u, 256u}) {
            load_kernel_with_shared_memory(kernel_of<false>(type, head_dim).kernel);
            load_kernel_with_shared_memory(kernel_of<true>(type, head_dim).kernel);
        }
    }
}

}  // namespace reprise::cuda
