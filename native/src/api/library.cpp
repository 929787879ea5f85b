// reprise.h, the part about the library itself.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "api/guard.h"
#include "core/log.h"
#include "cpu/kernels.h"
#include "cpu/thread_pool.h"
#include "session/engine.h"

namespace reprise {

namespace {

/// The message of this thread's last failed call. Nothing that would have to be destroyed when the thread ends: a JVM
/// may have unloaded the library by then.
constexpr size_t MOST_MESSAGE_BYTES = 8192;
thread_local char last_message[MOST_MESSAGE_BYTES];
thread_local size_t last_message_bytes = 0;
thread_local int32_t last_line = 0;

}  // namespace

reprise_status report(reprise_status status, const char* message, int32_t line) noexcept {
    size_t n = std::strlen(message);
    if (n > MOST_MESSAGE_BYTES) {
        n = MOST_MESSAGE_BYTES;
        while (n > 0 && (message[n] & 0xc0) == 0x80) --n;  // not within a character
    }
    std::memcpy(last_message, message, n);
    last_message_bytes = n;
    last_line = line;
    return status;
}

namespace {

size_t copy_text(std::string_view text, char* buffer, size_t capacity) {
    if (buffer != nullptr && capacity > 0) {
        const size_t n = std::min(text.size(), capacity - 1);
        std::memcpy(buffer, text.data(), n);
        buffer[n] = '\0';
    }
    return text.size();
}

std::string describe_cpu_json() {
    std::string skipped;
    for (const auto& entry : cpu::instruction_sets()) {
        if (!entry.available) skipped += (skipped.empty() ? "\"" : ", \"") + std::string(entry.kernels->name) + "\"";
    }
    return format("{\"isa\": \"%s\", \"threads\": %zu, \"skipped\": [%s]}", cpu::kernels().name,
                  cpu::available_threads(), skipped.c_str());
}

}  // namespace

}  // namespace reprise

using namespace reprise;

int32_t reprise_abi_version(void) { return REPRISE_ABI_VERSION; }

size_t reprise_last_error(char* buffer, size_t capacity) {
    return copy_text({last_message, last_message_bytes}, buffer, capacity);
}

int32_t reprise_last_error_line(void) { return last_line; }

const char* reprise_status_name(int32_t status) {
    switch (status) {
        case REPRISE_OK:
            return "OK";
        case REPRISE_INVALID_ARGUMENT:
            return "INVALID_ARGUMENT";
        case REPRISE_INVALID_HANDLE:
            return "INVALID_HANDLE";
        case REPRISE_BUSY:
            return "BUSY";
        case REPRISE_CANCELLED:
            return "CANCELLED";
        case REPRISE_IO:
            return "IO";
        case REPRISE_MODEL_FORMAT:
            return "MODEL_FORMAT";
        case REPRISE_UNSUPPORTED_MODEL:
            return "UNSUPPORTED_MODEL";
        case REPRISE_OUT_OF_MEMORY:
            return "OUT_OF_MEMORY";
        case REPRISE_DEVICE_UNAVAILABLE:
            return "DEVICE_UNAVAILABLE";
        case REPRISE_OUT_OF_DEVICE_MEMORY:
            return "OUT_OF_DEVICE_MEMORY";
        case REPRISE_CONTEXT_OVERFLOW:
            return "CONTEXT_OVERFLOW";
        case REPRISE_ENGINE_FAILED:
            return "ENGINE_FAILED";
        case REPRISE_INTERNAL:
            return "INTERNAL";
        case REPRISE_TEMPLATE:
            return "TEMPLATE";
        case REPRISE_UNSUPPORTED:
            return "UNSUPPORTED";
        case REPRISE_SESSION_FORMAT:
            return "SESSION_FORMAT";
        case REPRISE_SESSION_MISMATCH:
            return "SESSION_MISMATCH";
        case REPRISE_NAN_LOGITS:
            return "NAN_LOGITS";
        default:
            return "UNKNOWN";
    }
}

reprise_status reprise_describe(char* buffer, size_t capacity, size_t* length) {
    return guarded([&] {
        checked(length, "length") = copy_text("{\"version\": \"" REPRISE_VERSION "\", \"cpu\": " + describe_cpu_json() +
                                                  ", \"cuda\": " + describe_cuda_json() + "}",
                                              buffer, capacity);
    });
}

reprise_status reprise_set_log_callback(reprise_log_fn callback, void* user) {
    return guarded([&] { set_log_callback(callback, user); });
}
