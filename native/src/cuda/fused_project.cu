// The fused product kernel. A block owns a run of tiles (four rows each), cut into pieces of a few bricks that its warps
// take in turn, each with its own ring, so that the block reads one contiguous stream and a warp waits for nothing but
// its own bytes:
//
//   fetch the first pieces of weights        before the predecessor has finished: weights never change
//   wait for the predecessor
//   quantise the input into shared memory    every block for itself; the norm's factor is applied in the epilogue, so
//                                            that one barrier serves the sum of squares and the values
//   pieces: dot products, refill the ring    a piece's four partial sums go to shared memory
//   add the partial sums in order, epilogue
#include <algorithm>

#include "cuda/copy_ring.cuh"
#include "cuda/fused_input.cuh"
#include "cuda/fused_project.h"
#include "cuda/launch.cuh"
#include "cuda/quant_dot.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t MAX_WARPS = 12;  // fewer where shared memory does not hold two pieces for each
constexpr uint32_t MAX_THREADS = MAX_WARPS * 32;
constexpr uint32_t MAX_PARTS = 3;
constexpr uint32_t MAX_STAGES = 6;
constexpr uint32_t MAX_PIECE_BRICKS = 2;
constexpr uint32_t MAX_PARTIAL_BYTES = 32 * 1024;  // of a block's partial sums, roughly
// A float "brick": this many 16-byte words of each of the four rows.
constexpr uint32_t FLOAT_BRICK_WORDS = 32;

struct FusedPart {
    const uint8_t* tiles;
    float* out;
    const float* bias;
    const float* residual;
    uint32_t rows;
    uint32_t first_tile;  // among the tiles of all parts
    bool second_type;
};

struct FusedArgs {
    FusedPart parts[MAX_PARTS];
    uint32_t n_parts, n_tiles;  // tiles of all parts; of one part where they are paired
    TileLayout layouts[2];
    uint32_t cols;
    float inverse_cols;
    uint32_t piece_bricks, pieces_per_tile;
    FusedInput input;
    uint32_t n_stages, stage_bytes;
    uint32_t n_pieces;     // of a block, at most
    uint32_t input_bytes;  // of shared memory
};

enum class Epilogue {
    STORE,   // out = y + bias + residual, parts one after the other
    SWIGLU,  // out = silu(part 0) * part 1, tile by tile
};

/// Adds units first_unit to first_unit + n_units - 1 of the four rows of a tile, which lie in a stage.
template <TensorType T>
__device__ __forceinline__ void multiply_piece(const uint8_t* input, uint32_t cols, uint32_t units, uint32_t first_unit, uint32_t n_units,
                                               const uint8_t* stage, uint32_t brick_bytes, uint32_t lane, float* acc) {
    constexpr uint32_t STEP = is_quantized(T) ? BRICK_GROUPS : FLOAT_BRICK_WORDS;
    // Float rows lie whole in the stage, bricks of quantised ones behind each other.
#pragma unroll 1
    for (uint32_t unit = lane; unit < n_units; unit += STEP) {
        const auto x = Dot<T>::load_input(input, cols, units, first_unit + unit);
        uint4 raw[Dot<T>::WORDS];
        if constexpr (is_quantized(T)) {
            Dot<T>::template load<SharedSource>(raw, stage, min(n_units - (unit - lane), STEP), lane);
            stage += brick_bytes;
        } else {
            Dot<T>::template load<SharedSource>(raw, stage, n_units, unit);
        }
        Dot<T>::add(raw, x, acc);
    }
}

/// A and B: the types of the parts (B is A where all are of one type).
template <TensorType A, TensorType B, Epilogue E>
__global__ void __launch_bounds__(MAX_THREADS, 2) fused_kernel(const __grid_constant__ FusedArgs args) {
    constexpr bool QUANTIZED = is_quantized(A);
    constexpr uint32_t UNITS_PER_BRICK = QUANTIZED ? BRICK_GROUPS : FLOAT_BRICK_WORDS;
    extern __shared__ __align__(128) uint8_t shared[];
    __shared__ uint64_t barriers[MAX_WARPS][MAX_STAGES];
    __shared__ alignas(16) float squares_of_warp[MAX_WARPS];
    Timeline times(args.parts[0].tiles);
    uint8_t* const input = shared;
    float* const partial = reinterpret_cast<float*>(shared + args.input_bytes);  // [n_pieces][TILE_ROWS]
    uint8_t* const rings = shared + CopyRing::whole_lines(args.input_bytes + args.n_pieces * TILE_ROWS * 4);

    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const uint32_t units = args.layouts[0].groups;
    const uint32_t first_tile = args.n_tiles * blockIdx.x / gridDim.x;
    const uint32_t n_tiles = args.n_tiles * (blockIdx.x + 1) / gridDim.x - first_tile;
    // Local tiles: paired parts alternate.
    const uint32_t n_pieces = (E == Epilogue::SWIGLU ? 2 : 1) * n_tiles * args.pieces_per_tile;

    struct Place {
        uint32_t part, tile;  // tile of that part
    };
    const auto place_tile = [&](uint32_t local) {
        if constexpr (E == Epilogue::SWIGLU) return Place{local % 2, first_tile + local / 2};
        const uint32_t tile = first_tile + local;
        uint32_t part = 0;
#pragma unroll
        for (uint32_t i = 1; i < MAX_PARTS; ++i) part += i < args.n_parts && tile >= args.parts[i].first_tile;
        return Place{part, tile - args.parts[part].first_tile};
    };
    const auto is_second = [&](const Place& place) { return A != B && args.parts[place.part].second_type; };

    // Pieces warp, warp + warps ...: a cursor over them.
    struct Cursor {
        uint32_t piece, tile, piece_of_tile;
    };
    const uint32_t step_tiles = warps / args.pieces_per_tile, step_pieces = warps % args.pieces_per_tile;
    const auto advance = [&](Cursor& c) {
        c.piece += warps;
        c.tile += step_tiles;
        c.piece_of_tile += step_pieces;
        if (c.piece_of_tile >= args.pieces_per_tile) {
            c.piece_of_tile -= args.pieces_per_tile;
            ++c.tile;
        }
    };
    Cursor fetching = {warp, warp / args.pieces_per_tile, warp % args.pieces_per_tile};
    Cursor taking = fetching;

    CopyRing ring(rings + warp * args.n_stages * args.stage_bytes, barriers[warp], args.n_stages, args.stage_bytes, lane);
    release_successor();

    const auto fetch_next = [&] {
        const Place place = place_tile(fetching.tile);
        const bool second = is_second(place);
        const TileLayout& layout = args.layouts[second];
        const uint8_t* tile = args.parts[place.part].tiles + size_t{place.tile} * layout.bytes;
        const uint32_t first_brick = fetching.piece_of_tile * args.piece_bricks;
        if constexpr (QUANTIZED) {
            const uint32_t offset = first_brick * layout.brick_bytes;
            ring.fetch(tile + offset, 1, min(layout.bytes - offset, args.piece_bricks * layout.brick_bytes), 0, second);
        } else {
            const uint32_t first_word = first_brick * UNITS_PER_BRICK;
            const uint32_t n = min(units - first_word, args.piece_bricks * UNITS_PER_BRICK);
            ring.fetch(tile + first_word * 16, TILE_ROWS, n * 16, units * 16, second);
        }
        advance(fetching);
    };
#pragma unroll 1
    for (uint32_t i = 0; i < args.n_stages && fetching.piece < n_pieces; ++i) fetch_next();
    EarlyNorms early;
    early.load(args.input, args.cols);

    times.pass(Point::FETCHING);
    wait_for_predecessor();
    times.pass(Point::RELEASED);
    // The epilogue's first row of this thread, read now so that nobody waits for it then.
    const auto addend = [&](uint32_t i) {
        float sum = 0;
        if (E == Epilogue::SWIGLU || i >= n_tiles * TILE_ROWS) return sum;
        const Place place = place_tile(i / TILE_ROWS);
        const FusedPart& part = args.parts[place.part];
        const uint32_t row = place.tile * TILE_ROWS + i % TILE_ROWS;
        if (row >= part.rows) return sum;
        if (part.bias != nullptr) sum = part.bias[row];
        if (part.residual != nullptr) sum += __ldcg(part.residual + row);
        return sum;
    };
    const float first_addend = addend(threadIdx.x);
    float squares = take_input<QUANTIZED>(args.input, early, args.cols, input);
    if (args.input.norm != nullptr) {
#pragma unroll
        for (int offset = 16; offset > 0; offset /= 2) squares += __shfl_xor_sync(~0u, squares, offset);
        if (lane == 0) squares_of_warp[warp] = squares;
    }
    __syncthreads();
    times.pass(Point::INPUT_READY);

#pragma unroll 1
    for (; taking.piece < n_pieces; advance(taking)) {
        const bool second = A != B && ring.tag();
        const uint8_t* stage = ring.take();
        const uint32_t first_unit = taking.piece_of_tile * args.piece_bricks * UNITS_PER_BRICK;
        const uint32_t n_units = min(units - first_unit, args.piece_bricks * UNITS_PER_BRICK);
        float acc[TILE_ROWS] = {};
        if (second) {
            multiply_piece<B>(input, args.cols, units, first_unit, n_units, stage, args.layouts[1].brick_bytes, lane, acc);
        } else {
            multiply_piece<A>(input, args.cols, units, first_unit, n_units, stage, args.layouts[0].brick_bytes, lane, acc);
        }
        __syncwarp();
        if (fetching.piece < n_pieces) fetch_next();
        const float sum = reduce_rows(acc, lane);
        if (lane % 8 == 0) partial[taking.piece * TILE_ROWS + lane / 16 * 2 + lane / 8 % 2] = sum;
    }
    __syncthreads();
    times.pass(Point::COMPUTED);

    float factor = 1;
    if (args.input.norm != nullptr) {
        float sum = 0;
#pragma unroll
        for (uint32_t w = 0; w < MAX_WARPS; w += 4) {
            const float4 of_warps = *reinterpret_cast<const float4*>(squares_of_warp + w);
            sum += (w < warps ? of_warps.x : 0.f) + (w + 1 < warps ? of_warps.y : 0.f) + (w + 2 < warps ? of_warps.z : 0.f) +
                   (w + 3 < warps ? of_warps.w : 0.f);
        }
        factor = rsqrtf(fmaf(sum, args.inverse_cols, args.input.eps));
    }
#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < n_tiles * TILE_ROWS; i += blockDim.x) {
        const uint32_t local = i / TILE_ROWS;
        if constexpr (E == Epilogue::SWIGLU) {
            const FusedPart& part = args.parts[0];
            const uint32_t row = first_tile * TILE_ROWS + i;
            if (row >= part.rows) continue;
            const float* p = partial + 2 * local * args.pieces_per_tile * TILE_ROWS + i % TILE_ROWS;
            float gate = 0, up = 0;
#pragma unroll 1
            for (uint32_t piece = 0; piece < args.pieces_per_tile; ++piece) {
                gate += p[piece * TILE_ROWS];
                up += p[(args.pieces_per_tile + piece) * TILE_ROWS];
            }
            gate *= factor;
            up *= factor;
            const float y = __fdividef(gate, 1.f + __expf(-gate)) * up;
            delay_point();
            if constexpr (QUANTIZED) {
                reinterpret_cast<__nv_bfloat16*>(part.out)[row] = __float2bfloat16_rn(y);
            } else {
                part.out[row] = y;
            }
        } else {
            const Place place = place_tile(local);
            const FusedPart& part = args.parts[place.part];
            const uint32_t row = place.tile * TILE_ROWS + i % TILE_ROWS;
            if (row >= part.rows) continue;
            const float* p = partial + local * args.pieces_per_tile * TILE_ROWS + i % TILE_ROWS;
            float sum = 0;
            for (uint32_t piece = 0; piece < args.pieces_per_tile; ++piece) sum += p[piece * TILE_ROWS];
            delay_point();
            part.out[row] = fmaf(sum, factor, i == threadIdx.x ? first_addend : addend(i));
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

// The types of a mix have their products in one kernel, also where a product has one of them alone: a step whose kernels
// exceed the instruction cache together fetches all of them again and again, which costs more than the choice of type.
// The first entry that takes all types of a product has it: Q6_K alone goes with Q4_K, beside Q5_K too.
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

uint32_t brick_bytes(TensorType type, const TileLayout& layout) {
    if (!is_quantized(type)) return FLOAT_BRICK_WORDS * 16 * TILE_ROWS;
    return brick_layout(quant_shape(type), std::min(layout.groups, BRICK_GROUPS)).bytes;
}

FusedArgs args_of(const KernelEntry& entry, std::span<const MatvecPart> parts, Epilogue epilogue) {
    FusedArgs args = {};
    args.cols = parts[0].matrix->cols;
    args.inverse_cols = 1.f / static_cast<float>(args.cols);
    args.layouts[0] = tile_layout(entry.a, args.cols);
    args.layouts[1] = tile_layout(entry.b, args.cols);
    for (const MatvecPart& part : parts) {
        const DeviceMatrix& m = *part.matrix;
        args.parts[args.n_parts++] = {m.data, part.out, part.bias, part.residual, m.rows, args.n_tiles, m.type != entry.a};
        args.n_tiles += tile_count(m.rows);
    }
    if (epilogue == Epilogue::SWIGLU) args.n_tiles = tile_count(parts[0].matrix->rows);
    return args;
}

struct Geometry {
    uint32_t grid, warps, shared_bytes;
};

/// How a launch goes about its tiles; fills in the rest of args.
Geometry geometry_of(const KernelEntry& entry, Epilogue epilogue, const DeviceTraits& traits, Slot slot, FusedArgs& args) {
    const bool quantized = is_quantized(entry.a);
    const SlotSize size = slot_size(slot, traits);
    const uint32_t together = epilogue == Epilogue::SWIGLU ? 2 : 1;
    const uint32_t units_per_brick = quantized ? BRICK_GROUPS : FLOAT_BRICK_WORDS;
    const uint32_t bricks = (args.layouts[0].groups + units_per_brick - 1) / units_per_brick;
    // A block without tiles only keeps its slot. More blocks than multiprocessors where a block's partial sums would take
    // the room of its ring.
    uint32_t grid = 0, local;
    do {
        grid += static_cast<uint32_t>(traits.n_sms);
        local = (args.n_tiles + grid - 1) / grid * together;
    } while (local * bricks * TILE_ROWS * 4 > MAX_PARTIAL_BYTES && local > together);
    args.input_bytes = CopyRing::whole_lines(quantized ? args.cols / 32 * 40 : args.cols * 4);
    const uint32_t brick = std::max(brick_bytes(entry.a, args.layouts[0]), brick_bytes(entry.b, args.layouts[1]));
    // Larger pieces mean fewer reductions, smaller ones an even share for every warp and room for two stages.
    uint32_t fixed, warps = MAX_WARPS;
    const auto needed = [&](uint32_t stages) { return fixed + warps * stages * args.stage_bytes; };
    args.piece_bricks = std::clamp(local * bricks / (4 * warps), 1u, std::min(bricks, MAX_PIECE_BRICKS));
    for (;;) {
        args.pieces_per_tile = (bricks + args.piece_bricks - 1) / args.piece_bricks;
        args.n_pieces = local * args.pieces_per_tile;
        fixed = CopyRing::whole_lines(args.input_bytes + args.n_pieces * TILE_ROWS * 4);
        args.stage_bytes = CopyRing::whole_lines(args.piece_bricks * brick + CopyRing::LINE);
        if (needed(2) <= size.most) break;
        if (args.piece_bricks > 1) {
            --args.piece_bricks;
        } else if (warps > 4) {
            --warps;
        } else {
            break;
        }
    }
    const uint32_t room = fixed < size.most ? size.most - fixed : 0;
    args.n_stages = std::clamp(room / (warps * args.stage_bytes), 1u, MAX_STAGES);
    return {grid, warps, std::max(needed(args.n_stages), size.least)};
}

void launch_fused(std::span<const MatvecPart> parts, Epilogue epilogue, const FusedInput& input, Slot slot, cudaStream_t stream) {
    const KernelEntry* entry = find_entry(parts, epilogue);
    if (entry == nullptr || parts.size() > MAX_PARTS || parts[0].matrix->cols % 32 != 0)
        fail(REPRISE_INTERNAL, "a fused product of matrices that do not go together");
    FusedArgs args = args_of(*entry, parts, epilogue);
    args.input = input;
    const Geometry geometry = geometry_of(*entry, epilogue, device_traits(), slot, args);
    launch(entry->kernel, geometry.grid, geometry.warps * 32, geometry.shared_bytes, stream, args);
}

/// Whether the device's shared memory holds a launch.
bool fits(std::span<const MatvecPart> parts, Epilogue epilogue) {
    constexpr uint32_t STATIC_BYTES = 2048;  // of the kernel's own variables and of the system's, rounded up
    const KernelEntry& entry = *find_entry(parts, epilogue);
    FusedArgs args = args_of(entry, parts, epilogue);
    const DeviceTraits traits = device_traits();
    return geometry_of(entry, epilogue, traits, Slot::LARGE, args).shared_bytes + STATIC_BYTES <= traits.shared_per_block &&
           geometry_of(entry, epilogue, traits, Slot::SMALL, args).shared_bytes + STATIC_BYTES <= traits.shared_per_block;
}

}  // namespace

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

void fused_project(std::span<const MatvecPart> parts, const FusedInput& input, Slot slot, cudaStream_t stream) {
    launch_fused(parts, Epilogue::STORE, input, slot, stream);
}

void fused_gated_feed_forward(const DeviceMatrix& gate, const DeviceMatrix& up, const FusedInput& input, void* out, Slot slot,
                              cudaStream_t stream) {
    const MatvecPart parts[2] = {{&gate, static_cast<float*>(out)}, {&up, static_cast<float*>(out)}};
    launch_fused(parts, Epilogue::SWIGLU, input, slot, stream);
}

bool writes_bf16(const DeviceMatrix& gate) { return is_quantized(gate.type); }

void load_fused_kernels() {
    for (const KernelEntry& e : KERNELS) load_kernel_with_shared_memory(e.kernel);
}

}  // namespace reprise::cuda
