// Weights that a kernel brings into the L2 for one to come: pieces of what each of its blocks reads, with gaps between them,
// so that the block then draws on the L2 and on memory by turns. Where all it reads at a time lies in the L2, memory idles.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuda/tile_shares.h"

namespace reprise::cuda {

struct WeightsAhead {
    static constexpr uint32_t PIECES = 8;  // of a block, per matrix

    const uint8_t* data[2] = {};
    uint32_t tile_bytes[2] = {};
    TileShares shares;         // of the kernel to come
    uint32_t blocks = 0;       // of that
    uint32_t piece_bytes = 0;  // 0: nothing is brought
    uint32_t stride = 0;       // from a piece to the next, in bytes
};

/// Pieces of a share of share_bytes of each of two matrices, for a kernel that begins when one whose blocks read
/// bytes_between each has begun. The amounts are those that were fastest on an H100: the less the longer what is between
/// takes, since the rings are filled meanwhile.
inline void choose_pieces(WeightsAhead& ahead, uint32_t share_bytes, size_t bytes_between) {
    constexpr size_t MOST = 32 * 1024, BETWEEN = 96 * 1024, SPAN = 64 * 1024, LEAST = 256;
    const size_t bytes = std::min({size_t{share_bytes} / 2, MOST, bytes_between < BETWEEN ? BETWEEN - bytes_between : 0});
    const size_t piece = bytes / WeightsAhead::PIECES / 16 * 16;
    if (piece < LEAST) return;
    ahead.piece_bytes = static_cast<uint32_t>(piece);
    ahead.stride = static_cast<uint32_t>(std::min(size_t{share_bytes}, SPAN) / WeightsAhead::PIECES / 16 * 16);
}

}  // namespace reprise::cuda
