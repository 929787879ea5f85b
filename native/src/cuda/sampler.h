// Draws the next token on the device, exactly as session/sampler.h defines, and hands it on: to the decode state, the
// penalty counts and the host's ring. No kernel depends on the options' values, only on which of them are on, so that
// the launches may be captured.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/decode_state.h"
#include "cuda/memory.h"
#include "reprise.h"
#include "session/host_part.h"

namespace reprise::cuda {

/// Which kernels a drawing takes: a decode graph holds those of one kind.
enum class SamplingKind : uint32_t {
    GREEDY = 0,
    TEMPERATURE = 1,  // and any of the two below
    TOP_K = 2,
    TOP_P = 4,
    TO_HOST = 8,        // with GREEDY: all logits go to host_logits before the token goes to the ring
    XTC = 16,           // with TEMPERATURE
    ALTERNATIVES = 32,  // each token's alternatives go to the ring before it
    HOST_PART = 64,     // what write_host_input() left is read
    NONE = 128,         // alone: no drawing, that is, the forward part of a step whose drawing is launched apart
};
/// A set of SamplingKind bits. host_part: whether drawings have an input from the host.
uint32_t sampling_kind(const reprise_sampling& sampling, uint32_t n_vocab, bool host_part);
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
    float max;                // largest logit
    float top;                // largest of what is left
    int32_t argmax;
    uint32_t bucket;               // that holds the threshold looked for
    unsigned long long target;     // of what top-k counts or top-p weighs: what is to be reached
    unsigned long long above;      // the same in the buckets above
    unsigned long long keep_from;  // rank keys from here on are kept
    unsigned long long keep_to;    // and up to here: XTC drops those above
    uint32_t n_listed;             // keys gathered; zero between launches
    bool top_k;                    // the first threshold is that of top-k: not where it keeps all that have a weight
    bool is_short;   // the keys in the buckets down to the first threshold's are at most SAMPLER_SHORT_LIST
    bool keeps_all;  // there is no threshold to look for
    bool drawn;      // nothing is left to do
};

constexpr uint32_t SAMPLER_BUCKETS = 256;
constexpr uint32_t SAMPLER_SPAN = 1024;  // ids of a block
constexpr uint32_t SAMPLER_SHORT_LIST = 1024;

/// What the host gives to a drawing, in pinned memory: read where it lies, once a drawing.
struct DeviceHostInput {
    uint32_t* mask;           // [spans, SAMPLER_SPAN / 32]: a bit per id
    uint32_t* first_penalty;  // [spans + 1]: where the penalties of a span's ids begin
    TokenPenalty* penalties;  // by ascending id
};

/// Device memory of a sampler, at addresses that stay.
struct SamplerBuffers {
    float* logits;       // [n_vocab]
    float* host_logits;  // [n_vocab], pinned host memory; of kinds that are TO_HOST
    DecodeState* state;
    RingEntry* ring;              // [RING_SIZE], pinned host memory
    reprise_token* alternatives;  // [RING_SIZE, REPRISE_MAX_TOP_LOGPROBS], pinned host memory: each ring entry's
    DeviceHostInput host_input;   // pinned host memory
    const int32_t* queue;         // input ids that go before drawn tokens; may be null if the state's queue is empty
    reprise_sampling* sampling;
    int32_t* counts;  // [n_vocab]: how often an id stands in the history
    float* bias;      // [n_vocab]; read where the options have one
    float* adjusted;  // [n_vocab]: logits as they are drawn from
    SamplerWork* work;
    uint32_t* bucket_count;           // [SAMPLER_BUCKETS]
    unsigned long long* bucket_mass;  // [SAMPLER_BUCKETS]
    unsigned long long* list;         // [n_vocab]: rank keys of a bucket, or of all down to it
    unsigned long long* likeliest;    // [blocks + 1, REPRISE_MAX_TOP_LOGPROBS]: of each block, then of all, by rank
    unsigned long long* sums;         // [blocks]: weights of each block's ids
    LogitSum* logit_sums;             // [blocks]
    uint32_t n_vocab;

    /// Takes everything in device memory but state and queue from carver.
    void carve(Carver& carver, uint32_t n_vocab);
    /// Takes everything in pinned host memory but host_logits. n_penalties: the most that a drawing has.
    void carve_pinned(Carver& carver, uint32_t n_vocab, size_t n_penalties);
    /// For a sampler without a session: takes the state too. And the bytes of that.
    void carve_with_state(Carver& carver, uint32_t n_vocab);
    static size_t bytes_with_state(uint32_t n_vocab);
    static size_t pinned_bytes(uint32_t n_vocab, size_t n_penalties);
};

/// Host: puts input where the drawing that is launched next finds it. The drawing before must have read its own.
void write_host_input(const SamplerBuffers& buffers, const HostInput& input);
/// Host: the biases of sampling's logit_bias, of all ids.
void fill_bias(std::span<float> bias, const reprise_sampling& sampling);

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
