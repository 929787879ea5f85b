// Q4_K: 4-bit values, 6-bit scale and minimum per 32, float16 factors of both per 256. A block of 256 columns of a
// tile:
//
//   quants  [pair of groups 4][pair of rows 2][t 4]  16 bytes: the words of A registers 0 to 3 (row 0, row 1, row 0,
//   row 1;
//                                                    columns 4t.. and 16 + 4t..), low nibbles group 2j, high ones 2j +
//                                                    1
//   scales  [row 4][group 8]                         1 byte
//   minima  [pair of rows 2][t 4]                    4 bytes: groups 2t, 2t + 1 of row 0, of row 1
//   supers  [row 4]                                  half d, half dmin
#pragma once

#include "cuda/quant_dot.cuh"
#include "cuda/rows/mma.cuh"

namespace reprise::cuda {

template <>
struct RowsType<TensorType::Q4_K> {
    static constexpr uint32_t SCALES = 512, MINIMA = 544, SUPERS = 576, BLOCK_BYTES = 592;

    __host__ __device__ static void store_group(uint8_t* tile, const TileLayout& layout, uint32_t row, uint32_t group,
                                                const QuantGroup& g) {
        const UnitPlace place = place_of(layout, group);
        uint8_t* const block = tile + place.brick + place.index / 8 * BLOCK_BYTES;
        const uint32_t in_block = group % 8, pair = row / 2, r = row % 2;
        const auto* from = reinterpret_cast<const uint8_t*>(g.quants);
        for (uint32_t k = 0; k < 32; ++k) {
            const uint8_t q = from[k % 16] >> (k / 16 * 4) & 15;
            uint8_t& to = block[in_block / 2 * 128 + pair * 64 + k % 16 / 4 * 16 + (k / 16 * 2 + r) * 4 + k % 4];
            to = in_block % 2 ? (to & 0x0f) | q << 4 : (to & 0xf0) | q;
        }
        block[SCALES + row * 8 + in_block] = static_cast<uint8_t>(g.scale);
        block[MINIMA + pair * 16 + in_block / 2 * 4 + r * 2 + in_block % 2] = static_cast<uint8_t>(g.scale >> 8);
        if (in_block == 0) *reinterpret_cast<uint32_t*>(block + SUPERS + row * 4) = g.super;
    }

    /// v of block number index of a brick in shared memory, for row lane / 4 % 2 * 2 + lane % 2, where lane & 2 is 0.
    /// x: the input's block's q, of all blocks the sums.
    __device__ __forceinline__ static float block_v(const uint8_t* brick, uint32_t, uint32_t index, const uint8_t* q,
                                                    const uint8_t*, const uint8_t* sums32, uint32_t lane) {
        const uint8_t* const block = brick + index * BLOCK_BYTES;
        const uint32_t t = lane % 4, pair = lane / 4 % 2;
        const uint4 scales = load_shared16(block + SCALES + pair * 16);
        int sum[2] = {0, 0};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const uint4 w = load_shared16(block + j * 128 + lane % 8 * 16);
            const uint4 x = load_shared16(q + j * 64 + t * 16);
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const uint32_t first = word_of(w, r), second = word_of(w, r + 2);
                const int low = dot_bytes(second & 0x0f0f0f0fu, static_cast<int>(x.y),
                                          dot_bytes(first & 0x0f0f0f0fu, static_cast<int>(x.x), 0));
                const int high = dot_bytes(second & 0xf0f0f0f0u, static_cast<int>(x.w),
                                           dot_bytes(first & 0xf0f0f0f0u, static_cast<int>(x.z), 0));
                // Eight products fit into 16 bits: both groups' sums times their scales at once. The high one is 16
                // times too large.
                const uint32_t both =
                    ((static_cast<uint32_t>(high) << 12) & 0xffff0000u) | (static_cast<uint32_t>(low) & 0xffffu);
                const uint32_t s = r == 0 ? (j < 2 ? scales.x : scales.y) : (j < 2 ? scales.z : scales.w);
                sum[r] = j % 2 ? dot_halves_u8<true>(both, s, sum[r]) : dot_halves_u8<false>(both, s, sum[r]);
            }
        }
        const uint32_t minima = load_shared4(block + MINIMA + lane % 8 * 4), sums = load_shared4(sums32 + t * 4);
        const int m0 = dot_halves_u8<false>(sums, minima, 0), m1 = dot_halves_u8<true>(sums, minima, 0);
        // Lane t gets the whole of I of row 0, of row 1, of M of row 0, of row 1.
        const bool min_lane = t & 2, odd = t & 1;
        int a = min_lane ? m0 : sum[0], b = min_lane ? m1 : sum[1];
        a += __shfl_xor_sync(~0u, min_lane ? sum[0] : m0, 2);
        b += __shfl_xor_sync(~0u, min_lane ? sum[1] : m1, 2);
        const float whole = static_cast<float>((odd ? b : a) + __shfl_xor_sync(~0u, odd ? a : b, 1));
        const float m = __shfl_xor_sync(~0u, whole, 2);
        const uint32_t super = load_shared4(block + SUPERS + (pair * 2 + (t & 1)) * 4);
        return __fmaf_rn(-half_bits_to_float(super >> 16), m, __fmul_rn(half_bits_to_float(super & 0xffff), whole));
    }

    /// A block of 16 rows in a stage of shared memory: q [j 4][lane] 16 bytes, minima [lane] 4, scales [lane / 4] 16,
    /// supers [lane / 4] 8.
    static constexpr uint32_t STAGE_BYTES = 4 * BLOCK_BYTES;
    /// Starts to fetch this lane's share. to: the stage; pair: of rows of the tile, t: lane % 4.
    __device__ __forceinline__ static void fetch(uint32_t to, const uint8_t* tile, const TileLayout&, uint32_t block,
                                                 uint32_t pair, uint32_t lane) {
        const uint32_t t = lane % 4, g = lane / 4;
        const uint8_t* const p = tile + block * BLOCK_BYTES;
#pragma unroll
        for (int j = 0; j < 4; ++j) copy_async16(to + j * 512 + lane * 16, p + j * 128 + pair * 64 + t * 16);
        copy_async<4>(to + 2048 + lane * 4, p + MINIMA + pair * 16 + t * 4);
        copy_async<4>(to + 2176 + lane * 4, p + SCALES + pair * 16 + t * 4);
        if (t < 2) copy_async<4>(to + 2304 + g * 8 + t * 4, p + SUPERS + pair * 8 + t * 4);
    }
    struct Raw {
        uint4 q[4];
        uint4 scales;
        uint32_t minima;
        uint2 supers;
    };
    __device__ __forceinline__ static Raw read(const uint8_t* stage, uint32_t lane) {
        Raw raw;
#pragma unroll
        for (int j = 0; j < 4; ++j) raw.q[j] = load_shared16(stage + j * 512 + lane * 16);
        raw.minima = load_shared4(stage + 2048 + lane * 4);
        raw.scales = load_shared16(stage + 2176 + lane / 4 * 16);
        raw.supers = *reinterpret_cast<const uint2*>(stage + 2304 + lane / 4 * 8);
        return raw;
    }

    /// v of a block, of NT times MMA_ROWS rows: v[0..1] of the lane's first row of weights and rows 2t, 2t + 1 of the
    /// step, v[2..3] of its second. of_q, of_sums: of those rows, in shared memory. use(i, v) takes each.
    template <int NT, class Use>
    __device__ __forceinline__ static void multiply(const Raw& raw, const uint8_t* of_q, const uint8_t* of_sums,
                                                    uint32_t lane, Use use) {
        int sum[NT][4] = {};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            uint32_t low[4], high[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                low[i] = word_of(raw.q[j], i) & 0x0f0f0f0fu;
                high[i] = word_of(raw.q[j], i) >> 4 & 0x0f0f0f0fu;
            }
            int scale[2][2];
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const uint32_t bytes =
                    r == 0 ? (j < 2 ? raw.scales.x : raw.scales.y) : (j < 2 ? raw.scales.z : raw.scales.w);
#pragma unroll
                for (int k = 0; k < 2; ++k)
                    scale[r][k] = static_cast<int>(__byte_perm(bytes, 0, 0x4440 + (2 * j + k) % 4));
            }
#pragma unroll
            for (int c = 0; c < NT; ++c) {
                const uint4 x = load_shared16(of_q + ((c * 4 + j) * 32 + lane) * 16);
                int p[4], q[4];
                mma_u8_k32(p, low, x.x, x.y);
                mma_u8_k32(q, high, x.z, x.w);
#pragma unroll
                for (int e = 0; e < 4; ++e) sum[c][e] += scale[e / 2][0] * p[e] + scale[e / 2][1] * q[e];
            }
        }
        const uint32_t m0 = __byte_perm(raw.minima, 0, 0x1100), m1 = __byte_perm(raw.minima, 0, 0x3322);
        const float d[2] = {half_bits_to_float(raw.supers.x & 0xffff), half_bits_to_float(raw.supers.y & 0xffff)},
                    dmin[2] = {half_bits_to_float(raw.supers.x >> 16), half_bits_to_float(raw.supers.y >> 16)};
#pragma unroll
        for (int c = 0; c < NT; ++c) {
            const uint2 x = *reinterpret_cast<const uint2*>(of_sums + (c * 32 + lane) * 8);
            int m[4] = {};
            mma_u8_k16(m, m0, m1, x.x);
#pragma unroll
            for (int e = 0; e < 4; ++e) m[e] <<= 7;
            mma_u8_k16(m, m0, m1, x.y);
            float v[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                v[e] = __fmaf_rn(-dmin[e / 2], static_cast<float>(m[e]),
                                 __fmul_rn(d[e / 2], static_cast<float>(sum[c][e])));
            }
            use(c, v);
        }
    }
};

}  // namespace reprise::cuda
