// Between the projections to q, k, v and attention: norms of heads, rotation, and the way into the KV cache.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/decode_state.h"
#include "model/plan.h"

namespace reprise::cuda {

struct RopeKvArgs {
    float* qkv;  // [n] rows of q_dim + 2 kv_dim values, row_stride apart; q is turned in place
    size_t row_stride;
    const float *q_norm, *k_norm;  // [head_dim] or null
    float rms_eps;
    uint32_t n_heads, n_kv_heads, head_dim;
    RopeStyle style;
    uint32_t n_rot;
    const double* turns;       // [n_rot / 2]: turns (angle / 2 pi) per position
    float magnitude;           // on cosines and sines
    void *k_cache, *v_cache;   // of the layer: kv_layout.h
    TensorType kv_type;        // F16, F32 or Q8_0
    uint32_t capacity;         // positions; nothing is written at or beyond it
    const DecodeState* state;  // row i is at state->position + i
};

/// rms_norm of every q and k head where the norms are there, RoPE on q and k, k and v to the cache, at the position
/// that state says when the kernel runs: a launch that was captured into a graph serves every position.
void rope_kv(const RopeKvArgs& args, uint32_t n, cudaStream_t stream);

/// The argument's turns: computed in double, since at position 100,000 a float angle is off by 0.004 radians.
std::vector<double> rope_turns(const Rope& rope);

void load_rope_kernels();

}  // namespace reprise::cuda
