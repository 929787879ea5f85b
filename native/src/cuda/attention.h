// Attention over the KV cache: softmax(scale q K^T) V for each head, without a score matrix in memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cuda/decode_state.h"
#include "cuda/rope.h"
#include "cuda/slot.h"
#include "cuda/weight_prefetch.h"
#include "quant/tensor_type.h"

namespace reprise::cuda {

constexpr uint32_t MAX_HEAD_DIM = 256;

struct AttentionArgs {
    const float* q;  // [n] rows of n_heads * head_dim values, q_stride apart
    size_t q_stride;
    const void *k, *v;  // of the layer: kv_layout.h
    uint32_t n_heads, n_kv_heads, head_dim, capacity;
    float scale;
    const DecodeState* state;  // row i sees the first state->seq_len + i keys
    float* out;                // [n] rows of n_heads * head_dim values, or null
    uint8_t* int8;             // one row in 8 bits (quant_input.cuh), or null; head_dim a multiple of 32
};

/// Of decode: the parts of the context, and counters that are zero between launches, one per 8 heads of a KV head. Of
/// prefill from Q8_0: a layer's keys and values in float16.
struct AttentionScratch {
    float* parts;
    uint32_t* arrived;
    void *k, *v;  // [n_kv_heads][kv_rows(capacity)][head_dim]
};
size_t attention_parts(uint32_t n_heads, uint32_t head_dim);       // values of parts
size_t attention_counters(uint32_t n_heads, uint32_t n_kv_heads);  // words of arrived

/// One row. The context is split over a fixed number of blocks, whose parts the last of them to finish adds up in order
/// of the context, so that the result does not depend on which that is.
void attention_decode(const AttentionArgs& args, TensorType kv_type, const AttentionScratch& scratch,
                      cudaStream_t stream);
/// The decode step's: as rope_kv() and then attention_decode() in one kernel. args.q is not read, rope.qkv is: by each
/// block what it needs; the block that has the newest key turns it and puts it and its value into the cache. state and
/// the keys and values before the newest are read while the predecessor runs: they have to be complete before the
/// step's first kernel begins (launch_first()). prefetch: the weights of a kernel to come that it brings into the L2.
void attention_fused(const AttentionArgs& args, const RopeKvArgs& rope, const AttentionScratch& scratch,
                     const WeightPrefetch& prefetch, Slot slot, cudaStream_t stream);
/// n rows. But for float32 keys and values, queries and softmax weights are rounded to float16.
void attention_prefill(const AttentionArgs& args, TensorType kv_type, const AttentionScratch& scratch, uint32_t n,
                       cudaStream_t stream);
/// The same with the arithmetic of attention_decode(), each row for itself: slower.
void attention_prefill_by_row(const AttentionArgs& args, TensorType kv_type, const AttentionScratch& scratch,
                              uint32_t n, cudaStream_t stream);

void load_attention_kernels();

// For load_attention_kernels() only.
void load_attention_decode_kernels();

}  // namespace reprise::cuda
