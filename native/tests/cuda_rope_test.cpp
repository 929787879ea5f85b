// Norms of heads, rotation and the scatter into the KV cache against the same in double precision.
#include <algorithm>
#include <numbers>

#include "cuda/rope.h"
#include "cuda/sampler.h"
#include "cuda_kv_support.h"
#include "cuda_linear_support.h"

namespace reprise::cuda {
namespace {

using cpu::Random;

struct Heads {
    uint32_t n_heads, n_kv_heads, head_dim, n_rot;
};

struct Case {
    Heads heads;
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
        const uint32_t width = (n_heads + 2 * n_kv_heads) * head_dim;
        Random random(c.position + n_heads * 7 + head_dim);
        const std::vector<float> qkv = random.normals(size_t{c.n} * width);
        const std::vector<float> q_norm = random.normals(head_dim), k_norm = random.normals(head_dim);
        Rope rope;
        rope.style = c.style;
        rope.n_rot = n_rot;
        for (uint32_t i = 0; i < n_rot / 2; ++i)
            rope.inv_freq.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / n_rot)));

        const size_t head_bytes = kv_rows(c.capacity) * row_bytes(c.kv_type, head_dim), cache_bytes = n_kv_heads * head_bytes;
        Buffer<float> device_qkv(qkv), device_q_norm(q_norm), device_k_norm(k_norm);
        Buffer<double> turns(rope_turns(rope));
        Buffer<uint8_t> keys(cache_bytes), values(cache_bytes);
        const std::vector<uint8_t> untouched = keys.download();
        Buffer<DecodeState> state(1);
        place(state.get(), 0, c.position, 0, 0, nullptr);
        RopeKvArgs args = {};
        args.qkv = device_qkv.get();
        args.row_stride = width;
        if (c.norms) {
            args.q_norm = device_q_norm.get();
            args.k_norm = device_k_norm.get();
        }
        args.rms_eps = 1e-5f;
        args.n_heads = n_heads;
        args.n_kv_heads = n_kv_heads;
        args.head_dim = head_dim;
        args.style = c.style;
        args.n_rot = n_rot;
        args.turns = turns.get();
        args.k_cache = keys.get();
        args.v_cache = values.get();
        args.kv_type = c.kv_type;
        args.capacity = c.capacity;
        args.state = state.get();
        rope_kv(args, c.n, nullptr);

        const std::vector<float> q_out = device_qkv.download();
        std::vector<uint8_t> k_out = keys.download(), v_out = values.download();
        for (uint32_t row = 0; row < c.n; ++row) {
            const uint32_t position = c.position + row;
            for (uint32_t head = 0; head < n_heads + 2 * n_kv_heads; ++head) {
                const bool is_q = head < n_heads, is_v = head >= n_heads + n_kv_heads;
                const float* in = &qkv[size_t{row} * width + head * head_dim];
                std::vector<double> x(in, in + head_dim);
                if (c.norms && !is_v) normalize(x, is_q ? q_norm : k_norm);
                if (!is_v) rotate(x, rope, position);
                const uint32_t kv_head = is_v ? head - n_heads - n_kv_heads : head - n_heads;
                if (!is_q && position >= c.capacity) continue;
                uint8_t* cached = &(is_v ? v_out : k_out)[kv_head * head_bytes * !is_q];
                for (uint32_t i = 0; i < head_dim; ++i) {
                    const float actual = is_q ? q_out[size_t{row} * width + head * head_dim + i]
                                              : kv_value(c.kv_type, head_dim, cached, position, i);
                    ASSERT_NEAR(x[i], actual, is_q ? 3e-6 * std::max(1.0, std::fabs(x[i])) : tolerance(c.kv_type, x, i))
                        << "position " << position << ", head " << head << ", dimension " << i;
                }
                if (!is_q) poison(c.kv_type, head_dim, cached, position);
            }
        }
        EXPECT_EQ(untouched, k_out) << "keys of other positions";
        EXPECT_EQ(untouched, v_out) << "values of other positions";
    }

  private:
    static double tolerance(TensorType type, const std::vector<double>& x, uint32_t i) {
        if (type != TensorType::Q8_0) return (type == TensorType::F16 ? 1e-3 : 3e-6) * std::max(1.0, std::fabs(x[i]));
        double largest = 0;  // of the block: half a step is a 254th of it, and the step is rounded to float16
        for (uint32_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) largest = std::max(largest, std::fabs(x[j]));
        return largest / 254 * (1 + 256.0 / 2048);
    }
    static void poison(TensorType type, uint32_t head_dim, uint8_t* head, uint32_t position) {
        for (uint32_t i = 0; i < head_dim; ++i) {
            const size_t size = type == TensorType::F32 ? 4 : type == TensorType::F16 ? 2 : 1;
            std::memset(head + kv_value_offset(type, head_dim, position, i), 0xff, size);
            if (type == TensorType::Q8_0) std::memset(head + kv_scale_offset(head_dim, position, i), 0xff, 2);
        }
    }
    static void normalize(std::vector<double>& x, const std::vector<float>& weight) {
        double sum = 0;
        for (const double v : x) sum += v * v;
        const double factor = 1 / std::sqrt(sum / static_cast<double>(x.size()) + 1e-5);
        for (size_t i = 0; i < x.size(); ++i) x[i] *= factor * weight[i];
    }
    static void rotate(std::vector<double>& x, const Rope& rope, uint32_t position) {
        for (uint32_t i = 0; i < rope.n_rot / 2; ++i) {
            const bool adjacent = rope.style == RopeStyle::ADJACENT;
            double &a = x[adjacent ? 2 * i : i], &b = x[adjacent ? 2 * i + 1 : i + rope.n_rot / 2];
            const double angle = static_cast<double>(position) * rope.inv_freq[i];
            const double turned = a * std::cos(angle) - b * std::sin(angle);
            b = a * std::sin(angle) + b * std::cos(angle);
            a = turned;
        }
    }
};

constexpr Heads kHeads[] = {{4, 2, 64, 64}, {9, 3, 64, 64},   {14, 2, 64, 64}, {12, 2, 128, 128}, {32, 8, 128, 128},
                            {3, 1, 80, 20}, {8, 1, 256, 256}, {5, 5, 8, 4},    {2, 2, 96, 48}};

TEST_F(CudaRope, TurnsHeadsAndStoresKeysAndValues) {
    for (const Heads& heads : kHeads) {
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
