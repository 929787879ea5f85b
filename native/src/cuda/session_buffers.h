// Everything a session holds on the device, allocated once at its maximum size: the decode graph keeps these addresses.
#pragma once

#include "cuda/attention.h"
#include "cuda/linear.h"
#include "cuda/memory.h"
#include "cuda/sampler.h"
#include "model/plan.h"

namespace reprise::cuda {

/// What the sizes depend on.
struct SessionShape {
    uint32_t context_length;
    uint32_t chunk;      // rows that prefill evaluates at once
    TensorType kv_type;  // F16, F32 or Q8_0
    bool exact;
    bool fused;  // decode with the fused kernels where there are some
};

/// An input of products, in every form that some matrix of the model reads.
struct InputBuffers {
    Activations decode;   // one row
    Activations prefill;  // [chunk] rows
};

class SessionBuffers {
  public:
    struct Sizes {
        size_t kv_cache, workspace;
    };
    static Sizes sizes(const Plan& plan, const SessionShape& shape);

    /// Allocates on the current device and clears what kernels expect to be zero, in stream order.
    SessionBuffers(const Plan& plan, const SessionShape& shape, cudaStream_t stream);
    size_t kv_bytes() const { return kv_memory_.size(); }
    size_t workspace_bytes() const { return memory_.size(); }

    /// Keys or values of a layer: kv_layout.h.
    void* keys(uint32_t layer) const { return kv_memory_.data() + 2 * layer * kv_layer_bytes_; }
    void* values(uint32_t layer) const { return kv_memory_.data() + (2 * layer + 1) * kv_layer_bytes_; }

    DecodeState* state;
    int32_t* queue;      // [context_length]: input ids, of prefill and of the input queue
    float* x;            // [chunk, n_embd]: the residual stream
    float* qkv;          // [chunk, q_dim + 2 kv_dim]
    float* attention;    // [chunk, q_dim]
    float* gate_up;      // [chunk, 2 n_ff]: a row's gates, then its ups
    InputBuffers input;  // rows of up to max(n_embd, q_dim, n_ff) values
    AttentionScratch attention_scratch;
    void* matmul_scratch;
    SamplerBuffers sampler;

  private:
    void carve(Carver& carver, const Plan& plan, const SessionShape& shape);
    SessionBuffers() = default;
    DeviceBuffer kv_memory_, memory_;
    PinnedBuffer pinned_;
    size_t kv_layer_bytes_ = 0;
};

}  // namespace reprise::cuda
