// Draws the next token on the device, exactly as session/sampler.h defines, and hands it on: to the decode state, the
// penalty counts and the host's ring. No kernel depends on the options' values, only on which of them are on, so that
// the launches may be captured.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/decode_state.h"
#include "cuda/memory.h"
#include "reprise.h"

namespace reprise::cuda {

/// Which kernels a drawing takes: a decode graph holds those of one kind.
enum class SamplingKind : uint32_t {
    GREEDY = 0,
    TEMPERATURE = 1,  // and any of the two below
    TOP_K = 2,
    TOP_P = 4,
    TO_HOST = 8,  // with GREEDY: all logits go to host_logits before the token goes to the ring
};
/// A set of SamplingKind bits.
uint32_t sampling_kind(const reprise_sampling& sampling, uint32_t n_vocab);
uint32_t sampler_launches(uint32_t kind);

/// A stretch of the logits, for the log-probability: sum of exp(logit - max).
struct LogitSum {
    float max;
    double sum;
};

/// What the kernels leave for each other within one drawing.
struct SamplerWork {
    unsigned long long best;  // largest rank key; zero between drawings
    uint32_t arrived;         // blocks; zero between launches
    float max;                // largest logit after penalties
    int32_t argmax;
    uint32_t bucket;               // that holds the threshold looked for
    unsigned long long target;     // of what top-k counts or top-p weighs: what is to be reached
    unsigned long long above;      // the same in the buckets above
    unsigned long long keep_from;  // rank keys from here on are kept
    uint32_t n_listed;             // keys gathered; zero between launches
    bool is_short;  // the keys in the buckets down to the first threshold's are at most SAMPLER_SHORT_LIST
    bool drawn;     // nothing is left to do
};

constexpr uint32_t SAMPLER_BUCKETS = 256;
constexpr uint32_t SAMPLER_SPAN = 1024;  // ids of a block
constexpr uint32_t SAMPLER_SHORT_LIST = 1024;

/// Device memory of a sampler, at addresses that stay.
struct SamplerBuffers {
    float* logits;       // [n_vocab]
    float* host_logits;  // [n_vocab], pinned host memory; of kinds that are TO_HOST
    DecodeState* state;
    RingEntry* ring;       // [RING_SIZE], pinned host memory
    const int32_t* queue;  // input ids that go before drawn tokens; may be null if the state's queue is empty
    reprise_sampling* sampling;
    int32_t* counts;  // [n_vocab]: how often an id stands in the history
    float* adjusted;  // [n_vocab]: logits after penalties
    SamplerWork* work;
    uint32_t* bucket_count;           // [SAMPLER_BUCKETS]
    unsigned long long* bucket_mass;  // [SAMPLER_BUCKETS]
    unsigned long long* list;         // [n_vocab]: rank keys of a bucket, or of all down to it
    unsigned long long* sums;         // [blocks]: weights of each block's ids
    LogitSum* logit_sums;             // [blocks]
    uint32_t n_vocab;

    /// Takes everything but host_logits, state, ring and queue from carver.
    void carve(Carver& carver, uint32_t n_vocab);
    /// For a sampler without a session: takes the state too. And the bytes of that.
    void carve_with_state(Carver& carver, uint32_t n_vocab);
    static size_t bytes_with_state(uint32_t n_vocab);
};

/// Draws and publishes. advance: how far the position moves: 1 at the end of a decode step, 0 for the token that
/// follows a prefill, whose position is where the state already stands.
void sample(const SamplerBuffers& buffers, uint32_t kind, uint32_t advance, cudaStream_t stream);

/// Between requests: sets the token to evaluate next and its position, and the input queue to [queue_next, queue_end).
void place(DecodeState* state, int32_t token, uint32_t position, uint32_t queue_next, uint32_t queue_end,
           cudaStream_t stream);
/// Sets the options.
void set_sampling(const SamplerBuffers& buffers, const reprise_sampling& sampling, cudaStream_t stream);

void load_sampler_kernels();

}  // namespace reprise::cuda
