// Several tokens' products. Weights that are not float16 already become so on their way to the tensor cores where
// tokens are few; else in scratch memory, a strip of rows at a time, and every strip is one product. A strip is large,
// because each ends with multiprocessors that idle. Where tiles are fewer than multiprocessors, several blocks share
// one along the summed dimension.
#include <algorithm>
#include <array>

#include "cuda/launch.cuh"
#include "cuda/linear.h"
#include "cuda/linear_internal.h"
#include "cuda/linear_matmul_f32.cuh"
#include "cuda/linear_matmul_few.cuh"
#include "cuda/linear_matmul_half.cuh"
#include "cuda/quant_layout.cuh"

namespace reprise::cuda {

namespace {

constexpr size_t STRIP_BYTES = size_t{128} << 20;
constexpr size_t ALIGNMENT = 256;
constexpr size_t SCALE_BYTES = ALIGNMENT;  // scratch begins with the strip's scale
constexpr size_t SUMS_BYTES =
    size_t{16} << 20;                      // at most, behind the scale: of blocks that share tiles; then the strip
constexpr uint32_t SUMS_TOKENS = 512;      // with more, tiles are mostly enough
constexpr uint32_t SPLIT_SLICES = 4;       // that a block is worth, at least
constexpr uint32_t STRIP_ALIGNMENT = 256;  // rows
constexpr uint32_t THREADS = 256;

/// Rows of a strip.
uint32_t strip_rows(const DeviceMatrix& m) {
    const size_t row_bytes = half_row_values(m.cols) * sizeof(__half);
    const size_t fit = std::max<size_t>(STRIP_BYTES / row_bytes, 1);
    const size_t aligned = fit >= STRIP_ALIGNMENT ? fit / STRIP_ALIGNMENT * STRIP_ALIGNMENT : (fit + 3) / 4 * 4;
    return static_cast<uint32_t>(std::min<size_t>(aligned, size_t{tile_count(m.rows)} * TILE_ROWS));
}

bool is_direct(const DeviceMatrix& m) { return m.type == TensorType::F32 || m.type == TensorType::F16; }

/// 16 weights of a group, as w / scale in float16.
template <TensorType T>
__device__ __forceinline__ void half_group(const uint8_t* tile, const TileLayout& layout, uint32_t row, uint32_t group,
                                           uint32_t half, float inverse_scale, __half2* out) {
    QuantGroup g = load_group<T>(tile, layout, row, group);
    const HalfScale scale = half_scale<T>(g, static_cast<int>(half));
    // Bring this half to where half 0 lies, so that all shifts below are constants.
    if constexpr (T == TensorType::Q8_0) {
        if (half) g.quants[0] = g.quants[1];
    } else {
        const uint32_t shift = half * 4;
        g.quants[0] =
            make_uint4(g.quants[0].x >> shift, g.quants[0].y >> shift, g.quants[0].z >> shift, g.quants[0].w >> shift);
        g.high[0] = T == TensorType::Q6_K ? (half ? g.high[1] : g.high[0]) : g.high[0] >> shift;
    }
#pragma unroll
    for (int word = 0; word < 4; ++word) {
#pragma unroll
        for (int byte = 0; byte < 4; byte += 2) {
            out[word * 2 + byte / 2] =
                __floats2half2_rn(scaled(scale, quant_value<T>(g, 0, word, byte)) * inverse_scale,
                                  scaled(scale, quant_value<T>(g, 0, word, byte + 1)) * inverse_scale);
        }
    }
}

/// One thread writes 16 weights. scale_out gets the scale of the whole matrix.
template <TensorType T>
__global__ void __launch_bounds__(THREADS)
    dequantize_kernel(const uint8_t* tiles, TileLayout layout, const uint32_t* absmax, uint32_t n_rows, uint32_t pitch,
                      float* scale_out, __half* out) {
    release_successor();
    wait_for_predecessor();  // the previous product may still read the strip
    const float scale = half_range_scale(__uint_as_float(*absmax));
    const uint32_t per_row = (pitch + 15) / 16;
    const uint64_t i = uint64_t{blockIdx.x} * THREADS + threadIdx.x;
    if (i == 0) *scale_out = scale;
    const auto row = static_cast<uint32_t>(i / per_row), piece = static_cast<uint32_t>(i % per_row);
    if (row >= n_rows) return;
    const uint8_t* tile = tiles + size_t{row / TILE_ROWS} * layout.bytes;
    __align__(16) __half2 values[8];
    uint32_t words = 2;
    if constexpr (is_quantized(T)) {
        half_group<T>(tile, layout, row % TILE_ROWS, piece / 2, piece % 2, 1.f / scale, values);
    } else {
        static_assert(T == TensorType::BF16);
        const uint4* source =
            reinterpret_cast<const uint4*>(tile + float_word_offset(layout, row % TILE_ROWS, piece * 2));
        words = min(2u, layout.units - piece * 2);  // of one brick
        for (uint32_t w = 0; w < words; ++w) {
            const uint4 v = source[w];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const uint32_t bits = word_of(v, j);
                values[w * 4 + j] = __floats2half2_rn(__uint_as_float(bits << 16) * (1.f / scale),
                                                      __uint_as_float(bits & 0xffff0000u) * (1.f / scale));
            }
        }
    }
    uint4* to = reinterpret_cast<uint4*>(out + size_t{row} * pitch + piece * 16);
    delay_point();
    for (uint32_t w = 0; w < words; ++w) to[w] = reinterpret_cast<const uint4*>(values)[w];
}

using DequantizeKernel = void (*)(const uint8_t*, TileLayout, const uint32_t*, uint32_t, uint32_t, float*, __half*);

DequantizeKernel dequantize_kernel_of(TensorType type) {
    switch (type) {
        case TensorType::BF16:
            return dequantize_kernel<TensorType::BF16>;
        case TensorType::Q4_0:
            return dequantize_kernel<TensorType::Q4_0>;
        case TensorType::Q4_1:
            return dequantize_kernel<TensorType::Q4_1>;
        case TensorType::Q8_0:
            return dequantize_kernel<TensorType::Q8_0>;
        case TensorType::Q4_K:
            return dequantize_kernel<TensorType::Q4_K>;
        case TensorType::Q5_K:
            return dequantize_kernel<TensorType::Q5_K>;
        case TensorType::Q6_K:
            return dequantize_kernel<TensorType::Q6_K>;
        default:
            fail(REPRISE_INTERNAL, "matmul: no float16 conversion of type %d", static_cast<int>(type));
    }
}

struct HalfKernel {
    uint32_t bm, bn, threads, shared_bytes;
    void (*kernel)(HalfMatmulArgs);
};
template <typename T>
constexpr HalfKernel half_kernel() {
    return {T::M, T::N, T::THREADS, T::SHARED_BYTES, half_matmul::kernel<T>};
}

// From the most to the least work per byte of shared memory.
const std::array HALF_KERNELS = {
    half_kernel<half_matmul::Tile<128, 128, 2, 4, 3>>(),
    half_kernel<half_matmul::Tile<64, 128, 2, 4, 4>>(),
    half_kernel<half_matmul::Tile<64, 64, 2, 2, 4>>(),
    half_kernel<half_matmul::Tile<32, 64, 1, 4, 4>>(),
};

uint32_t blocks(uint32_t n, uint32_t size) { return (n + size - 1) / size; }

/// Into how many parts the summed dimension may be cut.
uint32_t most_splits(uint32_t cols) { return std::max(blocks(cols, half_matmul::BK) / SPLIT_SLICES, 1u); }

/// Scratch for the sums of blocks that share tiles.
size_t sums_bytes(const DeviceMatrix& m) {
    if (most_splits(m.cols) == 1) return 0;
    const size_t bytes = size_t{most_splits(m.cols)} * SUMS_TOKENS * (m.rows + 1) * sizeof(float);
    return std::min(SUMS_BYTES, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

/// A tile, and how many blocks share one.
struct HalfPlan {
    const HalfKernel* kernel;
    uint32_t n_splits;
};
/// The largest tile that wastes no more than half of itself on absent tokens and of which, shared or not, every
/// multiprocessor gets one. all_rows: as in HalfMatmulArgs.
HalfPlan plan_half(std::span<const MatvecPart> parts, uint32_t n, uint32_t all_rows, uint32_t n_sms) {
    constexpr uint32_t MOST_OF_LARGE = 8;
    size_t room = 0;
    for (const MatvecPart& part : parts) room = std::max(room, sums_bytes(*part.matrix));
    const auto fit = static_cast<uint32_t>(room / (size_t{n} * all_rows * sizeof(float)));
    const uint32_t most = std::clamp(fit, 1u, most_splits(parts[0].matrix->cols));
    const auto n_blocks = [&](const HalfKernel& k) {
        uint32_t of_rows = 0;
        for (const MatvecPart& part : parts) of_rows += blocks(part.matrix->rows, k.bn);
        return blocks(n, k.bm) * of_rows;
    };
    const auto* found = std::ranges::find_if(HALF_KERNELS, [&](const HalfKernel& k) {
        return n > k.bm / 2 && n_blocks(k) * std::min(most, MOST_OF_LARGE) >= n_sms;
    });
    if (found == HALF_KERNELS.end()) found = n > 32 ? &HALF_KERNELS[2] : &HALF_KERNELS[3];
    if (n_blocks(*found) >= n_sms) return {found, 1};
    return {found, std::clamp(2 * n_sms / n_blocks(*found), 1u, most)};
}

/// weights: of each part, in float16. scratch: as matmul() has it.
void launch_half(std::span<const MatvecPart> parts, std::span<const __half* const> weights, HalfMatmulArgs args,
                 void* scratch, cudaStream_t stream) {
    uint32_t n_rows = 0;
    for (const MatvecPart& part : parts) n_rows += part.matrix->rows;
    args.all_rows = (n_rows + 1) / 2 * 2;
    const HalfPlan plan = plan_half(parts, args.n, args.all_rows, static_cast<uint32_t>(device_traits().n_sms));
    const HalfKernel& k = *plan.kernel;
    args.paired_stores = args.out_stride % 2 == 0;
    uint32_t n_blocks = 0, first_row = 0;
    for (const MatvecPart& part : parts) {
        const uint32_t rows = part.matrix->rows;
        args.parts[args.n_parts] = {
            weights[args.n_parts], part.out, part.bias, part.residual, rows, n_blocks, first_row};
        ++args.n_parts;
        args.paired_stores = args.paired_stores && reinterpret_cast<uintptr_t>(part.out) % 8 == 0;
        n_blocks += blocks(rows, k.bn);
        first_row += rows;
    }
    const uint32_t slices = blocks(args.pitch, half_matmul::BK);
    args.split_slices = blocks(slices, plan.n_splits);
    const uint32_t n_splits = blocks(slices, args.split_slices);
    if (n_splits > 1) args.sums = reinterpret_cast<float*>(static_cast<uint8_t*>(scratch) + SCALE_BYTES);
    launch(k.kernel, dim3(blocks(args.n, k.bm), n_blocks, n_splits), k.threads, k.shared_bytes, stream, args);
    if (n_splits == 1) return;
    launch(half_matmul::add_kernel, dim3(blocks(n_rows, half_matmul::ADD_THREADS), args.n), half_matmul::ADD_THREADS, 0,
           stream, args, n_splits);
}

struct FewKernel {
    uint32_t tokens, rows;  // of a block
    void (*kernel)(FewMatmulArgs);
};
template <TensorType T, uint32_t GROUPS, uint32_t LANE_ROWS, uint32_t ROW_WARPS>
constexpr FewKernel few_kernel() {
    return {GROUPS * 8, LANE_ROWS * 8 * ROW_WARPS, few_matmul::kernel<T, GROUPS, LANE_ROWS, ROW_WARPS>};
}
struct FewKernels {
    TensorType type;
    std::array<FewKernel, 4> kernels;
};
// Rows and warps of a block by number of tokens, as they were fastest on an H100 by reprise-bench -m MODEL -p
// 4,8,16,32,64,128,192 -n 0: more blocks help few tokens; with many, blocks of more rows read the input less often.
constexpr std::array FEW_TOKENS = {8u, 16u, 64u, 128u};  // that each of them is for, at most
template <TensorType T>
constexpr FewKernels few_kernels() {
    constexpr uint32_t MORE_ROWS = is_quantized(T) ? 4 : 2;  // BF16 takes more registers
    return {T,
            {few_kernel<T, 1, 2, 1>(), few_kernel<T, 2, 2, 1>(), few_kernel<T, 4, MORE_ROWS, 1>(),
             few_kernel<T, 4, MORE_ROWS, 2>()}};
}
const std::array FEW_KERNELS = {
    few_kernels<TensorType::BF16>(), few_kernels<TensorType::Q4_0>(), few_kernels<TensorType::Q4_1>(),
    few_kernels<TensorType::Q8_0>(), few_kernels<TensorType::Q4_K>(), few_kernels<TensorType::Q5_K>(),
    few_kernels<TensorType::Q6_K>(),
};

/// Null where there is none for the type or tokens are not few.
const FewKernel* find_few_kernel(TensorType type, uint32_t n) {
    const auto* of_type = std::ranges::find(FEW_KERNELS, type, &FewKernels::type);
    const auto* tokens = std::ranges::find_if(FEW_TOKENS, [&](uint32_t most) { return n <= most; });
    if (of_type == FEW_KERNELS.end() || tokens == FEW_TOKENS.end()) return nullptr;
    return &of_type->kernels[static_cast<size_t>(tokens - FEW_TOKENS.begin())];
}

/// Blocks of the same rows and other tokens come one after the other, so that weights come from memory once.
void launch_few(const FewKernel& kernel, std::span<const MatvecPart> parts, const Activations& x, uint32_t n,
                size_t out_stride, cudaStream_t stream) {
    const DeviceMatrix& first = *parts[0].matrix;
    FewMatmulArgs args = {};
    args.layout = tile_layout(first.type, first.cols);
    args.x = x.half;
    args.x_scale = x.half_scale;
    args.out_stride = out_stride;
    args.n = n;
    args.pitch = static_cast<uint32_t>(half_row_values(first.cols));
    args.token_blocks = blocks(n, kernel.tokens);
    uint32_t n_blocks = 0;
    for (const MatvecPart& part : parts) {
        const DeviceMatrix& m = *part.matrix;
        args.parts[args.n_parts++] = {m.data, absmax_word(m), part.out, part.bias, part.residual, m.rows, n_blocks};
        n_blocks += blocks(m.rows, kernel.rows);
    }
    launch(kernel.kernel, args.token_blocks * n_blocks, few_matmul::THREADS, 0, stream, args);
}

/// Expands a matrix strip by strip, and multiplies each.
void expand_and_multiply(const MatvecPart& part, HalfMatmulArgs args, void* scratch, cudaStream_t stream) {
    const DeviceMatrix& matrix = *part.matrix;
    const TileLayout layout = tile_layout(matrix.type, matrix.cols);
    const uint32_t strip = strip_rows(matrix);
    auto* scale = static_cast<float*>(scratch);
    auto* expanded = reinterpret_cast<__half*>(static_cast<uint8_t*>(scratch) + SCALE_BYTES + sums_bytes(matrix));
    args.w_scale = scale;
    args.w_brick_bits = HalfMatmulArgs::ROW_MAJOR;
    for (uint32_t first = 0; first < matrix.rows; first += strip) {
        DeviceMatrix of_strip = matrix;
        of_strip.rows = std::min(strip, matrix.rows - first);
        const uint8_t* tiles = matrix.data + size_t{first / TILE_ROWS} * layout.bytes;
        const uint64_t pieces = uint64_t{of_strip.rows} * ((args.pitch + 15) / 16);
        launch(dequantize_kernel_of(matrix.type), static_cast<uint32_t>((pieces + THREADS - 1) / THREADS), THREADS, 0,
               stream, tiles, layout, absmax_word(matrix), of_strip.rows, args.pitch, scale, expanded);
        const auto from = [&](const float* p) { return p == nullptr ? nullptr : p + first; };
        const MatvecPart rows = {&of_strip, part.out + first, from(part.bias), from(part.residual)};
        const __half* weights = expanded;
        launch_half({&rows, 1}, {&weights, 1}, args, scratch, stream);
    }
}

/// Matrices of one type and as many columns.
void multiply_together(std::span<const MatvecPart> parts, const Activations& x, uint32_t n, size_t out_stride,
                       void* scratch, cudaStream_t stream) {
    const TensorType type = parts[0].matrix->type;
    const uint32_t cols = parts[0].matrix->cols;
    if (matmul_input(type) == InputForm::F32 ? x.f32 == nullptr : x.half == nullptr || x.half_scale == nullptr) {
        fail(REPRISE_INTERNAL, "matmul: the input is not there in the form that %s needs", traits(type).name);
    }
    if (type == TensorType::F32) {
        for (const MatvecPart& part : parts) {
            const uint32_t rows = part.matrix->rows;
            const F32MatmulArgs args = {
                x.f32, part.matrix->data,      part.out, part.bias, part.residual, out_stride, n, rows,
                cols,  tile_layout(type, cols)};
            launch(f32_matmul::kernel, dim3(blocks(n, f32_matmul::BLOCK), blocks(rows, f32_matmul::BLOCK)),
                   f32_matmul::THREADS, 0, stream, args);
        }
        return;
    }
    if (const FewKernel* few = find_few_kernel(type, n)) return launch_few(*few, parts, x, n, out_stride, stream);
    HalfMatmulArgs args = {};
    args.x = x.half;
    args.x_scale = x.half_scale;
    args.out_stride = out_stride;
    args.n = n;
    args.pitch = static_cast<uint32_t>(half_row_values(cols));
    if (is_direct(*parts[0].matrix)) {
        args.w_brick_bits = HalfMatmulArgs::TILES;
        std::array<const __half*, MAX_TOGETHER> weights;
        for (size_t i = 0; i < parts.size(); ++i) weights[i] = reinterpret_cast<const __half*>(parts[i].matrix->data);
        return launch_half(parts, std::span(weights).first(parts.size()), args, scratch, stream);
    }
    for (const MatvecPart& part : parts) expand_and_multiply(part, args, scratch, stream);
}

}  // namespace

InputForm matmul_input(TensorType device_type) {
    return device_type == TensorType::F32 ? InputForm::F32 : InputForm::HALF;
}

size_t matmul_scratch_bytes(const DeviceMatrix& matrix) {
    if (matrix.type == TensorType::F32) return 0;
    if (is_direct(matrix)) return SCALE_BYTES + sums_bytes(matrix);
    return SCALE_BYTES + sums_bytes(matrix) + strip_rows(matrix) * half_row_values(matrix.cols) * sizeof(__half);
}

void matmul(std::span<const MatvecPart> parts, const Activations& x, uint32_t n, size_t out_stride, void* scratch,
            cudaStream_t stream) {
    while (!parts.empty()) {
        const DeviceMatrix& first = *parts[0].matrix;
        const auto goes_along = [&](const MatvecPart& part) {
            return part.matrix->type == first.type && part.matrix->cols == first.cols;
        };
        size_t together = 1;
        while (together < std::min<size_t>(parts.size(), MAX_TOGETHER) && goes_along(parts[together])) ++together;
        multiply_together(parts.first(together), x, n, out_stride, scratch, stream);
        parts = parts.subspan(together);
    }
}

void load_matmul_kernels() {
    for (const HalfKernel& k : HALF_KERNELS) {
        load_kernel(k.kernel);
        check(cudaFuncSetAttribute(reinterpret_cast<const void*>(k.kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(k.shared_bytes)),
              "sizing shared memory");
    }
    for (const FewKernels& of_type : FEW_KERNELS) {
        for (const FewKernel& k : of_type.kernels) load_kernel(k.kernel);
    }
    load_kernel(half_matmul::add_kernel);
    load_kernel(f32_matmul::kernel);
    for (const TensorType type : {TensorType::BF16, TensorType::Q4_0, TensorType::Q4_1, TensorType::Q8_0,
                                  TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K}) {
        load_kernel(dequantize_kernel_of(type));
    }
}

void load_linear_kernels() {
    load_input_kernels();
    load_matvec_kernels();
    load_matmul_kernels();
}

}  // namespace reprise::cuda
