// AVX-512 with VNNI: sixteen rows at a time, one instruction per 64 products of bytes.

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the deliberately undefined operands inside its own intrinsics for mistakes (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#include "cpu/isa_common.inc"

namespace reprise::cpu {
namespace {

constexpr const char* kName = "avx512vnni";
constexpr int kLanes = 16;
constexpr int kColumnTile = 8;
constexpr int kFloatColumns = 6;
// Weights of Q8_0 are unpacked with 128 added, as unsigned bytes; the dot product starts from what that adds.
constexpr bool kSignedBytes = false;
using F = __m512;
using I = __m512i;

struct Rows {
    const uint8_t* p[kLanes];
};

INLINE F f_zero() { return _mm512_setzero_ps(); }
INLINE F f_set1(float x) { return _mm512_set1_ps(x); }
INLINE F f_load(const float* p) { return _mm512_loadu_ps(p); }
INLINE void f_store(float* p, F x) { _mm512_storeu_ps(p, x); }
INLINE F f_add(F a, F b) { return _mm512_add_ps(a, b); }
INLINE F f_sub(F a, F b) { return _mm512_sub_ps(a, b); }
INLINE F f_mul(F a, F b) { return _mm512_mul_ps(a, b); }
INLINE F f_div(F a, F b) { return _mm512_div_ps(a, b); }
INLINE F f_min(F a, F b) { return _mm512_min_ps(a, b); }  // b where one is NaN
INLINE F f_max(F a, F b) { return _mm512_max_ps(a, b); }  // b where one is NaN
INLINE F f_fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
INLINE F f_zero_where_less(F x, F a, F b) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), x); }

INLINE I i_zero() { return _mm512_setzero_si512(); }
INLINE I i_set1(int32_t x) { return _mm512_set1_epi32(x); }
INLINE I i_add(I a, I b) { return _mm512_add_epi32(a, b); }
INLINE I i_and(I a, I b) { return _mm512_and_si512(a, b); }
INLINE I i_or(I a, I b) { return _mm512_or_si512(a, b); }
INLINE I i_xor(I a, I b) { return _mm512_xor_si512(a, b); }
INLINE I i_max(I a, I b) { return _mm512_max_epi32(a, b); }
template <int n>
INLINE I i_shl(I a) {
    return _mm512_slli_epi32(a, n);
}
template <int n>
INLINE I i_shr(I a) {
    return _mm512_srli_epi32(a, n);
}
template <int n>
INLINE I i_sar(I a) {
    return _mm512_srai_epi32(a, n);
}
INLINE F to_float(I a) { return _mm512_cvtepi32_ps(a); }
INLINE I round_to_int(F a) { return _mm512_cvtps_epi32(a); }
INLINE F as_float(I a) { return _mm512_castsi512_ps(a); }
INLINE I as_int(F a) { return _mm512_castps_si512(a); }

INLINE float f_sum(F a) { return _mm512_reduce_add_ps(a); }
INLINE float f_largest(F a) { return _mm512_reduce_max_ps(a); }
INLINE int32_t i_sum(I a) { return _mm512_reduce_add_epi32(a); }
INLINE int32_t i_largest(I a) { return _mm512_reduce_max_epi32(a); }

/// The half in the low 16 bits of each lane.
INLINE F half_low(I a) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)); }
INLINE F load_half(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
INLINE F load_bf16(const uint8_t* p) {
    return as_float(i_shl<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))));
}
INLINE void store_half(uint8_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

/// kLanes signed bytes.
INLINE I load_bytes(const uint8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
INLINE void store_bytes(uint8_t* p, I x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(x)); }

INLINE __m128i gather_8_halves(const uint8_t* const* rows, size_t offset) {
    __m128i h = _mm_cvtsi32_si128(load_u16(rows[0] + offset));
    h = _mm_insert_epi16(h, load_u16(rows[1] + offset), 1);
    h = _mm_insert_epi16(h, load_u16(rows[2] + offset), 2);
    h = _mm_insert_epi16(h, load_u16(rows[3] + offset), 3);
    h = _mm_insert_epi16(h, load_u16(rows[4] + offset), 4);
    h = _mm_insert_epi16(h, load_u16(rows[5] + offset), 5);
    h = _mm_insert_epi16(h, load_u16(rows[6] + offset), 6);
    return _mm_insert_epi16(h, load_u16(rows[7] + offset), 7);
}
INLINE F gather_half(const Rows& rows, size_t offset) {
    return _mm512_cvtph_ps(_mm256_set_m128i(gather_8_halves(rows.p + 8, offset), gather_8_halves(rows.p, offset)));
}
INLINE __m128i gather_4(const uint8_t* const* rows, size_t offset) {
    __m128i x = _mm_cvtsi32_si128(load_i32(rows[0] + offset));
    x = _mm_insert_epi32(x, load_i32(rows[1] + offset), 1);
    x = _mm_insert_epi32(x, load_i32(rows[2] + offset), 2);
    return _mm_insert_epi32(x, load_i32(rows[3] + offset), 3);
}
INLINE I gather_i32(const Rows& rows, size_t offset) {
    I x = _mm512_castsi128_si512(gather_4(rows.p, offset));
    x = _mm512_inserti32x4(x, gather_4(rows.p + 4, offset), 1);
    x = _mm512_inserti32x4(x, gather_4(rows.p + 8, offset), 2);
    return _mm512_inserti32x4(x, gather_4(rows.p + 12, offset), 3);
}
INLINE __m128i load_16(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
/// out[j] = word j of the 16 bytes at offset of every row.
INLINE void load_words(const Rows& rows, size_t offset, I* out) {
    I a[4];
    UNROLL
    for (int i = 0; i < 4; ++i) {
        a[i] = _mm512_castsi128_si512(load_16(rows.p[i] + offset));
        a[i] = _mm512_inserti32x4(a[i], load_16(rows.p[4 + i] + offset), 1);
        a[i] = _mm512_inserti32x4(a[i], load_16(rows.p[8 + i] + offset), 2);
        a[i] = _mm512_inserti32x4(a[i], load_16(rows.p[12 + i] + offset), 3);
    }
    const I t0 = _mm512_unpacklo_epi32(a[0], a[1]), t1 = _mm512_unpackhi_epi32(a[0], a[1]);
    const I t2 = _mm512_unpacklo_epi32(a[2], a[3]), t3 = _mm512_unpackhi_epi32(a[2], a[3]);
    out[0] = _mm512_unpacklo_epi64(t0, t2);
    out[1] = _mm512_unpackhi_epi64(t0, t2);
    out[2] = _mm512_unpacklo_epi64(t1, t3);
    out[3] = _mm512_unpackhi_epi64(t1, t3);
}

/// Bytes of all ones where bit 4 * j + i of a lane is set, i the byte.
template <int j>
INLINE I byte_mask(I bits) {
    constexpr int n = j / 2;  // the byte that has those bits
    const __m128i order = _mm_setr_epi8(n, n, n, n, n + 4, n + 4, n + 4, n + 4, n + 8, n + 8, n + 8, n + 8, n + 12,
                                        n + 12, n + 12, n + 12);
    const I each = i_set1(static_cast<int32_t>(j % 2 == 0 ? 0x08040201 : 0x80402010));
    return _mm512_movm_epi8(_mm512_test_epi8_mask(_mm512_shuffle_epi8(bits, _mm512_broadcast_i32x4(order)), each));
}
/// table[b] for every byte b, 0 to 15.
INLINE I look_up(const int8_t* table, I bytes) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load_16(reinterpret_cast<const uint8_t*>(table))), bytes);
}

/// table[i] for every lane.
INLINE I gather(const uint32_t* table, I index) { return _mm512_i32gather_epi32(index, table, 4); }

using ActivationValue = int8_t;
INLINE void store_activations(ActivationValue* out, const I* q, int n) {
    for (int i = 0; i < n; ++i) store_bytes(reinterpret_cast<uint8_t*>(out + kLanes * i), q[i]);
}

/// init + the dot products of 4 * n unsigned bytes of every row with activations x.
template <int bits, int n, bool is_signed = false>
INLINE I dot(const I* q, const ActivationValue* x, I init) {
    I sum = init;
    UNROLL
    for (int j = 0; j < n; ++j) sum = _mm512_dpbusd_epi32(sum, q[j], i_set1(load_i32(x + 4 * j)));
    return sum;
}

}  // namespace
}  // namespace reprise::cpu

#include "cpu/isa_kernels.inc"

namespace reprise::cpu {
const Kernels kAvx512VnniKernels = REPRISE_KERNEL_TABLE;
}
