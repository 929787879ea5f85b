// What limits the tokens of one generation: a grammar's matcher. The text crate implements it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "reprise.h"

namespace reprise {

/// Which tokens may come next in one generation. Not thread-safe.
class Constraint {
  public:
    virtual ~Constraint() = default;
    /// Bit i % 32 of mask[i / 32]: token i may come next. mask has (n_vocab + 31) / 32 words; bits beyond n_vocab are
    /// 0. At the end of what the grammar allows only end tokens are allowed.
    virtual void mask(std::span<uint32_t> mask) = 0;
    /// Takes the token that was drawn. Throws if the grammar does not allow it.
    virtual void accept(int32_t token) = 0;
    /// Whether the text so far is complete, that is, an end token may come.
    virtual bool complete() const = 0;
    /// A copy with a state of its own, for run-ahead, forks and drafts.
    virtual std::unique_ptr<Constraint> clone() const = 0;
};

/// A matcher in its start state for a handle of reprise_constraint_open(). Throws for null, stale or foreign handles.
std::unique_ptr<Constraint> make_constraint(reprise_handle constraint);

}  // namespace reprise
