#include "core/error.h"

#include <cstdarg>
#include <cstdio>
#include <system_error>

namespace reprise {

static std::string vformat(const char* format, va_list args) {
    va_list again;
    va_copy(again, args);
    const int n = std::vsnprintf(nullptr, 0, format, args);
    std::string text(n > 0 ? static_cast<size_t>(n) : 0, '\0');
    if (n > 0) std::vsnprintf(text.data(), text.size() + 1, format, again);
    va_end(again);
    return text;
}

void fail(reprise_status status, const char* format, ...) {
    va_list args;
    va_start(args, format);
    std::string text = vformat(format, args);
    va_end(args);
    throw Error(status, std::move(text));
}

void fail_io(const char* what, const std::string& path, int code) {
    fail(REPRISE_IO, "cannot %s '%s': %s (errno %d)", what, path.c_str(), std::generic_category().message(code).c_str(),
         code);
}

std::string format(const char* format, ...) {
    va_list args;
    va_start(args, format);
    std::string text = vformat(format, args);
    va_end(args);
    return text;
}

std::string quoted(const std::string& text, size_t max_bytes) {
    std::string out = "'";
    for (size_t i = 0; i < text.size() && i < max_bytes; ++i) {
        const unsigned char c = static_cast<unsigned char>(text[i]);
        if (c >= 0x20 && c < 0x7f) {
            out += static_cast<char>(c);
        } else {
            out += format("\\x%02x", c);
        }
    }
    if (text.size() > max_bytes) out += "...";
    return out + "'";
}

}  // namespace reprise
