// One row at a time against a long context. blockIdx.x: 8 heads of a KV head, split of the context; blockIdx.z: row.
#include <algorithm>

#include "cuda/attention.h"
#include "cuda/attention_warp.cuh"
#include "cuda/launch.cuh"
#include "cuda/quant_input.cuh"
#include "cuda/rope_head.cuh"
#include "cuda/weight_prefetch.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t MAX_SPLITS = 64;
constexpr uint32_t PARTS_AT_ONCE = 16;           // that combine() asks for before it waits
constexpr size_t MOST_CACHE_BYTES = 256 * 1024;  // of a block, with which it prefetches weights

constexpr uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
uint32_t head_groups(uint32_t n_heads, uint32_t n_kv_heads) { return ceil_div(n_heads / n_kv_heads, HEADS); }

struct DecodeArgs {
    AttentionArgs common;
    AttentionScratch scratch;
    uint32_t groups;    // of up to 8 heads, per KV head
    uint32_t n_splits;  // of the context
    RingShape ring;
    bool early;       // state and all rows of the cache but the newest are complete before the predecessor is
    RopeKvArgs rope;  // without caches where q is turned already and the cache complete
    WeightPrefetch prefetch;
};

/// The way in: the block's q heads, turned, to shared memory; and the new key and value to the cache, by the block
/// whose keys they end. Whatever memory it needs it asks for at once: a round trip takes a microsecond and more while
/// the next kernels stream their weights.
template <class Warp>
class HeadIntake {
  public:
    /// Before the predecessor has finished.
    __device__ __forceinline__ HeadIntake(const RopeKvArgs& rope, uint32_t first_head, uint32_t n_heads,
                                          uint32_t kv_head)
        : rope_(rope), first_head_(first_head), n_heads_(n_heads), kv_head_(kv_head) {
        norm_.load(rope, head_of(threadIdx.x / 32));
    }

    __device__ __forceinline__ void compute_angles(uint32_t position) { angles_.compute(rope_, position); }

    __device__ __forceinline__ void take(typename Warp::Shared& shared, float scale, uint32_t row, uint32_t position,
                                         bool has_newest) {
        const uint32_t n = n_heads_ + (has_newest ? 2 : 0);
        // Few models have more heads than the block has warps.
#pragma unroll 1
        for (uint32_t i = threadIdx.x / 32; i < n; i += Warp::WARPS) {
            TurnedHead<PAIRS> head =
                load_head<PAIRS>(rope_, rope_.qkv + row * rope_.row_stride + size_t{head_of(i)} * rope_.head_dim);
            if (i >= Warp::WARPS) norm_.load(rope_, head_of(i));
            turn_head(rope_, head_of(i), norm_, angles_, head);
            delay_point();
            if (i < n_heads_) {
                shared.store_query(rope_, i, head, scale);
            } else {
                shared.store_newest(rope_, head_of(i), i > n_heads_, head, position);
            }
        }
    }

  private:
    static constexpr uint32_t PAIRS = Warp::PAIRS;
    /// The q heads, then the key, then the value.
    __device__ __forceinline__ uint32_t head_of(uint32_t i) const {
        return i < n_heads_ ? first_head_ + i : rope_.n_heads + (i - n_heads_) * rope_.n_kv_heads + kv_head_;
    }
    const RopeKvArgs& rope_;
    uint32_t first_head_, n_heads_, kv_head_;
    HeadNorm<PAIRS> norm_;
    HeadAngles<PAIRS> angles_;
};

/// Split number split of a context: keys begin to end - 1; none where split >= n_parts.
struct Share {
    uint32_t n_parts, begin, end;
};
template <uint32_t BLOCK_KEYS>
__device__ __forceinline__ Share share_of(uint32_t seq_len, uint32_t n_splits, uint32_t split) {
    // Combining two parts takes as long as attending to a tile more per warp, and a few more parts nothing: so a
    // context is one part as long as that is no more, then many small ones while they leave half of the blocks alone
    // and combine() asks for all of them at once. Of the limits that were tried these took the least time at contexts
    // of 320 to 8192 tokens, on an H100 by bench/kernels/decode_chain.cu MODEL CONTEXT.
    constexpr uint32_t ALONE = 3 * BLOCK_KEYS;
    const uint32_t n_blocks = (seq_len + BLOCK_KEYS - 1) / BLOCK_KEYS;
    uint32_t keys = ALONE;
    if (seq_len > ALONE) {
        const uint32_t even = (n_blocks + n_splits - 1) / n_splits * BLOCK_KEYS;
        keys = n_blocks <= min(PARTS_AT_ONCE, n_splits / 2) ? BLOCK_KEYS : max(even, 2 * BLOCK_KEYS);
    }
    return {(seq_len + keys - 1) / keys, split * keys, min((split + 1) * keys, seq_len)};
}

/// A part: out [head_dim], not divided by sum, then max and sum; a multiple of 16 bytes.
__host__ __device__ __forceinline__ size_t part_values(uint32_t head_dim) { return head_dim + 4; }

/// Four dimensions of a head: to out, and to rows for store_int8().
__device__ __forceinline__ void store(const AttentionArgs& args, uint32_t row, uint32_t head, uint32_t dim,
                                      const float4& value, float* rows) {
    const size_t width = args.n_heads * args.head_dim;
    if (args.out != nullptr) *reinterpret_cast<float4*>(args.out + row * width + head * args.head_dim + dim) = value;
    if (args.int8 != nullptr) *reinterpret_cast<float4*>(rows + dim) = value;
}
/// By the warp that stored the head.
__device__ __forceinline__ void store_int8(const AttentionArgs& args, uint32_t head, const float* rows) {
    if (args.int8 == nullptr) return;
    __syncwarp();
#pragma unroll 1
    for (uint32_t dim = threadIdx.x % 32; dim < args.head_dim; dim += 32) {
        store_int8_group(args.int8, args.n_heads * args.head_dim / 32, (head * args.head_dim + dim) / 32, rows[dim]);
    }
}

/// Adds up the parts of n_heads heads in order of the context, a warp to a head, with many loads in flight. rows:
/// scratch in shared memory, HEADS of DIM values.
template <uint32_t WARPS, int DIM>
__device__ void combine(const AttentionArgs& args, const float* parts, uint32_t n_parts, uint32_t n_splits,
                        uint32_t first_head, uint32_t n_heads, float* rows) {
    constexpr uint32_t ROUNDS = MAX_SPLITS / 32;
    __shared__ float weights[HEADS][MAX_SPLITS];
    const size_t size = part_values(args.head_dim);
    const uint32_t lane = threadIdx.x % 32;
    for (uint32_t h = threadIdx.x / 32; h < n_heads; h += WARPS) {
        const float* of_head = parts + size_t{first_head + h} * n_splits * size;
        float4 part[PARTS_AT_ONCE];
        const auto load = [&](uint32_t first, uint32_t dim) {
#pragma unroll
            for (uint32_t i = 0; i < PARTS_AT_ONCE; ++i) {
                const bool exists = first + i < n_parts && dim < args.head_dim;
                part[i] = exists ? __ldcg(reinterpret_cast<const float4*>(of_head + (first + i) * size + dim))
                                 : make_float4(0, 0, 0, 0);
            }
        };
        load(0, lane * 4);  // with the maxima, so that both take one round trip
        float2 max_sum[ROUNDS];
        float largest = LOWEST, sum = 0;
#pragma unroll
        for (uint32_t round = 0; round < ROUNDS; ++round) {
            const uint32_t s = lane + round * 32;
            max_sum[round] = s < n_parts ? __ldcg(reinterpret_cast<const float2*>(of_head + s * size + args.head_dim))
                                         : make_float2(LOWEST, 0.f);
            largest = fmaxf(largest, max_sum[round].x);
        }
        for (int offset = 16; offset > 0; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, offset));
#pragma unroll
        for (uint32_t round = 0; round < ROUNDS; ++round) {
            const float weight = exp2_of(max_sum[round].x - largest);
            weights[h][lane + round * 32] = weight;
            sum = fmaf(weight, max_sum[round].y, sum);
        }
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
        const float factor = __fdividef(1.f, sum);
        __syncwarp();
        for (uint32_t dim = lane * 4; dim < args.head_dim; dim += 128) {
            float4 total = make_float4(0, 0, 0, 0);
            for (uint32_t first = 0; first < n_parts; first += PARTS_AT_ONCE) {
                if (first > 0 || dim >= 128) load(first, dim);
#pragma unroll
                for (uint32_t i = 0; i < PARTS_AT_ONCE; ++i) {
                    const float weight = weights[h][first + i];
                    total.x = fmaf(weight, part[i].x, total.x);
                    total.y = fmaf(weight, part[i].y, total.y);
                    total.z = fmaf(weight, part[i].z, total.z);
                    total.w = fmaf(weight, part[i].w, total.w);
                }
            }
            delay_point();
            store(args, 0, first_head + h, dim,
                  make_float4(total.x * factor, total.y * factor, total.z * factor, total.w * factor), rows + h * DIM);
        }
        store_int8(args, first_head + h, rows + h * DIM);
    }
}

/// EXACT: heads are of DIM values, which spares much code; else of up to as many.
template <class Warp, int DIM, bool EXACT>
__global__ void __launch_bounds__(Warp::WARPS * 32, DIM <= 128 ? 2 : 1)
    attention_decode_kernel(const __grid_constant__ DecodeArgs decode) {
    constexpr uint32_t WARPS = Warp::WARPS, BLOCK_KEYS = WARPS * TILE_KEYS;
    extern __shared__ __align__(128) uint8_t dynamic[];  // what each warp has for itself, then what all share
    auto& shared = *reinterpret_cast<typename Warp::Shared*>(dynamic + WARPS * decode.ring.warp_bytes);
    AttentionArgs args = decode.common;
    RopeKvArgs rope = decode.rope;
    if constexpr (EXACT) args.head_dim = rope.head_dim = DIM;
    Timeline times(args.k);
    const uint32_t warp = threadIdx.x / 32, row = blockIdx.z;
    const uint32_t n_units = args.n_kv_heads * decode.groups, unit = blockIdx.x % n_units, split = blockIdx.x / n_units;
    const uint32_t kv_head = unit / decode.groups, per_kv_head = args.n_heads / args.n_kv_heads;
    const uint32_t first_in_group = unit % decode.groups * HEADS;
    const uint32_t first_head = kv_head * per_kv_head + first_in_group;
    const uint32_t n_heads = min(HEADS, per_kv_head - first_in_group);
    const size_t cache = kv_head * kv_rows(args.capacity) * kv_row_bytes<typename Warp::Element>(args.head_dim);
    const auto result_of = [&](uint32_t w) -> WarpResult<DIM>& {
        return *reinterpret_cast<WarpResult<DIM>*>(dynamic + w * decode.ring.warp_bytes);
    };
    release_successor();
    HeadIntake<Warp> intake(rope, first_head, n_heads, kv_head);
    Warp state(static_cast<const uint8_t*>(args.k) + cache, static_cast<const uint8_t*>(args.v) + cache, args.head_dim,
               dynamic + warp * decode.ring.warp_bytes, decode.ring, shared);
    if (!decode.early) wait_for_predecessor();
    const uint32_t position = __ldcg(&args.state->position),
                   seq_len = min(__ldcg(&args.state->seq_len) + row, args.capacity);
    const auto [n_parts, begin, end] = share_of<BLOCK_KEYS>(seq_len, decode.n_splits, split);
    const bool has_part = split < min(n_parts, decode.n_splits);
    const bool has_newest = rope.k_cache != nullptr && end == seq_len && position < args.capacity;
    if (has_part) {
        state.begin(begin + warp * TILE_KEYS, BLOCK_KEYS, end);
        intake.compute_angles(position);
    }
    // Not behind a long context, whose keys and values push weights out of the L2 again.
    const size_t cache_bytes = 2 * size_t{seq_len} * kv_row_bytes<typename Warp::Element>(args.head_dim);
    if (cache_bytes <= n_parts * MOST_CACHE_BYTES) prefetch_weights(decode.prefetch, warp, WARPS, threadIdx.x % 32);
    if (decode.early) wait_for_predecessor();
    times.pass(Point::RELEASED);
    if (!has_part) return;

    intake.take(shared, args.scale, row, position, has_newest);
    __syncthreads();
    times.pass(Point::INPUT_READY);
    state.attend(has_newest ? position : NO_KEY);
    __syncwarp();
    state.finish(result_of(warp));
    __syncthreads();
    times.pass(Point::COMPUTED);

    const uint32_t lane = threadIdx.x % 32;
#pragma unroll 1
    for (uint32_t h = warp; h < n_heads; h += WARPS) {
        float weights[WARPS];
        float largest = result_of(0).max[h], sum = 0;
#pragma unroll
        for (uint32_t w = 1; w < WARPS; ++w) largest = fmaxf(largest, result_of(w).max[h]);
#pragma unroll
        for (uint32_t w = 0; w < WARPS; ++w) {
            weights[w] = exp2_of(result_of(w).max[h] - largest);
            sum = fmaf(weights[w], result_of(w).sum[h], sum);
        }
        const float factor = n_parts == 1 ? __fdividef(1.f, sum) : 1.f;
        float* part =
            decode.scratch.parts + (size_t{first_head + h} * decode.n_splits + split) * part_values(args.head_dim);
#pragma unroll 1
        for (uint32_t dim = lane * 4; dim < args.head_dim; dim += 128) {
            float4 value = make_float4(0, 0, 0, 0);
#pragma unroll
            for (uint32_t w = 0; w < WARPS; ++w) {
                const float4 of_warp = *reinterpret_cast<const float4*>(&result_of(w).out[h][dim]);
                value.x = fmaf(weights[w], of_warp.x, value.x);
                value.y = fmaf(weights[w], of_warp.y, value.y);
                value.z = fmaf(weights[w], of_warp.z, value.z);
                value.w = fmaf(weights[w], of_warp.w, value.w);
            }
            value = make_float4(value.x * factor, value.y * factor, value.z * factor, value.w * factor);
            delay_point();
            if (n_parts == 1) {
                store(args, row, first_head + h, dim, value, result_of(0).out[h]);
            } else {
                *reinterpret_cast<float4*>(part + dim) = value;
            }
        }
        if (n_parts > 1 && lane == 0) {
            part[args.head_dim] = largest;
            part[args.head_dim + 1] = sum;
        }
        if (n_parts == 1) store_int8(args, first_head + h, result_of(0).out[h]);
    }
    if (n_parts > 1 && is_last_arrival(decode.scratch.arrived + unit, n_parts)) {
        combine<WARPS, DIM>(args, decode.scratch.parts, n_parts, decode.n_splits, first_head, n_heads,
                            reinterpret_cast<float*>(dynamic));
    }
    times.pass(Point::END);
}

struct KernelEntry {
    void (*kernel)(DecodeArgs);
    uint32_t warps, tile_bytes, stage_bytes;
    uint32_t result_bytes, common_bytes;  // of shared memory, per warp and per block
};
template <class Warp, int DIM>
KernelEntry entry(uint32_t head_dim) {
    return {head_dim == DIM ? attention_decode_kernel<Warp, DIM, true> : attention_decode_kernel<Warp, DIM, false>,
            Warp::WARPS,
            Warp::tile_bytes(head_dim),
            Warp::stage_bytes(head_dim),
            sizeof(WarpResult<DIM>),
            sizeof(typename Warp::Shared)};
}

template <int DIM>
KernelEntry entry_of(TensorType kv_type, uint32_t head_dim) {
    switch (kv_type) {
        case TensorType::F16:
            return entry<TensorWarp<__half, DIM>, DIM>(head_dim);
        case TensorType::Q8_0:
            return entry<TensorWarp<KvQ8, DIM>, DIM>(head_dim);
        case TensorType::F32:
            return entry<FloatWarp<DIM>, DIM>(head_dim);
        default:
            fail(REPRISE_INTERNAL, "attention: keys and values of type %d", static_cast<int>(kv_type));
    }
}

KernelEntry kernel_of(TensorType kv_type, uint32_t head_dim) {
    if (head_dim % 8 != 0 || head_dim > MAX_HEAD_DIM || (kv_type == TensorType::Q8_0 && head_dim % KV_BLOCK != 0))
        fail(REPRISE_INTERNAL, "attention: heads of %u", head_dim);
    if (head_dim <= 64) return entry_of<64>(kv_type, head_dim);
    return head_dim <= 128 ? entry_of<128>(kv_type, head_dim) : entry_of<256>(kv_type, head_dim);
}

/// As deep as a slot's shared memory allows.
RingShape ring_shape(const KernelEntry& entry, uint32_t most_shared_bytes) {
    RingShape ring = {entry.tile_bytes, 0, entry.stage_bytes, entry.result_bytes};
    if (entry.stage_bytes > 0) {
        const uint32_t taken = entry.common_bytes + entry.warps * entry.tile_bytes;
        const uint32_t room = most_shared_bytes > taken ? (most_shared_bytes - taken) / entry.warps : 0;
        // At least two, also where that is more than a slot: one is fetched while the other is attended to.
        ring.n_stages = std::clamp(room / entry.stage_bytes, 2u, MAX_STAGES);
        ring.warp_bytes = std::max(ring.warp_bytes, ring.tile_bytes + ring.n_stages * ring.stage_bytes);
    }
    ring.warp_bytes = CopyRing::whole_lines(ring.warp_bytes);
    return ring;
}
uint32_t shared_bytes(const KernelEntry& entry, const RingShape& ring) {
    return entry.warps * ring.warp_bytes + entry.common_bytes;
}

/// Of q that is turned already.
RopeKvArgs no_rope(const AttentionArgs& args) {
    RopeKvArgs rope = {};
    rope.qkv = const_cast<float*>(args.q);  // only the caches are written, and there are none
    rope.row_stride = args.q_stride;
    rope.n_heads = args.n_heads;
    rope.n_kv_heads = args.n_kv_heads;
    rope.head_dim = args.head_dim;
    rope.state = args.state;
    return rope;
}

DecodeArgs decode_args(const AttentionArgs& args, const RopeKvArgs& rope, const AttentionScratch& scratch,
                       const KernelEntry& entry, const DeviceTraits& traits, uint32_t max_splits) {
    DecodeArgs decode = {args, scratch, head_groups(args.n_heads, args.n_kv_heads), 1, {}, false, rope, {}};
    const uint32_t n_units = args.n_kv_heads * decode.groups;
    decode.n_splits = std::clamp(static_cast<uint32_t>(traits.n_sms) / n_units, 1u, max_splits);
    decode.ring = ring_shape(entry, slot_size(Slot::SMALL, traits).most);
    return decode;
}

}  // namespace

size_t attention_parts(uint32_t n_heads, uint32_t head_dim) {
    return size_t{n_heads} * MAX_SPLITS * part_values(head_dim);
}

size_t attention_counters(uint32_t n_heads, uint32_t n_kv_heads) {
    return size_t{n_kv_heads} * head_groups(n_heads, n_kv_heads);
}

void attention_decode(const AttentionArgs& args, TensorType kv_type, const AttentionScratch& scratch,
                      cudaStream_t stream) {
    if (args.int8 != nullptr && args.head_dim % 32 != 0)
        fail(REPRISE_INTERNAL, "attention: no 8-bit output of heads of %u", args.head_dim);
    const KernelEntry entry = kernel_of(kv_type, args.head_dim);
    const DecodeArgs decode = decode_args(args, no_rope(args), scratch, entry, device_traits(), MAX_SPLITS);
    launch(entry.kernel, args.n_kv_heads * decode.groups * decode.n_splits, entry.warps * 32,
           shared_bytes(entry, decode.ring), stream, decode);
}

void attention_fused(const AttentionArgs& args, const RopeKvArgs& rope, const AttentionScratch& scratch,
                     const WeightPrefetch& prefetch, Slot slot, cudaStream_t stream) {
    const KernelEntry entry = kernel_of(rope.kv_type, args.head_dim);
    const DeviceTraits traits = device_traits();
    DecodeArgs decode = decode_args(args, rope, scratch, entry, traits, MAX_SPLITS);
    decode.early = true;
    decode.prefetch = prefetch;
    // A block on every multiprocessor, of a slot's size: see slot_size().
    const uint32_t grid =
        std::max(args.n_kv_heads * decode.groups * decode.n_splits, static_cast<uint32_t>(traits.n_sms));
    const uint32_t bytes = std::max(shared_bytes(entry, decode.ring), slot_size(slot, traits).least);
    launch(entry.kernel, grid, entry.warps * 32, bytes, stream, decode);
}

/// One row per block, the context in one piece.
void attention_prefill_by_row(const AttentionArgs& args, TensorType kv_type, const AttentionScratch& scratch,
                              uint32_t n, cudaStream_t stream) {
    const KernelEntry entry = kernel_of(kv_type, args.head_dim);
    const DecodeArgs decode = decode_args(args, no_rope(args), scratch, entry, device_traits(), 1);
    launch(entry.kernel, dim3(args.n_kv_heads * decode.groups, 1, n), entry.warps * 32,
           shared_bytes(entry, decode.ring), stream, decode);
}

void load_attention_decode_kernels() {
    for (const TensorType type : {TensorType::F16, TensorType::F32, TensorType::Q8_0}) {
        for (const uint32_t head_dim : {64u, 32u, 128u, 96u, 256u, 160u}) {
            load_kernel_with_shared_memory(kernel_of(type, head_dim).kernel);
        }
    }
}

}  // namespace reprise::cuda
