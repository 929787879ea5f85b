// Many rows against float16 keys and values on tensor cores, tile by tile with online softmax (FlashAttention-2, Dao,
// https://arxiv.org/abs/2307.08691). A block takes 64 rows of one head, each of its warps 16 of them.
#include "cuda/attention.h"
#include "cuda/attention_math.cuh"
#include "cuda/kv_q8.cuh"
#include "cuda/launch.cuh"
#include "cuda/tensor_core.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t WARPS = 4;
constexpr uint32_t THREADS = WARPS * 32;
constexpr uint32_t ROWS = WARPS * 16;

struct PrefillArgs {
    AttentionArgs common;
    uint32_t n;
};

template <uint32_t DIM>
struct Shape {
    static constexpr uint32_t KEYS = DIM > 128 ? 32 : 64;  // of a tile: what fits into 99 KB of shared memory
    static constexpr uint32_t CHUNKS = DIM / 8;            // of 16 bytes, per row
    static constexpr uint32_t TILE_BYTES = KEYS * DIM * 2;
    static constexpr uint32_t Q_BYTES = ROWS * DIM * 2;
    static constexpr uint32_t SHARED_BYTES = Q_BYTES + 4 * TILE_BYTES;  // q, two stages of k and v

    /// Swizzled, so that the eight rows of a matrix lie in different banks.
    static __device__ uint32_t offset(uint32_t row, uint32_t chunk) { return row * DIM * 2 + (chunk ^ (row & 7)) * 16; }

    static __device__ void copy_tile(uint32_t to, const __half* from, uint32_t first, uint32_t end, uint32_t head_dim) {
#pragma unroll
        for (uint32_t i = threadIdx.x; i < KEYS * CHUNKS; i += THREADS) {
            const uint32_t row = i / CHUNKS, chunk = i % CHUNKS;
            const bool valid = first + row < end && chunk * 8 < head_dim;
            const uint32_t at = kv_chunk(first + row, chunk, head_dim) * 8;
            copy16(to + offset(row, chunk), valid ? from + size_t{first + row} * head_dim + at : from, valid);
        }
    }
};

/// Rows of this warp to shared memory as q / scale, scale a power of two per row, returned in scales[16].
template <uint32_t DIM>
__device__ void store_queries(uint8_t* shared, float* scales, const AttentionArgs& args, uint32_t first_row,
                              uint32_t n) {
    constexpr uint32_t VALUES = DIM / 32;
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, head = blockIdx.y;
    for (uint32_t r = 0; r < 16; ++r) {
        const uint32_t row = first_row + warp * 16 + r;
        const float* q = args.q + row * args.q_stride + size_t{head} * args.head_dim;
        float values[VALUES];
        float largest = 0;
#pragma unroll
        for (uint32_t i = 0; i < VALUES; ++i) {
            const uint32_t dim = lane * VALUES + i;
            values[i] = row < n && dim < args.head_dim ? q[dim] : 0.f;
            largest = fmaxf(largest, fabsf(values[i]));
        }
        for (int offset = 16; offset > 0; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, offset));
        const float scale = __uint_as_float(exponent_above(largest) << 23);
        if (lane == 0) scales[r] = scale;
#pragma unroll
        for (uint32_t i = 0; i < VALUES; i += 2) {
            const uint32_t dim = lane * VALUES + i;
            uint8_t* to = shared + Shape<DIM>::offset(warp * 16 + r, dim / 8) + dim % 8 * 2;
            *reinterpret_cast<uint32_t*>(to) = pack_half2(values[i] / scale, values[i + 1] / scale);
        }
    }
}

template <uint32_t DIM>
__global__ void __launch_bounds__(THREADS) attention_prefill_kernel(const __grid_constant__ PrefillArgs prefill) {
    using S = Shape<DIM>;
    constexpr uint32_t KEYS = S::KEYS;
    extern __shared__ __align__(128) uint8_t shared[];
    __shared__ float q_scales[ROWS];
    release_successor();
    wait_for_predecessor();
    const AttentionArgs& args = prefill.common;
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const uint32_t head = blockIdx.y, first_row = (gridDim.x - 1 - blockIdx.x) * ROWS;  // the longest rows first
    const uint32_t last_row = min(first_row + ROWS, prefill.n) - 1;
    const uint32_t first_len = args.state->seq_len;  // of row 0
    const uint32_t n_keys = min(first_len + last_row, args.capacity);

    const size_t cache = head / (args.n_heads / args.n_kv_heads) * kv_rows(args.capacity) * args.head_dim;
    const __half* k = static_cast<const __half*>(args.k) + cache;
    const __half* v = static_cast<const __half*>(args.v) + cache;
    const uint32_t q_shared = shared_address(shared), stages = q_shared + S::Q_BYTES;
    const auto copy = [&](uint32_t tile) {
        const uint32_t to = stages + tile % 2 * 2 * S::TILE_BYTES;
        S::copy_tile(to, k, tile * KEYS, n_keys, args.head_dim);
        S::copy_tile(to + S::TILE_BYTES, v, tile * KEYS, n_keys, args.head_dim);
        commit_copies();
    };
    copy(0);
    store_queries<DIM>(shared, q_scales + warp * 16, args, first_row, prefill.n);
    __syncthreads();

    // Lane's address within the four matrices of a fragment: q rows, v rows and k rows.
    const uint32_t q_row = warp * 16 + lane % 16, v_row = lane % 16, k_row = lane % 8 + lane / 16 * 8;
    const uint32_t upper_chunk = lane / 16, odd_chunk = lane / 8 % 2;
    const uint32_t own_row[2] = {warp * 16 + g, warp * 16 + g + 8};
    const float score_scale[2] = {q_scales[own_row[0]] * args.scale * 1.44269504f,
                                  q_scales[own_row[1]] * args.scale * 1.44269504f};

    float out[DIM / 8][4] = {};
    float max[2] = {LOWEST, LOWEST}, sum[2] = {};
    const uint32_t tiles = (n_keys + KEYS - 1) / KEYS;
    for (uint32_t tile = 0; tile < tiles; ++tile) {
        if (tile + 1 < tiles) {
            copy(tile + 1);
            wait_copies<1>();
        } else {
            wait_copies<0>();
        }
        __syncthreads();
        const uint32_t k_shared = stages + tile % 2 * 2 * S::TILE_BYTES, v_shared = k_shared + S::TILE_BYTES;

        float scores[KEYS / 8][4] = {};
#pragma unroll
        for (uint32_t step = 0; step < DIM / 16; ++step) {
            uint32_t a[4];
            load_matrices(a, q_shared + S::offset(q_row, step * 2 + upper_chunk));
#pragma unroll
            for (uint32_t n = 0; n < KEYS / 16; ++n) {
                uint32_t b[4];
                load_matrices(b, k_shared + S::offset(n * 16 + k_row, step * 2 + odd_chunk));
                multiply(scores[2 * n], a, b);
                multiply(scores[2 * n + 1], a, b + 2);
            }
        }

#pragma unroll
        for (uint32_t half = 0; half < 2; ++half) {
            const uint32_t visible = first_len + first_row + own_row[half];  // keys of this row
            float largest = max[half];
#pragma unroll
            for (uint32_t n = 0; n < KEYS / 8; ++n) {
#pragma unroll
                for (uint32_t j = 0; j < 2; ++j) {
                    float& s = scores[n][half * 2 + j];
                    s = tile * KEYS + n * 8 + 2 * t + j < visible ? s * score_scale[half] : LOWEST;
                    largest = fmaxf(largest, s);
                }
            }
            largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
            largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
            const float decay = exp2f(max[half] - largest);
            max[half] = largest;
            float tile_sum = 0;
#pragma unroll
            for (uint32_t n = 0; n < KEYS / 8; ++n) {
#pragma unroll
                for (uint32_t j = 0; j < 2; ++j) {
                    float& s = scores[n][half * 2 + j];
                    s = exp2f(s - largest);  // 0 for what is not visible: key 0 always is, so largest is a score
                    tile_sum += s;
                }
            }
            sum[half] = sum[half] * decay + tile_sum;
#pragma unroll
            for (uint32_t n = 0; n < DIM / 8; ++n) {
                out[n][half * 2] *= decay;
                out[n][half * 2 + 1] *= decay;
            }
        }

#pragma unroll
        for (uint32_t step = 0; step < KEYS / 16; ++step) {
            const float *low = scores[2 * step], *high = scores[2 * step + 1];
            const uint32_t p[4] = {pack_half2(low[0], low[1]), pack_half2(low[2], low[3]), pack_half2(high[0], high[1]),
                                   pack_half2(high[2], high[3])};
#pragma unroll
            for (uint32_t n = 0; n < DIM / 16; ++n) {
                uint32_t b[4];
                load_matrices_transposed(b, v_shared + S::offset(step * 16 + v_row, n * 2 + upper_chunk));
                multiply(out[2 * n], p, b);
                multiply(out[2 * n + 1], p, b + 2);
            }
        }
        __syncthreads();  // before the next copy overwrites the other stage
    }

#pragma unroll
    for (uint32_t half = 0; half < 2; ++half) {
        float total = sum[half];
        total += __shfl_xor_sync(~0u, total, 1);
        total += __shfl_xor_sync(~0u, total, 2);
        const uint32_t row = first_row + own_row[half];
        if (row >= prefill.n) continue;
        float* to = args.out + (size_t{row} * args.n_heads + head) * args.head_dim;
        const float factor = 1.f / total;
        delay_point();
#pragma unroll
        for (uint32_t n = 0; n < DIM / 8; ++n) {
            const uint32_t dim = n * 8 + 2 * t;
            if (dim >= args.head_dim) break;
            to[dim] = out[n][half * 2] * factor;
            to[dim + 1] = out[n][half * 2 + 1] * factor;
        }
    }
}

constexpr uint32_t EXPANDING_THREADS = 64;

/// Keys and values of a layer from Q8_0 to float16, as far as n rows see them. blockIdx: tile, KV head, keys or values.
__global__ void __launch_bounds__(EXPANDING_THREADS)
    expand_cache_kernel(const __grid_constant__ PrefillArgs prefill, uint8_t* k, uint8_t* v) {
    release_successor();
    wait_for_predecessor();
    const AttentionArgs& args = prefill.common;
    if (blockIdx.x * KV_TILE >= min(args.state->seq_len + prefill.n - 1, args.capacity)) return;
    const size_t tile = blockIdx.y * (kv_rows(args.capacity) / KV_TILE) + blockIdx.x;
    const auto* from =
        static_cast<const uint8_t*>(blockIdx.z == 0 ? args.k : args.v) + tile * kv_q8_tile_bytes(args.head_dim);
    uint8_t* to = (blockIdx.z == 0 ? k : v) + tile * KV_TILE * args.head_dim * sizeof(__half);
    delay_point();
    expand_tile(from, to, args.head_dim, threadIdx.x, EXPANDING_THREADS);
}

struct Variant {
    void (*kernel)(PrefillArgs);
    uint32_t shared_bytes;
};
template <uint32_t DIM>
constexpr Variant variant() {
    return {attention_prefill_kernel<DIM>, Shape<DIM>::SHARED_BYTES};
}
Variant variant_of(uint32_t head_dim) {
    if (head_dim % 8 != 0 || head_dim > MAX_HEAD_DIM) fail(REPRISE_INTERNAL, "attention: heads of %u", head_dim);
    return head_dim <= 64 ? variant<64>() : head_dim <= 128 ? variant<128>() : variant<256>();
}

}  // namespace

void attention_prefill(const AttentionArgs& args, TensorType kv_type, const AttentionScratch& scratch, uint32_t n,
                       cudaStream_t stream) {
    if (kv_type == TensorType::F32) return attention_prefill_by_row(args, kv_type, scratch, n, stream);
    PrefillArgs prefill = {args, n};
    if (kv_type == TensorType::Q8_0) {
        const dim3 grid(static_cast<uint32_t>(kv_rows(args.capacity) / KV_TILE), args.n_kv_heads, 2);
        launch(expand_cache_kernel, grid, EXPANDING_THREADS, 0, stream, prefill, static_cast<uint8_t*>(scratch.k),
               static_cast<uint8_t*>(scratch.v));
        prefill.common.k = scratch.k;
        prefill.common.v = scratch.v;
    }
    const Variant chosen = variant_of(args.head_dim);
    launch(chosen.kernel, dim3((n + ROWS - 1) / ROWS, args.n_heads), THREADS, chosen.shared_bytes, stream, prefill);
}

void load_attention_kernels() {
    load_attention_decode_kernels();
    load_kernel(expand_cache_kernel);
    for (const uint32_t head_dim : {64u, 128u, 256u}) {
        const Variant v = variant_of(head_dim);
        load_kernel(v.kernel);
        check(cudaFuncSetAttribute(reinterpret_cast<const void*>(v.kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(v.shared_bytes)),
              "sizing shared memory");
    }
}

}  // namespace reprise::cuda
