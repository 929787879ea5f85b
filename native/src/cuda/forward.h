// The programs of a session: one decode step, a chunk of prefill, and the logits of one of its rows.
#pragma once

#include "cuda/executor.h"
#include "cuda/lower.h"

namespace reprise::cuda {

/// Buffers of the workspace that the sessions of a shape need.
BufferBytes workspace_buffers(const Plan& plan, const SessionShape& shape);

class Forward {
  public:
    Forward(const Plan& plan, const DeviceWeights& weights, const Workspace& workspace, const SequenceBuffers& sequence,
            const SessionShape& shape);

    /// Evaluates state->token at state->position, leaves the logits, draws the next token and hands it on.
    void decode(uint32_t sampling_kind, cudaStream_t stream) const;
    /// The same without drawing; trace sees the step's values.
    void decode_traced(const Trace& trace, cudaStream_t stream) const;
    /// Kernels of decode(), counted from the program alone.
    uint32_t decode_launches(uint32_t sampling_kind) const;
    const CudaProgram& decode_program() const { return step_.program; }

    /// Evaluates the n ids at the start of the queue from state->position on. n <= chunk.
    void prefill(uint32_t n, cudaStream_t stream) const;
    /// The logits of row i of the last prefill().
    void prefill_logits(uint32_t row, cudaStream_t stream) const;

  private:
    const SamplerBuffers& sampler_;
    const SequenceView sequence_;
    const Executor executor_;
    const Executor::Bound step_, prefill_, head_;
};

}  // namespace reprise::cuda
