// Tensor types of GGUF: numbers, names, block sizes. Source: the GGUF specification (ggml/docs/gguf.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace reprise {

enum class TensorType : int32_t {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q2_K = 10,
    Q3_K = 11,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
    IQ2_XXS = 16,
    IQ2_XS = 17,
    IQ3_XXS = 18,
    IQ1_S = 19,
    IQ4_NL = 20,
    IQ3_S = 21,
    IQ2_S = 22,
    IQ4_XS = 23,
    IQ1_M = 29,
    BF16 = 30,
    TQ1_0 = 34,
    TQ2_0 = 35,
    MXFP4 = 39,
    NVFP4 = 40,
};

struct TypeTraits {
    int32_t number;        // in the file
    const char* name;      // as the specification spells it
    uint32_t block_size;   // weights per block
    uint32_t block_bytes;  // bytes per block
    bool supported;        // Reprise can compute with it
};

/// Traits of a type number, or null if the specification has no such number (or retired it).
const TypeTraits* find_type(int32_t number);
/// Traits of a supported type.
const TypeTraits& traits(TensorType type);
/// "F32, F16, ..." of all supported types, for messages.
std::string supported_types();

/// Bytes of a row of n weights; n must be a multiple of the block size.
inline size_t row_bytes(TensorType type, size_t n) {
    const TypeTraits& t = traits(type);
    return n / t.block_size * t.block_bytes;
}

/// Reference dequantisation of n weights (a multiple of the block size) of a supported type.
void dequantize(TensorType type, const void* blocks, float* out, size_t n);

/// Reference quantisation, for tests, fixtures, reprise-synth and the KV cache: n a multiple of the block size.
/// Rounds each block to nearest under a straightforward choice of scales; not an importance-weighted search.
/// The types whose blocks hold indices into codebooks (IQ1, IQ2, IQ3) are read only: a search makes them.
/// What is not finite is for F32, F16, BF16 and Q8_0 alone; a block of Q8_0 that holds any becomes NaN as a whole.
void quantize(TensorType type, const float* in, void* blocks, size_t n);

float half_to_float(uint16_t h);
uint16_t float_to_half(float f);  // round to nearest even, overflow to infinity, NaN stays NaN
float bf16_to_float(uint16_t b);
uint16_t float_to_bf16(float f);  // round to nearest even

}  // namespace reprise
