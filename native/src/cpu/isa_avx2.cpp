// AVX2, FMA and F16C: eight rows at a time, products of bytes summed in pairs to 16 bits.
#include <immintrin.h>

#include "cpu/isa_common.inc"

namespace reprise::cpu {
namespace {

constexpr const char* kName = "avx2";
constexpr int kLanes = 8;
constexpr int kColumnTile = 4;
constexpr int kFloatColumns = 3;
constexpr bool kSignedBytes = true;  // weights of Q8_0 stay signed
using F = __m256;
using I = __m256i;

struct Rows {
    const uint8_t* p[kLanes];
};

INLINE F f_zero() { return _mm256_setzero_ps(); }
INLINE F f_set1(float x) { return _mm256_set1_ps(x); }
INLINE F f_load(const float* p) { return _mm256_loadu_ps(p); }
INLINE void f_store(float* p, F x) { _mm256_storeu_ps(p, x); }
INLINE F f_add(F a, F b) { return _mm256_add_ps(a, b); }
INLINE F f_sub(F a, F b) { return _mm256_sub_ps(a, b); }
INLINE F f_mul(F a, F b) { return _mm256_mul_ps(a, b); }
INLINE F f_div(F a, F b) { return _mm256_div_ps(a, b); }
INLINE F f_min(F a, F b) { return _mm256_min_ps(a, b); }  // b where one is NaN
INLINE F f_max(F a, F b) { return _mm256_max_ps(a, b); }  // b where one is NaN
INLINE F f_fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
INLINE F f_zero_where_less(F x, F a, F b) { return _mm256_and_ps(x, _mm256_cmp_ps(a, b, _CMP_NLT_UQ)); }

INLINE I i_zero() { return _mm256_setzero_si256(); }
INLINE I i_set1(int32_t x) { return _mm256_set1_epi32(x); }
INLINE I i_add(I a, I b) { return _mm256_add_epi32(a, b); }
INLINE I i_and(I a, I b) { return _mm256_and_si256(a, b); }
INLINE I i_or(I a, I b) { return _mm256_or_si256(a, b); }
INLINE I i_xor(I a, I b) { return _mm256_xor_si256(a, b); }
INLINE I i_max(I a, I b) { return _mm256_max_epi32(a, b); }
template <int n>
INLINE I i_shl(I a) {
    return _mm256_slli_epi32(a, n);
}
template <int n>
INLINE I i_shr(I a) {
    return _mm256_srli_epi32(a, n);
}
template <int n>
INLINE I i_sar(I a) {
    return _mm256_srai_epi32(a, n);
}
INLINE F to_float(I a) { return _mm256_cvtepi32_ps(a); }
INLINE I round_to_int(F a) { return _mm256_cvtps_epi32(a); }
INLINE F as_float(I a) { return _mm256_castsi256_ps(a); }
INLINE I as_int(F a) { return _mm256_castps_si256(a); }

INLINE float f_sum(F a) {
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_shuffle_ps(b, b, 1)));
}
INLINE float f_largest(F a) {
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_shuffle_ps(b, b, 1)));
}
INLINE int32_t i_sum(I a) {
    __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_add_epi32(b, _mm_shuffle_epi32(b, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}
INLINE int32_t i_largest(I a) {
    __m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}

/// The half in the low 16 bits of each lane.
INLINE F half_low(I a) {
    const I packed = _mm256_packus_epi32(_mm256_and_si256(a, _mm256_set1_epi32(0xffff)), _mm256_setzero_si256());
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}
INLINE F load_half(const uint8_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
INLINE F load_bf16(const uint8_t* p) {
    return as_float(i_shl<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))));
}
INLINE void store_half(uint8_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

/// kLanes signed bytes.
INLINE I load_bytes(const uint8_t* p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
INLINE void store_bytes(uint8_t* p, I x) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
}

INLINE F gather_half(const Rows& rows, size_t offset) {
    __m128i h = _mm_cvtsi32_si128(load_u16(rows.p[0] + offset));
    h = _mm_insert_epi16(h, load_u16(rows.p[1] + offset), 1);
    h = _mm_insert_epi16(h, load_u16(rows.p[2] + offset), 2);
    h = _mm_insert_epi16(h, load_u16(rows.p[3] + offset), 3);
    h = _mm_insert_epi16(h, load_u16(rows.p[4] + offset), 4);
    h = _mm_insert_epi16(h, load_u16(rows.p[5] + offset), 5);
    h = _mm_insert_epi16(h, load_u16(rows.p[6] + offset), 6);
    h = _mm_insert_epi16(h, load_u16(rows.p[7] + offset), 7);
    return _mm256_cvtph_ps(h);
}
INLINE __m128i gather_4(const uint8_t* const* rows, size_t offset) {
    __m128i x = _mm_cvtsi32_si128(load_i32(rows[0] + offset));
    x = _mm_insert_epi32(x, load_i32(rows[1] + offset), 1);
    x = _mm_insert_epi32(x, load_i32(rows[2] + offset), 2);
    return _mm_insert_epi32(x, load_i32(rows[3] + offset), 3);
}
INLINE I gather_i32(const Rows& rows, size_t offset) {
    return _mm256_set_m128i(gather_4(rows.p + 4, offset), gather_4(rows.p, offset));
}
/// out[j] = word j of the 16 bytes at offset of every row.
INLINE void load_words(const Rows& rows, size_t offset, I* out) {
    I a[4];
    UNROLL
    for (int i = 0; i < 4; ++i) {
        a[i] = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.p[i] + offset))),
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.p[4 + i] + offset)), 1);
    }
    const I t0 = _mm256_unpacklo_epi32(a[0], a[1]), t1 = _mm256_unpackhi_epi32(a[0], a[1]);
    const I t2 = _mm256_unpacklo_epi32(a[2], a[3]), t3 = _mm256_unpackhi_epi32(a[2], a[3]);
    out[0] = _mm256_unpacklo_epi64(t0, t2);
    out[1] = _mm256_unpackhi_epi64(t0, t2);
    out[2] = _mm256_unpacklo_epi64(t1, t3);
    out[3] = _mm256_unpackhi_epi64(t1, t3);
}

/// Bytes of all ones where bit 4 * j + i of a lane is set, i the byte.
template <int j>
INLINE I byte_mask(I bits) {
    constexpr int n = j / 2;  // the byte that has those bits
    const I order = _mm256_setr_epi8(n, n, n, n, n + 4, n + 4, n + 4, n + 4, n + 8, n + 8, n + 8, n + 8, n + 12, n + 12,
                                     n + 12, n + 12, n, n, n, n, n + 4, n + 4, n + 4, n + 4, n + 8, n + 8, n + 8, n + 8,
                                     n + 12, n + 12, n + 12, n + 12);
    const I each = i_set1(static_cast<int32_t>(j % 2 == 0 ? 0x08040201 : 0x80402010));
    return _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(bits, order), each), each);
}
/// table[b] for every byte b, 0 to 15.
INLINE I look_up(const int8_t* table, I bytes) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), bytes);
}

/// table[i] for every lane.
INLINE I gather(const uint32_t* table, I index) {
    return _mm256_i32gather_epi32(reinterpret_cast<const int*>(table), index, 4);
}

using ActivationValue = int8_t;
INLINE void store_activations(ActivationValue* out, const I* q, int n) {
    for (int i = 0; i < n; ++i) store_bytes(reinterpret_cast<uint8_t*>(out + kLanes * i), q[i]);
}

/// init + the dot products of 4 * n bytes of every row with activations x: bytes of `bits` bits, or signed ones whose
/// magnitude has so many.
template <int bits, int n, bool is_signed = false>
INLINE I dot(const I* q, const ActivationValue* x, I init) {
    // How many products of pairs fit 16 bits: 2 * 127 * (2^bits - 1) each. Of signed bytes |q| * (sign(q) x) is at
    // most 128 * 127, a pair of them just fits.
    static_assert(bits <= 6 || is_signed);
    constexpr int most = bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1, fit = most < n ? most : n;
    static_assert(n % fit == 0);
    I sum = init;
    UNROLL
    for (int begin = 0; begin < n; begin += fit) {
        I pairs = _mm256_setzero_si256();
        UNROLL
        for (int j = 0; j < fit; ++j) {
            const I weights = q[begin + j], values = i_set1(load_i32(x + 4 * (begin + j)));
            const I products = is_signed
                                   ? _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(values, weights))
                                   : _mm256_maddubs_epi16(weights, values);
            pairs = j == 0 ? products : _mm256_add_epi16(pairs, products);
        }
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return sum;
}

}  // namespace
}  // namespace reprise::cpu

#include "cpu/isa_kernels.inc"

namespace reprise::cpu {
const Kernels kAvx2Kernels = REPRISE_KERNEL_TABLE;
}
