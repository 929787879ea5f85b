// The fused product kernel. A block owns a run of tiles (four rows each), cut into pieces of a few bricks that its
// warps take in turn, each with its own ring, so that the block reads one contiguous stream and a warp waits for
// nothing but its own bytes:
//
//   fetch the first pieces of weights        before the predecessor has finished: weights never change; where parts are
//                                            paired, even warps have the one and odd warps the other
//   prefetch weights of a kernel to come
//   wait for the predecessor
//   bring the input into shared memory       every block for itself, in 8 bits for quantised weights; the norm's factor
//                                            is applied in the epilogue, so that one barrier serves the sum of squares
//                                            and the values
//   pieces: dot products, refill the ring    a piece's four partial sums go to shared memory
//   add the partial sums in order, epilogue
#include <algorithm>

#include "cuda/copy_ring.cuh"
#include "cuda/fused_input.cuh"
#include "cuda/fused_project.h"
#include "cuda/launch.cuh"
#include "cuda/quant_dot.cuh"
#include "cuda/weight_prefetch.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t MAX_WARPS = 12;  // fewer where shared memory does not hold two pieces for each
constexpr uint32_t MAX_THREADS = MAX_WARPS * 32;
constexpr uint32_t MAX_PARTS = 3;
constexpr uint32_t MAX_STAGES = 6;
constexpr uint32_t MAX_PIECE_BRICKS = 2;
constexpr uint32_t MAX_PARTIAL_BYTES = 32 * 1024;  // of a block's partial sums, roughly

struct FusedPart {
    const uint8_t* tiles;
    float* out;
    const float* bias;
    const float* residual;
    uint32_t rows;
    uint32_t first_tile, end_tile;  // among the tiles of all parts
    bool second_type;
};

struct FusedArgs {
    FusedPart parts[MAX_PARTS];
    uint32_t n_parts;
    TileShares shares;  // of the tiles of all parts, or of one where they are paired
    TileLayout layouts[2];
    uint32_t cols;
    float inverse_cols;
    uint32_t piece_units;                  // of a piece, but for a tile's last
    uint32_t pieces_per_tile, reciprocal;  // 65536 / pieces_per_tile, rounded up
    uint32_t step_tiles, step_pieces;      // from a warp's piece to its next
    FusedInput input;
    WeightPrefetch prefetch;
    uint32_t n_stages, stage_bytes;
    uint32_t n_pieces;     // of a block, at most; of each part where they are paired
    uint32_t input_bytes;  // of shared memory
};

enum class Epilogue {
    STORE,   // out = y + bias + residual, parts one after the other
    SWIGLU,  // out = silu(part 0) * part 1, tile by tile
};

/// Adds units first_unit to first_unit + n_units - 1 of the four rows of a tile, which lie in a stage.
template <TensorType T>
__device__ __forceinline__ void multiply_piece(const uint8_t* input, uint32_t cols, uint32_t units, uint32_t first_unit,
                                               uint32_t n_units, const uint8_t* stage, uint32_t brick_bytes,
                                               uint32_t lane, float* acc) {
#pragma unroll 1
    for (uint32_t unit = lane; unit < n_units; unit += BRICK_UNITS, stage += brick_bytes) {
        const auto x = Dot<T>::load_input(input, cols, units, first_unit + unit);
        uint4 raw[Dot<T>::WORDS];
        Dot<T>::template load<SharedSource>(raw, stage, min(n_units - (unit - lane), BRICK_UNITS), lane);
        Dot<T>::add(raw, x, acc);
    }
}

/// An ordinary load of what never changes is moved by the compiler to where its value is used; this one stays where it
/// is.
__device__ __forceinline__ float load_here(const float* p) {
    float v;
    asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(v) : "l"(p) : "memory");
    return v;
}

/// A warp's way through the pieces of the block's tiles: warp number w takes pieces w, w + n ...
struct Cursor {
    uint32_t tile, piece;  // among the tiles of all parts, or of one where they are paired; of the tile

    __device__ __forceinline__ void advance(const FusedArgs& args) {
        tile += args.step_tiles;
        piece += args.step_pieces;
        if (piece >= args.pieces_per_tile) {
            piece -= args.pieces_per_tile;
            ++tile;
        }
    }
};

/// A and B: the types of the parts (B is A where all are of one type).
template <TensorType A, TensorType B, Epilogue E>
__global__ void __launch_bounds__(MAX_THREADS, 2) fused_kernel(const __grid_constant__ FusedArgs args) {
    constexpr bool QUANTIZED = is_quantized(A), PAIRED = E == Epilogue::SWIGLU,
                   CAN_COPY_INPUT = !QUANTIZED && !PAIRED && InputCopy::EXISTS;
    extern __shared__ __align__(128) uint8_t shared[];
    __shared__ uint64_t barriers[MAX_WARPS][MAX_STAGES];
    __shared__ alignas(16) float squares_of_warp[MAX_WARPS];
    __shared__ uint64_t input_barrier;
    Timeline times(args.parts[0].tiles);
    uint8_t* const input = shared;
    float* const partial =
        reinterpret_cast<float*>(shared + args.input_bytes);  // [parts where paired][n_pieces][TILE_ROWS]
    uint8_t* const rings =
        shared + CopyRing::whole_lines(args.input_bytes + (PAIRED ? 2 : 1) * args.n_pieces * TILE_ROWS * 4);

    // The shuffle tells the compiler that all lanes have the same, so that a warp's way is reckoned once for all of
    // them.
    const uint32_t thread = opaque(threadIdx.x), lane = opaque(threadIdx.x % 32),
                   warp = __shfl_sync(~0u, threadIdx.x / 32, 0);
    const uint32_t units = args.layouts[0].units;
    const uint32_t n_tiles = args.shares.count(blockIdx.x), first_tile = args.shares.first(blockIdx.x),
                   end_tile = first_tile + n_tiles;

    // Paired parts have a warp each in turns.
    const uint32_t first_piece = PAIRED ? warp / 2 : warp;
    Cursor fetching;
    fetching.tile = first_piece * args.reciprocal >> 16;
    fetching.piece = first_piece - fetching.tile * args.pieces_per_tile;
    fetching.tile += first_tile;
    Cursor taking = fetching;

    CopyRing ring(rings + warp * args.n_stages * args.stage_bytes, barriers[warp], args.n_stages, args.stage_bytes,
                  lane);
    release_successor();

    // What of a part the fetches need; they go through the parts in order.
    uint32_t part = PAIRED ? warp % 2 : 0, end_of_part = PAIRED ? end_tile : 0;
    const uint8_t* tiles = args.parts[part].tiles;
    bool second = A != B && args.parts[part].second_type;
    const auto fetch_next = [&] {
        if constexpr (!PAIRED) {
            if (fetching.tile >= end_of_part) {
                part = 0;
                while (fetching.tile >= args.parts[part].end_tile) ++part;
                end_of_part = args.parts[part].end_tile;
                second = A != B && args.parts[part].second_type;
                tiles = args.parts[part].tiles - size_t{args.parts[part].first_tile} * args.layouts[second].bytes;
            }
        }
        const uint32_t tile_bytes = second ? args.layouts[1].bytes : args.layouts[0].bytes;
        const uint8_t* tile = tiles + size_t{fetching.tile} * tile_bytes;
        const uint32_t piece_bytes =
            args.piece_units / BRICK_UNITS * (second ? args.layouts[1].brick_bytes : args.layouts[0].brick_bytes);
        const uint32_t offset = fetching.piece * piece_bytes;
        ring.fetch(tile + offset, min(tile_bytes - offset, piece_bytes), second);
        fetching.advance(args);
    };
#pragma unroll 1
    for (uint32_t i = 0; i < args.n_stages && fetching.tile < end_tile; ++i) fetch_next();
    prefetch_weights(args.prefetch, warp, blockDim.x / 32, lane);
    EarlyNorms early;
    early.load(args.input, args.cols);

    const bool copies_input = CAN_COPY_INPUT && args.input.norm == nullptr;
    const InputCopy input_copy(&input_barrier);
    if (copies_input) input_copy.prepare();

    const uint32_t n_rows = n_tiles * TILE_ROWS;
    struct Row {
        uint32_t part, row;
    };
    const auto place_row = [&](uint32_t i) {
        if constexpr (PAIRED) return Row{0, first_tile * TILE_ROWS + i};
        const uint32_t tile = first_tile + i / TILE_ROWS;
        uint32_t of_part = 0;
#pragma unroll
        for (uint32_t p = 0; p + 1 < MAX_PARTS; ++p) of_part += p + 1 < args.n_parts && tile >= args.parts[p].end_tile;
        return Row{of_part, (tile - args.parts[of_part].first_tile) * TILE_ROWS + i % TILE_ROWS};
    };
    struct Addends {
        const float* bias = nullptr;
        const float* residual = nullptr;
    };
    const auto addends_of = [&](uint32_t i) {
        if (PAIRED || i >= n_rows) return Addends{};
        const Row at = place_row(i);
        const FusedPart& of = args.parts[at.part];
        if (at.row >= of.rows) return Addends{};
        return Addends{of.bias == nullptr ? nullptr : of.bias + at.row,
                       of.residual == nullptr ? nullptr : of.residual + at.row};
    };
    // What the epilogue adds to this thread's first row is asked for here, so that nobody waits for it there. The two
    // are not added up before, since their sum would have to wait for them.
    const Addends first = addends_of(thread);
    const float first_bias = first.bias == nullptr ? 0.f : load_here(first.bias);

    times.pass(Point::FETCHING);
    wait_for_predecessor();
    const float first_residual = first.residual == nullptr ? 0.f : __ldcg(first.residual);
    times.pass(Point::RELEASED);
    float squares = 0;
    if (copies_input) {
        input_copy.take(args.input, args.cols, input);
    } else {
        squares = take_input<QUANTIZED>(args.input, early, args.cols, input, thread);
    }
    if (args.input.norm != nullptr) {
#pragma unroll
        for (int offset = 16; offset > 0; offset /= 2) squares += __shfl_xor_sync(~0u, squares, offset);
        if (lane == 0) squares_of_warp[warp] = squares;
    }
    __syncthreads();
    times.pass(Point::INPUT_READY);

    float* result =
        partial + ((PAIRED ? warp % 2 * args.n_pieces : 0) + first_piece) * TILE_ROWS + lane / 16 * 2 + lane / 8 % 2;
    const uint32_t result_step = (args.step_tiles * args.pieces_per_tile + args.step_pieces) * TILE_ROWS;
#pragma unroll 1
    for (; taking.tile < end_tile; taking.advance(args), result += result_step) {
        const bool taking_second = A != B && ring.tag();
        const uint8_t* stage = ring.take();
        const uint32_t first_unit = taking.piece * args.piece_units;
        const uint32_t n_units = min(units - first_unit, args.piece_units);
        float acc[TILE_ROWS] = {};
        if (taking_second) {
            multiply_piece<B>(input, args.cols, units, first_unit, n_units, stage, args.layouts[1].brick_bytes, lane,
                              acc);
        } else {
            multiply_piece<A>(input, args.cols, units, first_unit, n_units, stage, args.layouts[0].brick_bytes, lane,
                              acc);
        }
        __syncwarp();
        if (fetching.tile < end_tile) fetch_next();
        const float sum = reduce_rows(acc, lane);
        if (lane % 8 == 0) *result = sum;
    }
    float factor = 1;
    if (args.input.norm != nullptr) {
        float sum = 0;
#pragma unroll
        for (uint32_t w = 0; w < MAX_WARPS; w += 4) {
            const float4 of_warps = *reinterpret_cast<const float4*>(squares_of_warp + w);
            const uint32_t warps = blockDim.x / 32;
            sum += (w < warps ? of_warps.x : 0.f) + (w + 1 < warps ? of_warps.y : 0.f) +
                   (w + 2 < warps ? of_warps.z : 0.f) + (w + 3 < warps ? of_warps.w : 0.f);
        }
        factor = rsqrtf(fmaf(sum, args.inverse_cols, args.input.eps));
    }
    __syncthreads();
    times.pass(Point::COMPUTED);

    // A row's sum over its pieces, in order, without the norm's factor.
    const auto sum_of = [&](const float* of_row) {
        float sum = 0;
#pragma unroll 1
        for (uint32_t piece = 0; piece < args.pieces_per_tile; piece += 4) {
            float of_piece[4];
#pragma unroll
            for (uint32_t j = 0; j < 4; ++j)
                of_piece[j] = piece + j < args.pieces_per_tile ? of_row[(piece + j) * TILE_ROWS] : 0.f;
#pragma unroll
            for (uint32_t j = 0; j < 4; ++j) sum += of_piece[j];
        }
        return sum;
    };
#pragma unroll 1
    for (uint32_t i = thread; i < n_rows; i += blockDim.x) {
        const Row at = place_row(i);
        const FusedPart& of = args.parts[at.part];
        if (at.row >= of.rows) continue;
        const float* of_row = partial + (i / TILE_ROWS * args.pieces_per_tile * TILE_ROWS + i % TILE_ROWS);
        const float sum = sum_of(of_row);
        if constexpr (PAIRED) {
            const float gate = sum * factor, up = sum_of(of_row + args.n_pieces * TILE_ROWS) * factor;
            const float y = __fdividef(gate, 1.f + __expf(-gate)) * up;
            delay_point();
            if constexpr (QUANTIZED) {
                reinterpret_cast<__nv_bfloat16*>(of.out)[at.row] = __float2bfloat16_rn(y);
            } else {
                of.out[at.row] = y;
            }
        } else {
            delay_point();
            float addend = first_bias + first_residual;
            if (i != thread) {
                const Addends addends = addends_of(i);
                addend = (addends.bias == nullptr ? 0.f : __ldg(addends.bias)) +
                         (addends.residual == nullptr ? 0.f : __ldcg(addends.residual));
            }
            of.out[at.row] = fmaf(sum, factor, addend);
        }
    }
    times.pass(Point::END);
}

using Kernel = void (*)(FusedArgs);

struct KernelEntry {
    TensorType a, b;
    Epilogue epilogue;
    Kernel kernel;
};

template <Epilogue E, TensorType A, TensorType B = A>
constexpr KernelEntry entry() {
    return {A, B, E, fused_kernel<A, B, E>};
}

// The types of a mix have their products in one kernel, also where a product has one of them alone: a step whose
// kernels exceed the instruction cache together fetches all of them again and again, which costs more than the choice
// of type. The first entry that takes all types of a product has it: Q6_K alone goes with Q4_K, beside Q5_K too.
const KernelEntry KERNELS[] = {
    entry<Epilogue::STORE, TensorType::F32>(),
    entry<Epilogue::STORE, TensorType::F16>(),
    entry<Epilogue::STORE, TensorType::BF16>(),
    entry<Epilogue::STORE, TensorType::Q4_0>(),
    entry<Epilogue::STORE, TensorType::Q4_1>(),
    entry<Epilogue::STORE, TensorType::Q8_0>(),
    entry<Epilogue::STORE, TensorType::Q4_K, TensorType::Q6_K>(),
    entry<Epilogue::STORE, TensorType::Q5_K, TensorType::Q6_K>(),
    entry<Epilogue::SWIGLU, TensorType::F32>(),
    entry<Epilogue::SWIGLU, TensorType::F16>(),
    entry<Epilogue::SWIGLU, TensorType::BF16>(),
    entry<Epilogue::SWIGLU, TensorType::Q4_0>(),
    entry<Epilogue::SWIGLU, TensorType::Q4_1>(),
    entry<Epilogue::SWIGLU, TensorType::Q8_0>(),
    entry<Epilogue::SWIGLU, TensorType::Q4_K>(),
    entry<Epilogue::SWIGLU, TensorType::Q5_K>(),
    entry<Epilogue::SWIGLU, TensorType::Q6_K>(),
    entry<Epilogue::SWIGLU, TensorType::Q4_K, TensorType::Q6_K>(),
    entry<Epilogue::SWIGLU, TensorType::Q5_K, TensorType::Q6_K>(),
};

const KernelEntry* find_entry(std::span<const MatvecPart> parts, Epilogue epilogue) {
    for (const MatvecPart& part : parts) {
        if (part.matrix->cols != parts[0].matrix->cols) return nullptr;
    }
    for (const KernelEntry& e : KERNELS) {
        const auto takes = [&](const MatvecPart& part) { return part.matrix->type == e.a || part.matrix->type == e.b; };
        if (e.epilogue == epilogue && std::ranges::all_of(parts, takes)) return &e;
    }
    return nullptr;
}

/// Bytes of a tile's largest brick.
uint32_t brick_bytes(const TileLayout& layout) { return std::min(layout.brick_bytes, layout.bytes); }

FusedArgs args_of(const KernelEntry& entry, std::span<const MatvecPart> parts) {
    FusedArgs args = {};
    args.cols = parts[0].matrix->cols;
    args.inverse_cols = 1.f / static_cast<float>(args.cols);
    args.layouts[0] = tile_layout(entry.a, args.cols);
    args.layouts[1] = tile_layout(entry.b, args.cols);
    for (const MatvecPart& part : parts) {
        const DeviceMatrix& m = *part.matrix;
        const uint32_t first = args.n_parts == 0 ? 0 : args.parts[args.n_parts - 1].end_tile;
        args.parts[args.n_parts++] = {
            m.data, part.out, part.bias, part.residual, m.rows, first, first + tile_count(m.rows), m.type != entry.a};
    }
    return args;
}

/// A launch's parts side by side.
uint32_t parts_together(Epilogue epilogue) { return epilogue == Epilogue::SWIGLU ? 2 : 1; }

/// Bricks of a tile.
uint32_t brick_count(const TileLayout& layout) { return (layout.units + BRICK_UNITS - 1) / BRICK_UNITS; }

struct Grid {
    uint32_t blocks;
    TileShares shares;
};

/// A block for every multiprocessor, one without tiles too, to keep its slot; more where a block's partial sums would
/// take the room of its ring.
Grid grid_of(Epilogue epilogue, const FusedArgs& args, uint32_t n_sms) {
    const uint32_t together = parts_together(epilogue);
    const uint32_t n_tiles = args.parts[args.n_parts - together].end_tile;
    const uint32_t partial_bytes = together * brick_count(args.layouts[0]) * TILE_ROWS * 4;  // of a tile
    Grid grid = {};
    do {
        grid.blocks += n_sms;
        grid.shares = TileShares::of(n_tiles, grid.blocks);
    } while (grid.shares.most * partial_bytes > MAX_PARTIAL_BYTES && grid.shares.most > 1);
    return grid;
}

struct Geometry {
    uint32_t grid, warps, shared_bytes;
};

/// How a launch goes about its tiles; fills in the rest of args.
Geometry geometry_of(const KernelEntry& entry, const DeviceTraits& traits, Slot slot, FusedArgs& args) {
    const SlotSize size = slot_size(slot, traits);
    const uint32_t together = parts_together(entry.epilogue);
    const uint32_t bricks = brick_count(args.layouts[0]);
    const Grid grid = grid_of(entry.epilogue, args, static_cast<uint32_t>(traits.n_sms));
    args.shares = grid.shares;
    args.input_bytes = CopyRing::whole_lines(is_quantized(entry.a) ? args.cols / 32 * 40 : args.cols * 4);
    const uint32_t brick = std::max(brick_bytes(args.layouts[0]), brick_bytes(args.layouts[1]));
    // Larger pieces mean fewer reductions, smaller ones an even share for every warp and room for two stages.
    uint32_t fixed, warps = MAX_WARPS;
    const auto needed = [&](uint32_t stages) { return fixed + warps * stages * args.stage_bytes; };
    uint32_t piece_bricks =
        std::clamp(args.shares.most * together * bricks / (4 * warps), 1u, std::min(bricks, MAX_PIECE_BRICKS));
    for (;;) {
        args.pieces_per_tile = (bricks + piece_bricks - 1) / piece_bricks;
        args.n_pieces = args.shares.most * args.pieces_per_tile;
        fixed = CopyRing::whole_lines(args.input_bytes + together * args.n_pieces * TILE_ROWS * 4);
        args.stage_bytes = CopyRing::whole_lines(piece_bricks * brick + CopyRing::LINE);
        if (needed(2) <= size.most) break;
        if (piece_bricks > 1) {
            --piece_bricks;
        } else if (warps > 4) {
            warps -= together;  // paired parts share them evenly
        } else {
            break;
        }
    }
    args.piece_units = piece_bricks * BRICK_UNITS;
    args.reciprocal = (65536 + args.pieces_per_tile - 1) / args.pieces_per_tile;
    args.step_tiles = warps / together / args.pieces_per_tile;
    args.step_pieces = warps / together % args.pieces_per_tile;
    const uint32_t room = fixed < size.most ? size.most - fixed : 0;
    args.n_stages = std::clamp(room / (warps * args.stage_bytes), 1u, MAX_STAGES);
    return {grid.blocks, warps, std::max(needed(args.n_stages), size.least)};
}

void launch_fused(std::span<const MatvecPart> parts, Epilogue epilogue, const FusedInput& input,
                  const WeightPrefetch& prefetch, Slot slot, cudaStream_t stream) {
    const KernelEntry* entry = find_entry(parts, epilogue);
    if (entry == nullptr || parts.size() > MAX_PARTS || parts[0].matrix->cols % 32 != 0)
        fail(REPRISE_INTERNAL, "a fused product of matrices that do not go together");
    if (input.bf16 && !takes_bf16(*parts[0].matrix))
        fail(REPRISE_INTERNAL, "a fused product of float weights with bfloat16");
    FusedArgs args = args_of(*entry, parts);
    args.input = input;
    args.prefetch = prefetch;
    const Geometry geometry = geometry_of(*entry, device_traits(), slot, args);
    launch(entry->kernel, geometry.grid, geometry.warps * 32, geometry.shared_bytes, stream, args);
}

/// Whether the device's shared memory holds a launch.
bool fits(std::span<const MatvecPart> parts, Epilogue epilogue) {
    constexpr uint32_t STATIC_BYTES = 2048;  // of the kernel's own variables and of the system's, rounded up
    const KernelEntry& entry = *find_entry(parts, epilogue);
    FusedArgs args = args_of(entry, parts);
    const DeviceTraits traits = device_traits();
    return geometry_of(entry, traits, Slot::LARGE, args).shared_bytes + STATIC_BYTES <= traits.shared_per_block &&
           geometry_of(entry, traits, Slot::SMALL, args).shared_bytes + STATIC_BYTES <= traits.shared_per_block;
}

/// The weights of a product to come, of which nothing is prefetched yet.
WeightPrefetch prefetch_of(std::span<const MatvecPart> parts, Epilogue epilogue, uint32_t n_sms) {
    const KernelEntry* entry = find_entry(parts, epilogue);
    if (entry == nullptr || parts.size() > WeightPrefetch::MATRICES)
        fail(REPRISE_INTERNAL, "a prefetch of matrices that do not go together");
    const FusedArgs args = args_of(*entry, parts);
    const Grid grid = grid_of(epilogue, args, n_sms);
    WeightPrefetch prefetch;
    prefetch.shares = grid.shares;
    prefetch.blocks = grid.blocks;
    for (size_t i = 0; i < parts.size(); ++i) {
        prefetch.data[i] = parts[i].matrix->data;
        prefetch.tile_bytes[i] = args.layouts[args.parts[i].second_type].bytes;
    }
    return prefetch;
}

}  // namespace

// The amounts that were fastest on an H100, by bench/kernels/decode_chain.cu MODEL for the shapes that it knows: too
// little leaves memory idle while the next kernel begins, too much is taken from the kernels that stream meanwhile.

WeightPrefetch gated_feed_forward_prefetch(const DeviceMatrix& gate, const DeviceMatrix& up, size_t bytes_between,
                                           uint32_t n_sms) {
    // The less the longer what is between takes, since the rings are filled meanwhile.
    constexpr uint32_t MOST = 32 * 1024, BETWEEN = 96 * 1024, SPAN = 64 * 1024;
    const MatvecPart parts[] = {{&gate, nullptr}, {&up, nullptr}};
    WeightPrefetch prefetch = prefetch_of(parts, Epilogue::SWIGLU, n_sms);
    const size_t of_block = bytes_between / n_sms;
    if (of_block < BETWEEN)
        prefetch.spread(std::min({prefetch.share_bytes() / 2, MOST, BETWEEN - static_cast<uint32_t>(of_block)}), SPAN);
    return prefetch;
}

WeightPrefetch project_prefetch(const DeviceMatrix& matrix, size_t bytes_between, uint32_t n_sms) {
    // A share that its block's ring holds needs nothing, and what is prefetched does not outlast more than an L2.
    constexpr uint32_t MOST = 16 * 1024, RING = 48 * 1024, SPAN = 128 * 1024;
    constexpr size_t BETWEEN = size_t{64} << 20;
    const MatvecPart parts[] = {{&matrix, nullptr}};
    WeightPrefetch prefetch = prefetch_of(parts, Epilogue::STORE, n_sms);
    if (prefetch.share_bytes() > RING && bytes_between < BETWEEN) prefetch.spread(MOST, SPAN);
    return prefetch;
}

size_t fused_together(std::span<const MatvecPart> parts) {
    if (parts[0].matrix->cols % 32 != 0) return 0;
    for (size_t n = std::min<size_t>(parts.size(), MAX_PARTS); n > 0; --n) {
        if (find_entry(parts.first(n), Epilogue::STORE) != nullptr) return n;
    }
    return 0;
}

bool can_fuse_gated(const DeviceMatrix& gate, const DeviceMatrix& up) {
    const MatvecPart parts[] = {{&gate, nullptr}, {&up, nullptr}};
    return gate.cols % 32 == 0 && find_entry(parts, Epilogue::SWIGLU) != nullptr;
}

bool fits_device(std::span<const MatvecPart> parts) { return fits(parts, Epilogue::STORE); }

bool gated_fits_device(const DeviceMatrix& gate, const DeviceMatrix& up) {
    const MatvecPart parts[] = {{&gate, nullptr}, {&up, nullptr}};
    return fits(parts, Epilogue::SWIGLU);
}

void fused_project(std::span<const MatvecPart> parts, const FusedInput& input, const WeightPrefetch& prefetch,
                   Slot slot, cudaStream_t stream) {
    launch_fused(parts, Epilogue::STORE, input, prefetch, slot, stream);
}

void fused_gated_feed_forward(const DeviceMatrix& gate, const DeviceMatrix& up, const FusedInput& input, void* out,
                              Slot slot, cudaStream_t stream) {
    const MatvecPart parts[2] = {{&gate, static_cast<float*>(out)}, {&up, static_cast<float*>(out)}};
    launch_fused(parts, Epilogue::SWIGLU, input, {}, slot, stream);
}

bool writes_bf16(const DeviceMatrix& gate) { return is_quantized(gate.type); }

bool takes_bf16(const DeviceMatrix& matrix) { return is_quantized(matrix.type); }

void load_fused_kernels() {
    for (const KernelEntry& e : KERNELS) load_kernel_with_shared_memory(e.kernel);
}

}  // namespace reprise::cuda
