#include "cuda/check.h"
#include "cuda/launch.cuh"
#include "cuda/rows/relayout.h"
#include "cuda/types/q4_k.cuh"
#include "cuda/types/q6_k.cuh"

namespace reprise::cuda::rows {

namespace {

/// A thread a block of 256 columns of a tile: smaller pieces share bytes in the layout.
template <TensorType T>
__global__ void relayout_kernel(const uint8_t* from, uint8_t* to, TileLayout layout) {
    const uint32_t block = blockIdx.y * blockDim.x + threadIdx.x;
    if (block >= layout.units / 8) return;
    const size_t tile = size_t{blockIdx.x} * layout.bytes;
    for (uint32_t row = 0; row < TILE_ROWS; ++row) {
        for (uint32_t group = block * 8; group < block * 8 + 8; ++group)
            RowsType<T>::store_group(to + tile, layout, row, group, load_group<T>(from + tile, layout, row, group));
    }
}

template <TensorType T>
void run(const DeviceMatrix& matrix, uint8_t* to, cudaStream_t stream) {
    constexpr uint32_t THREADS = 64;
    const TileLayout layout = tile_layout(T, matrix.cols);
    const dim3 grid(tile_count(matrix.rows), (layout.units / 8 + THREADS - 1) / THREADS);
    launch_kernel(false, relayout_kernel<T>, grid, THREADS, 0, stream, static_cast<const uint8_t*>(matrix.data), to,
                  layout);
}

}  // namespace

bool has_layout(TensorType type) { return type == TensorType::Q4_K || type == TensorType::Q6_K; }

void relayout(const DeviceMatrix& matrix, uint8_t* to, cudaStream_t stream) {
    if (matrix.type == TensorType::Q4_K) {
        run<TensorType::Q4_K>(matrix, to, stream);
    } else if (matrix.type == TensorType::Q6_K) {
        run<TensorType::Q6_K>(matrix, to, stream);
    } else {
        fail(REPRISE_INTERNAL, "no layout for rows of type %s", traits(matrix.type).name);
    }
}

}  // namespace reprise::cuda::rows
