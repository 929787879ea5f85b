// A position in a file that never leaves it: every length is checked against what is left before it is used.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "gguf/file_image.h"

namespace reprise {

class Cursor {
  public:
    explicit Cursor(FileImage& image) : image_(image) {}

    uint64_t offset() const { return offset_; }
    uint64_t remaining() const { return image_.size() - offset_; }
    void seek(uint64_t offset) { offset_ = offset; }  // to an offset that was reached before

    /// What the following bytes are, for messages: "key-value pair" 3 "llama.block_count".
    void describe(const char* kind, uint64_t index, std::string_view name = {}) {
        kind_ = kind;
        index_ = index;
        name_ = name;
    }

    /// Fails with REPRISE_MODEL_FORMAT, naming the file, the offset and what is being read.
    [[noreturn]] void fail_here(const std::string& message) const {
        const std::string name = name_.empty() ? "(unnamed)" : quoted(std::string(name_.substr(0, 80)));
        fail(REPRISE_MODEL_FORMAT, "'%s': %s %llu %s, at byte %llu: %s", image_.path().c_str(), kind_, ull(index_),
             name.c_str(), ull(offset_), message.c_str());
    }

    std::span<const uint8_t> bytes(uint64_t n, const char* what) {
        if (n > remaining()) {
            fail_here(format("%s needs %llu bytes, but the file ends after %llu", what, ull(n), ull(remaining())));
        }
        image_.require(offset_ + n);
        const std::span<const uint8_t> taken(image_.data() + offset_, n);
        offset_ += n;
        return taken;
    }

    template <typename T>
    T number(const char* what) {
        T value;
        std::memcpy(&value, bytes(sizeof(T), what).data(), sizeof(T));
        return value;
    }

    std::string_view string(const char* what) {
        const uint64_t length = number<uint64_t>(what);
        const std::span<const uint8_t> text = bytes(length, what);
        return {reinterpret_cast<const char*>(text.data()), text.size()};
    }

    static unsigned long long ull(uint64_t n) { return n; }  // what %llu takes

  private:
    FileImage& image_;
    uint64_t offset_ = 0;
    const char* kind_ = "header field";
    uint64_t index_ = 0;
    std::string_view name_;
};

}  // namespace reprise
