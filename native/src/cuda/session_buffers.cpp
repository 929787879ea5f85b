#include "cuda/session_buffers.h"

#include <algorithm>

#include "cuda/check.h"
#include "cuda/kv_layout.h"
#include "cuda/weights.h"

namespace reprise::cuda {

namespace {

size_t layer_bytes(const HyperParams& h, const SessionShape& shape) {
    return h.n_kv_heads * kv_rows(shape.context_length) * row_bytes(shape.kv_type, h.head_dim);
}

/// Whether prefill multiplies many rows with it: not the embedding, and the head sees one row.
bool is_multiplied_in_prefill(const Plan& plan, const Weight& w) {
    return w.rows > 1 && &w != std::get<EmbedStep>(plan.steps.front()).table &&
           &w != std::get<OutputHeadStep>(plan.steps.back()).weight;
}

/// Which forms of an input some product of the plan wants.
struct WantedForms {
    bool decode_f32 = false, decode_int8 = false, prefill_f32 = false, prefill_half = false;
    WantedForms(const Plan& plan, bool exact) {
        for (const auto& w : plan.weights) {
            if (w->rows == 1) continue;
            const TensorType type = device_type(w->type, exact);
            (matvec_input(type) == InputForm::F32 ? decode_f32 : decode_int8) = true;
            if (is_multiplied_in_prefill(plan, *w))
                (matmul_input(type) == InputForm::F32 ? prefill_f32 : prefill_half) = true;
        }
    }
};

}  // namespace

void SessionBuffers::carve(Carver& carver, const Plan& plan, const SessionShape& shape) {
    const HyperParams& h = plan.hparams;
    const size_t chunk = shape.chunk;
    const uint32_t widest = std::max({h.n_embd, h.q_dim(), h.n_ff});
    state = carver.take<DecodeState>(1);
    queue = carver.take<int32_t>(shape.context_length);
    x = carver.take<float>(chunk * h.n_embd);
    qkv = carver.take<float>(chunk * (h.q_dim() + 2 * h.kv_dim()));
    attention = carver.take<float>(chunk * h.q_dim());
    gate_up = carver.take<float>(chunk * 2 * h.n_ff);

    const WantedForms wants(plan, shape.exact);
    if (wants.decode_f32) input.decode.f32 = carver.take<float>(widest);
    if (wants.decode_int8) input.decode.int8 = carver.take<uint8_t>(int8_row_bytes((widest + 31) / 32 * 32));
    if (wants.prefill_f32) input.prefill.f32 = carver.take<float>(chunk * widest);
    if (wants.prefill_half) {
        input.prefill.half = carver.take<__half>(chunk * half_row_values(widest));
        input.prefill.half_scale = carver.take<float>(chunk);
    }

    attention_scratch.parts = carver.take<float>(attention_parts(h.n_heads, h.head_dim));
    attention_scratch.arrived = carver.take<uint32_t>(attention_counters(h.n_heads, h.n_kv_heads));
    if (shape.kv_type == TensorType::Q8_0) {
        const size_t values = kv_rows(shape.context_length) * h.kv_dim();
        attention_scratch.k = carver.take<__half>(values);
        attention_scratch.v = carver.take<__half>(values);
    }
    size_t scratch = 0;
    for (const auto& w : plan.weights) {
        if (is_multiplied_in_prefill(plan, *w))
            scratch = std::max(scratch, matmul_scratch_bytes(matrix_shape(*w, shape.exact)));
    }
    matmul_scratch = carver.take<uint8_t>(scratch);
    sampler.carve(carver, h.n_vocab);
    sampler.state = state;
    sampler.queue = queue;
}

SessionBuffers::Sizes SessionBuffers::sizes(const Plan& plan, const SessionShape& shape) {
    SessionBuffers counted;
    Carver carver(nullptr);
    counted.carve(carver, plan, shape);
    return {2 * plan.hparams.n_layers * layer_bytes(plan.hparams, shape), carver.used()};
}

SessionBuffers::SessionBuffers(const Plan& plan, const SessionShape& shape, cudaStream_t stream)
    : kv_layer_bytes_(layer_bytes(plan.hparams, shape)) {
    const Sizes needed = sizes(plan, shape);
    kv_memory_ = DeviceBuffer(needed.kv_cache, "the KV cache");
    memory_ = DeviceBuffer(needed.workspace, "the session's workspace");
    const uint32_t n_vocab = plan.hparams.n_vocab;
    const size_t n_penalties = std::min(n_vocab, shape.context_length);  // of tokens that stand in the history
    pinned_ = PinnedBuffer(SamplerBuffers::pinned_bytes(n_vocab, n_penalties), "what drawings exchange with the host");
    check(cudaMemsetAsync(memory_.data(), 0, memory_.size(), stream), "clearing the workspace");
    Carver carver(memory_.data());
    carve(carver, plan, shape);
    Carver carver_of_pinned(pinned_.as<uint8_t>());
    sampler.carve_pinned(carver_of_pinned, n_vocab, n_penalties);
}

}  // namespace reprise::cuda
