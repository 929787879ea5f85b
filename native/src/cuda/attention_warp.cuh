// How one warp attends to a share of the context for up to 8 heads that have their keys and values in common: online
// softmax (Milakov and Gimelshein, https://arxiv.org/abs/1805.02867) over tiles of 16 keys.
//
// A warp type says what of the queries and the newest key and value the block shares (Shared) and how large a tile is
// in shared memory (stage_bytes()), keeps maxima, sums and outputs in registers and finally writes them to WarpResult.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "cuda/attention.h"
#include "cuda/attention_math.cuh"
#include "cuda/copy_ring.cuh"
#include "cuda/kv_q8.cuh"
#include "cuda/rope_head.cuh"
#include "cuda/tensor_core.cuh"

namespace reprise::cuda {

constexpr uint32_t HEADS = 8;       // of a block: the columns of a tensor-core product
constexpr uint32_t TILE_KEYS = 16;  // of a warp: its rows

/// No key is the newest.
constexpr uint32_t NO_KEY = ~0u;

/// Of a warp's shared memory: stages that tiles are fetched into ahead of their use, and its size in all.
struct RingShape {
    uint32_t tile_bytes, n_stages, stage_bytes, warp_bytes;
};
constexpr uint32_t MAX_STAGES = 6;

/// Warps of a block: as many as leave a product's block room for its registers on the same multiprocessor.
constexpr uint32_t warps_for(int dim) { return dim <= 128 ? 8 : 4; }

/// In shared memory. out is not yet divided by sum; a warp without keys leaves max = LOWEST, sum = 0, out = 0.
template <int DIM>
struct WarpResult {
    float max[HEADS], sum[HEADS];
    float out[HEADS][DIM + 4];  // apart so that lanes with eight dimensions of every second head meet different banks
};

/// Keys and values in float16 or Q8_0 (ELEMENT __half, KvQ8), tile by tile into shared memory by bulk copies that begin
/// before the queries are at hand, and from there into tensor-core products in float16: scores are K Q^T (16 keys by 8
/// heads), outputs V^T P^T (dimensions by heads).
template <class ELEMENT, int DIM>
class TensorWarp {
  public:
    using Element = ELEMENT;
    static constexpr uint32_t WARPS = warps_for(DIM);
    static constexpr uint32_t PAIRS = DIM / 64;
    static constexpr bool IS_Q8 = std::is_same_v<ELEMENT, KvQ8>;

    struct Shared {
        // q / q_scale in two halves, whose sum it is: its rounding would show in the scores. Rows apart so that the
        // eight of a matrix lie in different banks.
        alignas(16) __half high[HEADS][DIM + 8];
        alignas(16) __half low[HEADS][DIM + 8];
        float score_scale[HEADS];           // q_scale * scale * log2(e)
        alignas(16) __half newest[2][DIM];  // key, value
        uint64_t barriers[WARPS][MAX_STAGES];

        /// Head number head, by a whole warp.
        __device__ __forceinline__ void store_query(const RopeKvArgs& rope, uint32_t head, const TurnedHead<PAIRS>& q,
                                                    float scale) {
            float largest = 0;
            q.for_each(rope, [&](uint32_t, float x) { largest = fmaxf(largest, fabsf(x)); });
            largest = __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(largest)));
            const uint32_t exponent = exponent_above(largest);
            const float q_scale = __uint_as_float(exponent << 23), inverse = __uint_as_float((254 - exponent) << 23);
            q.for_each(rope, [&](uint32_t dim, float x) {
                const __half rounded = __float2half_rn(x * inverse);
                high[head][dim] = rounded;
                low[head][dim] = __float2half_rn(x * inverse - __half2float(rounded));
            });
            const uint32_t lane = threadIdx.x % 32;
            for (uint32_t dim = rope.head_dim + lane; dim < DIM; dim += 32)
                high[head][dim] = low[head][dim] = __float2half_rn(0.f);
            if (lane == 0) score_scale[head] = q_scale * scale * 1.44269504f;
        }
        /// The newest key or value, head number head of all, to the cache and, as it will be read from there, to
        /// newest.
        __device__ __forceinline__ void store_newest(const RopeKvArgs& rope, uint32_t head, bool is_value,
                                                     const TurnedHead<PAIRS>& x, uint32_t position) {
            store_to_cache<ELEMENT>(rope, head, x, position, row[IS_Q8 ? is_value : 0],
                                    [&](uint32_t dim, __half value) { newest[is_value][dim] = value; });
        }
        float row[IS_Q8 ? 2 : 1][IS_Q8 ? DIM : 1];  // of the newest key and value, on the way to 8 bits
    };

    /// Tiles of keys and of values take stages in turns.
    static uint32_t stage_bytes(uint32_t head_dim) {
        return TILE_KEYS * static_cast<uint32_t>(kv_row_bytes<ELEMENT>(head_dim)) +
               (!IS_Q8 && head_dim % 64 == 0 ? 0 : CopyRing::LINE);
    }
    /// Of a warp besides its ring: the tile in float16.
    static uint32_t tile_bytes(uint32_t head_dim) { return IS_Q8 ? TILE_KEYS * head_dim * 2 : 0; }

    /// k, v: the KV head's rows in memory. own: shared memory of this warp, tile_bytes() and ring.n_stages stages.
    __device__ __forceinline__ TensorWarp(const void* k, const void* v, uint32_t head_dim, uint8_t* own,
                                          const RingShape& ring, Shared& shared)
        : k_(static_cast<const uint8_t*>(k)),
          v_(static_cast<const uint8_t*>(v)),
          tile_(own),
          head_dim_(head_dim),
          lane_(threadIdx.x % 32),
          n_stages_(ring.n_stages),
          shared_(shared),
          ring_(own + ring.tile_bytes, shared.barriers[threadIdx.x / 32], ring.n_stages, ring.stage_bytes,
                threadIdx.x % 32) {}

    /// Starts to fetch the first of the tiles first, first + stride, ... that begin before end.
    __device__ __forceinline__ void begin(uint32_t first, uint32_t stride, uint32_t end) {
        taking_ = fetching_ = first;
        stride_ = stride;
        end_ = end;
#pragma unroll 1
        for (uint32_t i = 0; i < n_stages_; ++i) fetch_next();
    }

    /// Attends to the tiles, once the block has met at a barrier behind its store_query()s. The newest key and value
    /// come from shared memory.
    __device__ __forceinline__ void attend(uint32_t newest) {
        const uint32_t t = lane_ % 4;
        const float score_scale[2] = {shared_.score_scale[2 * t], shared_.score_scale[2 * t + 1]};
#pragma unroll 1
        for (; taking_ < end_; taking_ += stride_) {
            uint8_t* tile = take_tile();
            const bool has_newest = newest - taking_ < TILE_KEYS;
            if (has_newest) put_newest(tile, newest, 0);
            float scores[4];
            multiply_keys(tile, scores);
            __syncwarp();
            fetch_next();

            const uint32_t valid = min(end_ - taking_, TILE_KEYS);
            uint32_t weights[2];
            weigh(scores, score_scale, valid, weights);

            tile = take_tile();
            if (has_newest) put_newest(tile, newest, 1);
            if (valid < TILE_KEYS) clear_rows(tile, valid);
            add_values(tile, weights);
            __syncwarp();
            fetch_next();
        }
    }

    __device__ void finish(WarpResult<DIM>& result) {
        const uint32_t g = lane_ / 4, t = lane_ % 4;
#pragma unroll
        for (int j = 0; j < 2; ++j) {
#pragma unroll
            for (int offset = 4; offset < 32; offset *= 2) sum_[j] += __shfl_xor_sync(~0u, sum_[j], offset);
            if (g == 0) {
                result.max[2 * t + j] = max_[j];
                result.sum[2 * t + j] = sum_[j];
            }
#pragma unroll
            for (int i = 0; i < SLICES; ++i) {
                result.out[2 * t + j][i * 16 + g] = out_[i][j];
                result.out[2 * t + j][i * 16 + g + 8] = out_[i][j + 2];
            }
        }
    }

  private:
    static constexpr int SLICES = DIM / 16;  // of a row: what one product takes of it

    __device__ __forceinline__ void fetch_next() {
        if (fetching_ >= end_) return;
        const uint32_t row_bytes = static_cast<uint32_t>(kv_row_bytes<ELEMENT>(head_dim_));
        const uint32_t rows = IS_Q8 ? TILE_KEYS : min(end_ - fetching_, TILE_KEYS);
        ring_.fetch((fetches_values_ ? v_ : k_) + size_t{fetching_} * row_bytes, rows * row_bytes);
        if (fetches_values_) fetching_ += stride_;
        fetches_values_ = !fetches_values_;
    }

    __device__ __forceinline__ uint8_t* take_tile() {
        uint8_t* taken = ring_.take();
        if constexpr (!IS_Q8) return taken;
        expand_tile(taken, tile_, head_dim_, lane_, 32);
        __syncwarp();
        return tile_;
    }

    /// Where chunks 2 slice and 2 slice + odd of a tile's row lie in it. Dimensions behind the head are any that are
    /// there: queries have zeros for them, and nobody reads outputs of them.
    class RowOfTile {
      public:
        __device__ __forceinline__ RowOfTile(const uint8_t* tile, uint32_t row, uint32_t odd, uint32_t head_dim)
            : begin_(shared_address(tile) + row * head_dim * 2),
              swizzle_(kv_chunk(row, odd, head_dim) * 16),
              odd_(odd),
              head_dim_(head_dim) {}
        __device__ __forceinline__ uint32_t operator[](uint32_t slice) const {
            if (slice * 16 + odd_ * 8 >= head_dim_) return begin_;
            return begin_ + (slice * 32 ^ swizzle_);
        }

      private:
        uint32_t begin_, swizzle_, odd_, head_dim_;
    };

    /// All lanes; tiles begin at multiples of 16, so a key has its place in the tile by its low bits.
    __device__ __forceinline__ void put_newest(uint8_t* tile, uint32_t key, uint32_t is_value) {
        for (uint32_t chunk = lane_; chunk * 8 < head_dim_; chunk += 32) {
            uint8_t* to = tile + key % TILE_KEYS * head_dim_ * 2 + kv_chunk(key, chunk, head_dim_) * 16;
            *reinterpret_cast<uint4*>(to) = reinterpret_cast<const uint4*>(shared_.newest[is_value])[chunk];
        }
        __syncwarp();
    }

    /// What lies there by chance could be infinite, which a weight of zero does not undo.
    __device__ __forceinline__ void clear_rows(uint8_t* tile, uint32_t first) {
        for (uint32_t i = first * head_dim_ / 8 + lane_; i < TILE_KEYS * head_dim_ / 8; i += 32)
            reinterpret_cast<uint4*>(tile)[i] = make_uint4(0, 0, 0, 0);
        __syncwarp();
    }

    __device__ __forceinline__ void multiply_keys(const uint8_t* tile, float* scores) const {
        const RowOfTile row(tile, lane_ % 16, lane_ / 16, head_dim_);
        const uint32_t query = shared_address(&shared_.high[lane_ % 8][lane_ / 8 * 8]);
        constexpr uint32_t TO_LOW = sizeof(shared_.high);
        // Four sums, so that no product waits for the one before it.
        float sums[4][4] = {};
#pragma unroll
        for (int s = 0; s < SLICES; s += 2) {
            uint32_t high[4], low[4], keys[2][4];
            load_matrices(high, query + s * 32);
            load_matrices(low, query + TO_LOW + s * 32);
#pragma unroll
            for (int i = 0; i < 2; ++i) load_matrices(keys[i], row[s + i]);
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                multiply(sums[i], keys[i], high + 2 * i);
                multiply(sums[2 + i], keys[i], low + 2 * i);
            }
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[i] = (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
    }

    /// Scores of valid keys to weights, as the operand of add_values().
    __device__ __forceinline__ void weigh(const float* scores, const float* score_scale, uint32_t valid,
                                          uint32_t* weights) {
        const uint32_t g = lane_ / 4;
        const bool low_valid = g < valid, high_valid = g + 8 < valid;
        float p[4];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            const float low = low_valid ? scores[j] * score_scale[j] : LOWEST;
            const float high = high_valid ? scores[j + 2] * score_scale[j] : LOWEST;
            float largest = fmaxf(low, high);
#pragma unroll
            for (int offset = 4; offset < 32; offset *= 2)
                largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, offset));
            largest = fmaxf(largest, max_[j]);
            const float decay = exp2_of(max_[j] - largest);
            max_[j] = largest;
            p[j] = low_valid ? exp2_of(low - largest) : 0.f;
            p[j + 2] = high_valid ? exp2_of(high - largest) : 0.f;
            sum_[j] = sum_[j] * decay + p[j] + p[j + 2];
#pragma unroll
            for (int i = 0; i < SLICES; ++i) {
                out_[i][j] *= decay;
                out_[i][j + 2] *= decay;
            }
        }
        weights[0] = transpose_matrix(pack_half2(p[0], p[1]));
        weights[1] = transpose_matrix(pack_half2(p[2], p[3]));
    }

    __device__ __forceinline__ void add_values(const uint8_t* tile, const uint32_t* weights) {
        const RowOfTile row(tile, lane_ % 8 + lane_ / 16 * 8, lane_ / 8 % 2, head_dim_);
#pragma unroll
        for (int s = 0; s < SLICES; ++s) {
            uint32_t values[4];
            load_matrices_transposed(values, row[s]);
            multiply(out_[s], values, weights);
        }
    }

    const uint8_t *k_, *v_;
    uint8_t* tile_;
    uint32_t head_dim_, lane_, n_stages_;
    Shared& shared_;
    CopyRing ring_;
    uint32_t taking_ = 0, fetching_ = 0, stride_ = 0, end_ = 0;  // first keys of tiles
    bool fetches_values_ = false;
    float max_[2] = {LOWEST, LOWEST}, sum_[2] = {};  // of heads 2t and 2t + 1; sum: of this lane's keys alone
    float out_[SLICES][4] = {};
};

/// float32 keys and values, float32 arithmetic: the reference, and sessions that ask for it.
template <int DIM>
class FloatWarp {
  public:
    using Element = float;
    static constexpr uint32_t WARPS = warps_for(DIM);
    static constexpr uint32_t PAIRS = DIM / 64;

    struct Shared {
        alignas(16) float q[HEADS][DIM];
        float scale;

        __device__ __forceinline__ void store_query(const RopeKvArgs& rope, uint32_t head,
                                                    const TurnedHead<PAIRS>& turned, float scale) {
            turned.store(rope, q[head]);
            for (uint32_t dim = rope.head_dim + threadIdx.x % 32; dim < DIM; dim += 32) q[head][dim] = 0;
            this->scale = scale;
        }
        /// To the cache, from where it is read.
        __device__ __forceinline__ void store_newest(const RopeKvArgs& rope, uint32_t head, bool,
                                                     const TurnedHead<PAIRS>& x, uint32_t position) {
            store_to_cache<float>(rope, head, x, position, nullptr, [](uint32_t, __half) {});
        }
    };

    // It reads the cache as it goes.
    static uint32_t stage_bytes(uint32_t) { return 0; }
    static uint32_t tile_bytes(uint32_t) { return 0; }

    __device__ FloatWarp(const void* k, const void* v, uint32_t head_dim, uint8_t*, const RingShape&, Shared& shared)
        : k_(static_cast<const float*>(k)),
          v_(static_cast<const float*>(v)),
          head_dim_(head_dim),
          lane_(threadIdx.x % 32),
          shared_(shared) {
#pragma unroll
        for (int h = 0; h < HEADS; ++h) max_[h] = LOWEST;
    }

    __device__ void begin(uint32_t first, uint32_t stride, uint32_t end) {
        first_ = first;
        stride_ = stride;
        end_ = end;
    }

    __device__ void attend(uint32_t) {
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
#pragma unroll
            for (int i = 0; i < VALUES; ++i) q_[h][i] = shared_.q[h][lane_ + i * 32];
        }
        const float score_scale = shared_.scale * 1.44269504f;
        for (; first_ < end_; first_ += stride_) {
            for (uint32_t key = first_; key < min(first_ + TILE_KEYS, end_); ++key) {
                step(k_ + size_t{key} * head_dim_, v_ + size_t{key} * head_dim_, score_scale);
            }
        }
    }

    __device__ void finish(WarpResult<DIM>& result) {
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
            if (lane_ == 0) {
                result.max[h] = max_[h];
                result.sum[h] = sum_[h];
            }
#pragma unroll
            for (int i = 0; i < VALUES; ++i) result.out[h][lane_ + i * 32] = out_[h][i];
        }
    }

  private:
    static constexpr int VALUES = DIM / 32;  // of a lane: dimensions lane, lane + 32, ...

    __device__ void step(const float* k, const float* v, float score_scale) {
        float key[VALUES], value[VALUES];
#pragma unroll
        for (int i = 0; i < VALUES; ++i) {
            const uint32_t d = lane_ + i * 32;
            key[i] = d < head_dim_ ? k[d] : 0.f;
            value[i] = d < head_dim_ ? v[d] : 0.f;
        }
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
            float score = 0;
#pragma unroll
            for (int i = 0; i < VALUES; ++i) score = fmaf(q_[h][i], key[i], score);
#pragma unroll
            for (int offset = 16; offset > 0; offset /= 2) score += __shfl_xor_sync(~0u, score, offset);
            score *= score_scale;
            const float largest = fmaxf(max_[h], score);
            const float decay = exp2_of(max_[h] - largest), p = exp2_of(score - largest);
            max_[h] = largest;
            sum_[h] = fmaf(sum_[h], decay, p);
#pragma unroll
            for (int i = 0; i < VALUES; ++i) out_[h][i] = fmaf(out_[h][i], decay, p * value[i]);
        }
    }

    const float *k_, *v_;
    uint32_t head_dim_, lane_;
    Shared& shared_;
    uint32_t first_ = 0, stride_ = 0, end_ = 0;
    float q_[HEADS][VALUES], out_[HEADS][VALUES] = {};
    float max_[HEADS], sum_[HEADS] = {};
};

}  // namespace reprise::cuda
