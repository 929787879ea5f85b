#include "cuda/forward.h"

namespace reprise::cuda {

namespace {

Target target_of(const SessionShape& shape) {
    return Target::current(shape.exact, shape.fused, shape.kv_type, shape.context_length);
}

}  // namespace

BufferBytes workspace_buffers(const Plan& plan, const SessionShape& shape) {
    // Of any device: what one that lacks shared memory falls back to takes no more than the unfused step and this one.
    const auto target = [&](bool fused) {
        return Target::any(shape.exact, fused, shape.kv_type, shape.context_length);
    };
    BufferBytes buffers;
    add_buffers(buffers, lower(plan, target(shape.fused), 1));
    add_buffers(buffers, lower(plan, target(false), 1));
    add_buffers(buffers, lower_prefill(plan, target(false), shape.chunk));
    add_buffers(buffers, lower_head(plan, target(false)));
    return buffers;
}

Forward::Forward(const Plan& plan, const DeviceWeights& weights, const Workspace& workspace,
                 const SequenceBuffers& sequence, const SessionShape& shape)
    : sampler_(sequence.sampler),
      sequence_(sequence.view()),
      executor_(plan, weights, workspace, shape.kv_type, shape.context_length),
      step_(executor_.bind(lower(plan, target_of(shape), 1))),
      prefill_(executor_.bind(lower_prefill(plan, target_of(shape), shape.chunk))),
      head_(executor_.bind(lower_head(plan, target_of(shape)))) {}

void Forward::decode(uint32_t sampling_kind, cudaStream_t stream) const {
    executor_.run(step_, {1, {&sequence_, 1}}, stream);
    sample(sampler_, sampling_kind, 1, stream);
}

void Forward::decode_traced(const Trace& trace, cudaStream_t stream) const {
    executor_.run(step_, {1, {&sequence_, 1}}, stream, &trace);
}

uint32_t Forward::decode_launches(uint32_t sampling_kind) const {
    return step_.program.n_kernels() + sampler_launches(sampling_kind);
}

void Forward::prefill(uint32_t n, cudaStream_t stream) const { executor_.run(prefill_, {n, {&sequence_, 1}}, stream); }

void Forward::prefill_logits(uint32_t row, cudaStream_t stream) const {
    executor_.run(head_, {1, {&sequence_, 1}, nullptr, row}, stream);
}

}  // namespace reprise::cuda
