// Several sequences of one model that generate at the same time, each from a thread of its own, as a server's do.
#pragma once

#include <cstdint>
#include <vector>

#include "reprise.h"

namespace tool {

struct SequencesResult {
    size_t sequences;
    std::vector<double> rates;           // tokens per second of all together, a repetition each, sorted
    double p50_us, p99_us;               // between two tokens of a sequence, waiting included
    uint64_t steps;                      // decode steps that were run in a repetition for the tokens of all
    std::vector<uint64_t> token_hashes;  // a sequence each, FNV-1a of its tokens
};

/// Every sequence decodes n_decode tokens greedily behind a prompt of n_prompt random ids. Prompts differ; sequence i
/// has the same one whatever the number of sequences. The clock runs from the moment in which all have their first
/// token, which comes from the prompt's logits. One repetition more warms up.
SequencesResult measure_sequences(reprise_handle model, const reprise_session_options& options, size_t sequences,
                                  size_t n_prompt, size_t n_decode, long repetitions);

}  // namespace tool
