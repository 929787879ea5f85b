// Runs the programs of a plan on the device. Enqueues kernels and nothing else, so that a step may be captured.
#pragma once

#include <span>

#include "cuda/attention.h"
#include "cuda/sequence_buffers.h"
#include "cuda/step_rows.h"
#include "cuda/weights.h"
#include "cuda/workspace.h"

namespace reprise::cuda {

/// What a step computes.
struct CudaStep {
    uint32_t n;                               // rows
    std::span<const SequenceView> sequences;  // the one that all rows are of; or one for each row, null ones too
    const StepRows* rows = nullptr;           // in device memory: of a program of many sequences, the same
    uint32_t first = 0;                       // row of the residual stream whose logits lower_head()'s program computes
};

class Executor {
  public:
    /// A program and where its values lie.
    struct Bound {
        CudaProgram program;
        std::vector<uint8_t*> values;
    };

    /// For sequences with keys and values of a type at capacity positions.
    Executor(const Plan& plan, const DeviceWeights& weights, const Workspace& workspace, TensorType kv_type,
             uint32_t capacity);

    Bound bind(CudaProgram program) const;
    /// trace, if not null, sees what every launch has written; the stream is waited for after each.
    void run(const Bound& bound, const CudaStep& step, cudaStream_t stream, const Trace* trace = nullptr) const;

  private:
    struct Task;  // a launch of a step
    void launch(const Task& task) const;
    static void show(const Task& task, const Trace& trace);
    void embed(const Task& task) const;
    void attention(const Task& task, uint32_t row) const;
    /// Of rows first to first + n - 1; as kernels of one row, where n is 1, or of a chunk.
    void launch_rows(const Task& task, uint32_t first, uint32_t n) const;
    void launch_many(const Task& task) const;

    std::vector<MatvecPart> parts(const Task& task, uint32_t row) const;
    AttentionArgs attention_args(const Task& task, uint32_t row) const;
    RopeKvArgs rope_args(const Task& task, uint32_t row) const;
    WeightPrefetch prefetch(const FetchAhead& ahead) const;

    const Plan& plan_;
    const HyperParams& h_;
    const DeviceWeights& weights_;
    const Workspace& workspace_;
    const TensorType kv_type_;
    const uint32_t capacity_;
    const uint32_t n_sms_;
};

}  // namespace reprise::cuda
