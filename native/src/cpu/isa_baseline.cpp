// x86-64 without extensions: SSE2, four rows at a time, products of 16-bit integers.
#include <emmintrin.h>

#include "cpu/isa_common.inc"

namespace reprise::cpu {
namespace {

constexpr const char* kName = "baseline";
constexpr int kLanes = 4;
constexpr int kColumnTile = 4;
constexpr int kFloatColumns = 2;
// Weights of Q8_0 are unpacked with 128 added, as unsigned bytes; the dot product starts from what that adds.
constexpr bool kSignedBytes = false;
using F = __m128;
using I = __m128i;

struct Rows {
    const uint8_t* p[kLanes];
};

INLINE F f_zero() { return _mm_setzero_ps(); }
INLINE F f_set1(float x) { return _mm_set1_ps(x); }
INLINE F f_load(const float* p) { return _mm_loadu_ps(p); }
INLINE void f_store(float* p, F x) { _mm_storeu_ps(p, x); }
INLINE F f_add(F a, F b) { return _mm_add_ps(a, b); }
INLINE F f_sub(F a, F b) { return _mm_sub_ps(a, b); }
INLINE F f_mul(F a, F b) { return _mm_mul_ps(a, b); }
INLINE F f_div(F a, F b) { return _mm_div_ps(a, b); }
INLINE F f_min(F a, F b) { return _mm_min_ps(a, b); }  // b where one is NaN
INLINE F f_max(F a, F b) { return _mm_max_ps(a, b); }  // b where one is NaN
INLINE F f_fma(F a, F b, F c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
INLINE F f_zero_where_less(F x, F a, F b) { return _mm_and_ps(x, _mm_cmpnlt_ps(a, b)); }

INLINE I i_zero() { return _mm_setzero_si128(); }
INLINE I i_set1(int32_t x) { return _mm_set1_epi32(x); }
INLINE I i_add(I a, I b) { return _mm_add_epi32(a, b); }
INLINE I i_and(I a, I b) { return _mm_and_si128(a, b); }
INLINE I i_or(I a, I b) { return _mm_or_si128(a, b); }
INLINE I i_xor(I a, I b) { return _mm_xor_si128(a, b); }
template <int n>
INLINE I i_shl(I a) {
    return _mm_slli_epi32(a, n);
}
template <int n>
INLINE I i_shr(I a) {
    return _mm_srli_epi32(a, n);
}
template <int n>
INLINE I i_sar(I a) {
    return _mm_srai_epi32(a, n);
}
INLINE I i_max(I a, I b) {
    const I greater = _mm_cmpgt_epi32(a, b);
    return _mm_or_si128(_mm_and_si128(greater, a), _mm_andnot_si128(greater, b));
}
INLINE F to_float(I a) { return _mm_cvtepi32_ps(a); }
INLINE I round_to_int(F a) { return _mm_cvtps_epi32(a); }
INLINE F as_float(I a) { return _mm_castsi128_ps(a); }
INLINE I as_int(F a) { return _mm_castps_si128(a); }

INLINE float f_sum(F a) {
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
}
INLINE float f_largest(F a) {
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}
INLINE int32_t i_sum(I a) {
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}
INLINE int32_t i_largest(I a) {
    a = i_max(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(i_max(a, _mm_shuffle_epi32(a, 0xb1)));
}

/// The half in the low 16 bits of each lane. Moving the bits into place leaves an exponent that is 112 too small, in
/// subnormals too, so one multiplication is exact for all but infinity and NaN.
INLINE F half_low(I a) {
    const I magnitude = _mm_and_si128(a, _mm_set1_epi32(0x7fff));
    const I special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7bff));
    const F scaled = _mm_mul_ps(as_float(i_shl<13>(magnitude)), as_float(_mm_set1_epi32((112 + 127) << 23)));
    const I sign = i_shl<16>(_mm_and_si128(a, _mm_set1_epi32(0x8000)));
    return as_float(i_or(i_or(as_int(scaled), sign), i_and(special, _mm_set1_epi32(0x7f800000))));
}
INLINE F load_half(const uint8_t* p) {
    return half_low(_mm_unpacklo_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)), _mm_setzero_si128()));
}
INLINE F load_bf16(const uint8_t* p) {
    return as_float(_mm_unpacklo_epi16(_mm_setzero_si128(), _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
INLINE void store_half(uint8_t* p, F x) {
    alignas(16) float values[kLanes];
    _mm_store_ps(values, x);
    for (int i = 0; i < kLanes; ++i) {
        const uint16_t h = float_to_half(values[i]);
        std::memcpy(p + 2 * i, &h, sizeof h);
    }
}

/// kLanes signed bytes.
INLINE I load_bytes(const uint8_t* p) {
    const I twice = _mm_unpacklo_epi8(_mm_setzero_si128(), _mm_cvtsi32_si128(load_i32(p)));
    return i_sar<24>(_mm_unpacklo_epi16(_mm_setzero_si128(), twice));
}
INLINE void store_bytes(uint8_t* p, I x) {
    const I words = _mm_packs_epi32(x, x);
    const int32_t bytes = _mm_cvtsi128_si32(_mm_packs_epi16(words, words));
    std::memcpy(p, &bytes, sizeof bytes);
}

INLINE F gather_half(const Rows& rows, size_t offset) {
    return half_low(_mm_setr_epi32(load_u16(rows.p[0] + offset), load_u16(rows.p[1] + offset),
                                   load_u16(rows.p[2] + offset), load_u16(rows.p[3] + offset)));
}
INLINE I gather_i32(const Rows& rows, size_t offset) {
    return _mm_setr_epi32(load_i32(rows.p[0] + offset), load_i32(rows.p[1] + offset), load_i32(rows.p[2] + offset),
                          load_i32(rows.p[3] + offset));
}
/// out[j] = word j of the 16 bytes at offset of every row.
INLINE void load_words(const Rows& rows, size_t offset, I* out) {
    I a[4];
    for (int i = 0; i < 4; ++i) a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.p[i] + offset));
    const I t0 = _mm_unpacklo_epi32(a[0], a[1]), t1 = _mm_unpackhi_epi32(a[0], a[1]);
    const I t2 = _mm_unpacklo_epi32(a[2], a[3]), t3 = _mm_unpackhi_epi32(a[2], a[3]);
    out[0] = _mm_unpacklo_epi64(t0, t2);
    out[1] = _mm_unpackhi_epi64(t0, t2);
    out[2] = _mm_unpacklo_epi64(t1, t3);
    out[3] = _mm_unpackhi_epi64(t1, t3);
}

/// Bytes of all ones where bit 4 * j + i of a lane is set, i the byte.
template <int j>
INLINE I byte_mask(I bits) {
    const I four = _mm_and_si128(i_shr<4 * j>(bits), _mm_set1_epi32(15));
    const I spread = i_or(i_or(four, i_shl<7>(four)), i_or(i_shl<14>(four), i_shl<21>(four)));
    return _mm_cmpeq_epi8(_mm_and_si128(spread, _mm_set1_epi8(1)), _mm_set1_epi8(1));
}
/// table[b] for every byte b, 0 to 15.
INLINE I look_up(const int8_t* table, I bytes) {
    alignas(16) uint8_t at[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(at), bytes);
    for (uint8_t& byte : at) byte = static_cast<uint8_t>(table[byte]);
    return _mm_load_si128(reinterpret_cast<const __m128i*>(at));
}

/// table[i] for every lane, i below 2^16.
INLINE I gather(const uint32_t* table, I index) {
    const auto entry = [&](int i) { return static_cast<int32_t>(table[i]); };
    return _mm_setr_epi32(entry(_mm_extract_epi16(index, 0)), entry(_mm_extract_epi16(index, 2)),
                          entry(_mm_extract_epi16(index, 4)), entry(_mm_extract_epi16(index, 6)));
}

// Values 4j .. 4j + 3 as 16 bits each, in the order 0, 2, 1, 3: the even and the odd bytes of a word of weights.
using ActivationValue = int16_t;
INLINE void store_activations(ActivationValue* out, const I* q, int n) {
    for (int i = 0; i < n; ++i) {
        const I order = _mm_shuffle_epi32(q[i], 0xd8);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 4 * i), _mm_packs_epi32(order, order));
    }
}

/// init + the dot products of 4 * n unsigned bytes of every row with activations x.
template <int bits, int n, bool is_signed = false>
INLINE I dot(const I* q, const ActivationValue* x, I init) {
    I sum = init;
    UNROLL
    for (int j = 0; j < n; ++j) {
        const I even = _mm_and_si128(q[j], _mm_set1_epi16(0xff)), odd = _mm_srli_epi16(q[j], 8);
        sum = _mm_add_epi32(sum, _mm_madd_epi16(even, i_set1(load_i32(x + 4 * j))));
        sum = _mm_add_epi32(sum, _mm_madd_epi16(odd, i_set1(load_i32(x + 4 * j + 2))));
    }
    return sum;
}

}  // namespace
}  // namespace reprise::cpu

#include "cpu/isa_kernels.inc"

namespace reprise::cpu {
const Kernels kBaselineKernels = REPRISE_KERNEL_TABLE;
}
