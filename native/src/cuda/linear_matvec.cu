// One token's products. A team of warps takes a tile of four rows at a time; each lane owns the same units of the input
// for every tile and keeps them in registers.
#include <algorithm>
#include <array>

#include "cuda/launch.cuh"
#include "cuda/linear.h"
#include "cuda/linear_internal.h"
#include "cuda/quant_dot.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t MAX_PARTS = 4;
constexpr uint32_t BLOCK_THREADS = 256;
constexpr uint32_t MAX_TEAM_WARPS = BLOCK_THREADS / 32;

struct Part {
    const uint8_t* tiles;
    float* out;
    const float* bias;
    const float* residual;
    uint32_t rows;
    uint32_t first_tile;  // among the tiles of all parts
    bool second_type;
};

struct MatvecArgs {
    Part parts[MAX_PARTS];
    uint32_t n_parts, n_tiles;
    TileLayout layouts[2];
    uint32_t cols;
    uint32_t team_warps;
    const void* x;
};

__device__ __forceinline__ void team_barrier(uint32_t team, uint32_t threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(team + 1), "r"(threads) : "memory");
}

/// A and B: the types of the parts (B is A where all are of one type). UNITS: units of the input per lane, kept in
/// registers if the team's lanes cover a row with them, else (LOOP) loaded pass by pass.
template <TensorType A, TensorType B, int UNITS, bool LOOP>
__global__ void __launch_bounds__(BLOCK_THREADS) matvec_kernel(const __grid_constant__ MatvecArgs args) {
    constexpr int WORDS = std::max(Dot<A>::WORDS, Dot<B>::WORDS);
    using Unit = typename Dot<A>::Unit;
    __shared__ float partial[2][BLOCK_THREADS / 32][TILE_ROWS];

    release_successor();
    const uint32_t lane = threadIdx.x % 32, team_threads = args.team_warps * 32;
    const uint32_t team = threadIdx.x / team_threads, team_lane = threadIdx.x % team_threads;
    const uint32_t teams = blockDim.x / team_threads;
    const uint32_t groups = args.layouts[0].units;
    const uint32_t pass_units = UNITS * team_threads;

    uint4 raw[UNITS][WORDS];
    const auto find_part = [&](uint32_t tile) {
        uint32_t p = 0;
#pragma unroll
        for (uint32_t i = 1; i < MAX_PARTS; ++i) p += i < args.n_parts && tile >= args.parts[i].first_tile;
        return p;
    };
    const auto load = [&](uint32_t tile, uint32_t first_unit) {
        const Part& part = args.parts[find_part(tile)];
        const TileLayout& layout = args.layouts[A != B && part.second_type];
        const uint8_t* data = part.tiles + size_t{tile - part.first_tile} * layout.bytes;
#pragma unroll
        for (int u = 0; u < UNITS; ++u) {
            const uint32_t unit = first_unit + u * team_threads;
            if (unit >= groups) break;
            if (A != B && part.second_type) {
                load_unit<B>(raw[u], data, layout, unit);
            } else {
                load_unit<A>(raw[u], data, layout, unit);
            }
        }
    };

    uint32_t tile = blockIdx.x * teams + team;
    if (tile < args.n_tiles) load(tile, team_lane);
    wait_for_predecessor();
    Unit x[UNITS];
    const auto load_input = [&](uint32_t first_unit) {
#pragma unroll
        for (int u = 0; u < UNITS; ++u) {
            const uint32_t unit = first_unit + u * team_threads;
            if (unit < groups) x[u] = Dot<A>::load_input(args.x, args.cols, groups, unit);
        }
    };
    load_input(team_lane);

    uint32_t parity = 0;
    for (; tile < args.n_tiles; parity ^= 1) {
        const Part& part = args.parts[find_part(tile)];
        const uint32_t next = tile + gridDim.x * teams;
        float acc[TILE_ROWS] = {};
        for (uint32_t first = team_lane;; first += pass_units) {
#pragma unroll
            for (int u = 0; u < UNITS; ++u) {
                if (first + u * team_threads >= groups) break;
                if (A != B && part.second_type) {
                    Dot<B>::add(raw[u], x[u], acc);
                } else {
                    Dot<A>::add(raw[u], x[u], acc);
                }
            }
            const bool last = !LOOP || first - team_lane + pass_units >= groups;
            if (last) {
                if (next < args.n_tiles) load(next, team_lane);
                if constexpr (LOOP) load_input(team_lane);
                break;
            }
            load(tile, first + pass_units);
            load_input(first + pass_units);
        }

        float sum = reduce_rows(acc, lane);
        uint32_t row = lane / 16 * 2 + lane / 8 % 2;
        bool writes = lane % 8 == 0;
        if (args.team_warps > 1) {
            const uint32_t warp = threadIdx.x / 32, first_warp = team * args.team_warps;
            if (writes) partial[parity][warp][row] = sum;
            team_barrier(team, team_threads);
            row = lane;
            writes = warp == first_warp && lane < TILE_ROWS;
            if (writes) {
                sum = 0;
                for (uint32_t w = 0; w < args.team_warps; ++w) sum += partial[parity][first_warp + w][row];
            }
        }
        row += (tile - part.first_tile) * TILE_ROWS;
        if (writes && row < part.rows) {
            if (part.bias != nullptr) sum += part.bias[row];
            if (part.residual != nullptr) sum += part.residual[row];
            delay_point();
            part.out[row] = sum;
        }
        tile = next;
    }
}

using Kernel = void (*)(MatvecArgs);

/// One input unit per lane, two, or two at a time in a loop.
enum Variant { ONE, TWO, LOOP_TWO, N_VARIANTS };

struct KernelEntry {
    TensorType a, b;
    std::array<Kernel, N_VARIANTS> kernels;
};

template <TensorType A, TensorType B = A>
constexpr KernelEntry entry() {
    return {A, B, {matvec_kernel<A, B, 1, false>, matvec_kernel<A, B, 2, false>, matvec_kernel<A, B, 2, true>}};
}

// The mixed ones are what the K-quant mixes put into one layer's q, k, v.
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

const KernelEntry* find_kernels(TensorType a, TensorType b) {
    for (const KernelEntry& e : KERNELS) {
        if ((e.a == a && e.b == b) || (e.a == b && e.b == a)) return &e;
    }
    return nullptr;
}

/// The leading parts that one launch serves, and its kernels.
struct Launch {
    const KernelEntry* kernels;
    size_t n_parts;
};
Launch first_launch(std::span<const MatvecPart> parts) {
    const TensorType a = parts[0].matrix->type;
    Launch launch = {find_kernels(a, a), 1};
    TensorType b = a;
    while (launch.n_parts < std::min<size_t>(parts.size(), MAX_PARTS)) {
        const TensorType type = parts[launch.n_parts].matrix->type;
        if (type != a && type != b) {
            const KernelEntry* mixed = b == a ? find_kernels(a, type) : nullptr;
            if (mixed == nullptr) break;
            launch.kernels = mixed;
            b = type;
        }
        ++launch.n_parts;
    }
    return launch;
}

void launch_parts(const KernelEntry& entry, std::span<const MatvecPart> parts, const Activations& x,
                  cudaStream_t stream) {
    MatvecArgs args = {};
    args.cols = parts[0].matrix->cols;
    args.layouts[0] = tile_layout(entry.a, args.cols);
    args.layouts[1] = tile_layout(entry.b, args.cols);
    args.x = is_quantized(entry.a) ? static_cast<const void*>(x.int8) : x.f32;
    if (args.x == nullptr)
        fail(REPRISE_INTERNAL, "matvec: the input is not there in the form that %s needs", traits(entry.a).name);
    for (const MatvecPart& part : parts) {
        const DeviceMatrix& m = *part.matrix;
        if (m.cols != args.cols) fail(REPRISE_INTERNAL, "matvec: matrices of %u and %u columns", args.cols, m.cols);
        args.parts[args.n_parts++] = {m.data, part.out,     part.bias,        part.residual,
                                      m.rows, args.n_tiles, m.type != entry.a};
        args.n_tiles += tile_count(m.rows);
    }

    // As few warps to a tile as cover a row with two units per lane: every further warp costs a barrier.
    const uint32_t units = args.layouts[0].units;
    args.team_warps = 1;
    while (args.team_warps < MAX_TEAM_WARPS && args.team_warps * 64 < units) args.team_warps *= 2;
    const Variant variant = units <= args.team_warps * 32 ? ONE : units <= args.team_warps * 64 ? TWO : LOOP_TWO;

    // Enough blocks for all multiprocessors before blocks grow; then as many as can be resident.
    const Kernel kernel = entry.kernels[variant];
    const auto n_sms = static_cast<uint32_t>(device_traits().n_sms);
    uint32_t teams = BLOCK_THREADS / 32 / args.team_warps;
    while (teams > 1 && (args.n_tiles + teams - 1) / teams < 2 * n_sms) teams /= 2;
    const uint32_t threads = teams * args.team_warps * 32;
    int resident = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, static_cast<int>(threads), 0),
          "sizing a launch");
    const uint32_t grid =
        std::min((args.n_tiles + teams - 1) / teams, n_sms * static_cast<uint32_t>(std::max(resident, 1)));
    launch(kernel, grid, threads, 0, stream, args);
}

}  // namespace

InputForm matvec_input(TensorType device_type) { return is_quantized(device_type) ? InputForm::INT8 : InputForm::F32; }

void matvec(std::span<const MatvecPart> parts, const Activations& x, cudaStream_t stream) {
    while (!parts.empty()) {
        const Launch next = first_launch(parts);
        launch_parts(*next.kernels, parts.first(next.n_parts), x, stream);
        parts = parts.subspan(next.n_parts);
    }
}

uint32_t matvec_launches(std::span<const MatvecPart> parts) {
    uint32_t n = 0;
    for (; !parts.empty(); ++n) parts = parts.subspan(first_launch(parts).n_parts);
    return n;
}

void load_matvec_kernels() {
    for (const KernelEntry& e : KERNELS) {
        for (const Kernel kernel : e.kernels) load_kernel(kernel);
    }
}

}  // namespace reprise::cuda
