// Small random models of every supported architecture. Change the spec's fields to vary them; a test that needs weights
// of its own adds them with GgufWriter.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "support/temp_dir.h"
#include "synth/random_model.h"

namespace reprise::test {

/// 2 layers, 256 wide, feed-forward 512, 4 heads of 64, 2 KV heads, 512 tokens (byte-level BPE), context 256, tied
/// output. llama, qwen2 (with biases) or qwen3 (with q/k norms, heads of 128).
ModelSpec tiny_spec(const std::string& architecture = "llama");

/// The SentencePiece-style vocabulary for a spec of n_vocab tokens (at least 286).
VocabularySpec sentence_piece_vocabulary(uint32_t n_vocab);

std::vector<uint8_t> tiny_model_bytes(const ModelSpec& spec, const TypeMix& types, uint64_t seed = 1);

/// Writes the model and returns its path.
std::string write_tiny_model(const TempDir& dir, const ModelSpec& spec, const TypeMix& types, uint64_t seed = 1,
                             const std::string& name = "model.gguf");

}  // namespace reprise::test
