#include "cpu/executor.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"

namespace reprise::cpu {

namespace {

// Rows a thread takes at a time: a multiple of every kernel's row tile, and whole cache lines of output.
constexpr size_t ROW_GRAIN = 16;
// Queries per attention call in prefill: enough to reuse a block of keys, few enough to balance the causal triangle.
constexpr size_t QUERY_TILE = 32;

uint64_t checked_product(std::initializer_list<uint64_t> factors, const char* what) {
    unsigned __int128 product = 1;
    for (const uint64_t f : factors) {
        product *= f;
        if (product > (uint64_t{1} << 46)) fail(REPRISE_OUT_OF_MEMORY, "%s would take more than 64 TiB", what);
    }
    return static_cast<uint64_t>(product);
}

uint64_t max_columns(const Plan& plan) {
    const HyperParams& h = plan.hparams;
    return std::max({h.n_embd, h.q_dim(), h.n_ff});
}

uint64_t activation_row_bytes(const Plan& plan, const Kernels& kernels) {
    uint64_t most = 0;
    for (const auto& w : plan.weights)
        most = std::max<uint64_t>(most, kernels.activation_bytes(w->type, max_columns(plan)));
    return most;
}

}  // namespace

Buffer::Buffer(uint64_t n_bytes, const char* what) : n_bytes_(n_bytes) {
    const uint64_t mapped = std::max<uint64_t>(n_bytes, 1);
    void* p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        fail(REPRISE_OUT_OF_MEMORY,
             "%s needs %llu bytes of memory that are not to be had: choose a smaller context or model", what,
             static_cast<unsigned long long>(n_bytes));
    }
    data_ = {static_cast<uint8_t*>(p), Unmap{mapped}};
}

void Buffer::Unmap::operator()(uint8_t* p) const { munmap(p, n_bytes); }

struct Executor::Batch {
    std::span<const int32_t> ids;
    uint32_t position;
    float* logits_all;
    size_t n() const { return ids.size(); }
};

uint64_t Executor::kv_bytes(const HyperParams& h, uint32_t context_length, TensorType kv_type) {
    return checked_product({h.n_layers, 2, h.n_kv_heads, context_length, row_bytes(kv_type, h.head_dim)},
                           "the KV cache");
}

uint64_t Executor::workspace_bytes(const Plan& plan, uint32_t chunk, size_t n_threads) {
    const HyperParams& h = plan.hparams;
    const uint64_t floats_per_token =
        2ull * h.n_embd + 2ull * h.q_dim() + 2ull * h.kv_dim() + 2ull * h.n_ff + plan.rope.n_rot;
    const uint64_t rows = std::max<uint64_t>(chunk, n_threads);
    return checked_product({chunk, floats_per_token, sizeof(float)}, "the workspace") +
           n_threads * h.n_embd * sizeof(float) + h.n_vocab * sizeof(float) +
           3 * rows * activation_row_bytes(plan, kernels());
}

uint64_t Executor::workspace_bytes() const {
    uint64_t total = 0;
    for (const Buffer* b :
         {&x_, &q_, &k_, &v_, &attention_, &gate_, &up_, &projected_, &cos_sin_, &prepared_, &normed_, &logits_})
        total += b->size();
    return total;
}

Executor::Executor(const Plan& plan, const Kernels& kernels, ThreadPool& pool, uint32_t context_length,
                   TensorType kv_type, uint32_t chunk)
    : plan_(plan),
      h_(plan.hparams),
      kernels_(kernels),
      pool_(pool),
      context_length_(context_length),
      kv_type_(kv_type),
      chunk_(chunk) {
    const auto rows_of = [&](uint64_t width) {
        return checked_product({chunk, width, sizeof(float)}, "the workspace");
    };
    kv_ = Buffer(kv_bytes(h_, context_length, kv_type), "the KV cache");
    x_ = Buffer(rows_of(h_.n_embd), "the workspace");
    q_ = Buffer(rows_of(h_.q_dim()), "the workspace");
    k_ = Buffer(rows_of(h_.kv_dim()), "the workspace");
    v_ = Buffer(rows_of(h_.kv_dim()), "the workspace");
    attention_ = Buffer(rows_of(h_.q_dim()), "the workspace");
    gate_ = Buffer(rows_of(h_.n_ff), "the workspace");
    up_ = Buffer(rows_of(h_.n_ff), "the workspace");
    projected_ = Buffer(rows_of(h_.n_embd), "the workspace");
    cos_sin_ = Buffer(rows_of(plan.rope.n_rot), "the workspace");
    activation_stride_ = activation_row_bytes(plan, kernels);
    prepared_ = Buffer(3 * std::max<uint64_t>(chunk, pool.size()) * activation_stride_, "the workspace");
    normed_ = Buffer(pool.size() * h_.n_embd * sizeof(float), "the workspace");
    logits_ = Buffer(uint64_t{h_.n_vocab} * sizeof(float), "the logits");

    size_t n_values = 0;
    for (const auto& w : plan.weights) n_values += w->rows == 1 && w->type == TensorType::F32 ? w->cols : 0;
    vector_data_.resize(n_values);
    vectors_.resize(plan.weights.size());
    float* next = vector_data_.data();
    for (const auto& w : plan.weights) {
        if (w->rows != 1 || w->type != TensorType::F32) continue;
        std::memcpy(next, w->data.data(), w->cols * sizeof(float));
        vectors_[w->id] = next;
        next += w->cols;
    }
}

Executor::Range Executor::part(size_t n, size_t thread, size_t grain) const {
    const size_t grains = (n + grain - 1) / grain;
    const size_t begin = grains * thread / pool_.size() * grain;
    const size_t end = grains * (thread + 1) / pool_.size() * grain;
    return {std::min(begin, n), std::min(end, n)};
}

bool Executor::evaluate(std::span<const int32_t> ids, uint32_t position, float* logits_all,
                        const std::atomic<bool>& cancel) {
    const Batch batch{ids, position, logits_all};
    abandoned_.store(false, std::memory_order_relaxed);
    pool_.run([&](size_t thread) {
        for (const Step& step : plan_.steps) {
            if (std::holds_alternative<QkvStep>(step)) {
                // Once a layer one thread decides for all; several barriers lie between two decisions.
                if (thread == 0 && cancel.load(std::memory_order_relaxed))
                    abandoned_.store(true, std::memory_order_relaxed);
                pool_.barrier();
                if (abandoned_.load(std::memory_order_relaxed)) return;
            }
            std::visit([&](const auto& s) { run(s, batch, thread); }, step);
        }
    });
    return !abandoned_.load(std::memory_order_relaxed);
}

const uint8_t* Executor::prepare(TensorType type, const float* x, size_t cols, const Weight* norm, const Batch& batch,
                                 size_t thread, int slot) {
    uint8_t* rows =
        prepared_.bytes() + static_cast<uint64_t>(slot) * std::max<uint64_t>(chunk_, pool_.size()) * activation_stride_;
    float* normed = normed_.floats() + thread * h_.n_embd;
    const auto prepare_row = [&](const float* row, uint8_t* out) {
        if (norm != nullptr) {
            kernels_.rms_norm(row, vectors_[norm->id], h_.rms_eps, cols, normed);
            row = normed;
        }
        kernels_.prepare(type, row, cols, out);
    };
    if (batch.n() == 1) {
        uint8_t* own = rows + thread * activation_stride_;
        prepare_row(x, own);
        return own;
    }
    const Range columns = part(batch.n(), thread, 1);
    for (size_t c = columns.begin; c < columns.end; ++c) prepare_row(x + c * cols, rows + c * activation_stride_);
    pool_.barrier();
    return rows;
}

void Executor::matmul(const Weight* weight, const uint8_t* activations, size_t n_cols, Range rows, float* out,
                      size_t out_stride) {
    if (rows.size() == 0) return;
    kernels_.matmul(weight->type, weight->data.data(), weight->cols, rows.begin, rows.end, activations,
                    activation_stride_, n_cols, out, out_stride);
}

uint8_t* Executor::kv_row(bool value, uint32_t layer, uint32_t head, uint64_t position) const {
    const uint64_t row = ((uint64_t{layer} * 2 + (value ? 1 : 0)) * h_.n_kv_heads + head) * context_length_ + position;
    return kv_.bytes() + row * kv_row_bytes();
}

void Executor::run(const EmbedStep& step, const Batch& batch, size_t thread) {
    const uint32_t half = plan_.rope.n_rot / 2;
    const Range columns = part(batch.n(), thread, 1);
    for (size_t c = columns.begin; c < columns.end; ++c) {
        const uint8_t* row = step.table->data.data() + static_cast<size_t>(batch.ids[c]) * step.table->row_bytes();
        dequantize(step.table->type, row, x_.floats() + c * h_.n_embd, h_.n_embd);
        float* cos_sin = cos_sin_.floats() + c * plan_.rope.n_rot;
        for (uint32_t i = 0; i < half; ++i) {
            // In double: at position 100,000 a float angle would be off by 0.004 radians.
            const double angle = static_cast<double>(batch.position + c) * plan_.rope.inv_freq[i];
            cos_sin[i] = static_cast<float>(plan_.rope.magnitude * std::cos(angle));
            cos_sin[half + i] = static_cast<float>(plan_.rope.magnitude * std::sin(angle));
        }
    }
    pool_.barrier();
}

void Executor::run(const QkvStep& step, const Batch& batch, size_t thread) {
    struct Output {
        const Weight *weight, *bias;
        float* out;
    };
    const Output outputs[3] = {
        {step.q, step.q_bias, q_.floats()}, {step.k, step.k_bias, k_.floats()}, {step.v, step.v_bias, v_.floats()}};
    TensorType prepared_type{};
    const uint8_t* activations = nullptr;
    for (int i = 0; i < 3; ++i) {
        const auto& [weight, bias, out] = outputs[i];
        if (activations == nullptr || weight->type != prepared_type) {
            activations = prepare(weight->type, x_.floats(), h_.n_embd, step.norm, batch, thread, i);
            prepared_type = weight->type;
        }
        const Range rows = part(weight->rows, thread, ROW_GRAIN);
        matmul(weight, activations, batch.n(), rows, out, weight->rows);
        if (bias == nullptr) continue;
        for (size_t c = 0; c < batch.n(); ++c) {
            float* y = out + c * weight->rows + rows.begin;
            kernels_.add(y, vectors_[bias->id] + rows.begin, rows.size(), y);
        }
    }
    pool_.barrier();
    rope_and_store(step, batch, thread);
    pool_.barrier();
}

void Executor::rotate(float* head, const float* cos_sin) const {
    const uint32_t half = plan_.rope.n_rot / 2;
    const uint32_t step = plan_.rope.style == RopeStyle::ADJACENT ? 2 : 1;
    const uint32_t partner = plan_.rope.style == RopeStyle::ADJACENT ? 1 : half;
    for (uint32_t i = 0; i < half; ++i) {
        float& a = head[i * step];
        float& b = head[i * step + partner];
        const float a0 = a, b0 = b;
        a = a0 * cos_sin[i] - b0 * cos_sin[half + i];
        b = a0 * cos_sin[half + i] + b0 * cos_sin[i];
    }
}

void Executor::rope_and_store(const QkvStep& step, const Batch& batch, size_t thread) {
    const uint32_t heads_per_token = h_.n_heads + h_.n_kv_heads;
    const Range tasks = part(batch.n() * heads_per_token, thread, 1);
    for (size_t task = tasks.begin; task < tasks.end; ++task) {
        const size_t c = task / heads_per_token;
        const uint32_t head = static_cast<uint32_t>(task % heads_per_token);
        const bool is_query = head < h_.n_heads;
        const uint32_t kv_head = head - h_.n_heads;
        float* vector = is_query ? q_.floats() + c * h_.q_dim() + head * h_.head_dim
                                 : k_.floats() + c * h_.kv_dim() + kv_head * h_.head_dim;
        const Weight* norm = is_query ? step.q_norm : step.k_norm;
        if (norm != nullptr) kernels_.rms_norm(vector, vectors_[norm->id], h_.rms_eps, h_.head_dim, vector);
        rotate(vector, cos_sin_.floats() + c * plan_.rope.n_rot);
        if (is_query) continue;
        kernels_.store_kv(kv_type_, vector, h_.head_dim, kv_row(false, step.layer, kv_head, batch.position + c));
        kernels_.store_kv(kv_type_, v_.floats() + c * h_.kv_dim() + kv_head * h_.head_dim, h_.head_dim,
                          kv_row(true, step.layer, kv_head, batch.position + c));
    }
}

void Executor::run(const AttentionStep& step, const Batch& batch, size_t thread) {
    const uint32_t group = h_.n_heads / h_.n_kv_heads;
    AttentionArgs args{};
    args.kv_stride = kv_row_bytes();
    args.kv_type = kv_type_;
    args.head_dim = h_.head_dim;
    args.scale = step.scale;
    const auto attend = [&](uint32_t head, size_t column, size_t n_rows, size_t stride, const uint32_t* n_keys) {
        args.k = kv_row(false, step.layer, head / group, 0);
        args.v = kv_row(true, step.layer, head / group, 0);
        args.q = q_.floats() + column * h_.q_dim() + head * h_.head_dim;
        args.out = attention_.floats() + column * h_.q_dim() + head * h_.head_dim;
        args.q_stride = args.out_stride = stride;
        args.n_rows = n_rows;
        args.n_keys = n_keys;
        kernels_.attention(args);
    };
    uint32_t n_keys[256];
    if (batch.n() == 1) {
        // Heads of one KV head that fall to the same thread go together and share its keys.
        std::fill(std::begin(n_keys), std::end(n_keys), batch.position + 1);
        const Range heads = part(h_.n_heads, thread, 1);
        for (size_t head = heads.begin; head < heads.end;) {
            const size_t last = std::min({(head / group + 1) * group, heads.end, head + std::size(n_keys)});
            attend(static_cast<uint32_t>(head), 0, last - head, h_.head_dim, n_keys);
            head = last;
        }
    } else {
        const size_t tiles = (batch.n() + QUERY_TILE - 1) / QUERY_TILE;
        // Dealt out one by one: later tiles attend to more keys, so ranges would not be equal work.
        for (size_t task = thread; task < tiles * h_.n_heads; task += pool_.size()) {
            const size_t first = task / h_.n_heads * QUERY_TILE;
            const size_t n_rows = std::min(QUERY_TILE, batch.n() - first);
            for (size_t i = 0; i < n_rows; ++i) n_keys[i] = static_cast<uint32_t>(batch.position + first + i + 1);
            attend(static_cast<uint32_t>(task % h_.n_heads), first, n_rows, h_.q_dim(), n_keys);
        }
    }
    pool_.barrier();
}

void Executor::run(const ProjectResidualStep& step, const Batch& batch, size_t thread) {
    const Weight* weight = step.weight;
    const float* input = step.input == ProjectInput::ATTENTION ? attention_.floats() : gate_.floats();
    const Range rows = part(weight->rows, thread, ROW_GRAIN);
    const uint8_t* activations = prepare(weight->type, input, weight->cols, nullptr, batch, thread, 0);
    matmul(weight, activations, batch.n(), rows, projected_.floats(), h_.n_embd);
    for (size_t c = 0; c < batch.n(); ++c) {
        float* x = x_.floats() + c * h_.n_embd + rows.begin;
        kernels_.add(x, projected_.floats() + c * h_.n_embd + rows.begin, rows.size(), x);
        if (step.bias != nullptr) kernels_.add(x, vectors_[step.bias->id] + rows.begin, rows.size(), x);
    }
    pool_.barrier();
}

void Executor::run(const GatedFeedForwardStep& step, const Batch& batch, size_t thread) {
    const Range rows = part(h_.n_ff, thread, ROW_GRAIN);
    const uint8_t* activations = prepare(step.gate->type, x_.floats(), h_.n_embd, step.norm, batch, thread, 0);
    matmul(step.gate, activations, batch.n(), rows, gate_.floats(), h_.n_ff);
    if (step.up->type != step.gate->type)
        activations = prepare(step.up->type, x_.floats(), h_.n_embd, step.norm, batch, thread, 1);
    matmul(step.up, activations, batch.n(), rows, up_.floats(), h_.n_ff);
    for (size_t c = 0; c < batch.n(); ++c) {
        float* gate = gate_.floats() + c * h_.n_ff + rows.begin;
        kernels_.swiglu(gate, up_.floats() + c * h_.n_ff + rows.begin, rows.size(), gate);
    }
    pool_.barrier();
}

void Executor::run(const OutputHeadStep& step, const Batch& batch, size_t thread) {
    const Range rows = part(h_.n_vocab, thread, ROW_GRAIN);
    if (batch.logits_all != nullptr) {
        const uint8_t* activations = prepare(step.weight->type, x_.floats(), h_.n_embd, step.norm, batch, thread, 0);
        matmul(step.weight, activations, batch.n(), rows, batch.logits_all, h_.n_vocab);
    } else {
        const Batch last{batch.ids.last(1), batch.position, nullptr};
        const uint8_t* activations = prepare(step.weight->type, x_.floats() + (batch.n() - 1) * h_.n_embd, h_.n_embd,
                                             step.norm, last, thread, 0);
        matmul(step.weight, activations, 1, rows, logits_.floats(), h_.n_vocab);
    }
}

}  // namespace reprise::cpu
