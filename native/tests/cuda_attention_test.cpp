// Attention on the device against the CPU's reference kernel.
#include "cuda/linear.h"
#include "cuda/sampler.h"
#include "cuda_attention_support.h"

namespace reprise::cuda {
namespace {

using cpu::Random;

/// Values of a row in 8 bits, as quant_input.cuh lays it out.
std::vector<float> dequantized(const std::vector<uint8_t>& row, uint32_t n) {
    const uint32_t groups = n / 32;
    std::vector<float> values(n);
    for (uint32_t i = 0; i < n; ++i) {
        float d;
        std::memcpy(&d, &row[groups * 32 + i / 32 * 8], sizeof d);
        values[i] = d * static_cast<int8_t>(row[(i % 32 / 16 * groups + i / 32) * 16 + i % 16]);
    }
    return values;
}

class CudaAttention : public ::testing::TestWithParam<TensorType> {
  protected:
    void SetUp() override {
        SKIP_WITHOUT_CUDA();
        load_attention_kernels();
    }
    static AttentionArgs args_of(const Cache& cache, const Buffer<float>& q, const Buffer<DecodeState>& state,
                                 float scale) {
        AttentionArgs args = cache.args(state.get(), scale);
        args.q = q.get();
        args.q_stride = cache.heads.n_heads * cache.heads.head_dim;
        return args;
    }

    void check_decode(const Heads& h, uint32_t seq_len, uint32_t capacity, float amplitude = 1) {
        SCOPED_TRACE(testing::Message() << h.n_heads << "/" << h.n_kv_heads << " heads of " << h.head_dim << ", "
                                        << seq_len << " keys");
        Random random(seq_len * 131 + h.head_dim);
        const Cache cache(random, GetParam(), h, seq_len, capacity, 1);
        const uint32_t width = h.n_heads * h.head_dim;
        std::vector<float> q = random.normals(width);
        for (float& x : q) x *= amplitude;
        const float scale = 1 / std::sqrt(static_cast<float>(h.head_dim)) / amplitude;
        const std::vector<float> expected = cache.expected(q, 1, seq_len, scale);

        const Buffer<float> device_q(q), out(width);
        const Buffer<uint8_t> int8(int8_row_bytes(width));
        const Buffer<DecodeState> state(1);
        const Buffer<float> parts(attention_parts(h.n_heads, h.head_dim));
        const Buffer<uint32_t> arrived(std::vector<uint32_t>(attention_counters(h.n_heads, h.n_kv_heads)));
        place(state.get(), 0, seq_len - 1, 0, 0, nullptr);
        AttentionArgs args = args_of(cache, device_q, state, scale);
        args.out = out.get();
        if (h.head_dim % 32 == 0) args.int8 = int8.get();
        attention_decode(args, GetParam(), {parts.get(), arrived.get(), nullptr, nullptr}, nullptr);
        const std::vector<float> first = out.download();
        EXPECT_LE(relative_difference(first, expected), attention_bound(GetParam()));
        if (args.int8 != nullptr) {
            EXPECT_LE(relative_difference(dequantized(int8.download(), width), first), 1e-2);
        }
        attention_decode(args, GetParam(), {parts.get(), arrived.get(), nullptr, nullptr}, nullptr);
        EXPECT_EQ(first, out.download()) << "a second launch";
    }

    void check_prefill(const Heads& h, uint32_t n, uint32_t position, float amplitude = 1) {
        SCOPED_TRACE(testing::Message() << h.n_heads << "/" << h.n_kv_heads << " heads of " << h.head_dim << ", " << n
                                        << " rows at " << position);
        Random random(n * 131 + position + h.head_dim);
        const Cache cache(random, GetParam(), h, position + n, position + n + 5, 1);
        const size_t width = h.n_heads * h.head_dim;
        std::vector<float> q = random.normals(n * width);
        for (float& x : q) x *= amplitude;
        const float scale = 1 / std::sqrt(static_cast<float>(h.head_dim)) / amplitude;
        const std::vector<float> expected = cache.expected(q, n, position + 1, scale);
        const Buffer<float> device_q(q), out(n * width);
        const Buffer<DecodeState> state(1);
        place(state.get(), 0, position, 0, 0, nullptr);
        AttentionArgs args = args_of(cache, device_q, state, scale);
        args.out = out.get();
        const size_t values = h.n_kv_heads * kv_rows(cache.capacity) * h.head_dim;
        const Buffer<uint16_t> k(values), v(values);
        attention_prefill(args, GetParam(), {nullptr, nullptr, k.get(), v.get()}, n, nullptr);
        EXPECT_LE(relative_difference(out.download(), expected), attention_bound(GetParam()));
    }
};

INSTANTIATE_TEST_SUITE_P(Kv, CudaAttention, ::testing::Values(TensorType::F16, TensorType::F32, TensorType::Q8_0),
                         [](const auto& info) { return std::string(traits(info.param).name); });

TEST_P(CudaAttention, DecodesAtEveryLength) {
    for (const Heads& heads : kHeads) {
        if (GetParam() == TensorType::Q8_0 && heads.head_dim % 32 != 0) continue;
        for (const uint32_t seq_len : {1u, 2u, 15u, 16u, 17u, 63u, 64u, 65u, 127u, 129u, 500u, 1000u})
            check_decode(heads, seq_len, seq_len + 3);
    }
}

TEST_P(CudaAttention, DecodesWithAFullAndALongContext) {
    check_decode({4, 2, 64}, 512, 512);
    check_decode({12, 2, 128}, 4096, 4096);
    check_decode({12, 2, 128}, 4097, 5000);
    check_decode({32, 8, 128}, 16384, 16500);
}

TEST_P(CudaAttention, PrefillsChunksAnywhere) {
    for (const Heads& heads : kHeads) {
        if (GetParam() == TensorType::Q8_0 && heads.head_dim % 32 != 0) continue;
        for (const uint32_t n : {1u, 3u, 64u, 65u, 130u}) {
            for (const uint32_t position : {0u, 1u, 63u, 200u}) check_prefill(heads, n, position);
        }
    }
    check_prefill({12, 2, 128}, 512, 512);
}

TEST_P(CudaAttention, StaysFiniteWithLargeQueries) {
    check_decode({12, 2, 128}, 100, 100, 1e5f);
    check_prefill({12, 2, 128}, 70, 30, 1e5f);
}

}  // namespace
}  // namespace reprise::cuda
