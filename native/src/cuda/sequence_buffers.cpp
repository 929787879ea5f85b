#include "cuda/sequence_buffers.h"

#include <algorithm>

#include "cuda/check.h"
#include "cuda/kv_layout.h"

namespace reprise::cuda {

namespace {

size_t layer_bytes(const HyperParams& h, const SessionShape& shape) {
    return h.n_kv_heads * kv_rows(shape.context_length) * row_bytes(shape.kv_type, h.head_dim);
}

}  // namespace

void SequenceBuffers::carve(Carver& carver, const HyperParams& h, const SessionShape& shape) {
    state = carver.take<DecodeState>(1);
    queue = carver.take<int32_t>(shape.context_length);
    sampler.carve(carver, h.n_vocab);
    sampler.state = state;
    sampler.queue = queue;
}

SequenceBuffers::Sizes SequenceBuffers::sizes(const HyperParams& h, const SessionShape& shape) {
    SequenceBuffers counted;
    Carver carver(nullptr);
    counted.carve(carver, h, shape);
    return {2 * h.n_layers * layer_bytes(h, shape), carver.used()};
}

SequenceBuffers::SequenceBuffers(const HyperParams& h, const SessionShape& shape, cudaStream_t stream)
    : kv_layer_bytes_(layer_bytes(h, shape)) {
    const Sizes needed = sizes(h, shape);
    kv_memory_ = DeviceBuffer(needed.kv_cache, "the KV cache");
    memory_ = DeviceBuffer(needed.rest, "the session's sampler");
    const size_t n_penalties = std::min(h.n_vocab, shape.context_length);  // of tokens that stand in the history
    pinned_ =
        PinnedBuffer(SamplerBuffers::pinned_bytes(h.n_vocab, n_penalties), "what drawings exchange with the host");
    check(cudaMemsetAsync(memory_.data(), 0, memory_.size(), stream), "clearing the session's sampler");
    Carver carver(memory_.data());
    carve(carver, h, shape);
    Carver carver_of_pinned(pinned_.as<uint8_t>());
    sampler.carve_pinned(carver_of_pinned, h.n_vocab, n_penalties);
}

}  // namespace reprise::cuda
