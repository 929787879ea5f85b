// The fused decode step: five kernels a layer, each of which streams its weights while its predecessor still runs.
//
//   embed                                    x = table[token]
//   fused_project        norm, q k v, bias   -> qkv    two where the types of q, k and v have no kernel in common
//   attention_fused      q/k norm, RoPE, KV scatter, attention -> attention
//   fused_project        output projection, residual -> x
//   fused_gated_...      norm, gate, up, activation -> gate_up
//   fused_project        down, residual -> x
//   fused_project        final norm, output head -> logits
//   sample               draws, publishes, advances
#include "cuda/device.h"
#include "cuda/forward.h"
#include "cuda/fused_project.h"

namespace reprise::cuda {

namespace {

template <class... Bodies>
struct Overloaded : Bodies... {
    using Bodies::operator()...;
};

/// What the attention, step number i, prefetches: the gated feed-forward's weights, where that follows on the output
/// projection.
WeightPrefetch prefetch_of_attention(const DeviceWeights& weights, const std::vector<Step>& steps, size_t i,
                                     uint32_t n_sms) {
    if (i + 2 >= steps.size()) return {};
    const auto* output = std::get_if<ProjectResidualStep>(&steps[i + 1]);
    const auto* gated = std::get_if<GatedFeedForwardStep>(&steps[i + 2]);
    if (output == nullptr || gated == nullptr) return {};
    return gated_feed_forward_prefetch(*weights.matrix(gated->gate), *weights.matrix(gated->up),
                                       weights.matrix(output->weight)->n_bytes, n_sms);
}

/// What the output projection, step number i, prefetches: the down projection's weights, where that follows on the
/// gated feed-forward.
WeightPrefetch prefetch_of_output(const DeviceWeights& weights, const std::vector<Step>& steps, size_t i,
                                  uint32_t n_sms) {
    if (i + 2 >= steps.size()) return {};
    const auto* gated = std::get_if<GatedFeedForwardStep>(&steps[i + 1]);
    const auto* down = std::get_if<ProjectResidualStep>(&steps[i + 2]);
    if (gated == nullptr || down == nullptr) return {};
    return project_prefetch(*weights.matrix(down->weight),
                            weights.matrix(gated->gate)->n_bytes + weights.matrix(gated->up)->n_bytes, n_sms);
}

}  // namespace

uint32_t Forward::fused_launches() const {
    const auto projections = [&](std::initializer_list<const Weight*> weights) {
        MatvecPart parts[3] = {};
        size_t n = 0;
        for (const Weight* w : weights) parts[n++].matrix = weights_.matrix(w);
        uint32_t launches = 0;
        for (std::span<const MatvecPart> rest(parts, n); !rest.empty(); ++launches) {
            const size_t together = fused_together(rest);
            if (together == 0 || !fits_device(rest.first(together))) return 0u;
            rest = rest.subspan(together);
        }
        return launches;
    };
    uint32_t total = 0;
    bool feed_forward_is_bf16 = false;
    for (const Step& step : plan_.steps) {
        const uint32_t n =
            std::visit(Overloaded{
                           [&](const QkvStep& s) { return projections({s.q, s.k, s.v}); },
                           [&](const ProjectResidualStep& s) {
                               const bool is_bf16 = s.input == ProjectInput::FEED_FORWARD && feed_forward_is_bf16;
                               return is_bf16 && !takes_bf16(*weights_.matrix(s.weight)) ? 0u : projections({s.weight});
                           },
                           [&](const GatedFeedForwardStep& s) {
                               const DeviceMatrix &gate = *weights_.matrix(s.gate), &up = *weights_.matrix(s.up);
                               feed_forward_is_bf16 = writes_bf16(gate);
                               return can_fuse_gated(gate, up) && gated_fits_device(gate, up) ? 1u : 0u;
                           },
                           [&](const OutputHeadStep& s) { return projections({s.weight}); },
                           [](const auto&) { return 1u; },
                       },
                       step);
        if (n == 0) return 0;
        total += n;
    }
    return total;
}

void Forward::decode_fused(cudaStream_t stream) const {
    const SessionBuffers& b = buffers_;
    const uint32_t n_sms = multiprocessors();
    SlotTurns slots;
    const QkvStep* qkv = nullptr;
    bool feed_forward_is_bf16 = false;
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
        std::visit(
            Overloaded{
                [&](const EmbedStep& s) { embed_rows(*weights_.matrix(s.table), &b.state->token, 1, b.x, stream); },
                [&](const QkvStep& s) {
                    float* out = b.qkv;
                    const MatvecPart parts[] = {
                        {weights_.matrix(s.q), out, weights_.vector(s.q_bias)},
                        {weights_.matrix(s.k), out + h_.q_dim(), weights_.vector(s.k_bias)},
                        {weights_.matrix(s.v), out + h_.q_dim() + h_.kv_dim(), weights_.vector(s.v_bias)}};
                    for (std::span<const MatvecPart> rest(parts); !rest.empty();) {
                        const size_t n = fused_together(rest);
                        fused_project(rest.first(n), {b.x, weights_.vector(s.norm), h_.rms_eps}, {}, slots.next(),
                                      stream);
                        rest = rest.subspan(n);
                    }
                    qkv = &s;
                },
                [&](const AttentionStep& s) {
                    attention_fused(attention_args(s), rope_args(*qkv), b.attention_scratch,
                                    prefetch_of_attention(weights_, plan_.steps, i, n_sms), slots.next(), stream);
                },
                [&](const GatedFeedForwardStep& s) {
                    const DeviceMatrix& gate = *weights_.matrix(s.gate);
                    fused_gated_feed_forward(gate, *weights_.matrix(s.up), {b.x, weights_.vector(s.norm), h_.rms_eps},
                                             b.gate_up, slots.next(), stream);
                    feed_forward_is_bf16 = writes_bf16(gate);
                },
                [&](const ProjectResidualStep& s) {
                    const MatvecPart part = {weights_.matrix(s.weight), b.x, weights_.vector(s.bias), b.x};
                    FusedInput input = {b.attention};
                    if (s.input == ProjectInput::FEED_FORWARD) input = {b.gate_up, nullptr, 0, feed_forward_is_bf16};
                    fused_project({&part, 1}, input, prefetch_of_output(weights_, plan_.steps, i, n_sms), slots.next(),
                                  stream);
                },
                [&](const OutputHeadStep& s) {
                    const MatvecPart part = {weights_.matrix(s.weight), b.sampler.logits};
                    fused_project({&part, 1}, {b.x, weights_.vector(s.norm), h_.rms_eps}, {}, slots.next(), stream);
                },
            },
            plan_.steps[i]);
    }
}

}  // namespace reprise::cuda
