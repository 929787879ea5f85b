// Tells model files apart.
#pragma once

#include <cstdint>

#include "gguf/gguf.h"

namespace reprise {

/// A hash of the first file's metadata, of every tensor's name, type and shape, and of samples of every tensor's data:
/// tensors of up to 1 KiB whole, of larger ones 16 pieces of 64 bytes spread evenly from the first to the last. A
/// quantisation, a fine-tune, another vocabulary are other models; a change to single weights that misses the samples
/// is not noticed. Reads at most 1 KiB a tensor, so that a file of any size costs milliseconds.
uint64_t fingerprint(const GgufFile& file);

}  // namespace reprise
