// Rows of the KV cache on their way between the device's layout and GGUF's. Needs no device.
#include "cuda/kv_transfer.h"

#include <gtest/gtest.h>

#include "cuda_kv_support.h"
#include "synth/random_rows.h"

namespace reprise::cuda {
namespace {

constexpr uint32_t N_HEADS = 3;

std::vector<uint8_t> random_bytes(size_t n, uint64_t seed) {
    RandomBits random(seed);
    std::vector<uint8_t> bytes(n);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.below(256));
    return bytes;
}

TEST(CudaKvTransfer, PutsRowsWhereTheKernelsLookForThem) {
    for (const TensorType type : {TensorType::F16, TensorType::F32, TensorType::Q8_0}) {
        for (const uint32_t head_dim : {32, 64, 72, 80, 96, 128, 256}) {
            if (head_dim % traits(type).block_size != 0) continue;
            for (const uint32_t n : {1u, 7u, 16u, 17u, 255u, 256u}) {
                SCOPED_TRACE(std::string(traits(type).name) + ", heads of " + std::to_string(head_dim) + ", " +
                             std::to_string(n) + " rows");
                const size_t row = row_bytes(type, head_dim), stride = N_HEADS * row;
                const std::vector<uint8_t> rows = random_bytes(n * stride, head_dim + n);
                std::vector<uint8_t> expected(kv_rows(n) * row, 0xff), tiles = expected;
                const uint8_t* second_head = rows.data() + row;
                for (uint32_t i = 0; i < n; ++i)
                    place_kv_row(type, head_dim, second_head + i * stride, expected.data(), i);
                place_kv_rows(type, head_dim, tiles.data(), n, second_head, stride);
                EXPECT_EQ(expected, tiles);

                std::vector<uint8_t> back(n * stride, 0xee);
                take_kv_rows(type, head_dim, tiles.data(), n, back.data() + row, stride);
                for (uint32_t i = 0; i < n; ++i) {
                    EXPECT_EQ(0, std::memcmp(second_head + i * stride, back.data() + row + i * stride, row)) << i;
                    EXPECT_EQ(0xee, back[i * stride]) << "of another head";
                    EXPECT_EQ(0xee, back[i * stride + 2 * row]) << "of another head";
                }
            }
        }
    }
}

}  // namespace
}  // namespace reprise::cuda
