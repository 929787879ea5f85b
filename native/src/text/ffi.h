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
struct text_vocabulary;
struct text_constraint;
struct text_matcher;

void text_free_buffer(text_buffer buffer);

size_t text_template_stack_bytes(size_t json_bytes);
int32_t text_template_open(text_bytes source, text_bytes special, const uint64_t* special_offsets, size_t n_special,
                           text_template** chat_template, text_failure* failure);
int32_t text_template_close(text_template* chat_template, text_failure* failure);
int32_t text_template_render(const text_template* chat_template, text_bytes json, int64_t now, text_buffer* text,
                             text_buffer* origins, text_failure* failure);

int32_t text_vocabulary_open(text_bytes bytes, const uint64_t* offsets, const uint8_t* flags, size_t n_vocab,
                             const int32_t* end_ids, size_t n_end_ids, const text_vocabulary** vocabulary,
                             text_failure* failure);
int32_t text_vocabulary_close(const text_vocabulary* vocabulary, text_failure* failure);
int32_t text_constraint_open(const text_vocabulary* vocabulary, int32_t kind, text_bytes source, bool json_whitespace,
                             text_constraint** constraint, text_failure* failure);
int32_t text_constraint_close(text_constraint* constraint, text_failure* failure);
int32_t text_matcher_open(const text_constraint* constraint, text_matcher** matcher, text_failure* failure);
int32_t text_matcher_clone(const text_matcher* matcher, text_matcher** copy, text_failure* failure);
int32_t text_matcher_close(text_matcher* matcher, text_failure* failure);
int32_t text_matcher_mask(text_matcher* matcher, uint32_t* mask, size_t n_words, text_failure* failure);
int32_t text_matcher_accept(text_matcher* matcher, int32_t token, bool* accepted, text_failure* failure);
int32_t text_matcher_state(text_matcher* matcher, bool* complete, bool* ended, text_failure* failure);

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

/// Calls a function that closes what it is given: only a panic makes it fail, and then there is nobody to tell.
template <class Function, class Object>
void close(Function function, Object* object) noexcept {
    if (object == nullptr) return;
    text_failure failure{};
    if (function(object, &failure) != REPRISE_OK) text_free_buffer(failure.message);
}

}  // namespace reprise::text
