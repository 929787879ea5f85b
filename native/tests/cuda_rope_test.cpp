// Norms of heads, rotation and the scatter into the KV cache against the same in double precision.
#include "cuda/sampler.h"
#include "cuda_rope_support.h"

namespace reprise::cuda {
namespace {

using cpu::Random;

struct Case {
    QkvHeads heads;
    RopeStyle style;
    TensorType kv_type;
    bool norms;
    uint32_t position, n, capacity;
};

class CudaRope : public ::testing::Test {
  protected:
    void SetUp() override {
        SKIP_WITHOUT_CUDA();
        load_rope_kernels();
    }

    void check_case(const Case& c) {
        const auto [n_heads, n_kv_heads, head_dim, n_rot] = c.heads;
        const uint32_t width = c.heads.row_width();
        Random random(c.position + n_heads * 7 + head_dim);
        const TestQkv qkv(random, c.heads, c.style, c.norms, c.n);
        const size_t head_bytes = kv_rows(c.capacity) * row_bytes(c.kv_type, head_dim),
                     cache_bytes = n_kv_heads * head_bytes;
        Buffer<uint8_t> keys(cache_bytes), values(cache_bytes);
        const std::vector<uint8_t> untouched = keys.download();
        Buffer<DecodeState> state(1);
        place(state.get(), 0, c.position, 0, 0, nullptr);
        rope_kv(qkv.args(c.kv_type, keys.get(), values.get(), c.capacity, state.get()), c.n, nullptr);

        const std::vector<float> q_out = qkv.device_qkv.download();
        std::vector<uint8_t> k_out = keys.download(), v_out = values.download();
        for (uint32_t row = 0; row < c.n; ++row) {
            const uint32_t position = c.position + row;
            for (uint32_t head = 0; head < n_heads + 2 * n_kv_heads; ++head) {
                const bool is_q = c.heads.is_q(head), is_v = c.heads.is_v(head);
                const std::vector<double> x = qkv.turned(row, head, position);
                const uint32_t kv_head = is_v ? head - n_heads - n_kv_heads : head - n_heads;
                if (!is_q && position >= c.capacity) continue;
                uint8_t* cached = &(is_v ? v_out : k_out)[kv_head * head_bytes * !is_q];
                for (uint32_t i = 0; i < head_dim; ++i) {
                    const float actual = is_q ? q_out[size_t{row} * width + head * head_dim + i]
                                              : kv_value(c.kv_type, head_dim, cached, position, i);
                    ASSERT_NEAR(
                        x[i], actual,
                        is_q ? 3e-6 * std::max(1.0, std::fabs(x[i])) : TestQkv::cache_tolerance(c.kv_type, x, i))
                        << "position " << position << ", head " << head << ", dimension " << i;
                }
                if (!is_q) poison_kv_row(c.kv_type, head_dim, cached, position);
            }
        }
        EXPECT_EQ(untouched, k_out) << "keys of other positions";
        EXPECT_EQ(untouched, v_out) << "values of other positions";
    }
};

constexpr QkvHeads kHeads[] = {{4, 2, 64, 64}, {9, 3, 64, 64},   {14, 2, 64, 64}, {12, 2, 128, 128}, {32, 8, 128, 128},
                               {3, 1, 80, 20}, {8, 1, 256, 256}, {5, 5, 8, 4},    {2, 2, 96, 48}};

TEST_F(CudaRope, TurnsHeadsAndStoresKeysAndValues) {
    for (const QkvHeads& heads : kHeads) {
        for (const RopeStyle style : {RopeStyle::ADJACENT, RopeStyle::HALVES}) {
            for (const TensorType type : {TensorType::F16, TensorType::F32, TensorType::Q8_0}) {
                if (type == TensorType::Q8_0 && heads.head_dim % 32 != 0) continue;
                SCOPED_TRACE(testing::Message()
                             << heads.n_heads << " heads of " << heads.head_dim << ", " << traits(type).name);
                check_case({heads, style, type, false, 0, 1, 140});
                check_case({heads, style, type, true, 131, 3, 140});
            }
        }
    }
}

TEST_F(CudaRope, IsExactFarIntoTheContext) {
    check_case({{2, 1, 64, 64}, RopeStyle::HALVES, TensorType::F32, false, 131000, 2, 131002});
}

TEST_F(CudaRope, WritesNothingBehindTheLastSlot) {
    check_case({{4, 2, 64, 64}, RopeStyle::ADJACENT, TensorType::F16, false, 30, 4, 32});
    check_case({{4, 2, 64, 64}, RopeStyle::ADJACENT, TensorType::F32, false, 32, 1, 32});
    check_case({{4, 2, 64, 64}, RopeStyle::ADJACENT, TensorType::Q8_0, false, 30, 4, 32});
}

}  // namespace
}  // namespace reprise::cuda
