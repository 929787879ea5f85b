// Random weights, made in their stored form: at gigabytes per second, with no float in between.
#pragma once

#include <cstdint>

#include "gguf/gguf_writer.h"

namespace reprise {

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
class RandomBits {
  public:
    explicit RandomBits(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    /// In [0, 1).
    float uniform() { return static_cast<float>(next() >> 40) * 0x1p-24f; }
    /// In [0, n).
    uint64_t below(uint64_t n) { return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64); }

  private:
    uint64_t state_;
};

/// Rows of n_cols independent weights with mean 0 and the given standard deviation; the same for the same seed, however
/// they are divided among threads. Float types are normal, quantised ones have random quants under random scales.
RowSource random_rows(TensorType type, uint64_t n_cols, float deviation, uint64_t seed);

/// Normal values with a mean, as F32: norms and biases.
RowSource random_vector(uint64_t n, float mean, float deviation, uint64_t seed);

}  // namespace reprise
