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
        : memory_(SamplerBuffers::bytes_with_state(n_vocab), "test"),
          pinned_(SamplerBuffers::pinned_bytes(n_vocab, n_vocab), "test") {
        Carver carver(memory_.data()), carver_of_pinned(pinned_.as<uint8_t>());
        buffers_.carve_with_state(carver, n_vocab);
        buffers_.carve_pinned(carver_of_pinned, n_vocab, n_vocab);
        check(cudaMemsetAsync(memory_.data(), 0, memory_.size(), stream_), "clearing");
    }

    reprise_token draw(const std::vector<float>& logits, const std::vector<int32_t>& counts, const HostInput& host,
                       const reprise_sampling& sampling, uint32_t position) {
        check(
            cudaMemcpyAsync(buffers_.logits, logits.data(), logits.size() * sizeof(float), cudaMemcpyDefault, stream_),
            "copying");
        check(cudaMemcpyAsync(buffers_.counts, counts.data(), counts.size() * sizeof(int32_t), cudaMemcpyDefault,
                              stream_),
              "copying");
        std::vector<float> bias(logits.size());
        if (sampling.n_logit_bias > 0) {
            fill_bias(bias, sampling);
            check(cudaMemcpyAsync(buffers_.bias, bias.data(), bias.size() * sizeof(float), cudaMemcpyDefault, stream_),
                  "copying");
        }
        const bool host_part = !host.mask.empty() || !host.penalties.empty();
        if (host_part) write_host_input(buffers_, host);
        place(buffers_.state, 0, position, 0, 0, stream_);
        set_sampling(buffers_, sampling, stream_);
        sample(buffers_, sampling_kind(sampling, static_cast<uint32_t>(logits.size()), host_part), 0, stream_);
        stream_.synchronize("drawing");
        const RingEntry& entry = buffers_.ring[n_drawn_++ % RING_SIZE];
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
        sample(buffers_, sampling_kind(greedy, static_cast<uint32_t>(logits.size()), false), 1, stream_);
        stream_.synchronize("drawing");
        DecodeState state;
        check(cudaMemcpy(&state, buffers_.state, sizeof state, cudaMemcpyDefault), "copying");
        return state;
    }
    /// Of the token drawn last.
    std::span<const reprise_token> alternatives(size_t n) const {
        return {buffers_.alternatives + (n_drawn_ - 1) % RING_SIZE * REPRISE_MAX_TOP_LOGPROBS, n};
    }
    std::vector<int32_t> counts(uint32_t n_vocab) const {
        std::vector<int32_t> counts(n_vocab);
        check(cudaMemcpy(counts.data(), buffers_.counts, n_vocab * sizeof(int32_t), cudaMemcpyDefault), "copying");
        return counts;
    }

  private:
    DeviceBuffer memory_;
    PinnedBuffer pinned_;
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
    if (one_in(3)) {
        s.xtc_probability = one_in(3) ? 1 : random.uniform(0, 1);
        s.xtc_threshold = one_in(4) ? 1e-12f : one_in(3) ? random.uniform(1e-5f, 1e-3f) : random.uniform(0.001f, 0.6f);
    }
    s.n_top_logprobs = one_in(3) ? 1 + random.byte() % REPRISE_MAX_TOP_LOGPROBS : 0;
    s.logprobs = one_in(2) || s.n_top_logprobs > 0 ? 1 : 0;
    for (int i = 0; i < 8; ++i) s.seed = s.seed << 8 | random.byte();
    return s;
}

std::string describe(const reprise_sampling& s) {
    return testing::PrintToString(s.temperature) + " temperature, " + std::to_string(s.top_k) + " top_k, " +
           testing::PrintToString(s.top_p) + " top_p, " + testing::PrintToString(s.min_p) + " min_p, penalties " +
           testing::PrintToString(s.repeat_penalty) + " " + testing::PrintToString(s.presence_penalty) + " " +
           testing::PrintToString(s.frequency_penalty) + ", xtc " + testing::PrintToString(s.xtc_probability) + " " +
           testing::PrintToString(s.xtc_threshold) + ", " + std::to_string(s.n_logit_bias) + " biases";
}

/// What a host part could give: few or many tokens allowed, some penalised.
struct RandomHostInput {
    RandomHostInput(Random& random, uint32_t n) {
        if (random.byte() % 4 != 0) {
            mask.resize((n + 31) / 32);
            const bool few = random.byte() % 2 == 0;
            const uint32_t n_few = 1 + random.byte() % 50;
            for (uint32_t i = 0; i < (few ? n_few : n); ++i) {
                const uint32_t id = few ? static_cast<uint32_t>(random.uniform(0, static_cast<float>(n - 1))) : i;
                if (few || random.byte() % 2 == 0) mask[id / 32] |= 1u << id % 32;
            }
        }
        const uint32_t stride = random.byte() % 4 == 0 ? 1 + random.byte() % 3 : 1 + n / (1 + random.byte() % 40);
        for (uint32_t id = random.byte() % 7; id < n; id += stride)
            penalties.push_back({static_cast<int32_t>(id), random.byte() % 9 == 0 ? 1e30f : random.uniform(0, 8)});
    }
    HostInput input() const { return {mask, penalties}; }
    std::vector<uint32_t> mask;
    std::vector<TokenPenalty> penalties;
};

void expect_near(float expected, float actual, const std::string& where) {
    if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(actual)) << actual << " in " << where;
    } else if (std::isfinite(expected)) {
        ASSERT_NEAR(expected, actual, 1e-5 * std::max(1.f, std::fabs(expected))) << where;
    } else {
        ASSERT_EQ(expected, actual) << where;
    }
}

void expect_agreement(uint32_t n_vocab, int cases, uint64_t seed) {
    Random random(seed);
    DeviceSampler device(n_vocab);
    CpuSampler cpu(n_vocab);
    for (int i = 0; i < cases; ++i) {
        const std::vector<float> logits = random_logits(random, n_vocab);
        std::vector<int32_t> counts(n_vocab);
        for (int32_t& count : counts) count = random.byte() % 8 == 0 ? random.byte() % 5 : 0;
        reprise_sampling sampling = random_sampling(random, n_vocab);
        std::vector<reprise_logit_bias> bias;
        if (random.byte() % 3 == 0) {
            const uint32_t stride = 1 + n_vocab / (1 + random.byte() % 30);
            for (uint32_t id = random.byte() % 5; id < n_vocab; id += stride)
                bias.push_back({static_cast<int32_t>(id), random.byte() % 3 == 0 ? -INFINITY : random.uniform(-9, 9)});
        }
        sampling.logit_bias = bias.data();
        sampling.n_logit_bias = bias.size();
        const RandomHostInput random_host(random, n_vocab);
        const HostInput host = random.byte() % 2 == 0 ? random_host.input() : HostInput{};
        const auto position = static_cast<uint32_t>(random.uniform(0, 1e6f));
        const reprise_token expected = cpu.sample(logits, counts.data(), host, sampling, position);
        const reprise_token actual = device.draw(logits, counts, host, sampling, position);
        ASSERT_EQ(expected.id, actual.id)
            << "case " << i << " of " << n_vocab << " tokens: " << describe(sampling) << ", " << host.mask.size()
            << " words of mask, " << host.penalties.size() << " penalties";
        const std::string where = "case " + std::to_string(i) + " of " + std::to_string(n_vocab) + " tokens";
        std::vector<reprise_token> top(static_cast<size_t>(sampling.n_top_logprobs));
        if (!top.empty()) cpu.top(logits, top);
        for (size_t j = 0; j < top.size(); ++j) {
            ASSERT_EQ(top[j].id, device.alternatives(top.size())[j].id) << where << ", alternative " << j;
            expect_near(top[j].logprob, device.alternatives(top.size())[j].logprob, where);
        }
        if (expected.id != NO_TOKEN) ++counts[static_cast<size_t>(expected.id)];
        ASSERT_EQ(counts, device.counts(n_vocab)) << "case " << i;
        expect_near(expected.logprob, actual.logprob, where);
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
                sampling.xtc_probability = position % 2 == 0 ? 0.f : 1.f;
                sampling.xtc_threshold = 1e-3f;
                EXPECT_EQ(cpu.sample(logits, counts.data(), {}, sampling, position).id,
                          device.draw(logits, counts, {}, sampling, position).id)
                    << n_close << " close logits, " << describe(sampling) << ", position " << position;
            }
        }
    }
}

/// Constraints mostly leave fewer tokens than top-k would, out of a whole vocabulary. Few draws, as above.
TEST_F(CudaSampler, DrawsUnderAMaskThatLeavesFewerTokensThanTopK) {
    const uint32_t n_vocab = 151936;
    Random random(6);
    DeviceSampler device(n_vocab);
    CpuSampler cpu(n_vocab);
    const std::vector<int32_t> counts(n_vocab);
    const std::vector<float> logits = random.normals(n_vocab);
    for (const uint32_t n_allowed : {1u, 2u, 39u, 40u, 41u, SAMPLER_SHORT_LIST + 1}) {
        std::vector<uint32_t> mask(n_vocab / 32);
        for (uint32_t i = 0; i < n_allowed; ++i) mask[i * 1237 % n_vocab / 32] |= 1u << i * 1237 % n_vocab % 32;
        for (const int32_t top_k : {0, 40, 3000}) {
            for (const float top_p : {1.f, 0.9f}) {
                reprise_sampling sampling;
                reprise_sampling_default(&sampling);
                sampling.temperature = 1.2f;
                sampling.top_k = top_k;
                sampling.top_p = top_p;
                sampling.xtc_probability = top_k == 40 ? 0.5f : 0.f;
                for (const uint32_t position : {3u, 4u}) {
                    EXPECT_EQ(cpu.sample(logits, counts.data(), {mask, {}}, sampling, position).id,
                              device.draw(logits, counts, {mask, {}}, sampling, position).id)
                        << n_allowed << " allowed, " << describe(sampling) << ", position " << position;
                }
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
