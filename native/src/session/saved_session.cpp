// Copies of a session: forks, and the file that brings one back.
#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "session/session.h"

namespace reprise {

namespace {

std::string describe(const std::string& architecture, uint32_t n_layers, uint32_t n_kv_heads, uint32_t head_dim,
                     uint32_t n_vocab) {
    return format("architecture %s with %u layers, %u KV heads of %u and %u tokens", quoted(architecture).c_str(),
                  n_layers, n_kv_heads, head_dim, n_vocab);
}

/// Bytes of the keys or values of a layer of the KV cache at a position.
size_t kv_bytes(const KvSpec& spec, bool values, TensorType type) {
    return spec.n_heads * row_bytes(type, values ? spec.value_dim : spec.key_dim);
}

/// Of all keys and values at a position, where the header's dimensions do not say it: 0 where they do.
uint32_t other_position_bytes(const HyperParams& h, TensorType type) {
    const KvSpec usual = {h.n_kv_heads, h.head_dim, h.head_dim};
    if (h.kv.size() == h.n_layers && std::ranges::all_of(h.kv, [&](const KvSpec& spec) { return spec == usual; }))
        return 0;
    size_t bytes = 0;
    for (const KvSpec& spec : h.kv) bytes += kv_bytes(spec, false, type) + kv_bytes(spec, true, type);
    return static_cast<uint32_t>(bytes);
}

uint64_t n_state_values(const HyperParams& h) {
    return std::accumulate(h.state_values.begin(), h.state_values.end(), uint64_t{0});
}

bool has_same_shape(const StateHeader& saved, const HyperParams& h) {
    return saved.n_vocab == h.n_vocab && saved.n_layers == h.n_layers && saved.n_kv_heads == h.n_kv_heads &&
           saved.head_dim == h.head_dim && saved.other_position_bytes == other_position_bytes(h, saved.kv_type) &&
           saved.n_state_values == n_state_values(h);
}

/// Rotations of keys are others in long contexts, where the model has two.
void check_rotation(const StateReader& file, const EngineOptions& options, const Plan& plan) {
    const uint32_t saved = file.header().context_length;
    for (const Rope& rope : plan.ropes) {
        if (rope.long_inv_freq.empty() || (saved > rope.short_context) == (options.context_length > rope.short_context))
            continue;
        fail(REPRISE_SESSION_MISMATCH,
             "the session '%s' was saved with a context of %u tokens, and the model turns keys in another way in "
             "contexts of more than %u: restore it with a context of the same kind, not of %u",
             file.path().c_str(), saved, rope.short_context, options.context_length);
    }
}

}  // namespace

void check_saved(const StateReader& file, DeviceModel& model) {
    const StateHeader& saved = file.header();
    const HyperParams& h = model.plan().hparams;
    if (saved.fingerprint != model.fingerprint()) {
        const std::string theirs =
            describe(saved.architecture, saved.n_layers, saved.n_kv_heads, saved.head_dim, saved.n_vocab);
        const std::string ours = describe(h.architecture, h.n_layers, h.n_kv_heads, h.head_dim, h.n_vocab);
        fail(REPRISE_SESSION_MISMATCH,
             "the session '%s' was saved with another model, %s; this one is %s: a session can be restored only with "
             "the "
             "model file that it was saved with",
             file.path().c_str(), theirs.c_str(),
             theirs == ours ? "of the same shape but has other metadata or weights" : ours.c_str());
    }
    if (!has_same_shape(saved, h)) file.fail_damaged("it is of this model but has other dimensions");
    if (saved.exact != model.exact()) {
        fail(REPRISE_SESSION_MISMATCH, "the session '%s' was saved by %s arithmetic: load the model %s exact = 1",
             file.path().c_str(), saved.exact ? "exact" : "fast", saved.exact ? "with" : "without");
    }
    if (saved.exact && saved.kv_type != TensorType::F32)
        file.fail_damaged("exact arithmetic has no KV cache of its type");
    if (saved.context_length > h.context_length) file.fail_damaged("its context is longer than the model's");
}

Session::Extent Session::extent(uint32_t position) const {
    if (position > history_.size()) {
        fail(REPRISE_INVALID_ARGUMENT, "position %u is behind the end of the session, which is at %zu", position,
             history_.size());
    }
    // During a generation the tokens delivered are evaluated but for the last, and the logits may be those of tokens
    // that are not yet delivered.
    const bool armed = generating_ && armed_;
    const size_t n_evaluated = armed ? std::max(n_evaluated_, history_.size() - 1) : n_evaluated_;
    const uint32_t held = engine_->held(static_cast<uint32_t>(std::min<size_t>(n_evaluated, position)));
    return {held, !armed && position > 0 && logits_after_ == position && held == position};
}

template <class Body>
void Session::for_each_kv_piece(uint32_t n, Body body) const {
    const HyperParams& h = model_->plan().hparams;
    const TensorType type = model_->exact() ? TensorType::F32 : options_.kv_type;
    std::vector<uint8_t> rows;
    for (uint32_t layer = 0; layer < h.kv.size(); ++layer) {
        for (const bool values : {false, true}) {
            const size_t position_bytes = kv_bytes(h.kv[layer], values, type);
            if (position_bytes == 0) continue;
            rows.resize(std::max(rows.size(), std::min(n, KV_PIECE) * position_bytes));
            for (uint32_t at = 0; at < n; at += KV_PIECE) {
                if (closed_.load()) fail(REPRISE_CANCELLED, "the session was closed");
                const KvPiece piece{layer, values, at, std::min(KV_PIECE, n - at)};
                body(piece, std::span<uint8_t>(rows).first(piece.n * position_bytes));
            }
        }
    }
}

Session::Session(Session& parent, uint32_t position) : model_(parent.model_), options_(parent.options_) {
    const Extent extent = parent.extent(position);
    engine_ = model_->open(options_);
    history_.assign(parent.history_.begin(), parent.history_.begin() + position);
    engine_->copy_from(*parent.engine_, extent.n_evaluated, extent.has_logits);
    n_evaluated_ = extent.n_evaluated;
    logits_after_ = extent.has_logits ? position : 0;
}

void Session::save(uint32_t position, const std::string& path, std::span<const uint8_t> preface) {
    const Extent extent = this->extent(position);
    const HyperParams& h = model_->plan().hparams;
    StateHeader header{};
    header.fingerprint = model_->fingerprint();
    header.architecture = h.architecture;
    header.n_vocab = h.n_vocab;
    header.n_layers = h.n_layers;
    header.n_kv_heads = h.n_kv_heads;
    header.head_dim = h.head_dim;
    header.exact = model_->exact();
    header.kv_type = header.exact ? TensorType::F32 : options_.kv_type;
    header.context_length = options_.context_length;
    header.prefill_chunk = options_.prefill_chunk;
    header.other_position_bytes = other_position_bytes(h, header.kv_type);
    header.n_state_values = n_state_values(h);
    header.n_tokens = position;
    header.n_evaluated = extent.n_evaluated;
    header.has_logits = extent.has_logits;

    StateWriter file(path);
    file.write_preface(preface);
    file.write(header);
    file.write(history_.data(), position * sizeof(int32_t));
    if (extent.has_logits) {
        std::vector<float> logits(h.n_vocab);
        engine_->read_logits(logits.data());
        file.write(logits.data(), logits.size() * sizeof(float));
    }
    for_each_kv_piece(extent.n_evaluated, [&](const KvPiece& piece, std::span<uint8_t> rows) {
        engine_->read_kv(piece, rows.data());
        file.write(rows);
    });
    if (header.n_state_values != 0) {
        std::vector<float> states(header.n_state_values);
        engine_->read_states(extent.n_evaluated, states);
        file.write(states.data(), states.size() * sizeof(float));
    }
    file.commit();
}

Session::Session(std::shared_ptr<DeviceModel> model, const EngineOptions& options, StateReader& file)
    : Session(std::move(model), options) {
    const StateHeader& header = file.header();
    check_rotation(file, options, model_->plan());
    history_.resize(header.n_tokens);
    file.read(history_.data(), history_.size() * sizeof(int32_t));
    for (const int32_t id : history_) {
        if (id < 0 || static_cast<uint32_t>(id) >= n_vocab())
            file.fail_damaged("its history has a token that is not in the vocabulary");
    }
    if (header.has_logits) {
        std::vector<float> logits(header.n_vocab);
        file.read(logits.data(), logits.size() * sizeof(float));
        engine_->write_logits(logits.data());
    }
    for_each_kv_piece(header.n_evaluated, [&](const KvPiece& piece, std::span<uint8_t> rows) {
        file.read(rows);
        engine_->write_kv(piece, rows.data());
    });
    if (header.n_state_values != 0) {
        std::vector<float> states(header.n_state_values);
        file.read(states.data(), states.size() * sizeof(float));
        engine_->write_states(header.n_evaluated, states);
    }
    file.finish();
    n_evaluated_ = header.n_evaluated;
    logits_after_ = header.has_logits ? header.n_tokens : 0;
}

}  // namespace reprise
