// Runs a plan on the device: one decode step, or a chunk of prefill. Enqueues kernels and nothing else, so that either
// may be captured.
#pragma once

#include <vector>

#include "cuda/rope.h"
#include "cuda/session_buffers.h"
#include "cuda/weights.h"

namespace reprise::cuda {

class Forward {
  public:
    Forward(const Plan& plan, const DeviceWeights& weights, const SessionBuffers& buffers, const SessionShape& shape);

    /// Evaluates state->token at state->position, leaves the logits, draws the next token and hands it on: by the fused
    /// kernels (forward_fused.cpp), or by the unfused ones that they are tested against.
    void decode(uint32_t sampling_kind, cudaStream_t stream) const;
    /// Kernels of decode(), counted from the plan alone.
    uint32_t decode_launches(uint32_t sampling_kind) const;

    /// Evaluates the n ids at the start of the queue from state->position on. n <= chunk.
    void prefill(uint32_t n, cudaStream_t stream) const;
    /// The logits of row i of the last prefill().
    void prefill_logits(uint32_t row, cudaStream_t stream) const;

  private:
    /// What differs between one row through matrix-vector products and many through tensor cores.
    struct Decode;
    struct Prefill;
    template <class Pass>
    void run(const Pass& pass) const;

    AttentionArgs attention_args(const AttentionStep& step) const;
    RopeKvArgs rope_args(const QkvStep& step) const;
    void logits(const float* x, cudaStream_t stream) const;
    /// Kernels of decode_fused(); 0 if some product of the plan has no fused kernel on this device.
    uint32_t fused_launches() const;
    /// Everything of a decode step but the drawing.
    void decode_fused(cudaStream_t stream) const;

    const Plan& plan_;
    const HyperParams& h_;
    const DeviceWeights& weights_;
    const SessionBuffers& buffers_;
    const SessionShape shape_;
    const uint32_t n_fused_;      // fused_launches(), or 0 where the session asks for the unfused kernels
    const bool prefills_by_row_;  // of a float32 model, whose prefill and steps agree to 1e-3
};

}  // namespace reprise::cuda
