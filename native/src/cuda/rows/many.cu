// Products of many rows. A warp has units of 16 rows of weights (four tiles; of gate and up two each) and all rows of
// the step; four warps share a unit's columns where there are few units (K_WARPS), each with one of the parts of the
// sum. Weights come by copies that a lane waits for itself, from before the wait for the predecessor on; the input's
// blocks by bulk copies, into a ring where they do not fit at once.
#include "cuda/bulk_copy.cuh"
#include "cuda/launch.cuh"
#include "cuda/rows/intake.cuh"
#include "cuda/rows/many.h"
#include "cuda/shared_address.cuh"
#include "cuda/tile_shares.h"
#include "cuda/types/q4_k.cuh"
#include "cuda/types/q6_k.cuh"

namespace reprise::cuda::rows {

namespace {

constexpr uint32_t MAX_PARTS = 3;
constexpr uint32_t UNIT_TILES = 4;
constexpr uint32_t MAX_INPUT_STAGES = 64;

struct Part {
    const uint8_t* tiles;
    void* out;
    const float* bias;
    const float* residual;
    uint32_t stride, rows, n_tiles, first_unit, end_unit;
    bool second_type;
};
struct Args {
    Part parts[MAX_PARTS];
    uint32_t n_parts;
    TileShares shares;  // of units
    TileLayout layouts[2];
    uint32_t n_blocks, n_pairs, n_rows;
    RowsInput input;
    float inverse_cols;
    uint32_t stages;    // of the input
    uint32_t resident;  // all of it at once
    uint32_t results_offset, weights_offset;
};

enum class Epilogue { STORE, SWIGLU };

/// Where the K warps of a unit meet: in two places in turns, where there is room, so that they meet once a unit.
template <int K_WARPS, uint32_t T>
constexpr uint32_t RESULT_BUFFERS = K_WARPS == SUM_PARTS && T <= 16 ? 2 : 1;

template <TensorType A, TensorType B>
constexpr uint32_t stage_bytes() {
    return RowsType<A>::STAGE_BYTES > RowsType<B>::STAGE_BYTES ? RowsType<A>::STAGE_BYTES : RowsType<B>::STAGE_BYTES;
}

__device__ __forceinline__ void arrive(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

template <TensorType A, TensorType B, Epilogue E, int NT, int K_WARPS, int ROW_WARPS, int W, int D, int BLOCKS>
__global__ void __launch_bounds__((W + 1) * 32, BLOCKS) many_kernel(const __grid_constant__ Args args) {
    constexpr bool PAIRED = E == Epilogue::SWIGLU;
    constexpr uint32_t T = NT * MMA_ROWS * ROW_WARPS, GROUPS = W / K_WARPS / ROW_WARPS, OWN_PARTS = SUM_PARTS / K_WARPS,
                       STAGE = stage_bytes<A, B>();
    constexpr RowsChunk CHUNK{T};
    extern __shared__ __align__(128) uint8_t shared[];
    __shared__ uint64_t full[MAX_INPUT_STAGES], empty[MAX_INPUT_STAGES], factors_ready;
    __shared__ float factors[T];
    const uint32_t lane = opaque(threadIdx.x % 32), warp = __shfl_sync(~0u, opaque(threadIdx.x / 32), 0);
    if (threadIdx.x < args.stages) {
        init_barrier(shared_address(full + threadIdx.x), 1);
        init_barrier(shared_address(empty + threadIdx.x), W);
    }
    if (threadIdx.x == 0) init_barrier(shared_address(&factors_ready), 32);
    __syncthreads();
    release_successor();
    const uint32_t n_units = args.shares.count(blockIdx.x), first_unit = args.shares.first(blockIdx.x);
    const uint32_t passes = (n_units + GROUPS - 1) / GROUPS;
    // Of part p of the sum, and of what K warp k has; a step of the way takes a block of each K warp's.
    const auto first_of_part = [&](uint32_t p) { return min(args.n_blocks, 2 * first_pair(args.n_pairs, p)); };
    const auto first_block = [&](uint32_t k) { return first_of_part(k * OWN_PARTS); };
    uint32_t steps = args.n_blocks;
    if constexpr (K_WARPS > 1) {
        steps = 0;
        for (uint32_t k = 0; k < K_WARPS; ++k) steps = max(steps, first_block(k + 1) - first_block(k));
    }

    if (warp == W) {
        wait_for_predecessor();
        const uint32_t total = args.resident ? (passes == 0 ? 0 : steps) : passes * steps;
        uint32_t stage = 0, parity = 0, step = 0;
        const auto bring = [&] {  // what the next step needs
            const uint32_t barrier = shared_address(full + stage);
            uint32_t bytes = 0;
            for (uint32_t p = 0; p < K_WARPS; ++p)
                if (K_WARPS == 1 || first_block(p) + step < first_block(p + 1)) bytes += CHUNK.bytes();
            asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                         : "memory");
            for (uint32_t p = 0; p < K_WARPS; ++p) {
                const uint32_t block = (K_WARPS == 1 ? 0 : first_block(p)) + step;
                if (K_WARPS > 1 && block >= first_block(p + 1)) continue;
                asm volatile(
                    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                        shared_address(shared + (stage * K_WARPS + p) * CHUNK.bytes())),
                    "l"(args.input.chunks + size_t{block} * CHUNK.bytes()), "r"(CHUNK.bytes()), "r"(barrier)
                    : "memory");
            }
            if (++step == steps) step = 0;
            if (++stage == args.stages) stage = 0;
        };
        const uint32_t head = min(total, args.stages);
        if (lane == 0) {
            for (uint32_t i = 0; i < head; ++i) bring();
        }
        __syncwarp();
        for (uint32_t row = lane; row < T; row += 32) {
            float factor = 1;
            if (args.input.squares != nullptr) {
                float sum = 0;
#pragma unroll 4
                for (uint32_t b = 0; b < args.n_blocks; ++b) sum += __ldcg(args.input.squares + b * T + row);
                factor = rsqrtf(fmaf(sum, args.inverse_cols, args.input.eps));
            }
            factors[row] = factor;
        }
        // Before the rest of the input: consumers give stages back only once they have these.
        arrive(shared_address(&factors_ready));
        if (lane == 0) {
#pragma unroll 1
            for (uint32_t i = head; i < total; ++i) {
                wait_at_barrier(shared_address(empty + stage), parity);
                bring();
                if (stage == 0) parity ^= 1;
            }
        }
        return;
    }

    static_assert(K_WARPS == 1 || ROW_WARPS == 1);
    const uint32_t group = warp / (K_WARPS * ROW_WARPS), first_tile_of_rows = warp % ROW_WARPS * NT,
                   k_warp = warp % K_WARPS, t = lane % 4, g = lane / 4, sub = g / 2;
    const uint32_t begin = K_WARPS == 1 ? 0 : first_block(k_warp),
                   end = K_WARPS == 1 ? args.n_blocks : first_block(k_warp + 1);
    const auto part_of = [&](uint32_t unit) {
        uint32_t part = 0;
#pragma unroll
        for (uint32_t p = 0; !PAIRED && p + 1 < MAX_PARTS; ++p)
            part += p + 1 < args.n_parts && unit >= args.parts[p].end_unit;
        return part;
    };
    const auto tile_of = [&](uint32_t unit, uint32_t part) {  // of this lane
        const Part& of = args.parts[PAIRED ? sub / 2 : part];
        const uint32_t tile = PAIRED ? unit * 2 + sub % 2 : (unit - of.first_unit) * UNIT_TILES + sub;
        return min(tile, of.n_tiles - 1);
    };

    const auto addend_of = [&](const Part& of, uint32_t weight_row, uint32_t row) {
        if (PAIRED || weight_row >= of.rows || row >= args.n_rows) return 0.f;
        return (of.bias == nullptr ? 0.f : __ldg(of.bias + weight_row)) +
               (of.residual == nullptr ? 0.f : __ldcg(of.residual + size_t{row} * of.stride + weight_row));
    };
    // Of a unit whose columns several warps share: what a thread stores, and what is added to it.
    constexpr uint32_t UNIT_OUTPUTS = PAIRED ? 8 : 16,
                       OWN_OUTPUTS = (T * UNIT_OUTPUTS + K_WARPS * 32 - 1) / (K_WARPS * 32);
    const auto own_output = [&](uint32_t j) { return (j * K_WARPS + k_warp) * 32 + lane; };

    // The way of the copies, D blocks ahead of the products.
    struct {
        uint32_t pass = 0, step = 0, stage = 0;
        const uint8_t* tile = nullptr;
        bool second = false, active = false;
    } fetching;
    const uint32_t own_stage = shared_address(shared + args.weights_offset + warp * (D * STAGE));
    const auto enter_unit = [&] {
        fetching.active = fetching.pass * GROUPS + group < n_units;
        if (!fetching.active) return;
        const uint32_t unit = first_unit + fetching.pass * GROUPS + group, part = part_of(unit);
        const Part& of = args.parts[PAIRED ? sub / 2 : part];
        fetching.second = A != B && of.second_type;
        fetching.tile = of.tiles + size_t{tile_of(unit, part)} * args.layouts[A != B && of.second_type].bytes;
    };
    enter_unit();
    const auto fetch_next = [&] {
        if (fetching.active && begin + fetching.step < end) {
            const uint32_t to = own_stage + fetching.stage * STAGE, block = begin + fetching.step;
            if (fetching.second) {
                RowsType<B>::fetch(to, fetching.tile, args.layouts[1], block, g % 2, lane);
            } else {
                RowsType<A>::fetch(to, fetching.tile, args.layouts[0], block, g % 2, lane);
            }
        }
        commit_copies();
        if (++fetching.stage == D) fetching.stage = 0;
        if (++fetching.step == steps) {
            fetching.step = 0;
            ++fetching.pass;
            enter_unit();
        }
    };
#pragma unroll
    for (int i = 0; i < D; ++i) fetch_next();
    wait_for_predecessor();

    uint32_t stage = 0, parity = 0, weight_stage = 0;
    const uint8_t* const own_weights = shared + args.weights_offset + warp * (D * STAGE);
#pragma unroll 1
    for (uint32_t pass = 0; pass < passes; ++pass) {
        const uint32_t unit = first_unit + pass * GROUPS + group;
        const bool active = pass * GROUPS + group < n_units;
        const uint32_t part = part_of(min(unit, first_unit + n_units - 1));
        const bool second = A != B && args.parts[PAIRED ? sub / 2 : part].second_type;
        float addends[K_WARPS > 1 ? OWN_OUTPUTS : 1];
        if constexpr (K_WARPS > 1) {
            const Part& of = args.parts[part];
#pragma unroll
            for (uint32_t j = 0; j < OWN_OUTPUTS; ++j) {
                const uint32_t i = own_output(j);
                addends[j] =
                    active && i < T * UNIT_OUTPUTS
                        ? addend_of(of, (PAIRED ? unit : unit - of.first_unit) * UNIT_OUTPUTS + i % UNIT_OUTPUTS,
                                    i / UNIT_OUTPUTS)
                        : 0.f;
            }
        }
        // total: of the parts before, or of four K warps the first of two.
        float total[OWN_PARTS > 1 ? NT : 1][4], sum[NT][4] = {}, pair[NT][4];
        uint32_t part_now = k_warp * OWN_PARTS, part_end = first_of_part(part_now + 1);
        const auto end_part = [&] {
#pragma unroll
            for (int c = 0; c < NT; ++c) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    float& of = total[OWN_PARTS > 1 ? c : 0][e];
                    of = part_now % OWN_PARTS == 0 ? sum[c][e] : of + sum[c][e];
                    sum[c][e] = 0;
                }
            }
            ++part_now;
            part_end = first_of_part(part_now + 1);
        };
#pragma unroll 1
        for (uint32_t step = 0; step < steps; ++step) {
            if (!args.resident || pass == 0) wait_at_barrier(shared_address(full + stage), parity);
            wait_for_copies<D - 1>();
            __syncwarp();
            const uint32_t block = begin + step;
            const bool busy = active && block < end;
            const uint8_t* const chunk = shared + (stage * K_WARPS + k_warp) * CHUNK.bytes();
            const bool odd = block % 2;
            const auto use = [&](int c, const float (&v)[4]) {
                const float2 xs = *reinterpret_cast<const float2*>(chunk + CHUNK.scales() +
                                                                   ((first_tile_of_rows + c) * MMA_ROWS + 2 * t) * 4);
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const float x = e % 2 ? xs.y : xs.x;
                    pair[c][e] = odd ? __fmaf_rn(x, v[e], pair[c][e]) : __fmul_rn(x, v[e]);
                }
            };
            if (busy) {
                if (OWN_PARTS > 1) {
                    while (block == part_end) end_part();
                }
                if (second) {
                    const auto raw = RowsType<B>::read(own_weights + weight_stage * STAGE, lane);
                    __syncwarp();  // lanes read what others have fetched
                    fetch_next();
                    RowsType<B>::template multiply<NT>(raw, chunk + first_tile_of_rows * 2048,
                                                       chunk + CHUNK.sums() + first_tile_of_rows * 256, lane, use);
                } else {
                    const auto raw = RowsType<A>::read(own_weights + weight_stage * STAGE, lane);
                    __syncwarp();  // lanes read what others have fetched
                    fetch_next();
                    RowsType<A>::template multiply<NT>(raw, chunk + first_tile_of_rows * 2048,
                                                       chunk + CHUNK.sums() + first_tile_of_rows * 256, lane, use);
                }
                if (odd || block + 1 == args.n_blocks) {
#pragma unroll
                    for (int c = 0; c < NT; ++c) {
#pragma unroll
                        for (int e = 0; e < 4; ++e) sum[c][e] += pair[c][e];
                    }
                }
            } else {
                fetch_next();
            }
            if (++weight_stage == D) weight_stage = 0;
            if (!args.resident) {
                __syncwarp();
                if (lane == 0) arrive(shared_address(empty + stage));
            }
            if (++stage == args.stages) {
                stage = 0;
                parity ^= 1;
            }
            if (args.resident && step + 1 == steps) stage = 0;
        }
        if (K_WARPS == 1) {
            end_part();
        } else if (OWN_PARTS > 1) {  // a unit's last block may lie in the first part
            while (part_now < k_warp * OWN_PARTS + OWN_PARTS - 1) end_part();
        }
        if (pass == 0) wait_at_barrier(shared_address(&factors_ready), 0);
        const auto store = [&](const Part& of, uint32_t weight_row, uint32_t row, float y, float up, float addend) {
            if (weight_row >= of.rows || row >= args.n_rows) return;
            const float factor = factors[row];
            const size_t at = size_t{row} * of.stride + weight_row;
            delay_point();
            if constexpr (PAIRED) {
                const float gate = y * factor;
                const float gated = __fdividef(gate, 1.f + __expf(-gate)) * (up * factor);
                static_cast<__nv_bfloat16*>(of.out)[at] = __float2bfloat16_rn(gated);
            } else {
                static_cast<float*>(of.out)[at] = fmaf(y, factor, addend);
            }
        };
        if constexpr (K_WARPS == 1) {
#pragma unroll
            for (int c = 0; c < NT; ++c) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    const float y = total[c][e];
                    const float up = PAIRED ? __shfl_down_sync(~0u, y, 16) : 0.f;
                    if (!active || (PAIRED && lane >= 16)) continue;
                    const Part& of = args.parts[part];
                    const uint32_t tile = PAIRED ? unit * 2 + sub : (unit - of.first_unit) * UNIT_TILES + sub;
                    const uint32_t weight_row = tile * TILE_ROWS + g % 2 * 2 + e / 2,
                                   row = (first_tile_of_rows + c) * MMA_ROWS + 2 * t + e % 2;
                    store(of, weight_row, row, y, up, addend_of(of, weight_row, row));
                }
            }
        } else {
            static_assert(K_WARPS == 1 || OWN_PARTS <= 2);
            constexpr uint32_t RESULTS = SUM_PARTS * T * 16;
            float* const results = reinterpret_cast<float*>(shared + args.results_offset) +
                                   (group * RESULT_BUFFERS<K_WARPS, T> + pass % RESULT_BUFFERS<K_WARPS, T>)*RESULTS;
            const auto meet = [&] { asm volatile("bar.sync %0, %1;" ::"r"(1 + group), "n"(K_WARPS * 32) : "memory"); };
            if (RESULT_BUFFERS<K_WARPS, T> == 1 && pass > 0) meet();
#pragma unroll
            for (int c = 0; c < NT; ++c) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    float* to = results + (k_warp * OWN_PARTS * T + c * MMA_ROWS + 2 * t + e % 2) * 16 + sub * 4 +
                                g % 2 * 2 + e / 2;
                    if (OWN_PARTS > 1) *to = total[OWN_PARTS > 1 ? c : 0][e], to += T * 16;
                    *to = sum[c][e];
                }
            }
            meet();
#pragma unroll
            for (uint32_t j = 0; j < OWN_OUTPUTS; ++j) {
                const uint32_t i = own_output(j), row = i / UNIT_OUTPUTS, r = i % UNIT_OUTPUTS;
                if (i >= T * UNIT_OUTPUTS) break;
                const float* of_row = results + row * 16 + r;
                const auto y_of = [&](const float* p) {
                    float parts[SUM_PARTS];
#pragma unroll
                    for (uint32_t j = 0; j < SUM_PARTS; ++j) parts[j] = p[j * T * 16];
#pragma unroll
                    for (uint32_t j = 1; j < SUM_PARTS; ++j) parts[0] += parts[j];
                    return parts[0];
                };
                const float y = y_of(of_row), up = PAIRED ? y_of(of_row + 8) : 0.f;
                if (!active) continue;
                const Part& of = args.parts[part];
                store(of, (PAIRED ? unit : unit - of.first_unit) * UNIT_OUTPUTS + r, row, y, up, addends[j]);
            }
        }
    }
}

/// A warp a block of 256 columns of a row.
__global__ void __launch_bounds__(256) quantise_kernel(RowsSource source, uint32_t n_blocks, uint32_t bucket,
                                                       uint32_t n_rows, uint8_t* chunks, float* squares) {
    release_successor();
    const uint32_t i = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t block = i / n_rows, row = i % n_rows;
    if (block >= n_blocks) return;
    const uint32_t column = block * 256 + lane * 8;
    float4 norm[2];
    if (source.norm != nullptr) {
        norm[0] = __ldg(reinterpret_cast<const float4*>(source.norm + column));
        norm[1] = __ldg(reinterpret_cast<const float4*>(source.norm + column + 4));
    }
    wait_for_predecessor();
    uint4 raw[2];
    float v[8];
    if (source.bf16) {
        raw[0] = __ldcg(reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(source.x) +
                                                       size_t{row} * source.stride + column));
        decode_eight(raw, true, v);
    } else {
        const float* x = static_cast<const float*>(source.x) + size_t{row} * source.stride + column;
        raw[0] = __ldcg(reinterpret_cast<const uint4*>(x));
        raw[1] = __ldcg(reinterpret_cast<const uint4*>(x + 4));
        decode_eight(raw, false, v);
    }
    if (source.norm != nullptr) {
        const float sum = block_squares(lane_squares(v));
        if (lane == 0) squares[block * bucket + row] = sum;
        const float* weight = reinterpret_cast<const float*>(norm);
#pragma unroll
        for (int j = 0; j < 8; ++j) v[j] *= weight[j];
    }
    float max = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) max = fmaxf(max, fabsf(v[j]));
    max = __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(max)));
    const uint2 q = quantise_eight(v, block_inverse(max));
    int sum = __dp4a(static_cast<int>(q.x), 0x01010101, __dp4a(static_cast<int>(q.y), 0x01010101, 0));
    sum += __shfl_xor_sync(~0u, sum, 1);  // of 16 columns
    const RowsChunk at{bucket};
    uint8_t* const chunk = chunks + size_t{block} * at.bytes();
    const uint32_t group = lane / 4, m = lane % 4, tile = row / MMA_ROWS, in_tile = row % MMA_ROWS;
    uint8_t* const to =
        chunk + ((tile * 4 + group / 2) * 32 + in_tile * 4 + m % 2 * 2) * 16 + group % 2 * 8 + m / 2 * 4;
    *reinterpret_cast<uint32_t*>(to) = q.x;
    *reinterpret_cast<uint32_t*>(to + 16) = q.y;
    if (lane % 2 == 0) {
        uint8_t* const of_sum = chunk + at.sums() + (tile * 32 + in_tile * 4 + lane / 8) * 8 + lane / 2 % 4;
        of_sum[0] = static_cast<uint8_t>(sum >> 7);
        of_sum[4] = static_cast<uint8_t>(sum & 127);
    }
    if (lane == 0) reinterpret_cast<float*>(chunk + at.scales())[row] = block_scale(max);
    asm volatile("fence.proxy.async;" ::: "memory");  // read by bulk copies
}

using Kernel = void (*)(Args);
struct Entry {
    TensorType a, b;
    Epilogue epilogue;
    uint32_t bucket, k_warps, warps, depth, blocks, stage_bytes;
    Kernel kernel;
};
template <TensorType A, TensorType B, Epilogue E, int NT, int K, int R, int W, int D, int BLOCKS>
constexpr Entry entry() {
    return {A, B, E,      NT * MMA_ROWS * R,   K,
            W, D, BLOCKS, stage_bytes<A, B>(), many_kernel<A, B, E, NT, K, R, W, D, BLOCKS>};
}
// Blocks to a multiprocessor: two, so that a kernel's weights come while its predecessor runs, as far as room allows.
#define REPRISE_ENTRIES(A, B, E, D8)                                                                                 \
    entry<A, B, E, 1, 1, 1, 8, D8, 2>(), entry<A, B, E, 1, 8, 1, 8, D8, 2>(), entry<A, B, E, 2, 1, 1, 8, 2, 2>(),    \
        entry<A, B, E, 2, 4, 1, 8, 2, 2>(), entry<A, B, E, 2, 8, 1, 8, 3, 1>(), entry<A, B, E, 4, 1, 1, 14, 2, 1>(), \
        entry<A, B, E, 4, 8, 1, 8, 2, 1>(), entry<A, B, E, 4, 1, 2, 14, 2, 1>(), entry<A, B, E, 8, 4, 1, 4, 3, 1>()
const Entry ENTRIES[] = {
    REPRISE_ENTRIES(TensorType::Q4_K, TensorType::Q4_K, Epilogue::STORE, 3),
    REPRISE_ENTRIES(TensorType::Q4_K, TensorType::Q6_K, Epilogue::STORE, 2),
    REPRISE_ENTRIES(TensorType::Q4_K, TensorType::Q4_K, Epilogue::SWIGLU, 3),
};

void launch_many(std::span<const RowsPart> parts, Epilogue epilogue, const RowsInput& input, uint32_t bucket,
                 uint32_t n_rows, const RowsTuning& tuning, cudaStream_t stream) {
    Args args = {};
    const uint32_t cols = parts[0].matrix->cols;
    const DeviceTraits traits = device_traits();
    uint32_t n_units = 0;
    for (const RowsPart& part : parts) {
        const DeviceMatrix& m = *part.matrix;
        Part& of = args.parts[args.n_parts++];
        const uint32_t units = epilogue == Epilogue::SWIGLU ? (m.rows + 7) / 8 : (m.rows + 15) / 16;
        of = {m.data, part.out, part.bias, part.residual, part.stride, m.rows, tile_count(m.rows), n_units, 0, false};
        n_units = epilogue == Epilogue::SWIGLU ? units : n_units + units;
        of.end_unit = n_units;
    }
    const auto n_sms = static_cast<uint32_t>(traits.n_sms);
    args.shares = TileShares::of(n_units, n_sms);
    const uint32_t k_warps = tuning.k_warps;
    const Entry* found = nullptr;
    for (const Entry& e : ENTRIES) {
        bool takes = e.epilogue == epilogue && e.bucket == bucket && e.k_warps == k_warps;
        for (const RowsPart& part : parts) takes &= part.matrix->type == e.a || part.matrix->type == e.b;
        if (takes) {
            found = &e;
            break;
        }
    }
    if (found == nullptr) fail(REPRISE_INTERNAL, "no kernel of %u rows for these matrices", bucket);
    for (uint32_t i = 0; i < args.n_parts; ++i) args.parts[i].second_type = parts[i].matrix->type != found->a;
    args.layouts[0] = tile_layout(found->a, cols);
    args.layouts[1] = tile_layout(found->b, cols);
    args.n_blocks = block_count(cols);
    args.n_pairs = pair_count(cols);
    args.n_rows = n_rows;
    args.input = input;
    args.inverse_cols = 1.f / static_cast<float>(cols);
    const bool two = found->blocks == 2;
    const uint32_t large = two ? traits.shared_per_sm / 2 : traits.shared_per_block - 3072;
    const uint32_t most = two ? large - 10240 : large;
    const uint32_t results = k_warps == 1 ? 0
                                          : found->warps / k_warps * SUM_PARTS * bucket * 64 *
                                                (k_warps == SUM_PARTS && bucket <= 16 ? 2 : 1);
    const uint32_t weights = found->warps * found->depth * found->stage_bytes;
    const uint32_t of_stage = k_warps * RowsChunk{bucket}.bytes();
    uint32_t steps = args.n_blocks;
    if (k_warps > 1) {
        steps = 0;
        const uint32_t own = SUM_PARTS / k_warps;
        for (uint32_t k = 0; k < k_warps; ++k)
            steps = std::max(steps, std::min(args.n_blocks, 2 * first_pair(args.n_pairs, (k + 1) * own)) -
                                        std::min(args.n_blocks, 2 * first_pair(args.n_pairs, k * own)));
    }
    if (weights + results + of_stage > most) fail(REPRISE_INTERNAL, "no room for %u rows", bucket);
    args.stages = std::min({steps, (most - weights - results) / of_stage, MAX_INPUT_STAGES});
    args.resident = args.stages == steps;
    args.results_offset = (args.stages * of_stage + 127) / 128 * 128;
    args.weights_offset = (args.results_offset + results + 127) / 128 * 128;
    launch(found->kernel, n_sms, (found->warps + 1) * 32, tuning.large ? large : most, stream, args);
}

}  // namespace

void project_rows(std::span<const RowsPart> parts, const RowsInput& input, uint32_t bucket, uint32_t n_rows,
                  const RowsTuning& tuning, cudaStream_t stream) {
    launch_many(parts, Epilogue::STORE, input, bucket, n_rows, tuning, stream);
}
void gated_rows(std::span<const RowsPart> parts, const RowsInput& input, uint32_t bucket, uint32_t n_rows,
                const RowsTuning& tuning, cudaStream_t stream) {
    launch_many(parts, Epilogue::SWIGLU, input, bucket, n_rows, tuning, stream);
}

void quantise_rows(const RowsSource& source, uint32_t cols, uint32_t bucket, uint32_t n_rows, uint8_t* chunks,
                   float* squares, cudaStream_t stream) {
    const auto n_sms = static_cast<uint32_t>(device_traits().n_sms);
    const uint32_t n = block_count(cols) * n_rows, warps = std::min(8u, (n + n_sms - 1) / n_sms);
    launch(quantise_kernel, (n + warps - 1) / warps, warps * 32, 0, stream, source, block_count(cols), bucket, n_rows,
           chunks, squares);
}

void load_rows_kernels() {
    for (const Entry& e : ENTRIES) load_kernel_with_shared_memory(e.kernel);
    load_kernel(quantise_kernel);
}

}  // namespace reprise::cuda::rows
