// reprise.h, the part about the library itself.
#include <algorithm>
#include <cstring>

#include "api/guard.h"
#include "core/log.h"
#include "cpu/kernels.h"
#include "cpu/thread_pool.h"
#include "session/engine.h"

namespace reprise {

std::string& last_error() {
    static thread_local std::string message;
    return message;
}

reprise_status report(reprise_status status, const char* message) noexcept {
    try {
        last_error() = message;
    } catch (...) {
        last_error().clear();  // no memory for the message: the status says enough
    }
    return status;
}

namespace {

size_t copy_text(const std::string& text, char* buffer, size_t capacity) {
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
    return format("{\"isa\": \"%s\", \"threads\": %zu, \"skipped\": [%s]}", cpu::kernels().name, cpu::available_threads(), skipped.c_str());
}

}  // namespace

}  // namespace reprise

using namespace reprise;

int32_t reprise_abi_version(void) { return REPRISE_ABI_VERSION; }

size_t reprise_last_error(char* buffer, size_t capacity) { return copy_text(last_error(), buffer, capacity); }

const char* reprise_status_name(int32_t status) {
    switch (status) {
        case REPRISE_OK: return "OK";
        case REPRISE_INVALID_ARGUMENT: return "INVALID_ARGUMENT";
        case REPRISE_INVALID_HANDLE: return "INVALID_HANDLE";
        case REPRISE_BUSY: return "BUSY";
        case REPRISE_CANCELLED: return "CANCELLED";
        case REPRISE_IO: return "IO";
        case REPRISE_MODEL_FORMAT: return "MODEL_FORMAT";
        case REPRISE_UNSUPPORTED_MODEL: return "UNSUPPORTED_MODEL";
        case REPRISE_OUT_OF_MEMORY: return "OUT_OF_MEMORY";
        case REPRISE_DEVICE_UNAVAILABLE: return "DEVICE_UNAVAILABLE";
        case REPRISE_OUT_OF_DEVICE_MEMORY: return "OUT_OF_DEVICE_MEMORY";
        case REPRISE_CONTEXT_OVERFLOW: return "CONTEXT_OVERFLOW";
        case REPRISE_ENGINE_FAILED: return "ENGINE_FAILED";
        case REPRISE_INTERNAL: return "INTERNAL";
        default: return "UNKNOWN";
    }
}

reprise_status reprise_describe(char* buffer, size_t capacity, size_t* length) {
    return guarded([&] {
        checked(length, "length") = copy_text("{\"version\": \"" REPRISE_VERSION "\", \"cpu\": " + describe_cpu_json() + ", \"cuda\": " + describe_cuda_json() + "}",
                                              buffer, capacity);
    });
}

reprise_status reprise_set_log_callback(reprise_log_fn callback, void* user) {
    return guarded([&] { set_log_callback(callback, user); });
}
