// The decode step's attention, which turns q and puts the newest key and value into the cache itself, against the CPU's
// reference kernel.
#include "cuda/fused_project.h"
#include "cuda/memory.h"
#include "cuda/sampler.h"
#include "cuda_attention_support.h"
#include "cuda_rope_support.h"

namespace reprise::cuda {
namespace {

using cpu::Random;

/// All dimensions of a head are turned, or half of them.
QkvHeads qkv_heads(const Heads& h) {
    return {h.n_heads, h.n_kv_heads, h.head_dim, h.head_dim % 64 == 0 ? h.head_dim : h.head_dim / 2};
}

/// A cache that lacks the key and value at a position, the q, k and v that come there, and what attention_fused()
/// needs.
struct FusedStep {
    uint32_t position, n_keys;
    Cache cache;
    TestQkv qkv;
    float scale;
    Buffer<float> out, parts;
    Buffer<uint32_t> arrived;
    Buffer<DecodeState> state;

    FusedStep(Random& random, TensorType type, const Heads& h, uint32_t at, uint32_t capacity, RopeStyle style,
              bool norms)
        : position(at),
          n_keys(std::min(at + 1, capacity)),
          cache(random, type, h, std::min(at, capacity), capacity, 1),
          qkv(random, qkv_heads(h), style, norms, 1),
          scale(1 / std::sqrt(static_cast<float>(h.head_dim))),
          out(h.n_heads * h.head_dim),
          parts(attention_parts(h.n_heads, h.head_dim)),
          arrived(std::vector<uint32_t>(attention_counters(h.n_heads, h.n_kv_heads))),
          state(1) {
        place(state.get(), 0, position, 0, 0, nullptr);
        // State and cache are read ahead of the predecessor's end.
        check(cudaDeviceSynchronize(), "placing");
    }

    void launch(Slot slot, cudaStream_t stream) const {
        AttentionArgs args = cache.args(state.get(), scale);
        args.out = out.get();
        const RopeKvArgs rope =
            qkv.args(cache.type, cache.device_keys.get(), cache.device_values.get(), cache.capacity, state.get());
        attention_fused(args, rope, {parts.get(), arrived.get(), nullptr, nullptr}, {}, slot, stream);
    }

    std::vector<float> q() const {
        std::vector<float> all;
        for (uint32_t head = 0; head < qkv.heads.n_heads; ++head) {
            for (const double x : qkv.turned(0, head, position)) all.push_back(static_cast<float>(x));
        }
        return all;
    }

    /// The cache as the device has it: the newest key and value are as they should be, all else is as it was. Takes the
    /// stored ones over, so that expected() does not depend on how a value halfway between two quants was rounded.
    void check_cache() {
        if (position >= cache.capacity) {
            EXPECT_EQ(cache.on_device(cache.keys), cache.device_keys.download()) << "keys";
            EXPECT_EQ(cache.on_device(cache.values), cache.device_values.download()) << "values";
            return;
        }
        check_rows(cache.device_keys, cache.keys, qkv.heads.n_heads, "keys");
        check_rows(cache.device_values, cache.values, qkv.heads.n_heads + qkv.heads.n_kv_heads, "values");
    }

    std::vector<float> expected() const { return cache.expected(q(), 1, n_keys, scale); }

  private:
    void check_rows(const Buffer<uint8_t>& device, std::vector<uint8_t>& host, uint32_t first_head, const char* what) {
        SCOPED_TRACE(what);
        const uint32_t head_dim = cache.heads.head_dim;
        const size_t row = row_bytes(cache.type, head_dim);
        std::vector<uint8_t> bytes = device.download();
        std::vector<std::vector<uint8_t>> newest;
        for (uint32_t head = 0; head < cache.heads.n_kv_heads; ++head) {
            newest.push_back(take_kv_row(cache.type, head_dim, &bytes[head * kv_rows(cache.capacity) * row], position));
        }
        EXPECT_EQ(cache.on_device(host), bytes) << "other positions";  // here the host has no newest row yet
        for (uint32_t head = 0; head < cache.heads.n_kv_heads; ++head) {
            check_newest(first_head + head, newest[head]);
            std::copy(newest[head].begin(), newest[head].end(),
                      &host[(size_t{head} * cache.capacity + position) * row]);
        }
    }
    void check_newest(uint32_t head, const std::vector<uint8_t>& stored) const {
        const std::vector<double> x = qkv.turned(0, head, position);
        if (qkv.heads.is_v(head)) {
            // A value is stored as it came: to the bit what the CPU stores.
            const std::vector<float> value(x.begin(), x.end());
            std::vector<uint8_t> row(stored.size());
            cpu::exact_kernels().store_kv(cache.type, value.data(), value.size(), row.data());
            EXPECT_EQ(row, stored) << "head " << head;
            return;
        }
        std::vector<float> key(x.size());
        dequantize(cache.type, stored.data(), key.data(), key.size());
        for (uint32_t i = 0; i < key.size(); ++i) {
            ASSERT_NEAR(x[i], key[i], TestQkv::cache_tolerance(cache.type, x, i))
                << "head " << head << ", dimension " << i;
        }
    }
};

class CudaFusedAttention : public ::testing::TestWithParam<TensorType> {
  protected:
    void SetUp() override {
        SKIP_WITHOUT_CUDA();
        load_attention_kernels();
    }

    bool takes(const Heads& heads) const { return GetParam() != TensorType::Q8_0 || heads.head_dim % KV_BLOCK == 0; }

    /// Every call has another slot, style and norms than the one before.
    void check_step(const Heads& h, uint32_t position, uint32_t capacity) {
        const uint32_t kind = n_checked_++;
        const Slot slot = kind % 2 == 0 ? Slot::SMALL : Slot::LARGE;
        const RopeStyle style = kind / 2 % 2 == 0 ? RopeStyle::HALVES : RopeStyle::ADJACENT;
        const bool norms = kind / 4 % 2 == 0;
        SCOPED_TRACE(testing::Message() << h.n_heads << "/" << h.n_kv_heads << " heads of " << h.head_dim
                                        << ", position " << position << " of " << capacity << (norms ? ", norms" : "")
                                        << (kind / 2 % 2 == 0 ? ", halves" : ", adjacent"));
        Random random(position * 131 + h.head_dim);
        FusedStep step(random, GetParam(), h, position, capacity, style, norms);
        step.launch(slot, nullptr);
        const std::vector<float> first = step.out.download();
        step.check_cache();
        EXPECT_LE(relative_difference(first, step.expected()), attention_bound(GetParam()));

        const std::vector<uint8_t> keys = step.cache.device_keys.download(),
                                   values = step.cache.device_values.download();
        step.launch(slot, nullptr);
        EXPECT_EQ(first, step.out.download()) << "a second launch";
        EXPECT_EQ(keys, step.cache.device_keys.download()) << "keys after a second launch";
        EXPECT_EQ(values, step.cache.device_values.download()) << "values after a second launch";
        EXPECT_EQ(std::vector<uint32_t>(step.arrived.size()), step.arrived.download())
            << "counters that do not end as they began";
        EXPECT_EQ(step.qkv.qkv, step.qkv.device_qkv.download()) << "q, k and v, which other blocks read";
    }

  private:
    uint32_t n_checked_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Kv, CudaFusedAttention, ::testing::Values(TensorType::F16, TensorType::F32, TensorType::Q8_0),
                         [](const auto& info) { return std::string(traits(info.param).name); });

/// Lengths on both sides of what a tile, a block's round over the context and the longest context in one part have.
TEST_P(CudaFusedAttention, AttendsAtEveryLength) {
    for (const Heads& heads : kHeads) {
        if (!takes(heads)) continue;
        for (const uint32_t n_keys : {1u, 2u, 16u, 17u, 128u, 129u, 255u, 256u, 257u, 384u, 385u, 513u, 1000u}) {
            check_step(heads, n_keys - 1, n_keys + 3);
        }
    }
}

TEST_P(CudaFusedAttention, EveryStyleAndNormMeetsEverySlot) {
    for (const Heads& heads : {Heads{12, 2, 128}, Heads{9, 3, 64}, Heads{20, 1, 96}}) {
        for (int kind = 0; kind < 8; ++kind) check_step(heads, 600, 700);
    }
}

TEST_P(CudaFusedAttention, AttendsToALongContext) {
    for (const uint32_t n_keys : {2048u, 2049u})
        check_step({12, 2, 128}, n_keys - 1, 2100);  // 16 parts, then longer ones
    check_step({12, 2, 128}, 4096, 5000);
    check_step({32, 8, 128}, 4096, 4097);
    check_step({14, 2, 64}, 4096, 6000);
    check_step({8, 1, 256}, 4096, 4100);
    check_step({12, 2, 128}, 16384, 16400);
    check_step({14, 2, 64}, 16384, 16385);
}

/// Also where the last slot ends a tile, and where the cache ends within one.
TEST_P(CudaFusedAttention, FillsTheLastSlot) {
    for (const Heads& heads : kHeads) {
        if (!takes(heads)) continue;
        for (const uint32_t capacity : {1u, 16u, 100u, 256u, 700u}) check_step(heads, capacity - 1, capacity);
    }
}

/// A step behind the end of a full context attends to what is there.
TEST_P(CudaFusedAttention, WritesNothingBehindTheLastSlot) {
    for (const Heads& heads : kHeads) {
        if (!takes(heads)) continue;
        for (const uint32_t capacity : {1u, 16u, 100u, 256u, 700u}) check_step(heads, capacity, capacity);
    }
    check_step({4, 2, 64}, 103, 100);
}

/// The product that leaves q, k and v still runs when attention starts.
TEST_P(CudaFusedAttention, WaitsForTheProductBeforeIt) {
    load_linear_kernels();
    load_fused_kernels();
    const Heads heads = {12, 2, 128};
    const uint32_t cols = 2048;
    const Stream stream;
    for (const uint32_t position : {0u, 100u, 1000u}) {
        SCOPED_TRACE(position);
        Random random(position);
        const FusedStep step(random, GetParam(), heads, position, position + 9, RopeStyle::HALVES, true);
        const TestMatrix w(random, TensorType::F16, step.qkv.heads.row_width(), cols);
        const Buffer<float> x(random.normals(cols));
        const MatvecPart part = {&w.matrix, step.qkv.device_qkv.get()};
        const FusedInput input = {x.get()};
        check(cudaDeviceSynchronize(), "uploading");
        fused_project({&part, 1}, input, {}, Slot::LARGE, stream);
        stream.synchronize("multiplying");
        step.launch(Slot::SMALL, stream);
        const std::vector<float> expected = step.out.download();
        for (int repeat = 0; repeat < 20; ++repeat) {
            check(cudaMemset(step.qkv.device_qkv.get(), 0xff, step.qkv.device_qkv.size() * sizeof(float)),
                  "poisoning q, k and v");
            check(cudaMemset(step.out.get(), 0xff, step.out.size() * sizeof(float)), "poisoning the output");
            check(cudaDeviceSynchronize(), "poisoning");
            fused_project({&part, 1}, input, {}, Slot::LARGE, stream);
            step.launch(Slot::SMALL, stream);
            ASSERT_EQ(expected, step.out.download()) << "launch " << repeat;
        }
        for (const float y : expected) ASSERT_TRUE(std::isfinite(y));
    }
}

}  // namespace
}  // namespace reprise::cuda
