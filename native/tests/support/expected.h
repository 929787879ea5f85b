// Reference results computed by another engine, read from JSON.
#pragma once

#include <string>
#include <vector>

#include "support/library.h"

namespace reprise::test {

/// A small random model with exact logits: one entry of golden/index.json.
struct GoldenRow {
    std::string model, logits;  // paths
    std::string architecture, quantisation;
    Ids tokens;  // fed from position 0
    std::vector<size_t> positions;
    size_t n_vocab;
    double peer_kl;         // the other engine's mean divergence from the exact logits with its fast arithmetic
    double peer_median_kl;  // of the stored positions

    /// [positions.size()][n_vocab]
    std::vector<float> exact_logits() const;
};

/// folder holds index.json and the files it names. Rows of embedding models are left out.
std::vector<GoldenRow> read_golden_rows(const std::string& folder);

/// A greedy continuation under float32 arithmetic on the dequantised weights: one entry of expected.json.
struct Continuation {
    std::string prompt;
    Ids prompt_ids, ids;
    std::vector<float> margins;  // of ids[i]: the best logit less the second
    size_t stable;               // ids before the first margin under 0.3
};

std::vector<Continuation> read_continuations(const std::string& path);

/// Of every row KL(softmax(exact) || softmax(actual)), in double.
std::vector<double> divergences(const std::vector<float>& exact, const std::vector<float>& actual, size_t n_vocab);
/// Their mean.
double mean_kl(const std::vector<float>& exact, const std::vector<float>& actual, size_t n_vocab);

}  // namespace reprise::test
