// Work that recurses deeper than a caller's stack may hold, which a JVM's thread has 1 MiB of, or less.
#pragma once

#include <cstddef>
#include <functional>

namespace reprise {

/// Runs body on a thread of its own with a stack of so many bytes and waits for it. What body throws is thrown here.
/// Memory is taken only for the pages that are touched.
void run_on_big_stack(size_t stack_bytes, const std::function<void()>& body);

}  // namespace reprise
