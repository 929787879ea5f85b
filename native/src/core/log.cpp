#include "core/log.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace reprise {

namespace {
std::mutex mutex;
reprise_log_fn log_callback = nullptr;
void* log_user = nullptr;
}  // namespace

void set_log_callback(reprise_log_fn callback, void* user) {
    std::lock_guard<std::mutex> lock(mutex);
    log_callback = callback;
    log_user = user;
}

void log(reprise_log_level level, const char* format, ...) {
    reprise_log_fn callback;
    void* user;
    {
        std::lock_guard<std::mutex> lock(mutex);
        callback = log_callback;
        user = log_user;
    }
    if (callback == nullptr) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    std::vsnprintf(line, sizeof line, format, args);
    va_end(args);
    callback(user, level, line);
}

}  // namespace reprise
