// Made-up vocabularies from which a working tokenizer can be built.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/gguf_writer.h"

namespace reprise {

enum class VocabularyKind {
    BYTE_LEVEL_BPE,  // tokenizer.ggml.model "gpt2": all bytes, then merges of letters
    SENTENCE_PIECE,  // tokenizer.ggml.model "llama": <unk>, <s>, </s>, byte tokens, then scored pieces of letters
};

struct VocabularySpec {
    struct Special {
        uint32_t id;
        std::string text;
    };
    VocabularyKind kind = VocabularyKind::BYTE_LEVEL_BPE;
    std::string pre = "gpt-2";      // tokenizer.ggml.pre
    uint32_t n_regular = 0;         // ids below are bytes and merges; those above control tokens and padding
    std::vector<Special> specials;  // control tokens, ids from n_regular on
    uint32_t bos = 0, eos = 0;
    bool add_bos = false;
};

/// Sets tokenizer.ggml.* for n_vocab tokens. REPRISE_INVALID_ARGUMENT if they do not suffice for every byte.
void add_vocabulary(GgufWriter& writer, const VocabularySpec& spec, uint32_t n_vocab);

}  // namespace reprise
