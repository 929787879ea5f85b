// reprise.h, the part about copies of sessions.
#include "api/options.h"
#include "api/session_object.h"

using namespace reprise;

namespace {

uint32_t checked_position(const Session& session, int32_t position) {
    if (position < -1)
        fail(REPRISE_INVALID_ARGUMENT, "position is %d: it must not be negative, or -1 for all tokens", position);
    return position == -1 ? session.position() : static_cast<uint32_t>(position);
}

/// As given; what is left to choose is as the file has it.
EngineOptions restored_options(const reprise_session_options* given, const StateReader& file,
                               const DeviceModel& model) {
    const StateHeader& saved = file.header();
    reprise_session_options options;
    reprise_session_options_default(&options);
    if (given != nullptr) options = *given;
    const bool any_type = options.kv_type == REPRISE_KV_DEFAULT || saved.exact;  // exact arithmetic has but one
    EngineOptions engine = engine_options(&options, model.plan().hparams);
    if (any_type) {
        engine.kv_type = saved.kv_type;
    } else if (engine.kv_type != saved.kv_type) {
        fail(REPRISE_INVALID_ARGUMENT,
             "option kv_type is %s, but the session '%s' was saved with %s, which it keeps: leave the option at its "
             "default",
             traits(engine.kv_type).name, file.path().c_str(), traits(saved.kv_type).name);
    }
    if (options.context_length == 0) engine.context_length = saved.context_length;
    if (engine.context_length < saved.n_tokens) {
        fail(REPRISE_INVALID_ARGUMENT, "option context_length is %u, but the session '%s' has %u tokens",
             engine.context_length, file.path().c_str(), saved.n_tokens);
    }
    if (options.prefill_chunk == 0) engine.prefill_chunk = saved.prefill_chunk;
    return engine;
}

}  // namespace

reprise_status reprise_session_fork(reprise_handle handle, int32_t position, reprise_handle* fork) {
    return guarded([&] {
        checked(fork, "fork") = 0;
        const auto parent = session_of(handle);
        const auto lock = parent->session.enter();
        const auto model = parent->model.lock();
        if (model == nullptr) fail(REPRISE_INVALID_HANDLE, "the model is closed");
        *fork = add_session(*model, std::make_shared<SessionObject>(model, parent->session,
                                                                    checked_position(parent->session, position)));
    });
}

reprise_status reprise_session_save(reprise_handle handle, int32_t position, const char* path, const uint8_t* preface,
                                    size_t n_preface) {
    return in_session(handle, [&](Session& s) {
        if (n_preface > 0) checked(preface, "preface");
        s.save(checked_position(s, position), &checked(path, "path"), {preface, n_preface});
    });
}

reprise_status reprise_session_restore(reprise_handle model_handle, const char* path, uint64_t offset,
                                       const reprise_session_options* options, reprise_handle* session) {
    return guarded([&] {
        checked(session, "session") = 0;
        const auto model = Registry::instance().get<ModelObject>(model_handle, Registry::Kind::MODEL);
        StateReader file(&checked(path, "path"), offset);
        check_saved(file, *model->device);
        *session =
            add_session(*model, std::make_shared<SessionObject>(model, model->device,
                                                                restored_options(options, file, *model->device), file));
    });
}
