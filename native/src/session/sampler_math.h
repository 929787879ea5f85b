// Sampler arithmetic that the CPU and the CUDA kernels share, bit for bit: single operations with a defined rounding,
// no contraction (host code is built with -ffp-contract=off, device code uses the _rn intrinsics), integer sums.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define REPRISE_HD __host__ __device__ __forceinline__
#else
#define REPRISE_HD inline
#endif

namespace reprise::sampler {

REPRISE_HD float mul(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}
REPRISE_HD float add(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fadd_rn(a, b);
#else
    return a + b;
#endif
}
REPRISE_HD float div(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fdiv_rn(a, b);
#else
    return a / b;
#endif
}
REPRISE_HD uint32_t bits(float f) {
#if defined(__CUDA_ARCH__)
    return __float_as_uint(f);
#else
    uint32_t u;
    std::memcpy(&u, &f, sizeof u);
    return u;
#endif
}
REPRISE_HD float from_bits(uint32_t u) {
#if defined(__CUDA_ARCH__)
    return __uint_as_float(u);
#else
    float f;
    std::memcpy(&f, &u, sizeof f);
    return f;
#endif
}

/// floor(exp(x) * 2^32) for x <= 0, with the relative error of float32; 0 below x = -22 and for NaN.
REPRISE_HD uint64_t weight(float x) {
    if (!(x > -22.0f)) return 0;
    if (x >= 0.0f) return uint64_t{1} << 32;
    const float log2_e = 1.44269504f;
    const float y = mul(x, log2_e);                 // in (-32, 0)
    const int n = static_cast<int>(add(y, -0.5f));  // truncation: the nearest integer, ties either way
    // x - n ln 2 with ln 2 in two parts, |r| <= 0.35
    const float fn = static_cast<float>(n);
    const float r = add(add(x, mul(fn, -0.693359375f)), mul(fn, 2.12194440e-4f));
    // exp(r) by its Taylor polynomial of degree 7: relative error under 1e-8
    float p = 1.98412698e-4f;
    p = add(mul(p, r), 1.38888889e-3f);
    p = add(mul(p, r), 8.33333333e-3f);
    p = add(mul(p, r), 4.16666667e-2f);
    p = add(mul(p, r), 1.66666667e-1f);
    p = add(mul(p, r), 0.5f);
    p = add(mul(p, r), 1.0f);
    p = add(mul(p, r), 1.0f);
    // p in [0.70, 1.42]; scale by 2^(n + 32), exactly
    const float scaled = mul(p, from_bits(static_cast<uint32_t>(n + 32 + 127) << 23));
    return static_cast<uint64_t>(scaled);
}

/// Orders floats as unsigned integers: a > b as floats iff key(a) > key(b); NaN becomes the smallest.
REPRISE_HD uint32_t order_key(float f) {
    if (f != f) return 0;
    const uint32_t u = bits(add(f, 0.0f));  // -0 becomes 0: they are equal
    return (u & 0x80000000u) ? ~u : (u | 0x80000000u);
}
/// Orders tokens by logit, then by lower id.
REPRISE_HD uint64_t rank_key(float logit, uint32_t id) {
    return (static_cast<uint64_t>(order_key(logit)) << 32) | (0xffffffffu - id);
}

/// Whether the token of the largest rank key can be drawn: not where every logit is NaN or -infinity.
REPRISE_HD bool is_drawable(uint64_t best) { return (best >> 32) > 0x007fffffu; }  // order_key(-infinity)

REPRISE_HD float penalized(float logit, int32_t count, float repeat, float presence, float frequency) {
    if (count <= 0) return logit;
    float l = logit > 0.0f ? div(logit, repeat) : mul(logit, repeat);
    return add(l, -add(mul(static_cast<float>(count), frequency), presence));
}

REPRISE_HD uint64_t mul_high(uint64_t a, uint64_t b) {
#if defined(__CUDA_ARCH__)
    return __umul64hi(a, b);
#else
    return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * b) >> 64);
#endif
}

/// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
/// Key: the seed. Counter: (position, 0, 0, 0).
struct PhiloxWords {
    uint32_t w[4];
};
REPRISE_HD PhiloxWords philox_words(uint64_t seed, uint32_t position) {
    uint32_t c0 = position, c1 = 0, c2 = 0, c3 = 0;
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
        const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
        const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
        const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c1 = static_cast<uint32_t>(p1);
        c3 = static_cast<uint32_t>(p0);
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}
/// The number that a token is drawn with.
REPRISE_HD uint64_t philox(uint64_t seed, uint32_t position) {
    const PhiloxWords words = philox_words(seed, position);
    return (static_cast<uint64_t>(words.w[1]) << 32) | words.w[0];
}
/// Whether XTC drops something at this position.
REPRISE_HD bool xtc_applies(float probability, uint64_t seed, uint32_t position) {
    // Exact: a power of two. At most 2^32, which is above every word.
    return philox_words(seed, position).w[2] < static_cast<uint64_t>(mul(probability, 4294967296.0f));
}

/// ceil(fraction * total) for a fraction in [0, 1], taken to 32 bits so that every backend gets the same integer: at
/// least 1 for any fraction but 0 of any total but 0.
REPRISE_HD uint64_t fraction_of(float fraction, uint64_t total) {
    uint64_t f = static_cast<uint64_t>(mul(fraction, 4294967296.0f));  // exact: a power of two
    if (f == 0 && fraction > 0.0f) f = 1;
    // (f * total) / 2^32 rounded up, by halves so as not to overflow: total < 2^56
    const uint64_t high = (total >> 32) * f;
    const uint64_t low = (total & 0xffffffffu) * f;
    return high + (low >> 32) + ((low & 0xffffffffu) != 0 ? 1 : 0);
}

}  // namespace reprise::sampler
