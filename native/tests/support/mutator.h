// Seeded mutations of GGUF files that know the format, so that most of them get past the first check.
#pragma once

#include <cstdint>
#include <vector>

#include "support/gguf_layout.h"
#include "synth/random_rows.h"

namespace reprise::test {

enum class Mutation {
    // Structured, in the header.
    FIELD,         // a count, length, type, dimension or offset becomes another number
    NUMBER,        // a scalar value: hyper-parameters, token ids
    TEXT,          // bytes of a key, a tensor name or a string value
    KNOWN_STRING,  // a string value becomes one that means something: architectures, tokenizers
    ELEMENTS,      // numbers or strings of an array: token types, scores, tokens, merges
    ARRAY_LENGTH,  // an array gets shorter or longer, its count with it
    DELETE_ENTRY,  // of the pairs or tensors, the count with it
    DUPLICATE_ENTRY,
    SWAP_ENTRIES,
    RENAME_ENTRY,  // gets the name of another, or of nothing known
    TRUNCATE,      // in the header or at a field's edge
    // Unstructured, anywhere.
    BYTES,   // some bytes become random
    INSERT,  // random bytes come in
    ERASE,
};
constexpr int kMutations = static_cast<int>(Mutation::ERASE) + 1;

const char* mutation_name(Mutation mutation);
inline bool is_structured(Mutation mutation) { return mutation < Mutation::BYTES; }

class Mutator {
  public:
    explicit Mutator(uint64_t seed) : random_(seed) {}

    /// Changes the file once. About nine in ten mutations are structured as long as the file can be followed.
    Mutation mutate(std::vector<uint8_t>& file);

  private:
    bool apply(Mutation mutation, std::vector<uint8_t>& file, const GgufLayout& layout);
    bool change_field(std::vector<uint8_t>& file, const GgufLayout& layout);
    bool change_number(std::vector<uint8_t>& file, const GgufLayout& layout);
    bool change_text(std::vector<uint8_t>& file, const GgufLayout& layout);
    bool set_known_string(std::vector<uint8_t>& file, const GgufLayout& layout);
    bool change_elements(std::vector<uint8_t>& file, const GgufLayout& layout);
    bool change_array_length(std::vector<uint8_t>& file, const GgufLayout& layout);
    bool change_entries(Mutation mutation, std::vector<uint8_t>& file, const GgufLayout& layout);
    bool rename_entry(std::vector<uint8_t>& file, const GgufLayout& layout);
    bool truncate(std::vector<uint8_t>& file, const GgufLayout& layout);
    void change_bytes(Mutation mutation, std::vector<uint8_t>& file);

    uint64_t odd_number(uint64_t old, size_t size);
    void scramble(uint8_t* bytes, size_t n);
    bool chance(uint64_t one_in) { return random_.below(one_in) == 0; }
    template <typename T>
    const T& pick(const std::vector<T>& from) {
        return from[random_.below(from.size())];
    }

    RandomBits random_;
};

}  // namespace reprise::test
