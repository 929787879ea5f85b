#include "cuda/forward.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "core/error.h"
#include "core/log.h"

namespace reprise::cuda {

namespace {

/// The forms among those of all that the products with matrices read.
template <class FormOf>
Activations forms_for(const Activations& all, std::initializer_list<const DeviceMatrix*> matrices, FormOf form_of) {
    Activations wanted;
    for (const DeviceMatrix* matrix : matrices) {
        switch (form_of(matrix->type)) {
            case InputForm::F32:
                wanted.f32 = all.f32;
                break;
            case InputForm::INT8:
                wanted.int8 = all.int8;
                break;
            case InputForm::HALF:
                wanted.half = all.half;
                wanted.half_scale = all.half_scale;
                break;
        }
    }
    return wanted;
}

}  // namespace

/// One token: every product a matrix-vector product.
struct Forward::Decode {
    const Forward& forward;
    cudaStream_t stream;
    static constexpr uint32_t n = 1;

    const int32_t* tokens() const { return &forward.buffers_.state->token; }
    Activations forms(std::initializer_list<const DeviceMatrix*> matrices) const {
        return forms_for(forward.buffers_.input.decode, matrices, matvec_input);
    }
    void multiply(std::span<const MatvecPart> parts, const Activations& input, size_t) const {
        matvec(parts, input, stream);
    }
    /// The heads of this step go straight to the form that the output projection reads, if that can be.
    bool attend(AttentionArgs args, const Activations& input) const {
        const bool direct = input.f32 == nullptr && input.int8 != nullptr && args.head_dim % 32 == 0;
        if (direct) {
            args.out = nullptr;
            args.int8 = input.int8;
        }
        attention_decode(args, forward.shape_.kv_type, forward.buffers_.attention_scratch, stream);
        return direct;
    }
};

/// Many tokens: every product on tensor cores.
struct Forward::Prefill {
    const Forward& forward;
    cudaStream_t stream;
    uint32_t n;

    const int32_t* tokens() const { return forward.buffers_.queue; }
    Activations forms(std::initializer_list<const DeviceMatrix*> matrices) const {
        return forms_for(forward.buffers_.input.prefill, matrices, matmul_input);
    }
    void multiply(std::span<const MatvecPart> parts, const Activations& input, size_t out_stride) const {
        matmul(parts, input, n, out_stride, forward.buffers_.matmul_scratch, stream);
    }
    bool attend(const AttentionArgs& args, const Activations&) const {
        const auto attention = forward.prefills_by_row_ ? attention_prefill_by_row : attention_prefill;
        attention(args, forward.shape_.kv_type, forward.buffers_.attention_scratch, n, stream);
        return false;
    }
};

Forward::Forward(const Plan& plan, const DeviceWeights& weights, const SessionBuffers& buffers,
                 const SessionShape& shape)
    : plan_(plan),
      h_(plan.hparams),
      weights_(weights),
      buffers_(buffers),
      shape_(shape),
      n_fused_(shape.fused ? fused_launches() : 0),
      prefills_by_row_(
          std::ranges::any_of(plan.weights, [](const auto& w) { return w->rows > 1 && w->type == TensorType::F32; })) {
    if (shape.fused && n_fused_ == 0)
        log(REPRISE_LOG_WARN,
            "decoding with the unfused kernels, which are slower: a product has types that no fused kernel takes, or "
            "rows too long for the device, or ffn_down is of a float type behind a "
            "quantised ffn_gate");
}

RopeKvArgs Forward::rope_args(const QkvStep& step) const {
    RopeKvArgs args = {};
    args.qkv = buffers_.qkv;
    args.row_stride = h_.q_dim() + 2 * h_.kv_dim();
    args.q_norm = weights_.vector(step.q_norm);
    args.k_norm = weights_.vector(step.k_norm);
    args.rms_eps = h_.rms_eps;
    args.n_heads = h_.n_heads;
    args.n_kv_heads = h_.n_kv_heads;
    args.head_dim = h_.head_dim;
    args.style = plan_.rope.style;
    args.n_rot = plan_.rope.n_rot;
    args.turns = weights_.rope_turns();
    args.magnitude = plan_.rope.magnitude;
    args.k_cache = buffers_.keys(step.layer);
    args.v_cache = buffers_.values(step.layer);
    args.kv_type = shape_.kv_type;
    args.capacity = shape_.context_length;
    args.state = buffers_.state;
    return args;
}

AttentionArgs Forward::attention_args(const AttentionStep& step) const {
    AttentionArgs args = {};
    args.q = buffers_.qkv;
    args.q_stride = h_.q_dim() + 2 * h_.kv_dim();
    args.k = buffers_.keys(step.layer);
    args.v = buffers_.values(step.layer);
    args.n_heads = h_.n_heads;
    args.n_kv_heads = h_.n_kv_heads;
    args.head_dim = h_.head_dim;
    args.capacity = shape_.context_length;
    args.scale = step.scale;
    args.state = buffers_.state;
    args.out = buffers_.attention;
    return args;
}

template <class Pass>
void Forward::run(const Pass& pass) const {
    const SessionBuffers& b = buffers_;
    Activations attended;  // the forms of the output projection's input that attention wrote itself
    bool attention_is_prepared = false;
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
        std::visit(
            [&](const auto& step) {
                using S = std::decay_t<decltype(step)>;
                if constexpr (std::is_same_v<S, EmbedStep>) {
                    embed_rows(*weights_.matrix(step.table), pass.tokens(), pass.n, b.x, pass.stream);
                } else if constexpr (std::is_same_v<S, QkvStep>) {
                    const DeviceMatrix *q = weights_.matrix(step.q), *k = weights_.matrix(step.k),
                                       *v = weights_.matrix(step.v);
                    const Activations input = pass.forms({q, k, v});
                    rms_norm(b.x, weights_.vector(step.norm), h_.rms_eps, pass.n, h_.n_embd, input, pass.stream);
                    float* out = b.qkv;
                    const MatvecPart parts[] = {{q, out, weights_.vector(step.q_bias)},
                                                {k, out + h_.q_dim(), weights_.vector(step.k_bias)},
                                                {v, out + h_.q_dim() + h_.kv_dim(), weights_.vector(step.v_bias)}};
                    pass.multiply(parts, input, h_.q_dim() + 2 * h_.kv_dim());
                    rope_kv(rope_args(step), pass.n, pass.stream);
                } else if constexpr (std::is_same_v<S, AttentionStep>) {
                    const auto* project =
                        i + 1 < plan_.steps.size() ? std::get_if<ProjectResidualStep>(&plan_.steps[i + 1]) : nullptr;
                    if (project != nullptr && project->input == ProjectInput::ATTENTION)
                        attended = pass.forms({weights_.matrix(project->weight)});
                    attention_is_prepared = pass.attend(attention_args(step), attended);
                } else if constexpr (std::is_same_v<S, ProjectResidualStep>) {
                    const DeviceMatrix* matrix = weights_.matrix(step.weight);
                    const Activations input = pass.forms({matrix});
                    if (step.input == ProjectInput::FEED_FORWARD) {
                        swiglu(b.gate_up, b.gate_up + h_.n_ff, 2 * h_.n_ff, pass.n, h_.n_ff, input, pass.stream);
                    } else if (!attention_is_prepared) {
                        prepare(b.attention, h_.q_dim(), pass.n, h_.q_dim(), input, pass.stream);
                    }
                    const MatvecPart part = {matrix, b.x, weights_.vector(step.bias), b.x};
                    pass.multiply({&part, 1}, input, h_.n_embd);
                } else if constexpr (std::is_same_v<S, GatedFeedForwardStep>) {
                    const DeviceMatrix *gate = weights_.matrix(step.gate), *up = weights_.matrix(step.up);
                    const Activations input = pass.forms({gate, up});
                    rms_norm(b.x, weights_.vector(step.norm), h_.rms_eps, pass.n, h_.n_embd, input, pass.stream);
                    const MatvecPart parts[] = {{gate, b.gate_up}, {up, b.gate_up + h_.n_ff}};
                    pass.multiply(parts, input, 2 * h_.n_ff);
                } else {
                    static_assert(std::is_same_v<S, OutputHeadStep>);  // logits(), for the rows that need them
                }
            },
            plan_.steps[i]);
    }
}

void Forward::logits(const float* x, cudaStream_t stream) const {
    const auto& head = std::get<OutputHeadStep>(plan_.steps.back());
    const Decode pass = {*this, stream};
    const DeviceMatrix* matrix = weights_.matrix(head.weight);
    const Activations input = pass.forms({matrix});
    rms_norm(x, weights_.vector(head.norm), h_.rms_eps, 1, h_.n_embd, input, stream);
    const MatvecPart part = {matrix, buffers_.sampler.logits};
    pass.multiply({&part, 1}, input, h_.n_vocab);
}

void Forward::decode(uint32_t sampling_kind, cudaStream_t stream) const {
    if (n_fused_ > 0) {
        decode_fused(stream);
    } else {
        run(Decode{*this, stream});
        logits(buffers_.x, stream);
    }
    sample(buffers_.sampler, sampling_kind, 1, stream);
}

void Forward::prefill(uint32_t n, cudaStream_t stream) const { run(Prefill{*this, stream, n}); }

void Forward::prefill_logits(uint32_t row, cudaStream_t stream) const {
    logits(buffers_.x + size_t{row} * h_.n_embd, stream);
}

uint32_t Forward::decode_launches(uint32_t sampling_kind) const {
    if (n_fused_ > 0) return n_fused_ + sampler_launches(sampling_kind);
    uint32_t n = 0;
    const auto products = [&](std::initializer_list<const Weight*> weights) {
        std::array<MatvecPart, 3> parts;
        size_t count = 0;
        for (const Weight* w : weights) parts[count++].matrix = weights_.matrix(w);
        return matvec_launches(std::span(parts).first(count));
    };
    for (const Step& step : plan_.steps) {
        if (const auto* qkv = std::get_if<QkvStep>(&step)) {
            n += 2 + products({qkv->q, qkv->k, qkv->v});  // norm, products, rope
        } else if (const auto* project = std::get_if<ProjectResidualStep>(&step)) {
            const bool prepared = project->input == ProjectInput::ATTENTION && h_.head_dim % 32 == 0 &&
                                  matvec_input(weights_.matrix(project->weight)->type) == InputForm::INT8;
            n += (prepared ? 0 : 1) + products({project->weight});  // input, product
        } else if (const auto* feed_forward = std::get_if<GatedFeedForwardStep>(&step)) {
            n += 1 + products({feed_forward->gate, feed_forward->up});
        } else {
            n += std::holds_alternative<OutputHeadStep>(step) ? 2 : 1;  // norm and product; embedding; attention
        }
    }
    return n + sampler_launches(sampling_kind);
}

}  // namespace reprise::cuda
