#include "api/options.h"

#include "core/error.h"
#include "core/log.h"

namespace reprise {

namespace {

constexpr int32_t MAX_THREADS = 1024;

void check_range(const char* option, int64_t value, int64_t min, int64_t max) {
    if (value < min || value > max) {
        fail(REPRISE_INVALID_ARGUMENT, "option %s is %lld: it must be in %lld to %lld", option,
             static_cast<long long>(value), static_cast<long long>(min), static_cast<long long>(max));
    }
}

uint32_t context_length_of(int32_t option, const HyperParams& hparams) {
    check_range("context_length", option, 0, hparams.context_length);
    const uint32_t window = hparams.sliding_window, most = hparams.max_session_context();
    const auto wanted = static_cast<uint32_t>(option);
    if (wanted > most) {
        fail(REPRISE_INVALID_ARGUMENT,
             "option context_length is %u, but the model's attention sees a sliding window of %u tokens, which is only "
             "supported where the window holds the whole context: open the session with a context of at most %u",
             wanted, window, most);
    }
    if (wanted != 0) return wanted;
    const uint32_t usual = hparams.default_session_context();
    if (most < hparams.context_length && usual == most) {
        log(REPRISE_LOG_INFO, "the session's context is limited to the model's sliding window of %u tokens", window);
    }
    return usual;
}

TensorType kv_type_of(int32_t option, const HyperParams& hparams) {
    switch (static_cast<reprise_kv_type>(option)) {
        case REPRISE_KV_DEFAULT:
        case REPRISE_KV_F16:
            return TensorType::F16;
        case REPRISE_KV_F32:
            return TensorType::F32;
        case REPRISE_KV_Q8_0:
            break;
    }
    const uint32_t block = traits(TensorType::Q8_0).block_size;
    for (const KvSpec& spec : hparams.kv) {
        for (const uint32_t dim : {spec.key_dim, spec.value_dim}) {
            if (dim % block == 0) continue;
            fail(REPRISE_INVALID_ARGUMENT,
                 "option kv_type is Q8_0, which stores blocks of %u values, but the model's head_dim is %u and no "
                 "multiple of that: choose F16 or F32",
                 block, dim);
        }
    }
    return TensorType::Q8_0;
}

}  // namespace

LoadOptions load_options(const reprise_model_options* given) {
    reprise_model_options o;
    reprise_model_options_default(&o);
    if (given != nullptr) o = *given;
    check_range("device", o.device, REPRISE_DEVICE_AUTO, REPRISE_DEVICE_CUDA);
    check_range("device_index", o.device_index, 0, 1024);
    check_range("threads", o.threads, 0, MAX_THREADS);
    check_range("exact", o.exact, 0, 1);
    return {static_cast<reprise_device>(o.device),
            o.device_index,
            static_cast<uint32_t>(o.threads),
            o.exact != 0,
            o.device_memory_limit,
            o.kv_memory,
            o.progress,
            o.progress_user};
}

EngineOptions engine_options(const reprise_session_options* given, const HyperParams& hparams) {
    reprise_session_options o;
    reprise_session_options_default(&o);
    if (given != nullptr) o = *given;
    check_range("kv_type", o.kv_type, REPRISE_KV_DEFAULT, REPRISE_KV_Q8_0);
    check_range("graph_mode", o.graph_mode, REPRISE_GRAPH_AUTO, REPRISE_GRAPH_ALWAYS);
    check_range("prefill_chunk", o.prefill_chunk, 0, 1 << 20);
    check_range("unfused", o.unfused, 0, 1);
    check_range("prefix_sharing", o.prefix_sharing, 0, 1);
    check_range("priority", o.priority, -10, 10);
    EngineOptions engine{};
    engine.context_length = context_length_of(o.context_length, hparams);
    engine.kv_type = kv_type_of(o.kv_type, hparams);
    engine.graph_mode = static_cast<reprise_graph_mode>(o.graph_mode);
    engine.prefill_chunk = static_cast<uint32_t>(o.prefill_chunk);
    engine.unfused = o.unfused != 0;
    engine.priority = o.priority;
    engine.prefix_sharing = o.prefix_sharing != 0;
    return engine;
}

}  // namespace reprise

void reprise_model_options_default(reprise_model_options* options) {
    if (options != nullptr) *options = {REPRISE_DEVICE_AUTO, 0, 0, 0, 0, 0, nullptr, nullptr};
}

void reprise_session_options_default(reprise_session_options* options) {
    if (options != nullptr) *options = {0, REPRISE_KV_DEFAULT, REPRISE_GRAPH_AUTO, 0, 0, 1, 0};
}

void reprise_sampling_default(reprise_sampling* sampling) {
    if (sampling == nullptr) return;
    *sampling = {};
    sampling->top_p = 1;
    sampling->repeat_penalty = 1;
    sampling->xtc_threshold = 0.1f;
    sampling->dry_base = 1.75f;
    sampling->dry_allowed_length = 2;
    sampling->dry_last_n = -1;
}
