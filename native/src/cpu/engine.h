// A session's sequence on the CPU: its keys and values, its logits, and the state of its drawings.
#pragma once

#include "cpu/model.h"
#include "cpu/states.h"
#include "session/sampler.h"

namespace reprise::cpu {

class CpuEngine : public Engine {
  public:
    CpuEngine(std::shared_ptr<CpuModel> model, const EngineOptions& options);

    uint32_t adopt(std::span<const int32_t> history, uint32_t n, const std::atomic<bool>& cancel) override;
    void prefill(std::span<const int32_t> ids, uint32_t position, const std::atomic<bool>& cancel) override;
    void truncate(uint32_t n) override {
        states_.rewind(n);
        kv_.truncate(states_.held(n));
    }
    uint32_t held(uint32_t n) const override { return states_.held(n); }
    void read_states(uint32_t n, std::span<float> values) override;
    void write_states(uint32_t n, std::span<const float> values) override;
    void read_logits(float* logits) override;
    void begin(const GenerationStart& start) override;
    reprise_token next(const std::atomic<bool>& cancel) override;
    void top(std::span<reprise_token> top) override { sampler_.top(logits(), top); }
    uint32_t end() override;
    void read_kv(const KvPiece& piece, uint8_t* rows) override;
    void write_kv(const KvPiece& piece, const uint8_t* rows) override;
    void write_logits(const float* logits) override;
    /// Shares the blocks: whichever of both writes to one first takes a copy of it.
    void copy_from(Engine& engine, uint32_t n, bool logits) override;
    void score(std::span<const int32_t> ids, uint32_t position, reprise_score_mode mode, float* logits,
               const std::atomic<bool>& cancel) override;
    void statistics(reprise_statistics& statistics) const override;

    /// The memory of one session, of all that it shares with others too.
    static reprise_memory memory(const Plan& plan, const Kernels& kernels, size_t n_threads,
                                 const EngineOptions& options);

  private:
    void make_writable(uint32_t begin, uint32_t end, const std::atomic<bool>& cancel) {
        if (!kv_.needs_memory(begin, end)) return kv_.make_writable(begin, end);
        model_->kv_order().take(holder_, cancel, [&] { kv_.make_writable(begin, end); });
    }
    template <class Body>
    void for_each_row(const KvPiece& piece, Body body);
    /// With the states in motion until they have arrived behind position.
    KvView view();
    std::span<const float> logits() const { return {logits_.floats(), n_vocab_}; }

    const std::shared_ptr<CpuModel> model_;
    const size_t n_vocab_;
    const uint32_t context_length_, chunk_;
    Scheduler::Member member_;
    KvOrder::Member holder_;
    const bool is_long_;  // which of two RoPEs
    const std::shared_ptr<KvCache> cache_;
    KvSequence kv_;
    States states_;
    Buffer logits_;
    CpuSampler sampler_;
    reprise_sampling sampling_{};
    HostPart* host_part_ = nullptr;
    uint32_t position_ = 0;  // of the next token to sample
    int32_t pending_ = -1;   // sampled but not evaluated
    std::vector<int32_t> counts_;
    reprise_statistics statistics_{};
};

}  // namespace reprise::cpu
