#include "cpu/engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/error.h"

namespace reprise::cpu {

namespace {

uint64_t nanoseconds() {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
}

/// Whether a session of that many tokens is one for which the model has another RoPE.
bool is_long(const Plan& plan, uint32_t context_length) {
    return std::ranges::any_of(plan.ropes, [&](const Rope& rope) {
        return !rope.long_inv_freq.empty() && context_length > rope.short_context;
    });
}

}  // namespace

CpuEngine::CpuEngine(std::shared_ptr<CpuModel> model, const EngineOptions& options)
    : model_(std::move(model)),
      n_vocab_(model_->plan().hparams.n_vocab),
      context_length_(options.context_length),
      chunk_(options.prefill_chunk != 0 ? options.prefill_chunk : CpuModel::MAX_ROWS),
      member_(model_->scheduler(), options.priority),
      holder_(model_->kv_order()),
      is_long_(is_long(model_->plan(), options.context_length)),
      cache_(model_->kv_cache(model_->exact() ? TensorType::F32 : options.kv_type, is_long_)),
      // Blocks say nothing of the states behind them.
      kv_(cache_, options.prefix_sharing && model_->plan().hparams.state_values.empty()),
      states_(model_->plan().hparams.state_values),
      logits_(n_vocab_ * sizeof(float), "the logits"),
      sampler_(n_vocab_) {}

uint32_t CpuEngine::adopt(std::span<const int32_t> history, uint32_t n, const std::atomic<bool>& cancel) {
    // Not at work meanwhile: whom it waits for may wait for memory.
    truncate(n);
    return states_.empty() ? std::max(n, kv_.adopt(history, cancel)) : states_.position();
}

KvView CpuEngine::view() {
    KvView view = kv_.view();
    view.states = states_.pointers();
    view.is_long = is_long_;
    states_.begin_move();
    return view;
}

void CpuEngine::prefill(std::span<const int32_t> ids, uint32_t position, const std::atomic<bool>& cancel) {
    const KvOrder::Call call(holder_);
    states_.keep();
    try {
        make_writable(position, position + static_cast<uint32_t>(ids.size()), cancel);
        // In pieces, so that those who wait for the beginning do not wait for what comes behind it.
        for (size_t done = 0; done < ids.size();) {
            const auto at = position + static_cast<uint32_t>(done);
            const size_t n = std::min<size_t>(ids.size() - done, CpuModel::MAX_ROWS - at % CpuModel::MAX_ROWS);
            const std::span<const int32_t> piece = ids.subspan(done, n);
            done += n;
            float* const last = done == ids.size() ? logits_.floats() : nullptr;
            model_->evaluate(member_, {piece, at, view(), last, nullptr}, chunk_, cancel);
            states_.moved(at + static_cast<uint32_t>(n));
            kv_.append(at, piece, KvTrail::Origin::HANDED_IN);
        }
    } catch (...) {
        kv_.withdraw();
        throw;
    }
    kv_.withdraw();
    states_.keep();
}

void CpuEngine::read_logits(float* logits) { std::copy_n(logits_.floats(), n_vocab_, logits); }

void CpuEngine::begin(const GenerationStart& start) {
    sampling_ = start.sampling;
    host_part_ = start.host_part;
    position_ = static_cast<uint32_t>(start.history.size());
    pending_ = -1;
    counts_.assign(n_vocab_, 0);
    for (const int32_t id : start.history) ++counts_[static_cast<size_t>(id)];
}

reprise_token CpuEngine::next(const std::atomic<bool>& cancel) {
    const KvOrder::Call call(holder_);
    if (pending_ < 0) {
        ++statistics_.tokens_from_prefill;
    } else {
        const uint64_t start = nanoseconds();
        make_writable(position_ - 1, position_, cancel);
        model_->evaluate(member_, {{&pending_, 1}, position_ - 1, view(), logits_.floats(), nullptr, true}, 1, cancel);
        states_.moved(position_);
        if (position_ % CpuModel::MAX_ROWS == 0) states_.keep();
        kv_.append(position_ - 1, {&pending_, 1}, KvTrail::Origin::DRAWN);
        statistics_.submit_ns += nanoseconds() - start;
        ++statistics_.eager_steps;
    }
    const HostInput host = host_part_ != nullptr ? host_part_->input() : HostInput{};
    const reprise_token token = sampler_.sample(logits(), counts_.data(), host, sampling_, position_);
    if (token.id == NO_TOKEN) return token;
    if (host_part_ != nullptr) host_part_->accept(token.id);
    pending_ = token.id;
    ++counts_[static_cast<size_t>(token.id)];
    ++position_;
    return token;
}

uint32_t CpuEngine::end() {
    model_->scheduler().leave(member_);
    return pending_ < 0 ? position_ : position_ - 1;
}

template <class Body>
void CpuEngine::for_each_row(const KvPiece& piece, Body body) {
    const KvView view = kv_.view();
    for (uint32_t i = 0; i < piece.n; ++i) {
        for (uint32_t head = 0; head < view.layout->layers[piece.layer].n_heads; ++head)
            body(view.row(piece.values, piece.layer, head, piece.position + i),
                 view.layout->row_bytes(piece.values, piece.layer));
    }
}

void CpuEngine::read_kv(const KvPiece& piece, uint8_t* rows) {
    for_each_row(piece, [&](const uint8_t* row, size_t bytes) {
        std::memcpy(rows, row, bytes);
        rows += bytes;
    });
}

void CpuEngine::write_kv(const KvPiece& piece, const uint8_t* rows) {
    kv_.make_writable(piece.position, piece.position + piece.n);
    kv_.restore(std::max(kv_.size(), piece.position + piece.n));
    for_each_row(piece, [&](uint8_t* row, size_t bytes) {
        std::memcpy(row, rows, bytes);
        rows += bytes;
    });
}

void CpuEngine::read_states(uint32_t n, std::span<float> values) {
    States copy(model_->plan().hparams.state_values);
    copy.copy_from(states_, n);
    std::ranges::copy(copy.values(), values.begin());
}

void CpuEngine::write_states(uint32_t n, std::span<const float> values) {
    std::ranges::copy(values, states_.values().begin());
    states_.moved(n);
    states_.keep();
}

void CpuEngine::write_logits(const float* logits) { std::copy_n(logits, n_vocab_, logits_.floats()); }

void CpuEngine::copy_from(Engine& engine, uint32_t n, bool logits) {
    auto& other = static_cast<CpuEngine&>(engine);
    kv_.share(other.kv_, n);
    states_.copy_from(other.states_, n);
    if (logits) write_logits(other.logits_.floats());
}

void CpuEngine::score(std::span<const int32_t> ids, uint32_t position, reprise_score_mode mode, float* logits,
                      const std::atomic<bool>& cancel) {
    const KvOrder::Call call(holder_);
    make_writable(position, position + static_cast<uint32_t>(ids.size()), cancel);
    float* const last = logits == nullptr ? logits_.floats() : nullptr;
    if (mode == REPRISE_SCORE_BATCH) {
        model_->evaluate(member_, {ids, position, view(), last, logits}, chunk_, cancel);
        states_.moved(position + static_cast<uint32_t>(ids.size()));
        return kv_.append(position, ids, KvTrail::Origin::HANDED_IN);
    }
    for (size_t i = 0; i < ids.size(); ++i) {
        float* const row = logits == nullptr ? nullptr : logits + i * n_vocab_;
        model_->evaluate(member_, {ids.subspan(i, 1), position + static_cast<uint32_t>(i), view(), last, row}, 1,
                         cancel);
        states_.moved(position + static_cast<uint32_t>(i) + 1);
        kv_.append(position + static_cast<uint32_t>(i), ids.subspan(i, 1), KvTrail::Origin::DRAWN);
    }
}

void CpuEngine::statistics(reprise_statistics& statistics) const {
    statistics.tokens_from_prefill = statistics_.tokens_from_prefill;
    statistics.eager_steps = statistics_.eager_steps;
    statistics.submit_ns = statistics_.submit_ns;
    statistics.memory_kv =
        context_length_ * cache_->layout().position_bytes + States::bytes(model_->plan().hparams.state_values);
    statistics.memory_workspace = logits_.size();
    model_->statistics(statistics);
}

reprise_memory CpuEngine::memory(const Plan& plan, const Kernels& kernels, size_t n_threads,
                                 const EngineOptions& options) {
    const KvLayout layout(plan.hparams, options.kv_type);
    return {
        plan.weight_bytes(), options.context_length * layout.position_bytes + States::bytes(plan.hparams.state_values),
        Executor::workspace_bytes(plan, kernels, CpuModel::MAX_ROWS, n_threads) + plan.hparams.n_vocab * sizeof(float)};
}

}  // namespace reprise::cpu
