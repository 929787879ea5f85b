// The fused product kernel. A block owns a run of tiles (four rows each); its warps share the run's bricks evenly, each
// with its own ring, so that a warp waits for nothing but its own bytes:
//
//   fetch the first bricks of weights        before the predecessor has finished: weights never change
//   wait for the predecessor
//   quantise the input into shared memory    every block for itself; the norm's factor is applied in the epilogue, so
//                                            that one barrier serves the sum of squares and the values
//   bricks: dot products, refill the ring    partial sums go to shared memory where a tile ends
//   add partial sums in order of warps, epilogue
#include <algorithm>
#include <array>

#include "cuda/fused_project.h"
#include "cuda/launch.cuh"
#include "cuda/linear_internal.h"
#include "cuda/quant_dot.cuh"
#include "cuda/weight_ring.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t WARPS = 8;
constexpr uint32_t THREADS = WARPS * 32;
constexpr uint32_t MAX_PARTS = 3;
constexpr uint32_t MAX_STAGES = 6;
// Two blocks to a multiprocessor of 227 KB, so that a kernel streams while its predecessor computes; a block's own
// kilobyte goes to the system.
constexpr uint32_t BLOCK_SHARED_BYTES = 112 * 1024;
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
    uint32_t cols, bricks_per_tile;
    FusedInput input;
    uint32_t n_stages, stage_bytes;
    uint32_t input_bytes, n_slots;  // of shared memory
};

enum class Epilogue {
    STORE,   // out = y + bias + residual, parts one after the other
    SWIGLU,  // out = silu(part 0) * part 1, tile by tile
};

/// Sums v[0..3] over the warp. The lanes with lane % 8 == 0 get row (lane / 16) * 2 + lane / 8 % 2.
__device__ __forceinline__ float reduce_rows(const float* v, uint32_t lane) {
    const bool upper = lane & 16;
    const float a = (upper ? v[2] : v[0]) + __shfl_xor_sync(~0u, upper ? v[0] : v[2], 16);
    const float b = (upper ? v[3] : v[1]) + __shfl_xor_sync(~0u, upper ? v[1] : v[3], 16);
    const bool odd = lane & 8;
    float sum = (odd ? b : a) + __shfl_xor_sync(~0u, odd ? a : b, 8);
    sum += __shfl_xor_sync(~0u, sum, 4);
    sum += __shfl_xor_sync(~0u, sum, 2);
    return sum + __shfl_xor_sync(~0u, sum, 1);
}

/// Quantises eight consecutive values; four consecutive lanes hold a group of 32. All lanes of the warp come along.
__device__ __forceinline__ void store_eighth(uint8_t* row, uint32_t groups, uint32_t first, bool active, const float* v) {
    float max = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) max = fmaxf(max, fabsf(v[i]));
    max = fmaxf(max, __shfl_xor_sync(~0u, max, 1));
    max = fmaxf(max, __shfl_xor_sync(~0u, max, 2));
    const float inverse = max > 0.f ? __fdividef(127.f, max) : 0.f;
    uint32_t words[2];
#pragma unroll
    for (int w = 0; w < 2; ++w) {
        uint32_t q[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) q[i] = static_cast<uint32_t>(__float2int_rn(v[4 * w + i] * inverse));
        words[w] = __byte_perm(__byte_perm(q[0], q[1], 0x0040), __byte_perm(q[2], q[3], 0x0040), 0x5410);
    }
    int sum = __dp4a(static_cast<int>(words[0]), 0x01010101, __dp4a(static_cast<int>(words[1]), 0x01010101, 0));
    sum += __shfl_xor_sync(~0u, sum, 1);
    const int other = __shfl_xor_sync(~0u, sum, 2);
    if (!active) return;
    const uint32_t group = first / 32, within = first % 32;
    *reinterpret_cast<uint2*>(row + (within / 16 * groups + group) * 16 + within % 16) = make_uint2(words[0], words[1]);
    if (within == 0) {
        reinterpret_cast<GroupScale*>(row + int8_scales_offset(groups))[group] =
            GroupScale{max * (1.f / 127.f), {static_cast<int16_t>(sum), static_cast<int16_t>(other)}};
    }
}

/// Writes the input into shared memory in the form the types want, without the norm's factor. Returns this thread's part
/// of the sum of squares.
template <bool QUANTIZED>
__device__ __forceinline__ float take_input(const FusedInput& input, uint32_t cols, uint8_t* out) {
    constexpr int UNROLL = 4;
    float squares = 0;
    for (uint32_t base = 0; base < cols; base += UNROLL * THREADS * 8) {
        float4 x[UNROLL][2];
        float4 norm[UNROLL][2];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            const uint32_t i = base + (u * THREADS + threadIdx.x) * 8;
            if (i >= cols) continue;
            x[u][0] = __ldcg(reinterpret_cast<const float4*>(input.x + i));
            x[u][1] = __ldcg(reinterpret_cast<const float4*>(input.x + i + 4));
            if (input.norm == nullptr) continue;
            norm[u][0] = __ldg(reinterpret_cast<const float4*>(input.norm + i));
            norm[u][1] = __ldg(reinterpret_cast<const float4*>(input.norm + i + 4));
        }
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            // Whole warps only: the shuffles need every lane.
            if (base + (u * THREADS + threadIdx.x / 32 * 32) * 8 >= cols) break;
            const uint32_t i = base + (u * THREADS + threadIdx.x) * 8;
            const bool active = i < cols;
            float v[8] = {};
            if (active) {
                *reinterpret_cast<float4*>(v) = x[u][0];
                *reinterpret_cast<float4*>(v + 4) = x[u][1];
                if (input.norm != nullptr) {
                    const float* weight = reinterpret_cast<const float*>(norm[u]);
#pragma unroll
                    for (int j = 0; j < 8; ++j) {
                        squares = fmaf(v[j], v[j], squares);
                        v[j] *= weight[j];
                    }
                }
            }
            if constexpr (QUANTIZED) {
                store_eighth(out, cols / 32, i, active, v);
            } else if (active) {
                *reinterpret_cast<float4*>(out + i * 4) = *reinterpret_cast<const float4*>(v);
                *reinterpret_cast<float4*>(out + i * 4 + 16) = *reinterpret_cast<const float4*>(v + 4);
            }
        }
    }
    return squares;
}

/// A and B: the types of the parts (B is A where all are of one type).
template <TensorType A, TensorType B, Epilogue E>
__global__ void __launch_bounds__(THREADS, 2) fused_kernel(const __grid_constant__ FusedArgs args) {
    constexpr bool QUANTIZED = is_quantized(A);
    constexpr int WORDS = std::max(Dot<A>::WORDS, Dot<B>::WORDS);
    constexpr uint32_t UNITS_PER_BRICK = QUANTIZED ? BRICK_GROUPS : FLOAT_BRICK_WORDS;
    extern __shared__ __align__(128) uint8_t shared[];
    __shared__ uint64_t barriers[WARPS][MAX_STAGES];
    __shared__ float squares_of_warp[WARPS];
    uint8_t* const input = shared;
    float* const partial = reinterpret_cast<float*>(shared + args.input_bytes);  // [n_slots][TILE_ROWS]
    uint8_t* const rings = shared + args.input_bytes + args.n_slots * TILE_ROWS * 4;

    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const uint32_t units = args.layouts[0].groups;
    const uint32_t first_tile = args.n_tiles * blockIdx.x / gridDim.x;
    const uint32_t n_tiles = args.n_tiles * (blockIdx.x + 1) / gridDim.x - first_tile;
    // Paired parts: the block's tiles of part 0, then the same tiles of part 1.
    const uint32_t n_local = E == Epilogue::SWIGLU ? 2 * n_tiles : n_tiles;
    const uint32_t n_bricks = n_local * args.bricks_per_tile;
    const uint32_t begin = n_bricks * warp / WARPS, end = n_bricks * (warp + 1) / WARPS;

    struct Place {
        const uint8_t* tile;
        uint32_t part, tile_in_part;
        bool second_type;
    };
    const auto place_tile = [&](uint32_t local) {
        Place place;
        if constexpr (E == Epilogue::SWIGLU) {
            place.part = local >= n_tiles;
            place.tile_in_part = first_tile + local - (place.part != 0 ? n_tiles : 0);
        } else {
            const uint32_t tile = first_tile + local;
            place.part = 0;
#pragma unroll
            for (uint32_t i = 1; i < MAX_PARTS; ++i) place.part += i < args.n_parts && tile >= args.parts[i].first_tile;
            place.tile_in_part = tile - args.parts[place.part].first_tile;
        }
        const FusedPart& part = args.parts[place.part];
        place.second_type = A != B && part.second_type;
        place.tile = part.tiles + size_t{place.tile_in_part} * args.layouts[place.second_type].bytes;
        return place;
    };

    WeightRing ring(rings + warp * args.n_stages * args.stage_bytes, barriers[warp], args.n_stages, args.stage_bytes, lane);
    release_successor();

    uint32_t fetched = begin, fetch_brick = begin % args.bricks_per_tile, fetch_tile = begin / args.bricks_per_tile;
    Place fetch_place = place_tile(fetch_tile);
    const auto fetch_next = [&] {
        const uint32_t n = min(units - fetch_brick * UNITS_PER_BRICK, UNITS_PER_BRICK);
        if constexpr (QUANTIZED) {
            const bool second = A != B && fetch_place.second_type;
            const uint32_t bytes = second ? brick_layout(quant_shape(B), n).bytes : brick_layout(quant_shape(A), n).bytes;
            ring.fetch(fetch_place.tile + fetch_brick * args.layouts[second].brick_bytes, 1, bytes, 0);
        } else {
            ring.fetch(fetch_place.tile + fetch_brick * UNITS_PER_BRICK * 16, TILE_ROWS, n * 16, units * 16);
        }
        ++fetched;
        if (++fetch_brick == args.bricks_per_tile) {
            fetch_brick = 0;
            fetch_place = place_tile(++fetch_tile);
        }
    };
    for (uint32_t i = 0; i < args.n_stages && fetched < end; ++i) fetch_next();

    wait_for_predecessor();
    float squares = take_input<QUANTIZED>(args.input, args.cols, input);
    if (args.input.norm != nullptr) {
#pragma unroll
        for (int offset = 16; offset > 0; offset /= 2) squares += __shfl_xor_sync(~0u, squares, offset);
        if (lane == 0) squares_of_warp[warp] = squares;
    }
    __syncthreads();

    uint32_t brick = begin % args.bricks_per_tile, local = begin / args.bricks_per_tile;
    bool second_type = A != B && place_tile(local).second_type;
    float acc[TILE_ROWS] = {};
    for (uint32_t i = begin; i < end; ++i) {
        const uint8_t* stage = ring.take();
        const uint32_t n = min(units - brick * UNITS_PER_BRICK, UNITS_PER_BRICK);
        if (lane < n) {
            const auto x = Dot<A>::load_input(input, args.cols, units, brick * UNITS_PER_BRICK + lane);
            uint4 raw[WORDS];
            if (A != B && second_type) {
                Dot<B>::template load<SharedSource>(raw, stage, n, lane);
                Dot<B>::add(raw, x, acc);
            } else {
                Dot<A>::template load<SharedSource>(raw, stage, n, lane);
                Dot<A>::add(raw, x, acc);
            }
        }
        __syncwarp();
        if (fetched < end) fetch_next();
        if (++brick == args.bricks_per_tile || i + 1 == end) {
            const float sum = reduce_rows(acc, lane);
            // (tile + warp) grows with every pair of the two that meets, so it names the pair.
            if (lane % 8 == 0) partial[(local + warp) * TILE_ROWS + lane / 16 * 2 + lane / 8 % 2] = sum;
#pragma unroll
            for (uint32_t r = 0; r < TILE_ROWS; ++r) acc[r] = 0;
            if (brick == args.bricks_per_tile) {
                brick = 0;
                ++local;
                if constexpr (A != B) second_type = i + 1 < end && place_tile(local).second_type;
            }
        }
    }
    __syncthreads();

    float factor = 1;
    if (args.input.norm != nullptr) {
        float sum = 0;
#pragma unroll
        for (uint32_t w = 0; w < WARPS; ++w) sum += squares_of_warp[w];
        factor = rsqrtf(sum / static_cast<float>(args.cols) + args.input.eps);
    }
    // The warp that a brick went to: the inverse of begin and end above.
    const auto warp_of = [&](uint32_t i) { return ((i + 1) * WARPS - 1) / n_bricks; };
    const auto row_sum = [&](uint32_t tile, uint32_t row) {
        const uint32_t first = warp_of(tile * args.bricks_per_tile), last = warp_of((tile + 1) * args.bricks_per_tile - 1);
        float sum = 0;
        for (uint32_t w = first; w <= last; ++w) sum += partial[(tile + w) * TILE_ROWS + row];
        return sum * factor;
    };
    for (uint32_t i = threadIdx.x; i < n_tiles * TILE_ROWS; i += THREADS) {
        const uint32_t tile = i / TILE_ROWS;
        const Place place = place_tile(tile);
        const FusedPart& part = args.parts[place.part];
        const uint32_t row = place.tile_in_part * TILE_ROWS + i % TILE_ROWS;
        if (row >= part.rows) continue;
        float y = row_sum(tile, i % TILE_ROWS);
        if constexpr (E == Epilogue::SWIGLU) {
            const float up = row_sum(n_tiles + tile, i % TILE_ROWS);
            y = y / (1.f + __expf(-y)) * up;
        } else {
            if (part.bias != nullptr) y += part.bias[row];
            if (part.residual != nullptr) y += part.residual[row];
        }
        part.out[row] = y;
    }
}

using Kernel = void (*)(FusedArgs);

struct KernelEntry {
    TensorType a, b;
    Kernel store, swiglu;
};

template <TensorType A, TensorType B = A>
constexpr KernelEntry entry() {
    return {A, B, fused_kernel<A, B, Epilogue::STORE>, fused_kernel<A, B, Epilogue::SWIGLU>};
}

const KernelEntry KERNELS[] = {
    entry<TensorType::F32>(),
    entry<TensorType::F16>(),
    entry<TensorType::BF16>(),
    entry<TensorType::Q4_0>(),
    entry<TensorType::Q4_1>(),
    entry<TensorType::Q8_0>(),
    entry<TensorType::Q4_K>(),
    entry<TensorType::Q5_K>(),
    entry<TensorType::Q6_K>(),
    entry<TensorType::Q4_K, TensorType::Q6_K>(),
    entry<TensorType::Q5_K, TensorType::Q6_K>(),
};

const KernelEntry* find_entry(std::span<const MatvecPart> parts) {
    const TensorType a = parts[0].matrix->type;
    TensorType b = a;
    for (const MatvecPart& part : parts) {
        const TensorType type = part.matrix->type;
        if (part.matrix->cols != parts[0].matrix->cols || (type != a && b != a && type != b)) return nullptr;
        if (type != a) b = type;
    }
    for (const KernelEntry& e : KERNELS) {
        if ((e.a == a && e.b == b) || (e.a == b && e.b == a)) return &e;
    }
    return nullptr;
}

uint32_t brick_bytes(TensorType type, const TileLayout& layout) {
    if (!is_quantized(type)) return FLOAT_BRICK_WORDS * 16 * TILE_ROWS;
    return brick_layout(quant_shape(type), std::min(layout.groups, BRICK_GROUPS)).bytes;
}

void launch_fused(std::span<const MatvecPart> parts, Epilogue epilogue, const FusedInput& input, cudaStream_t stream) {
    const KernelEntry* entry = find_entry(parts);
    if (entry == nullptr || parts.size() > MAX_PARTS) fail(REPRISE_INTERNAL, "a fused product of matrices that do not go together");
    FusedArgs args = {};
    args.cols = parts[0].matrix->cols;
    if (args.cols % 32 != 0) fail(REPRISE_INTERNAL, "a fused product over %u columns, which is no multiple of 32", args.cols);
    args.layouts[0] = tile_layout(entry->a, args.cols);
    args.layouts[1] = tile_layout(entry->b, args.cols);
    args.input = input;
    const bool quantized = is_quantized(entry->a);
    const uint32_t units_per_brick = quantized ? BRICK_GROUPS : FLOAT_BRICK_WORDS;
    args.bricks_per_tile = (args.layouts[0].groups + units_per_brick - 1) / units_per_brick;
    for (const MatvecPart& part : parts) {
        const DeviceMatrix& m = *part.matrix;
        args.parts[args.n_parts++] = {m.data, part.out, part.bias, part.residual, m.rows, args.n_tiles, m.type != entry->a};
        args.n_tiles += tile_count(m.rows);
    }
    if (epilogue == Epilogue::SWIGLU) args.n_tiles = tile_count(parts[0].matrix->rows);

    const uint32_t grid = std::min<uint32_t>(static_cast<uint32_t>(device_traits().n_sms), args.n_tiles);
    const uint32_t local = (args.n_tiles + grid - 1) / grid * (epilogue == Epilogue::SWIGLU ? 2 : 1);
    args.n_slots = local + WARPS;
    args.input_bytes = ((quantized ? args.cols / 32 * 40 : args.cols * 4) + 127) / 128 * 128;
    args.stage_bytes = std::max(brick_bytes(entry->a, args.layouts[0]), brick_bytes(entry->b, args.layouts[1]));
    const uint32_t fixed = args.input_bytes + args.n_slots * TILE_ROWS * 4;
    const uint32_t ring_room = fixed < BLOCK_SHARED_BYTES ? BLOCK_SHARED_BYTES - fixed : 0;
    args.n_stages = std::clamp(ring_room / (WARPS * args.stage_bytes), 2u, MAX_STAGES);
    const uint32_t shared_bytes = fixed + WARPS * args.n_stages * args.stage_bytes;
    launch(epilogue == Epilogue::SWIGLU ? entry->swiglu : entry->store, grid, THREADS, shared_bytes, stream, args);
}

}  // namespace

bool can_fuse(std::span<const MatvecPart> parts) { return parts.size() <= MAX_PARTS && parts[0].matrix->cols % 32 == 0 && find_entry(parts) != nullptr; }

void fused_project(std::span<const MatvecPart> parts, const FusedInput& input, cudaStream_t stream) {
    launch_fused(parts, Epilogue::STORE, input, stream);
}

void fused_gated_feed_forward(const DeviceMatrix& gate, const DeviceMatrix& up, const FusedInput& input, float* out, cudaStream_t stream) {
    const MatvecPart parts[2] = {{&gate, out}, {&up, out}};
    launch_fused(parts, Epilogue::SWIGLU, input, stream);
}

void load_fused_kernels() {
    for (const KernelEntry& e : KERNELS) {
        for (const Kernel kernel : {e.store, e.swiglu}) {
            load_kernel(kernel);
            const void* function = reinterpret_cast<const void*>(kernel);
            check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, 200 * 1024), "sizing shared memory");
            check(cudaFuncSetAttribute(function, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared), "sizing shared memory");
        }
    }
}

}  // namespace reprise::cuda
