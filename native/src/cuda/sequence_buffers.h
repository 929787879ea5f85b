// What one sequence holds on the device, allocated once at its maximum size: captured graphs keep these addresses.
#pragma once

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

/// A sequence as launches see it.
struct SequenceView {
    DecodeState* state;
    const int32_t* queue;  // input ids, of prefill and of the input queue
    float* logits;         // [n_vocab], of steps of one row
    uint8_t* kv;           // keys, then values, of every layer: kv_layout.h
    size_t kv_layer_bytes;

    void* keys(uint32_t layer) const { return kv + 2 * layer * kv_layer_bytes; }
    void* values(uint32_t layer) const { return kv + (2 * layer + 1) * kv_layer_bytes; }
};

class SequenceBuffers {
  public:
    struct Sizes {
        size_t kv_cache, rest;
    };
    static Sizes sizes(const HyperParams& h, const SessionShape& shape);

    /// Allocates on the current device and clears what kernels expect to be zero, in stream order.
    SequenceBuffers(const HyperParams& h, const SessionShape& shape, cudaStream_t stream);
    SequenceView view() const { return {state, queue, sampler.logits, kv_memory_.data(), kv_layer_bytes_}; }
    void* keys(uint32_t layer) const { return view().keys(layer); }
    void* values(uint32_t layer) const { return view().values(layer); }
    size_t kv_bytes() const { return kv_memory_.size(); }
    size_t rest_bytes() const { return memory_.size(); }

    DecodeState* state;
    int32_t* queue;  // [context_length]
    SamplerBuffers sampler;

  private:
    SequenceBuffers() = default;
    void carve(Carver& carver, const HyperParams& h, const SessionShape& shape);

    DeviceBuffer kv_memory_, memory_;
    PinnedBuffer pinned_;
    size_t kv_layer_bytes_ = 0;
};

}  // namespace reprise::cuda
