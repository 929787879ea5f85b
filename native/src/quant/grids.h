// The codebooks of the IQ types: what an index in a block stands for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace reprise {

/// n entries of 4 * n_words bytes, the first in the lowest bits of the first word.
template <size_t n, size_t n_words>
struct Grid {
    static constexpr size_t kEntries = n, kValues = 4 * n_words;
    uint32_t words[n][n_words];

    int value(size_t entry, size_t i) const { return static_cast<int>(words[entry][i / 4] >> (8 * (i % 4)) & 255); }
};

// Magnitudes of eight and of four weights.
extern const Grid<256, 2> IQ2_XXS_GRID;
extern const Grid<512, 2> IQ2_XS_GRID;
extern const Grid<1024, 2> IQ2_S_GRID;
extern const Grid<256, 1> IQ3_XXS_GRID;
extern const Grid<512, 1> IQ3_S_GRID;
/// Eight weights of IQ1_S and IQ1_M: 0, 8 and 16 for -1, 0 and 1.
extern const Grid<2048, 2> IQ1_GRID;

}  // namespace reprise
