// The bytes of a saved session (session/state_file.h), for tests that change them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/hash.h"
#include "session/state_file.h"

namespace reprise::test {

/// Where the fields of the header are.
namespace state {
constexpr size_t FORMAT = 8, FLAGS = 12, FILE_BYTES = 16, FINGERPRINT = 24, ARCHITECTURE = 32, N_VOCAB = 64,
                 N_LAYERS = 68, N_KV_HEADS = 72, HEAD_DIM = 76, KV_TYPE = 80, CONTEXT_LENGTH = 84, PREFILL_CHUNK = 88,
                 N_TOKENS = 92, N_EVALUATED = 96, OTHER_POSITION_BYTES = 100, N_STATE_VALUES = 104, UNUSED = 112,
                 HASH = 120, HISTORY = 128;
constexpr size_t NUMBERS[] = {
    FORMAT,         FLAGS,         N_VOCAB,  N_LAYERS,    N_KV_HEADS,           HEAD_DIM,       KV_TYPE,
    CONTEXT_LENGTH, PREFILL_CHUNK, N_TOKENS, N_EVALUATED, OTHER_POSITION_BYTES, N_STATE_VALUES, UNUSED};
}  // namespace state

template <class T>
T state_field(const std::vector<uint8_t>& file, size_t at) {
    T value;
    std::memcpy(&value, &file.at(at), sizeof value);
    return value;
}
template <class T>
void set_state_field(std::vector<uint8_t>& file, size_t at, T value) {
    std::memcpy(&file.at(at), &value, sizeof value);
}

/// Gives a changed file the hashes that it should have, as far as there is room for them.
inline void reseal(std::vector<uint8_t>& file) {
    if (file.size() >= StateHeader::HEADER_BYTES) set_state_field(file, state::HASH, hash64(file.data(), state::HASH));
    if (file.size() >= StateHeader::HEADER_BYTES + sizeof(uint64_t)) {
        const size_t at = file.size() - sizeof(uint64_t);
        set_state_field(file, at, hash64(file.data(), at));
    }
}

}  // namespace reprise::test
