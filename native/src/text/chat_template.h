// Chat templates. Rendered by the Rust crate in native/text; a library built without it has text_absent.cpp instead.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace reprise::text {

/// Texts one after the other: text i from offsets[i] to offsets[i + 1].
struct Texts {
    std::span<const uint8_t> bytes;
    std::span<const uint64_t> offsets;  // one more than there are texts
};

struct Rendering {
    virtual ~Rendering() = default;
    virtual std::span<const uint8_t> text() const = 0;
    /// First byte and byte behind the last, pair by pair: where no special token may be recognised.
    virtual std::span<const uint64_t> origins() const = 0;
};

class ChatTemplate {
  public:
    virtual ~ChatTemplate() = default;
    /// Throws REPRISE_TEMPLATE for malformed sources.
    static std::shared_ptr<ChatTemplate> open(std::span<const uint8_t> source, const Texts& special);
    /// variables: a JSON object. now: seconds of local time since 1970. Any number of threads may call it at once.
    virtual std::shared_ptr<Rendering> render(std::span<const uint8_t> variables, int64_t now) const = 0;
};

}  // namespace reprise::text
