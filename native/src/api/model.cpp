// reprise.h, the part about models and sessions.
#include <algorithm>

#include "api/options.h"
#include "api/session_object.h"
#include "core/log.h"
#include "model/backends.h"
#include "session/constraint.h"
#include "session/sampler.h"

using namespace reprise;

namespace {

using Kind = Registry::Kind;

Registry& registry() { return Registry::instance(); }
std::shared_ptr<ModelObject> model_of(reprise_handle handle) {
    return registry().get<ModelObject>(handle, Kind::MODEL);
}

std::shared_ptr<DeviceModel> load(std::shared_ptr<const GgufFile> file, const LoadOptions& options) {
    auto plan = build_plan(*file);
    if (options.device == REPRISE_DEVICE_CPU) return load_cpu(std::move(file), std::move(plan), options);
    std::string reason = cuda_unavailable_reason(options.device_index);
    if (reason.empty()) {
        if (options.device == REPRISE_DEVICE_CUDA) check_cuda(*plan);
        reason = cuda_refusal(*plan);
    }
    if (reason.empty()) return load_cuda(std::move(file), std::move(plan), options);
    if (options.device == REPRISE_DEVICE_CUDA) fail(REPRISE_DEVICE_UNAVAILABLE, "%s", reason.c_str());
    log(REPRISE_LOG_INFO, "running on the CPU: %s", reason.c_str());
    return load_cpu(std::move(file), std::move(plan), options);
}

std::span<const int32_t> ids_of(const int32_t* ids, size_t n, const char* name) {
    if (n > 0) checked(ids, name);
    return {ids, n};
}

}  // namespace

reprise_handle reprise::add_session(ModelObject& model, std::shared_ptr<SessionObject> object) {
    std::lock_guard<std::mutex> lock(model.mutex);
    if (model.closed) fail(REPRISE_INVALID_HANDLE, "the model was closed while a session was opened");
    std::erase_if(model.sessions, [](const auto& weak) { return weak.expired(); });
    model.sessions.emplace_back(std::shared_ptr<Session>(object, &object->session));
    return registry().add(Kind::SESSION, std::move(object));
}

reprise_status reprise_model_load(reprise_handle gguf, const reprise_model_options* options, reprise_handle* model) {
    return guarded([&] {
        checked(model, "model") = 0;
        auto file = registry().get<const GgufFile>(gguf, Kind::GGUF);
        auto object = std::make_shared<ModelObject>();
        object->device = load(std::move(file), load_options(options));
        object->n_parameters = object->device->plan().n_parameters();
        *model = registry().add(Kind::MODEL, std::move(object));
    });
}

reprise_status reprise_model_close(reprise_handle handle) {
    return guarded([&] {
        const auto model = registry().remove<ModelObject>(handle, Kind::MODEL);
        std::vector<std::weak_ptr<Session>> sessions;
        {
            std::lock_guard<std::mutex> lock(model->mutex);
            model->closed = true;
            sessions.swap(model->sessions);
        }
        // Session handles stay registered: a call on one says that the session is closed.
        for (auto it = sessions.rbegin(); it != sessions.rend(); ++it) {
            if (const auto session = it->lock()) session->close();
        }
    });
}

reprise_status reprise_model_get_info(reprise_handle handle, reprise_model_info* info) {
    return guarded([&] {
        const auto model = model_of(handle);
        const Plan& plan = model->device->plan();
        const HyperParams& h = plan.hparams;
        reprise_model_info& out = checked(info, "info");
        out = {};
        out.n_vocab = static_cast<int32_t>(h.n_vocab);
        out.n_embd = static_cast<int32_t>(h.n_embd);
        out.n_layers = static_cast<int32_t>(h.n_layers);
        out.n_heads = static_cast<int32_t>(h.n_heads);
        out.n_kv_heads = static_cast<int32_t>(h.n_kv_heads);
        out.head_dim = static_cast<int32_t>(h.head_dim);
        out.context_length = static_cast<int32_t>(h.context_length);
        out.n_parameters = model->n_parameters;
        out.weight_bytes = plan.weight_bytes();
        model->device->describe(out);
    });
}

reprise_status reprise_session_open(reprise_handle model_handle, const reprise_session_options* options,
                                    reprise_handle* session) {
    return guarded([&] {
        checked(session, "session") = 0;
        const auto model = model_of(model_handle);
        *session =
            add_session(*model, std::make_shared<SessionObject>(
                                    model, model->device, engine_options(options, model->device->plan().hparams)));
    });
}

reprise_status reprise_session_close(reprise_handle handle) {
    return guarded([&] { registry().remove<SessionObject>(handle, Kind::SESSION)->session.close(); });
}

reprise_status reprise_session_cancel(reprise_handle handle) {
    return guarded([&] { session_of(handle)->session.cancel(); });
}

reprise_status reprise_session_position(reprise_handle handle, int32_t* position) {
    return in_session(handle, [&](Session& s) { checked(position, "position") = static_cast<int32_t>(s.position()); });
}

reprise_status reprise_session_context_length(reprise_handle handle, int32_t* context_length) {
    return in_session(handle, [&](Session& s) {
        checked(context_length, "context_length") = static_cast<int32_t>(s.context_length());
    });
}

reprise_status reprise_session_history(reprise_handle handle, int32_t* ids, size_t capacity, size_t* count) {
    return in_session(handle, [&](Session& s) {
        checked(count, "count") = s.history().size();
        if (capacity > 0)
            std::copy_n(s.history().begin(), std::min(capacity, s.history().size()), &checked(ids, "ids"));
    });
}

reprise_status reprise_session_rewind(reprise_handle handle, int32_t position) {
    return in_session(handle, [&](Session& s) {
        if (position < 0)
            fail(REPRISE_INVALID_ARGUMENT, "cannot rewind to position %d: positions start at 0", position);
        s.rewind(static_cast<uint32_t>(position));
    });
}

reprise_status reprise_session_evaluate(reprise_handle handle, const int32_t* ids, size_t n) {
    return in_session(handle, [&](Session& s) { s.evaluate(ids_of(ids, n, "ids")); });
}

reprise_status reprise_session_logits(reprise_handle handle, float* logits, size_t n) {
    return in_session(handle, [&](Session& s) { s.logits(&checked(logits, "logits"), n); });
}

reprise_status reprise_session_generate(reprise_handle handle, const int32_t* ids, size_t n,
                                        const reprise_sampling* sampling, int32_t max_tokens, const int32_t* end_ids,
                                        size_t n_end_ids) {
    return in_session(handle, [&](Session& s) {
        reprise_sampling chosen;
        reprise_sampling_default(&chosen);
        if (sampling != nullptr) chosen = *sampling;
        auto constraint = chosen.constraint != 0 ? make_constraint(chosen.constraint) : nullptr;
        if (max_tokens < 0)
            fail(REPRISE_INVALID_ARGUMENT, "max_tokens is %d: it must be positive, or 0 for what the context holds",
                 max_tokens);
        s.generate(ids_of(ids, n, "ids"), chosen, static_cast<uint32_t>(max_tokens),
                   ids_of(end_ids, n_end_ids, "end_ids"), std::move(constraint));
    });
}

reprise_status reprise_session_next(reprise_handle handle, reprise_token* tokens, size_t capacity, size_t* count,
                                    int32_t* finish) {
    return in_session(handle, [&](Session& s) {
        if (capacity > 0) checked(tokens, "tokens");
        checked(count, "count") = 0;
        reprise_finish why = REPRISE_FINISH_NONE;
        checked(finish, "finish") = why;
        *count = s.next({tokens, capacity}, why);
        *finish = why;
    });
}

reprise_status reprise_session_top(reprise_handle handle, reprise_token* top, size_t capacity, size_t* count) {
    return in_session(handle, [&](Session& s) {
        checked(count, "count") = s.top().size();
        if (capacity > 0) std::copy_n(s.top().begin(), std::min(capacity, s.top().size()), &checked(top, "top"));
    });
}

reprise_status reprise_session_complete(reprise_handle handle, int32_t* complete) {
    return in_session(handle, [&](Session& s) { checked(complete, "complete") = s.complete() ? 1 : 0; });
}

reprise_status reprise_session_end(reprise_handle handle) {
    return in_session(handle, [&](Session& s) { s.end_generation(); });
}

reprise_status reprise_session_statistics(reprise_handle handle, reprise_statistics* statistics) {
    return in_session(handle, [&](Session& s) { checked(statistics, "statistics") = s.statistics(); });
}

reprise_status reprise_session_score(reprise_handle handle, const int32_t* ids, size_t n, int32_t mode, float* logits) {
    return in_session(handle, [&](Session& s) {
        if (mode < REPRISE_SCORE_BATCH || mode > REPRISE_SCORE_GRAPH)
            fail(REPRISE_INVALID_ARGUMENT, "score mode %d does not exist", mode);
        s.score(ids_of(ids, n, "ids"), static_cast<reprise_score_mode>(mode), logits);
    });
}

namespace {

/// The mask that a caller gives, for one drawing.
class GivenMask : public Constraint {
  public:
    GivenMask(const uint32_t* mask, size_t n_vocab) : mask_(mask), n_vocab_(n_vocab) {}
    void mask(std::span<uint32_t> mask) override {
        std::copy_n(mask_, mask.size(), mask.begin());
        if (n_vocab_ % 32 != 0) mask.back() &= (1u << n_vocab_ % 32) - 1;
    }
    void accept(int32_t) override {}
    bool complete() const override { return false; }
    std::unique_ptr<Constraint> clone() const override { return std::make_unique<GivenMask>(mask_, n_vocab_); }

  private:
    const uint32_t* mask_;
    const size_t n_vocab_;
};

}  // namespace

reprise_status reprise_sample(reprise_handle handle, const float* logits, size_t n_vocab, const int32_t* history,
                              size_t n_history, const uint32_t* mask, const reprise_sampling* sampling,
                              int32_t position, reprise_token* token, reprise_token* top) {
    return guarded([&] {
        const auto model = model_of(handle);
        const size_t expected = model->device->plan().hparams.n_vocab;
        if (n_vocab != expected)
            fail(REPRISE_INVALID_ARGUMENT, "%zu logits were given, the vocabulary has %zu tokens", n_vocab, expected);
        if (position < 0) fail(REPRISE_INVALID_ARGUMENT, "position %d: positions start at 0", position);
        checked(logits, "logits");
        checked(token, "token");
        check_sampling(checked(sampling, "sampling"), n_vocab);
        const std::span<const int32_t> ids = ids_of(history, n_history, "history");
        std::vector<int32_t> counts(n_vocab);
        for (const int32_t id : ids) {
            if (id < 0 || static_cast<size_t>(id) >= n_vocab)
                fail(REPRISE_INVALID_ARGUMENT, "history has id %d, which is outside the vocabulary of %zu tokens", id,
                     n_vocab);
            ++counts[static_cast<size_t>(id)];
        }
        std::unique_ptr<Constraint> constraint;
        if (mask != nullptr) {
            constraint = std::make_unique<GivenMask>(mask, n_vocab);
        } else if (sampling->constraint != 0) {
            constraint = make_constraint(sampling->constraint);
        }
        reprise_sampling chosen = *sampling;
        if (chosen.n_top_logprobs > 0) chosen.logprobs = 1;
        HostPart host_part(chosen, std::move(constraint), ids, {}, n_vocab);
        const size_t n_top = top != nullptr ? static_cast<size_t>(sampling->n_top_logprobs) : 0;
        const reprise_token drawn = model->device->sample({logits, n_vocab}, counts.data(), host_part.input(), chosen,
                                                          static_cast<uint32_t>(position), {top, n_top});
        if (drawn.id == NO_TOKEN)
            fail(REPRISE_INVALID_ARGUMENT, "logits: all are NaN or -infinity, no token can be drawn");
        *token = drawn;
    });
}
