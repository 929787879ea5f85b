// Inputs of products: norm, activation and conversion, written straight into the forms that the products read.
#include <algorithm>

#include "cuda/embed_rows.h"
#include "cuda/launch.cuh"
#include "cuda/linear.h"
#include "cuda/linear_internal.h"
#include "cuda/quant_input.cuh"
#include "cuda/quant_layout.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t MAX_THREADS = 1024;

// A source gives the values of an input's rows before they are converted. What never changes after load (weight) is
// read early; value() reads the rest.
struct PlainSource {
    const float* x;
    size_t stride;
    static constexpr bool NORMALIZES = false;
    __device__ float weight(uint32_t) const { return 1.f; }
    __device__ float value(uint32_t row, uint32_t i) const { return x[row * stride + i]; }
};
struct SwigluSource {
    const float* gate;
    const float* up;
    size_t stride;
    static constexpr bool NORMALIZES = false;
    __device__ float weight(uint32_t) const { return 1.f; }
    __device__ float value(uint32_t row, uint32_t i) const {
        const float g = gate[row * stride + i];
        return g / (1.f + expf(-g)) * up[row * stride + i];
    }
};
struct RmsNormSource {
    const float* x;
    const float* weights;
    float eps;
    size_t stride;
    static constexpr bool NORMALIZES = true;
    __device__ float weight(uint32_t i) const { return weights[i]; }
    __device__ float value(uint32_t row, uint32_t i) const { return x[row * stride + i]; }
};

/// Over the block, in a fixed order; every thread gets it.
template <typename Combine>
__device__ float block_reduce(float v, Combine combine) {
    __shared__ float partial[MAX_THREADS / 32];
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) v = combine(v, __shfl_xor_sync(~0u, v, offset));
    __syncthreads();  // an earlier reduction's readers are done
    if (lane == 0) partial[warp] = v;
    __syncthreads();
    v = lane < warps ? partial[lane] : 0.f;
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) v = combine(v, __shfl_xor_sync(~0u, v, offset));
    return v;
}

/// blockIdx.x is the row, which gridDim.y blocks write together; each warp takes 32 values at a time. A thread keeps
/// its first values in registers between the passes over a row.
template <typename Source>
__global__ void __launch_bounds__(MAX_THREADS) write_forms(Source source, uint32_t cols, Activations out) {
    constexpr uint32_t KEPT = 8;
    release_successor();
    const uint32_t row = blockIdx.x, padded = (cols + 31) / 32 * 32;
    const uint32_t first = blockIdx.y * blockDim.x + threadIdx.x, step = gridDim.y * blockDim.x;
    float weights[KEPT], values[KEPT];
#pragma unroll
    for (uint32_t j = 0; j < KEPT; ++j) {
        const uint32_t i = first + j * step;
        if (i < cols) weights[j] = source.weight(i);
    }
    wait_for_predecessor();
#pragma unroll
    for (uint32_t j = 0; j < KEPT; ++j) {
        const uint32_t i = first + j * step;
        values[j] = i < cols ? source.value(row, i) : 0.f;
    }

    float factor = 1.f;
    if constexpr (Source::NORMALIZES) {
        float sum = 0;
#pragma unroll
        for (uint32_t j = 0; j < KEPT; ++j) sum = fmaf(values[j], values[j], sum);
        for (uint32_t i = first + KEPT * step; i < cols; i += step)
            sum = fmaf(source.value(row, i), source.value(row, i), sum);
        sum = block_reduce(sum, [](float a, float b) { return a + b; });
        factor = 1.f / sqrtf(sum / static_cast<float>(cols) + source.eps);
    }
    const auto rest = [&](uint32_t i) { return i < cols ? source.value(row, i) * factor * source.weight(i) : 0.f; };
#pragma unroll
    for (uint32_t j = 0; j < KEPT; ++j) {
        if (first + j * step < cols) values[j] = values[j] * factor * weights[j];
    }

    float inverse_scale = 1.f;
    if (out.half != nullptr) {
        float max = 0;
#pragma unroll
        for (uint32_t j = 0; j < KEPT; ++j) max = fmaxf(max, fabsf(values[j]));
        for (uint32_t i = first + KEPT * step; i < cols; i += step) max = fmaxf(max, fabsf(rest(i)));
        const float scale = half_range_scale(block_reduce(max, [](float a, float b) { return fmaxf(a, b); }));
        inverse_scale = 1.f / scale;
        if (threadIdx.x == 0) out.half_scale[row] = scale;
    }

    const size_t half_pitch = (cols + 7) / 8 * 8;
    uint8_t* int8 = out.int8 == nullptr ? nullptr : out.int8 + size_t{row} * ((cols / 32 * 40 + 15) / 16 * 16);
    const auto write = [&](uint32_t i, float v) {
        delay_point();
        if (out.f32 != nullptr && i < cols) out.f32[size_t{row} * cols + i] = v;
        if (int8 != nullptr) store_int8_group(int8, cols / 32, i / 32, v);
        if (out.half != nullptr && i < half_pitch) out.half[row * half_pitch + i] = __float2half_rn(v * inverse_scale);
    };
#pragma unroll
    for (uint32_t j = 0; j < KEPT; ++j) {
        const uint32_t i = first + j * step;
        if (i < padded) write(i, values[j]);
    }
    for (uint32_t i = first + KEPT * step; i < padded; i += step) write(i, rest(i));
}

template <typename Source>
void launch_forms(const Source& source, uint32_t n, uint32_t cols, const Activations& out, cudaStream_t stream) {
    if (out.int8 != nullptr && cols % 32 != 0) fail(REPRISE_INTERNAL, "%u columns are no multiple of 32", cols);
    // Few rows have the device to themselves and are all latency: whole rows are read by wide blocks, and where nothing
    // needs a whole row, by many blocks.
    const bool whole_row = Source::NORMALIZES || out.half != nullptr;
    const uint32_t padded = (cols + 31) / 32 * 32;
    uint32_t threads = 256, blocks = 1;
    if (!whole_row) {
        blocks = (padded + threads - 1) / threads;
    } else {
        while (threads < MAX_THREADS && threads * (n <= 64 ? 1 : 8) < padded) threads *= 2;
    }
    launch(write_forms<Source>, dim3(n, blocks), std::min(threads, padded), 0, stream, source, cols, out);
}

// Where the token of a row is; null: there is no such row.
struct TokenList {
    const int32_t* tokens;
    __device__ const int32_t* operator()(uint32_t row) const { return tokens + row; }
};
struct TokensOfRows {
    const StepRows* rows;
    __device__ const int32_t* operator()(uint32_t row) const {
        const Sequence* sequence = rows->sequences[row];
        return sequence == nullptr ? nullptr : &sequence->state.token;
    }
};

template <TensorType T, class Tokens>
__global__ void embed_kernel(const uint8_t* tiles, TileLayout layout, uint32_t cols, Tokens tokens, float* x) {
    release_successor();
    wait_for_predecessor();
    const int32_t* token = tokens(blockIdx.y);
    if (token == nullptr) return;
    const auto row = static_cast<uint32_t>(*token);
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= cols) return;
    const uint8_t* tile = tiles + size_t{row / TILE_ROWS} * layout.bytes;
    float value;
    if constexpr (is_quantized(T)) {
        const QuantGroup g = load_group<T>(tile, layout, row % TILE_ROWS, i / 32);
        const int half = static_cast<int>(i / 16 % 2), word = static_cast<int>(i / 4 % 4),
                  byte = static_cast<int>(i % 4);
        value = scaled(half_scale<T>(g, half), quant_value<T>(g, half, word, byte));
    } else {
        constexpr uint32_t PER_WORD = T == TensorType::F32 ? 4 : 8;
        const uint8_t* data = tile + float_word_offset(layout, row % TILE_ROWS, i / PER_WORD);
        if constexpr (T == TensorType::F32) {
            value = reinterpret_cast<const float*>(data)[i % PER_WORD];
        } else {
            const uint32_t bits = reinterpret_cast<const uint16_t*>(data)[i % PER_WORD];
            value = T == TensorType::F16 ? half_bits_to_float(bits) : __uint_as_float(bits << 16);
        }
    }
    delay_point();
    x[size_t{blockIdx.y} * cols + i] = value;
}

template <class Tokens>
using EmbedKernel = void (*)(const uint8_t*, TileLayout, uint32_t, Tokens, float*);

template <class Tokens>
EmbedKernel<Tokens> embed_kernel_of(TensorType type) {
    switch (type) {
        case TensorType::F32:
            return embed_kernel<TensorType::F32, Tokens>;
        case TensorType::F16:
            return embed_kernel<TensorType::F16, Tokens>;
        case TensorType::BF16:
            return embed_kernel<TensorType::BF16, Tokens>;
        case TensorType::Q4_0:
            return embed_kernel<TensorType::Q4_0, Tokens>;
        case TensorType::Q4_1:
            return embed_kernel<TensorType::Q4_1, Tokens>;
        case TensorType::Q8_0:
            return embed_kernel<TensorType::Q8_0, Tokens>;
        case TensorType::Q4_K:
            return embed_kernel<TensorType::Q4_K, Tokens>;
        case TensorType::Q5_K:
            return embed_kernel<TensorType::Q5_K, Tokens>;
        case TensorType::Q6_K:
            return embed_kernel<TensorType::Q6_K, Tokens>;
        default:  // no matrix on the device has another
            break;
    }
    fail(REPRISE_INTERNAL, "embed_rows: type %d", static_cast<int>(type));
}

template <class Tokens>
void embed(const DeviceMatrix& table, Tokens tokens, uint32_t n, float* x, cudaStream_t stream) {
    constexpr uint32_t threads = 256;
    const dim3 grid((table.cols + threads - 1) / threads, n);
    launch_first(embed_kernel_of<Tokens>(table.type), grid, threads, 0, stream, table.data,
                 tile_layout(table.type, table.cols), table.cols, tokens, x);
}

}  // namespace

size_t int8_row_bytes(uint32_t cols) { return (cols / 32 * 40 + 15) / 16 * 16; }
size_t half_row_values(uint32_t cols) { return (cols + 7) / 8 * 8; }

void prepare(const float* x, size_t x_stride, uint32_t n, uint32_t cols, const Activations& out, cudaStream_t stream) {
    launch_forms(PlainSource{x, x_stride}, n, cols, out, stream);
}

void rms_norm(const float* x, const float* weight, float eps, uint32_t n, uint32_t cols, const Activations& out,
              cudaStream_t stream) {
    launch_forms(RmsNormSource{x, weight, eps, cols}, n, cols, out, stream);
}

void swiglu(const float* gate, const float* up, size_t stride, uint32_t n, uint32_t cols, const Activations& out,
            cudaStream_t stream) {
    launch_forms(SwigluSource{gate, up, stride}, n, cols, out, stream);
}

void embed_rows(const DeviceMatrix& table, const int32_t* tokens, uint32_t n, float* x, cudaStream_t stream) {
    embed(table, TokenList{tokens}, n, x, stream);
}

void embed_step_rows(const DeviceMatrix& table, const StepRows* rows, uint32_t n, float* x, cudaStream_t stream) {
    embed(table, TokensOfRows{rows}, n, x, stream);
}

void load_input_kernels() {
    load_kernel(write_forms<PlainSource>);
    load_kernel(write_forms<SwigluSource>);
    load_kernel(write_forms<RmsNormSource>);
    for (const TensorType type :
         {TensorType::F32, TensorType::F16, TensorType::BF16, TensorType::Q4_0, TensorType::Q4_1, TensorType::Q8_0,
          TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K}) {
        load_kernel(embed_kernel_of<TokenList>(type));
        load_kernel(embed_kernel_of<TokensOfRows>(type));
    }
}

}  // namespace reprise::cuda
