// From the blocks of a file to the layout of quant_layout.cuh.
#include "cuda/check.h"
#include "cuda/launch.cuh"
#include "cuda/linear.h"
#include "cuda/quant_layout.cuh"

namespace reprise::cuda {

namespace {

__device__ uint32_t u16_at(const uint8_t* p) { return p[0] | p[1] << 8; }

/// Group g of a row of blocks as they lie in a file.
template <TensorType T>
__device__ QuantGroup read_group(const uint8_t* row, uint32_t g) {
    QuantGroup out = {};
    uint8_t* q = reinterpret_cast<uint8_t*>(out.quants);
    if constexpr (T == TensorType::Q4_0) {
        const uint8_t* block = row + size_t{g} * sizeof(BlockQ4_0);
        out.scale = u16_at(block);
        for (int i = 0; i < 16; ++i) q[i] = block[2 + i];
    } else if constexpr (T == TensorType::Q4_1) {
        const uint8_t* block = row + size_t{g} * sizeof(BlockQ4_1);
        out.scale = u16_at(block) | u16_at(block + 2) << 16;
        for (int i = 0; i < 16; ++i) q[i] = block[4 + i];
    } else if constexpr (T == TensorType::Q8_0) {
        const uint8_t* block = row + size_t{g} * sizeof(BlockQ8_0);
        out.scale = u16_at(block);
        for (int i = 0; i < 32; ++i) q[i] = block[2 + i];
    } else if constexpr (T == TensorType::Q4_K || T == TensorType::Q5_K) {
        using Block = std::conditional_t<T == TensorType::Q4_K, BlockQ4_K, BlockQ5_K>;
        const Block* block = reinterpret_cast<const Block*>(row + size_t{g / 8} * sizeof(Block));
        const int in_block = static_cast<int>(g % 8);
        const uint8_t* s = block->scales;
        uint32_t scale, min;  // the packing of unpack_scale_min()
        if (in_block < 4) {
            scale = s[in_block] & 63;
            min = s[in_block + 4] & 63;
        } else {
            scale = (s[in_block + 4] & 15) | (s[in_block - 4] >> 6) << 4;
            min = (s[in_block + 4] >> 4) | (s[in_block] >> 6) << 4;
        }
        out.scale = scale | min << 8;
        out.super = block->d | static_cast<uint32_t>(block->dmin) << 16;
        const uint8_t* qs = block->qs + in_block / 2 * 32;
        const int shift = in_block % 2 * 4;
        for (int i = 0; i < 16; ++i) {
            q[i] = static_cast<uint8_t>(((qs[i] >> shift) & 15) | ((qs[i + 16] >> shift) & 15) << 4);
        }
        if constexpr (T == TensorType::Q5_K) {
            for (int i = 0; i < 16; ++i) {
                const int word = i / 4, byte = i % 4;
                out.high[0] |= static_cast<uint32_t>((block->qh[i] >> in_block) & 1) << (byte * 8 + word);
                out.high[0] |= static_cast<uint32_t>((block->qh[i + 16] >> in_block) & 1) << (byte * 8 + 4 + word);
            }
        }
    } else {
        static_assert(T == TensorType::Q6_K);
        const uint8_t* block = row + size_t{g / 8} * sizeof(BlockQ6_K);
        const int in_block = static_cast<int>(g % 8), half = in_block / 4, quarter = in_block % 4;
        const uint8_t* ql = block + half * 64 + quarter % 2 * 32;
        const uint8_t* qh = block + 128 + half * 32;
        const int shift = quarter / 2 * 4;
        for (int i = 0; i < 16; ++i) {
            q[i] = static_cast<uint8_t>(((ql[i] >> shift) & 15) | ((ql[i + 16] >> shift) & 15) << 4);
            const int word = i / 4, byte = i % 4;
            out.high[0] |= static_cast<uint32_t>((qh[i] >> (quarter * 2)) & 3) << (byte * 8 + word * 2);
            out.high[1] |= static_cast<uint32_t>((qh[i + 16] >> (quarter * 2)) & 3) << (byte * 8 + word * 2);
        }
        out.scale = u16_at(block + 192 + in_block * 2);
        out.super = u16_at(block + 208);
    }
    return out;
}

/// absmax word = max of it and the warp's values; the bits of floats that are not negative order as the floats do.
__device__ void merge_absmax(uint32_t* absmax, float value) {
    const uint32_t max = __reduce_max_sync(~0u, __float_as_uint(value));
    if (threadIdx.x % 32 == 0 && max != 0) atomicMax(absmax, max);
}

/// One thread per group of 32 weights; rows beyond the matrix, up to a whole tile, become zero.
template <TensorType T, bool TO_F32>
__global__ void repack_quantized(const uint8_t* __restrict__ blocks, size_t row_bytes, uint32_t n_rows, uint32_t groups,
                                 uint8_t* __restrict__ tiles, TileLayout layout, uint32_t* absmax) {
    const uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const uint32_t row = static_cast<uint32_t>(i / groups), group = static_cast<uint32_t>(i % groups);
    float max = 0;
    if (row < tile_count(n_rows) * TILE_ROWS) {
        QuantGroup g = {};
        if (row < n_rows) g = read_group<T>(blocks + row * row_bytes, group);
        uint8_t* tile = tiles + size_t{row / TILE_ROWS} * layout.bytes;
        if constexpr (!TO_F32) store_group<T>(tile, layout, row % TILE_ROWS, group, g);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const HalfScale scale = half_scale<T>(g, half);
            max = fmaxf(max, fmaxf(fabsf(scale.d), fabsf(fmaf(scale.d, centre_of<T>(scale), -scale.m))));
#pragma unroll
            for (int word = 0; word < 4; ++word) {
                float w[4];
#pragma unroll
                for (int byte = 0; byte < 4; ++byte) {
                    w[byte] = row < n_rows ? scaled(scale, quant_value<T>(g, half, word, byte)) : 0.f;
                    max = fmaxf(max, fabsf(w[byte]));
                }
                if constexpr (TO_F32) {
                    const uint32_t offset = float_word_offset(layout, row % TILE_ROWS, group * 8 + half * 4 + word);
                    *reinterpret_cast<float4*>(tile + offset) = make_float4(w[0], w[1], w[2], w[3]);
                }
            }
        }
    }
    merge_absmax(absmax, max);
}

template <TensorType T>
__device__ float float_value(const uint8_t* row, uint32_t i) {
    if constexpr (T == TensorType::F32) return reinterpret_cast<const float*>(row)[i];
    const uint16_t bits = reinterpret_cast<const uint16_t*>(row)[i];
    if constexpr (T == TensorType::F16) return half_bits_to_float(bits);
    return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}

/// One thread per value of the padded matrix.
template <TensorType T, bool TO_F32>
__global__ void repack_float(const uint8_t* __restrict__ blocks, size_t row_bytes, uint32_t n_rows, uint32_t cols,
                             uint8_t* __restrict__ tiles, TileLayout layout, uint32_t* absmax) {
    using Out = std::conditional_t<TO_F32 || T == TensorType::F32, float, uint16_t>;
    constexpr uint32_t PER_WORD = 16 / sizeof(Out);
    const uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const uint32_t pitch = layout.units * PER_WORD;
    const uint32_t row = static_cast<uint32_t>(i / pitch), col = static_cast<uint32_t>(i % pitch);
    float max = 0;
    if (row < tile_count(n_rows) * TILE_ROWS) {
        Out out = 0;
        if (row < n_rows && col < cols) {
            const float value = float_value<T>(blocks + row * row_bytes, col);
            max = fabsf(value);
            if constexpr (std::is_same_v<Out, float>) {
                out = value;
            } else {
                out = reinterpret_cast<const uint16_t*>(blocks + row * row_bytes)[col];
            }
        }
        uint8_t* word =
            tiles + size_t{row / TILE_ROWS} * layout.bytes + float_word_offset(layout, row % TILE_ROWS, col / PER_WORD);
        reinterpret_cast<Out*>(word)[col % PER_WORD] = out;
    }
    merge_absmax(absmax, max);
}

constexpr uint32_t THREADS = 256;

template <TensorType T>
void launch_repack(const DeviceMatrix& m, uint8_t* tiles, const TileLayout& layout, uint32_t n_rows,
                   const uint8_t* blocks, cudaStream_t stream) {
    const size_t bytes = row_bytes(T, m.cols);
    const uint64_t rows = uint64_t{tile_count(n_rows)} * TILE_ROWS;
    uint32_t* absmax = absmax_word(m);
    const bool to_f32 = m.type == TensorType::F32;
    if constexpr (is_quantized(T)) {
        const uint32_t groups = m.cols / 32;
        const auto grid = static_cast<uint32_t>((rows * groups + THREADS - 1) / THREADS);
        const auto kernel = to_f32 ? repack_quantized<T, true> : repack_quantized<T, false>;
        launch_kernel(false, kernel, grid, THREADS, 0, stream, blocks, bytes, n_rows, groups, tiles, layout, absmax);
    } else {
        const uint32_t pitch = layout.units * (to_f32 ? 4 : 8);
        const auto grid = static_cast<uint32_t>((rows * pitch + THREADS - 1) / THREADS);
        const auto kernel = to_f32 ? repack_float<T, true> : repack_float<T, false>;
        launch_kernel(false, kernel, grid, THREADS, 0, stream, blocks, bytes, n_rows, m.cols, tiles, layout, absmax);
    }
}

}  // namespace

TensorType upload_type(TensorType file_type, bool exact) {
    if (!is_quantized(file_type) || quant_shape(file_type).planes != 0) return file_type;
    return exact ? TensorType::F32 : TensorType::F16;
}

TensorType device_type(TensorType file_type, bool exact) {
    return exact ? TensorType::F32 : upload_type(file_type, exact);
}

size_t device_bytes(TensorType device_type, uint32_t rows, uint32_t cols) {
    const size_t tiles = size_t{tile_count(rows)} * tile_layout(device_type, cols).bytes;
    return (tiles + sizeof(uint32_t) + 255) / 256 * 256;
}

void begin_repack(const DeviceMatrix& matrix, cudaStream_t stream) {
    check(cudaMemsetAsync(absmax_word(matrix), 0, sizeof(uint32_t), stream), "preparing a weight matrix");
}

void repack_rows(const DeviceMatrix& matrix, TensorType file_type, uint32_t first_row, uint32_t n_rows,
                 const void* blocks, cudaStream_t stream) {
    const bool ends = first_row + n_rows == matrix.rows;
    if (first_row % TILE_ROWS != 0 || (n_rows % TILE_ROWS != 0 && !ends) || first_row + n_rows > matrix.rows ||
        (matrix.type != file_type && matrix.type != TensorType::F32)) {
        fail(REPRISE_INTERNAL, "repack_rows: rows %u + %u of %u, %s to %s", first_row, n_rows, matrix.rows,
             traits(file_type).name, traits(matrix.type).name);
    }
    const TileLayout layout = tile_layout(matrix.type, matrix.cols);
    uint8_t* tiles = matrix.data + size_t{first_row / TILE_ROWS} * layout.bytes;
    const auto* bytes = static_cast<const uint8_t*>(blocks);
    switch (file_type) {
        case TensorType::F32:
            return launch_repack<TensorType::F32>(matrix, tiles, layout, n_rows, bytes, stream);
        case TensorType::F16:
            return launch_repack<TensorType::F16>(matrix, tiles, layout, n_rows, bytes, stream);
        case TensorType::BF16:
            return launch_repack<TensorType::BF16>(matrix, tiles, layout, n_rows, bytes, stream);
        case TensorType::Q4_0:
            return launch_repack<TensorType::Q4_0>(matrix, tiles, layout, n_rows, bytes, stream);
        case TensorType::Q4_1:
            return launch_repack<TensorType::Q4_1>(matrix, tiles, layout, n_rows, bytes, stream);
        case TensorType::Q8_0:
            return launch_repack<TensorType::Q8_0>(matrix, tiles, layout, n_rows, bytes, stream);
        case TensorType::Q4_K:
            return launch_repack<TensorType::Q4_K>(matrix, tiles, layout, n_rows, bytes, stream);
        case TensorType::Q5_K:
            return launch_repack<TensorType::Q5_K>(matrix, tiles, layout, n_rows, bytes, stream);
        case TensorType::Q6_K:
            return launch_repack<TensorType::Q6_K>(matrix, tiles, layout, n_rows, bytes, stream);
        default:  // upload_type() is never one of these
            break;
    }
    fail(REPRISE_INTERNAL, "repack_rows: type %d", static_cast<int>(file_type));
}

}  // namespace reprise::cuda
