// What changes from token to token, in device memory at addresses that stay while a session is open: a replay of the
// decode graph needs no argument.
#pragma once

#include <cstdint>

#include "reprise.h"

namespace reprise::cuda {

/// Written by the kernels at the end of a step and by place() between requests.
struct DecodeState {
    int32_t token;        // to evaluate next
    uint32_t position;    // where it goes; in prefill, where the first token of the chunk goes
    uint32_t seq_len;     // keys that the token at position sees, itself included: position + 1
    uint32_t n_sampled;   // tokens drawn since the session was opened
    uint32_t queue_next;  // input queue: ids that are fed instead of the drawn tokens, from queue_next to queue_end
    uint32_t queue_end;
};

/// A drawn token on its way to the host, which waits for its number: one store brings both.
struct alignas(16) RingEntry {
    uint64_t number_and_token;  // number, n_sampled after this token, in the upper half
    float logprob;              // written before the other, and only if the sampling asks for it
    uint32_t unused;
    static uint32_t number_of(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
    static int32_t token_of(uint64_t word) { return static_cast<int32_t>(static_cast<uint32_t>(word)); }
};
constexpr uint32_t RING_SIZE = 64;  // a power of two

}  // namespace reprise::cuda
