// Weights that a kernel prefetches into the L2 for one to come: pieces of what each of its blocks reads, with gaps
// between them, so that the block then draws on the L2 and on memory by turns. Where all it reads for a while lies in
// the L2, memory idles meanwhile.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/tile_shares.h"

namespace reprise::cuda {

struct WeightPrefetch {
    static constexpr uint32_t PIECES = 8;  // of a block, per matrix
    static constexpr uint32_t MATRICES = 2;

    const uint8_t* data[MATRICES] = {};  // the second may be null
    uint32_t tile_bytes[MATRICES] = {};
    TileShares shares;         // of the kernel to come
    uint32_t blocks = 0;       // of that
    uint32_t piece_bytes = 0;  // 0: nothing is prefetched
    uint32_t stride = 0;       // from a piece to the next, in bytes

    /// The smallest share that a block has of a matrix, in bytes.
    uint32_t share_bytes() const {
        const uint32_t smallest = data[1] == nullptr ? tile_bytes[0] : std::min(tile_bytes[0], tile_bytes[1]);
        return shares.count(blocks - 1) * smallest;
    }

    /// bytes of every share, spread over the first span bytes of it. Nothing if that is too little for a piece each.
    void spread(uint32_t bytes, uint32_t span) {
        constexpr uint32_t LEAST = 256;
        const uint32_t piece = std::min(bytes, share_bytes()) / PIECES / 16 * 16;
        if (piece < LEAST) return;
        piece_bytes = piece;
        stride = std::max(piece, std::min(share_bytes(), span) / PIECES / 16 * 16);
    }
};

}  // namespace reprise::cuda
