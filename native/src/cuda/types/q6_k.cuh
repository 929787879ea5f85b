// Q6_K: 6-bit values, an 8-bit scale per 16, a float16 factor per 256. A brick of n blocks of 256 columns of a tile:
//
//   blocks  [n] of 832 bytes:
//     quants  [pair of groups 4][pair of rows 2][t 4]  16 bytes: low four bits, as in Q4_K
//     upper   [pairs of groups 2][pair of rows 2][t 4] 16 bytes: words of groups 4jj, 4jj + 1, 4jj + 2, 4jj + 3; byte b
//     bits
//                                                      2r, 2r + 1 are the upper bits of byte b of A register r
//     scales  [row 4][sixteenth 16]                    int8
//   supers  [n][row 4]                                 half d
#pragma once

#include "cuda/quant_dot.cuh"
#include "cuda/rows/mma.cuh"

namespace reprise::cuda {

template <>
struct RowsType<TensorType::Q6_K> {
    static constexpr uint32_t UPPER = 512, SCALES = 768, BLOCK_BYTES = 832;

    __host__ __device__ static void store_group(uint8_t* tile, const TileLayout& layout, uint32_t row, uint32_t group,
                                                const QuantGroup& g) {
        const UnitPlace place = place_of(layout, group);
        uint8_t* const brick = tile + place.brick;
        uint8_t* const block = brick + place.index / 8 * BLOCK_BYTES;
        const uint32_t in_block = group % 8, pair = row / 2, r = row % 2;
        const auto* from = reinterpret_cast<const uint8_t*>(g.quants);
        for (uint32_t k = 0; k < 32; ++k) {
            const uint8_t low = from[k % 16] >> (k / 16 * 4) & 15;
            const uint32_t t = k % 16 / 4, reg = k / 16 * 2 + r;
            uint8_t& to = block[in_block / 2 * 128 + pair * 64 + t * 16 + reg * 4 + k % 4];
            to = in_block % 2 ? (to & 0x0f) | low << 4 : (to & 0xf0) | low;
            const uint8_t high = g.high[k / 16] >> (k % 4 * 8 + k % 16 / 4 * 2) & 3;
            uint8_t& up = block[UPPER + in_block / 4 * 128 + pair * 64 + t * 16 + in_block % 4 * 4 + k % 4];
            up = static_cast<uint8_t>((up & ~(3 << (2 * reg))) | high << (2 * reg));
        }
        block[SCALES + row * 16 + in_block * 2] = static_cast<uint8_t>(g.scale);
        block[SCALES + row * 16 + in_block * 2 + 1] = static_cast<uint8_t>(g.scale >> 8);
        if (in_block == 0) {
            *reinterpret_cast<uint16_t*>(brick + place.n / 8 * BLOCK_BYTES + place.index / 8 * 8 + row * 2) =
                static_cast<uint16_t>(g.super);
        }
    }

    /// The upper bits of four A registers, each at bits 4 and 5 of its bytes, with nothing but zeros above.
    __device__ __forceinline__ static void spread(uint32_t word, uint32_t (&upper)[4]) {
        uint32_t even = word & 0x33333333u, odd = word >> 2 & 0x33333333u;
        // Or the compiler gives every register a mask of its own again.
        asm("" : "+r"(even), "+r"(odd));
        upper[0] = even << 4;
        upper[1] = odd << 4;
        upper[2] = even;
        upper[3] = odd;
    }
    /// Low bits below, high ones above.
    __device__ __forceinline__ static uint32_t join(uint32_t low, uint32_t upper) {
        uint32_t joined;
        asm("lop3.b32 %0, %1, %2, 0x0f0f0f0f, 0xe4;" : "=r"(joined) : "r"(low), "r"(upper));
        return joined;
    }

    __device__ __forceinline__ static float block_v(const uint8_t* brick, uint32_t n_blocks, uint32_t index,
                                                    const uint8_t* q, const uint8_t* sums16, const uint8_t*,
                                                    uint32_t lane) {
        const uint8_t* const block = brick + index * BLOCK_BYTES;
        const uint32_t t = lane % 4, pair = lane / 4 % 2;
        const uint4 scales0 = load_shared16(block + SCALES + pair * 32),
                    scales1 = load_shared16(block + SCALES + pair * 32 + 16);
        int sum[2] = {0, 0};
        uint4 up;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const uint4 w = load_shared16(block + j * 128 + lane % 8 * 16);
            if (j % 2 == 0) up = load_shared16(block + UPPER + j / 2 * 128 + lane % 8 * 16);
            const uint4 x = load_shared16(q + j * 64 + t * 16);
            uint32_t up_low[4], up_high[4];
            spread(j % 2 ? up.z : up.x, up_low);
            spread(j % 2 ? up.w : up.y, up_high);
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const uint32_t s = word_of(r == 0 ? scales0 : scales1, j);
                const uint32_t first = word_of(w, r), second = word_of(w, r + 2);
                // Four products fit into 16 bits.
                const int l0 = dot_bytes(join(first, up_low[r]), static_cast<int>(x.x), 0);
                const int l1 = dot_bytes(join(second, up_low[r + 2]), static_cast<int>(x.y), 0);
                const int h0 = dot_bytes(join(first >> 4, up_high[r]), static_cast<int>(x.z), 0);
                const int h1 = dot_bytes(join(second >> 4, up_high[r + 2]), static_cast<int>(x.w), 0);
                sum[r] = dot_halves_s8<false>(__byte_perm(static_cast<uint32_t>(l0), static_cast<uint32_t>(l1), 0x5410),
                                              s, sum[r]);
                sum[r] = dot_halves_s8<true>(__byte_perm(static_cast<uint32_t>(h0), static_cast<uint32_t>(h1), 0x5410),
                                             s, sum[r]);
            }
        }
        const uint2 sums = *reinterpret_cast<const uint2*>(sums16 + t * 8);
        const uint32_t s0 = load_shared4(block + SCALES + pair * 32 + t * 4),
                       s1 = load_shared4(block + SCALES + pair * 32 + 16 + t * 4);
        sum[0] -= 32 * dot_halves_s8<true>(sums.y, s0, dot_halves_s8<false>(sums.x, s0, 0));
        sum[1] -= 32 * dot_halves_s8<true>(sums.y, s1, dot_halves_s8<false>(sums.x, s1, 0));
        const bool odd = t & 1;
        int whole = (odd ? sum[1] : sum[0]) + __shfl_xor_sync(~0u, odd ? sum[0] : sum[1], 1);
        whole += __shfl_xor_sync(~0u, whole, 2);
        const uint32_t d =
            *reinterpret_cast<const uint16_t*>(brick + n_blocks * BLOCK_BYTES + index * 8 + (pair * 2 + (t & 1)) * 2);
        return __fmul_rn(half_bits_to_float(d), static_cast<float>(whole));
    }

    /// A block of 16 rows in a stage of shared memory: q [j 4][lane] 16 bytes, upper [2][lane] 16, scales [lane /
    /// 4][row 2] 16, supers [lane / 4] 4.
    static constexpr uint32_t STAGE_BYTES = 4 * BLOCK_BYTES + 32;
    __device__ __forceinline__ static void fetch(uint32_t to, const uint8_t* tile, const TileLayout& layout,
                                                 uint32_t block, uint32_t pair, uint32_t lane) {
        const uint32_t t = lane % 4, g = lane / 4;
        const uint32_t brick = block / BRICK_BLOCKS, n = min(layout.units / 8 - brick * BRICK_BLOCKS, BRICK_BLOCKS);
        const uint8_t* const start = tile + brick * layout.brick_bytes;
        const uint8_t* const p = start + block % BRICK_BLOCKS * BLOCK_BYTES;
#pragma unroll
        for (int j = 0; j < 4; ++j) copy_async16(to + j * 512 + lane * 16, p + j * 128 + pair * 64 + t * 16);
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            copy_async16(to + (4 + j) * 512 + lane * 16, p + UPPER + j * 128 + pair * 64 + t * 16);
            copy_async<4>(to + 3072 + g * 32 + j * 16 + t * 4, p + SCALES + pair * 32 + j * 16 + t * 4);
        }
        if (t == 0) {
            copy_async<4>(to + 3328 + g * 4, start + n * BLOCK_BYTES + block % BRICK_BLOCKS * 8 + pair * 4);
        }
    }
    struct Raw {
        uint4 q[4], upper[2], scales[2];
        uint32_t own_scales[2];  // word t of scales
        uint32_t supers;
    };
    __device__ __forceinline__ static Raw read(const uint8_t* stage, uint32_t lane) {
        Raw raw;
#pragma unroll
        for (int j = 0; j < 4; ++j) raw.q[j] = load_shared16(stage + j * 512 + lane * 16);
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            raw.upper[j] = load_shared16(stage + (4 + j) * 512 + lane * 16);
            raw.scales[j] = load_shared16(stage + 3072 + lane / 4 * 32 + j * 16);
            raw.own_scales[j] = load_shared4(stage + 3072 + lane / 4 * 32 + j * 16 + lane % 4 * 4);
        }
        raw.supers = load_shared4(stage + 3328 + lane / 4 * 4);
        return raw;
    }

    template <int NT, class Use>
    __device__ __forceinline__ static void multiply(const Raw& raw, const uint8_t* of_q, const uint8_t* of_sums,
                                                    uint32_t lane, Use use) {
        int sum[NT][4] = {};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const uint4 up = raw.upper[j / 2];
            uint32_t up_low[4], up_high[4];
            spread(j % 2 ? up.z : up.x, up_low);
            spread(j % 2 ? up.w : up.y, up_high);
            uint32_t a[8];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                a[i] = join(word_of(raw.q[j], i), up_low[i]);
                a[4 + i] = join(word_of(raw.q[j], i) >> 4, up_high[i]);
            }
            int scale[2][4];
#pragma unroll
            for (int r = 0; r < 2; ++r) {
#pragma unroll
                for (int k = 0; k < 4; ++k) scale[r][k] = static_cast<int8_t>(word_of(raw.scales[r], j) >> (8 * k));
            }
#pragma unroll
            for (int c = 0; c < NT; ++c) {
                const uint4 x = load_shared16(of_q + ((c * 4 + j) * 32 + lane) * 16);
#pragma unroll
                for (int k = 0; k < 4; ++k) {  // sixteen columns each
                    int p[4] = {};
                    mma_u8_k16(p, a[2 * k], a[2 * k + 1], word_of(x, k));
#pragma unroll
                    for (int e = 0; e < 4; ++e) sum[c][e] += scale[e / 2][k] * p[e];
                }
            }
        }
        const float d[2] = {half_bits_to_float(raw.supers & 0xffff), half_bits_to_float(raw.supers >> 16)};
#pragma unroll
        for (int c = 0; c < NT; ++c) {
            const uint2 x = *reinterpret_cast<const uint2*>(of_sums + (c * 32 + lane) * 8);
            int m[4] = {};
            mma_s8_k16(m, raw.own_scales[0], raw.own_scales[1], x.x);
#pragma unroll
            for (int e = 0; e < 4; ++e) m[e] <<= 7;
            mma_s8_k16(m, raw.own_scales[0], raw.own_scales[1], x.y);
            float v[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) v[e] = __fmul_rn(d[e / 2], static_cast<float>(sum[c][e] - 32 * m[e]));
            use(c, v);
        }
    }
};

}  // namespace reprise::cuda
