// The CPU arithmetic, one table of functions per instruction set. isa_*.cpp are compiled with their own flags and hold
// nothing but internal-linkage code, so that no AVX instruction leaks into code that runs before the choice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "exec/kv_block.h"
#include "model/activation.h"
#include "model/limits.h"
#include "quant/tensor_type.h"

namespace reprise::cpu {

/// Attention of n_rows queries that share one KV head. K and V rows are values of kv_type (F16, F32 or Q8_0).
struct AttentionArgs {
    const float* q;  // [n_rows] rows of head_dim, q_stride floats apart
    size_t q_stride;
    const uint8_t* const* blocks;  // of KV_BLOCK positions each, the first at 0
    size_t k_offset, v_offset;     // bytes from the beginning of a block to the row of its first position
    size_t k_stride, v_stride;     // bytes from there to the row of the next position
    TensorType kv_type;
    const uint32_t* n_keys;  // [n_rows] row i attends to positions up to n_keys[i] - 1; ascending, at least 1
    size_t n_rows;
    size_t head_dim;   // of q and K: a multiple of 8, of 32 for Q8_0, at most MAX_HEAD_DIM
    size_t value_dim;  // of V: the same, at most head_dim
    float scale;       // on q . k
    float* out;        // [n_rows] rows of value_dim, out_stride floats apart
    size_t out_stride;
    const uint32_t* first_keys;  // [n_rows] from these positions on; ascending; null: from 0
    float soft_cap;              // scores become cap tanh(score / cap); 0: none
    const float* sinks;          // [n_rows] the score of one more key, without a value; null: none
};

struct Kernels {
    const char* name;  // "baseline", "avx2", "avx512vnni"

    /// Bytes of one activation row of k values prepared for weights of this type (a multiple of 64).
    size_t (*activation_bytes)(TensorType weight_type, size_t k);
    /// Prepares an activation row: quantised to 8 bits in blocks of 32 for quantised weights, float32 for float ones.
    void (*prepare)(TensorType weight_type, const float* x, size_t k, uint8_t* out);
    /// The same of what prepare() loses of a row, for quantised weights: the sum of the products with both is as if
    /// activations had 15 bits. Null where nothing is lost.
    void (*prepare_rest)(TensorType weight_type, const float* x, size_t k, uint8_t* out);
    /// out[c * out_stride + r] = weights row r . activation row c, for r in [row_begin, row_end), c in [0, n_cols).
    /// weights points at row 0, rows lie row_bytes(type, k) apart; activations lie activation_stride bytes apart.
    void (*matmul)(TensorType weight_type, const uint8_t* weights, size_t k, size_t row_begin, size_t row_end,
                   const uint8_t* activations, size_t activation_stride, size_t n_cols, float* out, size_t out_stride);

    /// out = x / sqrt(mean(x^2) + eps) * weight. Zhang and Sennrich, https://arxiv.org/abs/1910.07467
    void (*rms_norm)(const float* x, const float* weight, float eps, size_t n, float* out);
    /// out = silu(gate) * up. Shazeer, https://arxiv.org/abs/2002.05202
    void (*swiglu)(const float* gate, const float* up, size_t n, float* out);
    void (*add)(const float* a, const float* b, size_t n, float* out);
    /// out = activation(gate) * up; up null: 1.
    void (*activate)(Activation activation, const float* gate, const float* up, size_t n, float* out);
    /// Scaled dot-product attention with a running softmax; no score matrix.
    void (*attention)(const AttentionArgs& args);
    /// n float32 values to the KV type, with the same bits as quantize(); n a multiple of 32 for Q8_0.
    void (*store_kv)(TensorType kv_type, const float* x, size_t n, uint8_t* out);
};

/// Every instruction set compiled in, best last, with whether this machine has it.
struct IsaEntry {
    const Kernels* kernels;
    bool available;
};
std::vector<IsaEntry> instruction_sets();

/// The best available set, or the one named by the environment variable REPRISE_CPU_ISA; a name this machine cannot
/// run or that does not exist is REPRISE_INVALID_ARGUMENT naming those it can.
const Kernels& kernels();

/// Dequantises every weight to float32 before use and keeps activations in float32: the arithmetic of --exact.
/// Same table, so the executor does not know the difference.
const Kernels& exact_kernels();

}  // namespace reprise::cpu
