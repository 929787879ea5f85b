// Small well-formed files from which mutation and fuzzing start.
#pragma once

#include <cstdint>
#include <vector>

namespace reprise::test {

/// 20 to 60 KB each: every architecture, both kinds of vocabulary, several tensor types and metadata types.
std::vector<std::vector<uint8_t>> gguf_seeds();

}  // namespace reprise::test
