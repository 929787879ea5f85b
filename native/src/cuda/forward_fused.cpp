// The fused decode step: five kernels a layer, each of which streams its weights while its predecessor still runs.
//
//   embed                                    x = table[token]
//   fused_project        norm, q k v, bias   -> qkv
//   attention_fused      q/k norm, RoPE, KV scatter, attention -> attention
//   fused_project        output projection, residual -> x
//   fused_gated_...      norm, gate, up, activation -> gate_up
//   fused_project        down, residual -> x
//   fused_project        final norm, output head -> logits
//   sample               draws, publishes, advances
#include "cuda/forward.h"
#include "cuda/fused_project.h"

namespace reprise::cuda {

namespace {

template <class... Bodies>
struct Overloaded : Bodies... {
    using Bodies::operator()...;
};

}  // namespace

bool Forward::can_decode_fused() const {
    const auto goes = [&](std::initializer_list<const Weight*> weights) {
        MatvecPart parts[3] = {};
        size_t n = 0;
        for (const Weight* w : weights) parts[n++].matrix = weights_.matrix(w);
        return can_fuse(std::span(parts).first(n));
    };
    for (const Step& step : plan_.steps) {
        const bool fits = std::visit(Overloaded{
                                         [&](const QkvStep& s) { return goes({s.q, s.k, s.v}); },
                                         [&](const ProjectResidualStep& s) { return goes({s.weight}); },
                                         [&](const GatedFeedForwardStep& s) { return goes({s.gate, s.up}); },
                                         [&](const OutputHeadStep& s) { return goes({s.weight}); },
                                         [](const auto&) { return true; },
                                     },
                                     step);
        if (!fits) return false;
    }
    return true;
}

void Forward::decode_fused(cudaStream_t stream) const {
    const SessionBuffers& b = buffers_;
    SlotTurns slots;
    const QkvStep* qkv = nullptr;
    bool feed_forward_is_bf16 = false;
    for (const Step& step : plan_.steps) {
        std::visit(Overloaded{
                       [&](const EmbedStep& s) {
                           embed_rows(*weights_.matrix(s.table), &b.state->token, 1, b.x, stream);
                       },
                       [&](const QkvStep& s) {
                           float* out = b.qkv;
                           const MatvecPart parts[] = {{weights_.matrix(s.q), out, weights_.vector(s.q_bias)},
                                                       {weights_.matrix(s.k), out + h_.q_dim(), weights_.vector(s.k_bias)},
                                                       {weights_.matrix(s.v), out + h_.q_dim() + h_.kv_dim(), weights_.vector(s.v_bias)}};
                           fused_project(parts, {b.x, weights_.vector(s.norm), h_.rms_eps}, slots.next(), stream);
                           qkv = &s;
                       },
                       [&](const AttentionStep& s) {
                           attention_fused(attention_args(s), rope_args(*qkv), b.attention_scratch, slots.next(), stream);
                       },
                       [&](const GatedFeedForwardStep& s) {
                           const DeviceMatrix& gate = *weights_.matrix(s.gate);
                           fused_gated_feed_forward(gate, *weights_.matrix(s.up), {b.x, weights_.vector(s.norm), h_.rms_eps}, b.gate_up, slots.next(), stream);
                           feed_forward_is_bf16 = writes_bf16(gate);
                       },
                       [&](const ProjectResidualStep& s) {
                           const MatvecPart part = {weights_.matrix(s.weight), b.x, weights_.vector(s.bias), b.x};
                           FusedInput input = {b.attention};
                           if (s.input == ProjectInput::FEED_FORWARD) input = {b.gate_up, nullptr, 0, feed_forward_is_bf16};
                           fused_project({&part, 1}, input, slots.next(), stream);
                       },
                       [&](const OutputHeadStep& s) {
                           const MatvecPart part = {weights_.matrix(s.weight), b.sampler.logits};
                           fused_project({&part, 1}, {b.x, weights_.vector(s.norm), h_.rms_eps}, slots.next(), stream);
                       },
                   },
                   step);
    }
}

}  // namespace reprise::cuda
