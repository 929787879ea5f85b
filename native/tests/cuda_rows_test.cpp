// Products of 1 to 64 rows against their arithmetic as a plain loop over the file's blocks, and against each other, bit
// by bit.
#include <bit>

#include "cuda/rows/many.h"
#include "cuda/rows/one.h"
#include "cuda/rows/relayout.h"
#include "cuda_linear_support.h"
#include "rows_reference.h"

namespace reprise::cuda {
namespace {

using cpu::Random;
using T = TensorType;

constexpr uint32_t MOST = 64;

#define SKIP_BEFORE_HOPPER()                                                                   \
    do {                                                                                       \
        SKIP_WITHOUT_CUDA();                                                                   \
        int major = 0;                                                                         \
        check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "asking"); \
        if (major < 9) GTEST_SKIP() << "the kernels are for compute capability 9.0";           \
    } while (false)

/// A matrix in the layout of rows, and its blocks as in a file.
struct RowsMatrix {
    std::vector<uint8_t> blocks;
    Buffer<uint8_t> data;
    DeviceMatrix matrix;

    RowsMatrix(Random& random, TensorType type, uint32_t rows, uint32_t cols)
        : blocks(random.weights(type, rows, cols)), data(device_bytes(type, rows, cols)) {
        const Buffer<uint8_t> staged(blocks), other(device_bytes(type, rows, cols));
        matrix = {type, rows, cols, other.get(), other.size()};
        begin_repack(matrix, nullptr);
        repack_rows(matrix, type, 0, rows, staged.get(), nullptr);
        rows::relayout(matrix, data.get(), nullptr);
        check(cudaDeviceSynchronize(), "repacking");
        matrix.data = data.get();
    }
    const uint8_t* row(uint32_t r) const { return blocks.data() + r * row_bytes(matrix.type, matrix.cols); }
};

/// What quantise_rows() has left of a row, from the description of RowsChunk.
QuantisedRow quantised(const std::vector<uint8_t>& chunks, uint32_t cols, uint32_t bucket, uint32_t row) {
    QuantisedRow out;
    const size_t chunk_bytes = size_t{bucket} * 292;
    for (uint32_t i = 0; i < cols; ++i) {
        const uint32_t group = i % 256 / 32, k = i % 32;
        const size_t word = (row / 8 * 4 + group / 2) * 32 + row % 8 * 4 + k % 16 / 4;
        out.q.push_back(
            static_cast<int8_t>(chunks[i / 256 * chunk_bytes + word * 16 + group % 2 * 8 + k / 16 * 4 + k % 4]));
        if (i % 256 == 0) {
            float scale;
            std::memcpy(&scale, &chunks[i / 256 * chunk_bytes + bucket * 288 + row * 4], sizeof scale);
            out.scales.push_back(scale);
        }
    }
    return out;
}

void expect_rows_right(TensorType type, uint32_t n_weights, uint32_t cols) {
    SCOPED_TRACE(testing::Message() << traits(type).name << " " << n_weights << " x " << cols);
    Random random(n_weights + cols);
    const RowsMatrix weights(random, type, n_weights, cols);
    const std::vector<float> x = random.normals(MOST * cols);
    const Buffer<float> device_x(x);
    const uint32_t n_blocks = cols / 256;
    Buffer<uint8_t> chunks(size_t{n_blocks} * MOST * 292);
    Buffer<float> one(MOST * n_weights), many(MOST * n_weights);
    SlotTurns slots;
    for (uint32_t row = 0; row < MOST; ++row) {
        const MatvecPart part[] = {{&weights.matrix, one.get() + row * n_weights}};
        rows::fused_project(part, {device_x.get() + row * cols}, {}, slots.next(), nullptr);
    }
    const std::vector<float> expected = one.download();
    for (const uint32_t bucket : rows::ROW_BUCKETS) {
        for (const uint32_t n_rows : {bucket, bucket - 3}) {
            many.upload(std::vector<float>(MOST * n_weights, -1.f));
            rows::quantise_rows({device_x.get(), cols, false, nullptr}, cols, bucket, n_rows, chunks.get(), nullptr,
                                nullptr);
            const rows::RowsPart part[] = {{&weights.matrix, many.get(), n_weights}};
            rows::project_rows(part, {chunks.get(), nullptr, 0}, bucket, n_rows, {bucket == 64 ? 4 : 8, true}, nullptr);
            const std::vector<float> got = many.download();
            for (size_t i = 0; i < got.size(); ++i) {
                const float want = i < size_t{n_rows} * n_weights ? expected[i] : -1.f;
                ASSERT_EQ(std::bit_cast<uint32_t>(want), std::bit_cast<uint32_t>(got[i]))
                    << bucket << " rows, row " << i / n_weights << ", output " << i % n_weights;
            }
        }
    }
    // The last had 61 of 64 rows.
    const std::vector<uint8_t> bytes = chunks.download();
    for (const uint32_t row : {0u, 7u, 8u, 60u}) {
        const QuantisedRow q = quantised(bytes, cols, MOST, row);
        for (uint32_t i = 0; i < cols; ++i)
            ASSERT_NEAR(x[row * cols + i], q.q[i] * q.scales[i / 256], q.scales[i / 256] * 0.5001f);
        for (uint32_t r = 0; r < n_weights; ++r) {
            ASSERT_EQ(std::bit_cast<uint32_t>(rows_reference(type, weights.row(r), q)),
                      std::bit_cast<uint32_t>(expected[row * n_weights + r]))
                << "row " << row << ", output " << r;
        }
    }
}

TEST(CudaRows, ProductsHaveTheSameBitsForEveryNumberOfRows) {
    SKIP_BEFORE_HOPPER();
    rows::load_fused_kernels();
    rows::load_rows_kernels();
    for (const TensorType type : {T::Q4_K, T::Q6_K}) {
        expect_rows_right(type, 7, 256);
        expect_rows_right(type, 130, 768);
        expect_rows_right(type, 64, 4352);
        expect_rows_right(type, 33, 14336);
    }
}

TEST(CudaRows, ATypeWithoutALayoutIsAnError) {
    SKIP_BEFORE_HOPPER();
    const DeviceMatrix matrix{T::Q8_0, 4, 256, nullptr, 0};
    EXPECT_FALSE(rows::has_layout(T::Q8_0));
    EXPECT_THROW(rows::relayout(matrix, nullptr, nullptr), Error);
}

}  // namespace
}  // namespace reprise::cuda
