// The device's sampler against the CPU's: from the same logits the same token.
#include <algorithm>

#include "cuda/memory.h"
#include "cuda/sampler.h"
#include "cuda_linear_support.h"
#include "session/sampler.h"

namespace reprise::cuda {
namespace {

using cpu::Random;

class DeviceSampler {
  public:
    explicit DeviceSampler(uint32_t n_vocab)
        : memory_(SamplerBuffers::bytes_with_state(n_vocab), "test"), ring_(RING_SIZE * sizeof(RingEntry), "test") {
        Carver carver(memory_.data());
        buffers_.carve_with_state(carver, n_vocab);
        buffers_.ring = ring_.as<RingEntry>();
        check(cudaMemsetAsync(memory_.data(), 0, memory_.size(), stream_), "clearing");
    }

    reprise_token draw(const std::vector<float>& logits, const std::vector<int32_t>& counts,
                       const reprise_sampling& sampling, uint32_t position) {
        check(
            cudaMemcpyAsync(buffers_.logits, logits.data(), logits.size() * sizeof(float), cudaMemcpyDefault, stream_),
            "copying");
        check(cudaMemcpyAsync(buffers_.counts, counts.data(), counts.size() * sizeof(int32_t), cudaMemcpyDefault,
                              stream_),
              "copying");
        place(buffers_.state, 0, position, 0, 0, stream_);
        set_sampling(buffers_, sampling, stream_);
        sample(buffers_, sampling_kind(sampling, static_cast<uint32_t>(logits.size())), 0, stream_);
        stream_.synchronize("drawing");
        const RingEntry& entry = ring_.as<RingEntry>()[n_drawn_++ % RING_SIZE];
        EXPECT_EQ(n_drawn_, RingEntry::number_of(entry.number_and_token));
        return {RingEntry::token_of(entry.number_and_token),
                sampling.logprobs != 0 ? entry.logprob : std::numeric_limits<float>::quiet_NaN()};
    }

    /// A decode step's end, with ids in the input queue; returns the state.
    DecodeState step(const std::vector<float>& logits, uint32_t position, const std::vector<int32_t>& queue,
                     uint32_t next) {
        const Buffer<int32_t> ids(queue);
        buffers_.queue = ids.get();
        check(
            cudaMemcpyAsync(buffers_.logits, logits.data(), logits.size() * sizeof(float), cudaMemcpyDefault, stream_),
            "copying");
        place(buffers_.state, 0, position, next, static_cast<uint32_t>(queue.size()), stream_);
        reprise_sampling greedy;
        reprise_sampling_default(&greedy);
        set_sampling(buffers_, greedy, stream_);
        sample(buffers_, sampling_kind(greedy, static_cast<uint32_t>(logits.size())), 1, stream_);
        stream_.synchronize("drawing");
        DecodeState state;
        check(cudaMemcpy(&state, buffers_.state, sizeof state, cudaMemcpyDefault), "copying");
        return state;
    }
    std::vector<int32_t> counts(uint32_t n_vocab) const {
        std::vector<int32_t> counts(n_vocab);
        check(cudaMemcpy(counts.data(), buffers_.counts, n_vocab * sizeof(int32_t), cudaMemcpyDefault), "copying");
        return counts;
    }

  private:
    DeviceBuffer memory_;
    PinnedBuffer ring_;
    Stream stream_;
    SamplerBuffers buffers_ = {};
    uint32_t n_drawn_ = 0;
};

class CudaSampler : public ::testing::Test {
  protected:
    void SetUp() override {
        SKIP_WITHOUT_CUDA();
        load_sampler_kernels();
    }
};

/// Logits of many kinds: flat and peaked ones, ties, infinities and NaN.
std::vector<float> random_logits(Random& random, uint32_t n) {
    static constexpr float kSpreads[] = {0.f, 0.01f, 0.3f, 1.f, 3.f, 10.f, 100.f, 1e6f};
    std::vector<float> logits = random.normals(n);
    const float spread = kSpreads[random.byte() % 8], offset = random.byte() % 3 == 0 ? random.normal() * 50 : 0;
    const bool ties = random.byte() % 3 == 0;
    for (float& l : logits) {
        l = l * spread + offset;
        if (ties) l = std::round(l * 2) / 2;
    }
    if (random.byte() % 8 != 0) return logits;
    const float odd[] = {NAN, -INFINITY, 0.f, -0.f, -3e38f, random.byte() % 4 == 0 ? INFINITY : 1.f};
    for (float& l : logits) {
        if (random.byte() % 4 == 0) l = odd[random.byte() % 6];
    }
    return logits;
}

reprise_sampling random_sampling(Random& random, uint32_t n) {
    const auto one_in = [&](int k) { return random.byte() % k == 0; };
    reprise_sampling s;
    reprise_sampling_default(&s);
    if (!one_in(6)) s.temperature = one_in(4) ? random.uniform(1e-4f, 0.2f) : random.uniform(0.2f, 3.f);
    if (one_in(2))
        s.top_k =
            static_cast<int32_t>(one_in(3) ? random.uniform(1, static_cast<float>(n) + 2) : random.uniform(1, 60));
    if (one_in(2)) s.top_p = one_in(5) ? 1e-12f : random.uniform(0.01f, 0.9999f);
    if (one_in(2)) s.min_p = one_in(5) ? 1 : random.uniform(0, 0.5f);
    if (one_in(3)) s.repeat_penalty = random.uniform(0.5f, 2);
    if (one_in(3)) s.presence_penalty = random.uniform(-2, 2);
    if (one_in(3)) s.frequency_penalty = random.uniform(-1, 1);
    s.logprobs = one_in(2) ? 1 : 0;
    for (int i = 0; i < 8; ++i) s.seed = s.seed << 8 | random.byte();
    return s;
}

std::string describe(const reprise_sampling& s) {
    return testing::PrintToString(s.temperature) + " temperature, " + std::to_string(s.top_k) + " top_k, " +
           testing::PrintToString(s.top_p) + " top_p, " + testing::PrintToString(s.min_p) + " min_p, penalties " +
           testing::PrintToString(s.repeat_penalty) + " " + testing::PrintToString(s.presence_penalty) + " " +
           testing::PrintToString(s.frequency_penalty);
}

void expect_agreement(uint32_t n_vocab, int cases, uint64_t seed) {
    Random random(seed);
    DeviceSampler device(n_vocab);
    CpuSampler cpu(n_vocab);
    for (int i = 0; i < cases; ++i) {
        const std::vector<float> logits = random_logits(random, n_vocab);
        std::vector<int32_t> counts(n_vocab);
        for (int32_t& count : counts) count = random.byte() % 8 == 0 ? random.byte() % 5 : 0;
        const reprise_sampling sampling = random_sampling(random, n_vocab);
        const auto position = static_cast<uint32_t>(random.uniform(0, 1e6f));
        const reprise_token expected = cpu.sample(logits, counts.data(), sampling, position);
        const reprise_token actual = device.draw(logits, counts, sampling, position);
        ASSERT_EQ(expected.id, actual.id) << "case " << i << " of " << n_vocab << " tokens: " << describe(sampling);
        if (expected.id != NO_TOKEN) ++counts[static_cast<size_t>(expected.id)];
        ASSERT_EQ(counts, device.counts(n_vocab)) << "case " << i;
        if (std::isnan(expected.logprob)) {
            ASSERT_TRUE(std::isnan(actual.logprob)) << actual.logprob << " in case " << i;
        } else if (std::isfinite(expected.logprob)) {
            ASSERT_NEAR(expected.logprob, actual.logprob, 1e-5 * std::max(1.f, std::fabs(expected.logprob)))
                << "case " << i;
        } else {
            ASSERT_EQ(expected.logprob, actual.logprob) << "case " << i;
        }
    }
}

TEST_F(CudaSampler, DrawsWhatTheCpuDrawsInTenThousandCases) {
    for (const uint32_t n_vocab : {1u, 2u, 3u, 31u, 512u, 1000u, 1023u, 1024u, 1025u, 4096u, 5000u}) {
        expect_agreement(n_vocab, 900, n_vocab);
    }
    for (const uint32_t n_vocab : {32000u, 49152u, 128256u, 151936u, 262144u}) {
        expect_agreement(n_vocab, 40, n_vocab);
    }
}

/// As many keys in the threshold's bucket as one block sorts, and one more. Few draws, for tools that slow kernels
/// down.
TEST_F(CudaSampler, DrawsFromShortAndLongLists) {
    const uint32_t n_vocab = 5000;
    DeviceSampler device(n_vocab);
    CpuSampler cpu(n_vocab);
    const std::vector<int32_t> counts(n_vocab);
    struct Setting {
        int32_t top_k;
        float top_p, min_p;
    };
    for (const uint32_t n_close : {1u, 40u, SAMPLER_SHORT_LIST, SAMPLER_SHORT_LIST + 1, 3000u}) {
        std::vector<float> logits(n_vocab, -1.f);
        for (uint32_t i = 0; i < n_close; ++i) logits[i * 1237 % n_vocab] = 5.f + 1e-6f * static_cast<float>(i % 17);
        for (const Setting& setting :
             {Setting{40, 1, 0}, Setting{0, 0.9f, 0}, Setting{30, 0.5f, 0}, Setting{2000, 0.95f, 0},
              Setting{0, 0.999f, 0.1f}, Setting{0, 1, 1}, Setting{40, 0.9f, 1}}) {
            for (const uint32_t position : {0u, 1u, 77u}) {
                reprise_sampling sampling;
                reprise_sampling_default(&sampling);
                sampling.temperature = 0.8f;
                sampling.top_k = setting.top_k;
                sampling.top_p = setting.top_p;
                sampling.min_p = setting.min_p;
                sampling.seed = 5;
                EXPECT_EQ(cpu.sample(logits, counts.data(), sampling, position).id,
                          device.draw(logits, counts, sampling, position).id)
                    << n_close << " close logits, " << describe(sampling) << ", position " << position;
            }
        }
    }
}

TEST_F(CudaSampler, AStepMovesThePositionAndFeedsTheToken) {
    DeviceSampler device(100);
    std::vector<float> logits(100);
    logits[42] = 3;
    const DecodeState state = device.step(logits, 7, {}, 0);
    EXPECT_EQ(42, state.token);
    EXPECT_EQ(8u, state.position);
    EXPECT_EQ(9u, state.seq_len);
    EXPECT_EQ(1u, state.n_sampled);
    EXPECT_EQ(1, device.counts(100)[42]);
}

TEST_F(CudaSampler, QueuedIdsGoBeforeDrawnOnes) {
    DeviceSampler device(100);
    std::vector<float> logits(100);
    logits[42] = 3;
    const DecodeState queued = device.step(logits, 7, {11, 12, 13}, 1);
    EXPECT_EQ(12, queued.token);
    EXPECT_EQ(2u, queued.queue_next);
    EXPECT_EQ(42, device.step(logits, 8, {11, 12, 13}, 3).token);
}

}  // namespace
}  // namespace reprise::cuda
