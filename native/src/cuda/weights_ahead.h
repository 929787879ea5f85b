// Weights that a kernel brings into the L2 for one to come: pieces of what each of its blocks reads, with gaps between them,
// so that the block then draws on the L2 and on memory by turns. Where all it reads at a time lies in the L2, memory idles.
// Only a kernel that reads little itself, while its predecessor reads little too, has the time for it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/tile_shares.h"

namespace reprise::cuda {

struct WeightsAhead {
    static constexpr uint32_t PIECES = 8;  // of a block, per matrix

    const uint8_t* data[2] = {};  // the second may be null
    uint32_t tile_bytes[2] = {};
    TileShares shares;         // of the kernel to come
    uint32_t blocks = 0;       // of that
    uint32_t piece_bytes = 0;  // 0: nothing is brought
    uint32_t stride = 0;       // from a piece to the next, in bytes

    /// bytes of every share, which is of share_bytes at least, spread over the first span bytes of it. Nothing if that is
    /// too little for a piece each.
    void spread(uint32_t share_bytes, uint32_t bytes, uint32_t span) {
        constexpr uint32_t LEAST = 256;
        const uint32_t piece = std::min(bytes, share_bytes) / PIECES / 16 * 16;
        if (piece < LEAST) return;
        piece_bytes = piece;
        stride = std::max(piece, std::min(share_bytes, span) / PIECES / 16 * 16);
    }
};

}  // namespace reprise::cuda
