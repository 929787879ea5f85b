// The one exception of the native library. It never leaves it: api/ turns it into a status and a message.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "reprise.h"

namespace reprise {

class Error : public std::exception {
  public:
    /// line: of the source that the message is about, from 1; 0 where there is none.
    Error(reprise_status status, std::string message, int32_t line = 0)
        : status_(status), message_(std::move(message)), line_(line) {}
    reprise_status status() const noexcept { return status_; }
    int32_t line() const noexcept { return line_; }
    const char* what() const noexcept override { return message_.c_str(); }

  private:
    reprise_status status_;
    std::string message_;
    int32_t line_;
};

/// Throws Error with a printf-style message that names what was wrong and says what to do.
[[noreturn]] void fail(reprise_status status, const char* format, ...) __attribute__((format(printf, 2, 3)));

/// Throws REPRISE_IO: cannot do this to the file at path, for the reason that errno gives.
[[noreturn]] void fail_io(const char* what, const std::string& path, int code);

/// printf into a string.
std::string format(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// Text from a file made safe for a message: at most max_bytes of it, control and non-ASCII bytes as \xNN.
std::string quoted(const std::string& text, size_t max_bytes = 64);

}  // namespace reprise
