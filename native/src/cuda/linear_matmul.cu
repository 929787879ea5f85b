// Several tokens' products. Few tokens: one kernel, which turns weights into float16 on their way to the tensor cores. Else
// weights that are not float16 already become so in scratch memory, a strip of rows at a time, and
// every strip is one tensor-core product. A strip is large, because each ends with multiprocessors that idle.
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
constexpr size_t SCALE_BYTES = 256;  // in front of the strip: the strip's scale
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
        g.quants[0] = make_uint4(g.quants[0].x >> shift, g.quants[0].y >> shift, g.quants[0].z >> shift, g.quants[0].w >> shift);
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
        const uint4* source = reinterpret_cast<const uint4*>(tile + float_word_offset(layout, row % TILE_ROWS, piece * 2));
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
        case TensorType::BF16: return dequantize_kernel<TensorType::BF16>;
        case TensorType::Q4_0: return dequantize_kernel<TensorType::Q4_0>;
        case TensorType::Q4_1: return dequantize_kernel<TensorType::Q4_1>;
        case TensorType::Q8_0: return dequantize_kernel<TensorType::Q8_0>;
        case TensorType::Q4_K: return dequantize_kernel<TensorType::Q4_K>;
        case TensorType::Q5_K: return dequantize_kernel<TensorType::Q5_K>;
        case TensorType::Q6_K: return dequantize_kernel<TensorType::Q6_K>;
        default: fail(REPRISE_INTERNAL, "matmul: no float16 conversion of type %d", static_cast<int>(type));
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

/// The largest tile that gives every multiprocessor a block and wastes no more than half of itself on absent tokens.
const HalfKernel& choose_half_kernel(uint32_t n, uint32_t rows, uint32_t n_sms) {
    for (const HalfKernel& k : HALF_KERNELS) {
        if (n > k.bm / 2 && blocks(n, k.bm) * blocks(rows, k.bn) >= n_sms) return k;
    }
    return n > 32 ? HALF_KERNELS[2] : HALF_KERNELS[3];
}

void launch_half(HalfMatmulArgs args, cudaStream_t stream) {
    args.paired_stores = args.out_stride % 2 == 0 && reinterpret_cast<uintptr_t>(args.out) % 8 == 0;
    const HalfKernel& k = choose_half_kernel(args.n, args.rows, static_cast<uint32_t>(device_traits().n_sms));
    launch(k.kernel, dim3(blocks(args.n, k.bm), blocks(args.rows, k.bn)), k.threads, k.shared_bytes, stream, args);
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
// What was fastest on an H100: bench/NOTES.md, rows 62 to 65.
constexpr std::array FEW_TOKENS = {8u, 16u, 64u, 192u};  // that each of them is for, at most
constexpr uint32_t FEW_TOKENS_OF_F16 = 64;               // which needs no expansion
template <TensorType T>
constexpr FewKernels few_kernels() {
    constexpr uint32_t MORE_ROWS = is_quantized(T) ? 4 : 2;  // float types take more registers
    return {T, {few_kernel<T, 1, 2, 1>(), few_kernel<T, 2, 2, 1>(), few_kernel<T, 4, MORE_ROWS, 1>(), few_kernel<T, 4, MORE_ROWS, 2>()}};
}
const std::array FEW_KERNELS = {
    few_kernels<TensorType::F16>(),  few_kernels<TensorType::BF16>(), few_kernels<TensorType::Q4_0>(), few_kernels<TensorType::Q4_1>(),
    few_kernels<TensorType::Q8_0>(), few_kernels<TensorType::Q4_K>(), few_kernels<TensorType::Q5_K>(), few_kernels<TensorType::Q6_K>(),
};

/// Null where there is none for the type or tokens are not few.
const FewKernel* find_few_kernel(TensorType type, uint32_t n) {
    const auto* of_type = std::ranges::find(FEW_KERNELS, type, &FewKernels::type);
    const auto* tokens = std::ranges::find_if(FEW_TOKENS, [&](uint32_t most) { return n <= most; });
    if (of_type == FEW_KERNELS.end() || tokens == FEW_TOKENS.end() || (type == TensorType::F16 && n > FEW_TOKENS_OF_F16)) return nullptr;
    return &of_type->kernels[static_cast<size_t>(tokens - FEW_TOKENS.begin())];
}

/// Blocks of the same rows and other tokens lie next to each other, so that weights come from memory once.
void launch_few(const FewKernel& kernel, std::span<const MatvecPart> parts, const Activations& x, uint32_t n, size_t out_stride, cudaStream_t stream) {
    const DeviceMatrix& first = *parts[0].matrix;
    FewMatmulArgs args = {};
    args.layout = tile_layout(first.type, first.cols);
    args.x = x.half;
    args.x_scale = x.half_scale;
    args.out_stride = out_stride;
    args.n = n;
    args.pitch = static_cast<uint32_t>(half_row_values(first.cols));
    uint32_t n_blocks = 0;
    for (const MatvecPart& part : parts) {
        const DeviceMatrix& m = *part.matrix;
        args.parts[args.n_parts++] = {m.data, absmax_word(m), part.out, part.bias, part.residual, m.rows, n_blocks};
        n_blocks += blocks(m.rows, kernel.rows);
    }
    launch(kernel.kernel, dim3(blocks(n, kernel.tokens), n_blocks), few_matmul::THREADS, 0, stream, args);
}

}  // namespace

InputForm matmul_input(TensorType device_type) { return device_type == TensorType::F32 ? InputForm::F32 : InputForm::HALF; }

size_t matmul_scratch_bytes(const DeviceMatrix& matrix) {
    if (is_direct(matrix)) return 0;
    return SCALE_BYTES + strip_rows(matrix) * half_row_values(matrix.cols) * sizeof(__half);
}

void matmul(const DeviceMatrix& matrix, const Activations& x, uint32_t n, float* out, size_t out_stride,
            const float* bias, const float* residual, void* scratch, cudaStream_t stream) {
    const TileLayout layout = tile_layout(matrix.type, matrix.cols);
    if (matmul_input(matrix.type) == InputForm::F32 ? x.f32 == nullptr : x.half == nullptr || x.half_scale == nullptr) {
        fail(REPRISE_INTERNAL, "matmul: the input is not there in the form that %s needs", traits(matrix.type).name);
    }
    if (matrix.type == TensorType::F32) {
        const F32MatmulArgs args = {x.f32,      matrix.data, out, bias, residual,
                                    out_stride, n, matrix.rows, matrix.cols, layout};
        const dim3 grid(blocks(n, f32_matmul::BLOCK), blocks(matrix.rows, f32_matmul::BLOCK));
        launch(f32_matmul::kernel, grid, f32_matmul::THREADS, 0, stream, args);
        return;
    }

    if (const FewKernel* few = find_few_kernel(matrix.type, n)) {
        const MatvecPart part = {&matrix, out, bias, residual};
        launch_few(*few, {&part, 1}, x, n, out_stride, stream);
        return;
    }
    const auto pitch = static_cast<uint32_t>(half_row_values(matrix.cols));
    HalfMatmulArgs args = {};
    args.x = x.half;
    args.x_scale = x.half_scale;
    args.out_stride = out_stride;
    args.n = n;
    args.pitch = pitch;
    args.w_brick_bits = is_direct(matrix) ? HalfMatmulArgs::TILES : HalfMatmulArgs::ROW_MAJOR;
    const uint32_t strip = is_direct(matrix) ? matrix.rows : strip_rows(matrix);
    for (uint32_t first = 0; first < matrix.rows; first += strip) {
        args.rows = std::min(strip, matrix.rows - first);
        args.out = out + first;
        args.bias = bias == nullptr ? nullptr : bias + first;
        args.residual = residual == nullptr ? nullptr : residual + first;
        if (is_direct(matrix)) {
            args.w = reinterpret_cast<const __half*>(matrix.data);
        } else {
            auto* scale = static_cast<float*>(scratch);
            auto* weights = reinterpret_cast<__half*>(static_cast<uint8_t*>(scratch) + SCALE_BYTES);
            const uint8_t* tiles = matrix.data + size_t{first / TILE_ROWS} * layout.bytes;
            const uint64_t pieces = uint64_t{args.rows} * ((pitch + 15) / 16);
            launch(dequantize_kernel_of(matrix.type), static_cast<uint32_t>((pieces + THREADS - 1) / THREADS), THREADS, 0,
                   stream, tiles, layout, absmax_word(matrix), args.rows, pitch, scale, weights);
            args.w = weights;
            args.w_scale = scale;
        }
        launch_half(args, stream);
    }
}

void matmul(std::span<const MatvecPart> parts, const Activations& x, uint32_t n, size_t out_stride, void* scratch, cudaStream_t stream) {
    while (!parts.empty()) {
        const DeviceMatrix& first = *parts[0].matrix;
        const FewKernel* few = find_few_kernel(first.type, n);
        if (few == nullptr) {
            matmul(first, x, n, parts[0].out, out_stride, parts[0].bias, parts[0].residual, scratch, stream);
            parts = parts.subspan(1);
            continue;
        }
        size_t together = 1;
        while (together < std::min<size_t>(parts.size(), FewMatmulArgs::MAX_PARTS) && parts[together].matrix->type == first.type &&
               parts[together].matrix->cols == first.cols) {
            ++together;
        }
        launch_few(*few, parts.first(together), x, n, out_stride, stream);
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
    load_kernel(f32_matmul::kernel);
    for (const TensorType type : {TensorType::BF16, TensorType::Q4_0, TensorType::Q4_1, TensorType::Q8_0, TensorType::Q4_K,
                                  TensorType::Q5_K, TensorType::Q6_K}) {
        load_kernel(dequantize_kernel_of(type));
    }
}

void load_linear_kernels() {
    load_input_kernels();
    load_matvec_kernels();
    load_matmul_kernels();
}

}  // namespace reprise::cuda
