// Constraints on generated text. Compiled and followed by the Rust crate in native/text; a library built without it has
// text_absent.cpp instead.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "session/constraint.h"

namespace reprise::text {

struct Tokens {
    std::span<const uint8_t> bytes;
    std::span<const uint64_t> offsets;  // one more than there are tokens
    std::span<const uint8_t> flags;     // REPRISE_TOKEN_SPECIAL
    std::span<const int32_t> end_ids;
};

class CompiledConstraint;

/// A model's tokens. Thread-safe.
class Vocabulary {
  public:
    virtual ~Vocabulary() = default;
    static std::shared_ptr<Vocabulary> open(const Tokens& tokens);
    /// kind: a reprise_constraint_kind. Throws for what is malformed, unsupported or too large.
    virtual std::shared_ptr<CompiledConstraint> compile(int32_t kind, std::span<const uint8_t> source,
                                                        const reprise_constraint_options& options) const = 0;
};

/// Thread-safe.
class CompiledConstraint {
  public:
    virtual ~CompiledConstraint() = default;
    /// In its start state.
    virtual std::unique_ptr<Constraint> matcher() const = 0;
    struct Walk {
        size_t n_allowed;
        reprise_constraint_state state;
    };
    /// See reprise_constraint_check(); an empty mask is not filled in.
    virtual Walk walk(std::span<const int32_t> ids, std::span<uint32_t> mask) const = 0;
};

}  // namespace reprise::text
