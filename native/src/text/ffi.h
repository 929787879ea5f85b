// The functions of the Rust crate in native/text; its src/**/ffi.rs say what they do. Each returns a reprise_status and
// fills in the failure where it is not REPRISE_OK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/error.h"

extern "C" {

struct text_bytes {
    const uint8_t* data;
    size_t len;
};

struct text_buffer {
    uint8_t* data;
    size_t len;
    size_t capacity;
};

struct text_failure {
    text_buffer message;
    uint32_t line;
};

struct text_template;

void text_free_buffer(text_buffer buffer);

int32_t text_template_open(text_bytes source, text_template** chat_template, text_failure* failure);
int32_t text_template_close(text_template* chat_template, text_failure* failure);
int32_t text_template_render(const text_template* chat_template, text_bytes json, int64_t now, text_buffer* text,
                             text_failure* failure);

}  // extern "C"

namespace reprise::text {

/// Bytes of the crate's, given back to it.
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept : buffer_(other.buffer_) { other.buffer_ = {}; }
    ~Buffer() { text_free_buffer(buffer_); }
    text_buffer* out() { return &buffer_; }
    std::span<const uint8_t> bytes() const { return {buffer_.data, buffer_.len}; }

  private:
    text_buffer buffer_{};
};

inline text_bytes bytes_of(std::span<const uint8_t> bytes) { return {bytes.data(), bytes.size()}; }

/// Calls a function of the crate with the failure as its last argument; throws Error if it fails.
template <class Function, class... Arguments>
void call(Function function, Arguments... arguments) {
    text_failure failure{};
    const int32_t status = function(arguments..., &failure);
    if (status == REPRISE_OK) return;
    std::string message(reinterpret_cast<const char*>(failure.message.data), failure.message.len);
    text_free_buffer(failure.message);
    throw Error(static_cast<reprise_status>(status), std::move(message), static_cast<int32_t>(failure.line));
}

}  // namespace reprise::text
