// A session's engine on CUDA: prefill in chunks, decode by graph replay, the host a few steps ahead of the tokens it
// reads from the ring.
#pragma once

#include <string>
#include <thread>

#include "cuda/decode_graph.h"
#include "cuda/forward.h"
#include "cuda/kv_transfer.h"
#include "cuda/model.h"
#include "session/engine.h"

namespace reprise::cuda {

class CudaEngine : public Engine {
  public:
    CudaEngine(std::shared_ptr<CudaModel> model, const EngineOptions& options);
    ~CudaEngine() override;

    void prefill(std::span<const int32_t> ids, uint32_t position, const std::atomic<bool>& cancel) override;
    void read_logits(float* logits) override;
    void begin(const GenerationStart& start) override;
    reprise_token next(const std::atomic<bool>& cancel) override;
    void top(std::span<reprise_token> top) override;
    bool ready() const override;
    uint32_t end() override;
    void read_kv(const KvPiece& piece, uint8_t* rows) override;
    void write_kv(const KvPiece& piece, const uint8_t* rows) override;
    void write_logits(const float* logits) override;
    void copy_from(Engine& other, uint32_t n, bool logits) override;
    void score(std::span<const int32_t> ids, uint32_t position, reprise_score_mode mode, float* logits,
               const std::atomic<bool>& cancel) override;
    void statistics(reprise_statistics& statistics) const override;

  private:
    /// Runs body with this engine's device current; remembers an unrecoverable error and repeats it ever after.
    template <class Body>
    auto guarded(Body body);
    /// Once a request, since other users of CUDA in the thread may change its device; for a token where Reprise itself
    /// has.
    void bind_device();
    void copy_ids(std::span<const int32_t> ids);
    void prefill_chunk(std::span<const int32_t> ids, uint32_t position);
    void score_steps(std::span<const int32_t> ids, uint32_t position, bool replay, float* logits,
                     const std::atomic<bool>& cancel);
    void copy_logits(float* to);                     // from the device
    void hand_logits(float* to) const;               // from the staging; nothing where to is null
    float* row_of(float* logits, size_t row) const;  // null if logits is
    void set_counts(std::span<const int32_t> history);
    void set_bias(const reprise_sampling& sampling);
    void launch_ahead();
    /// Launches the forward part that evaluates a token of the generation, if that is not done, a drawing will follow,
    /// and it is quick or must be.
    void launch_forward_behind(uint32_t token, bool even_if_slow);
    /// Launches the drawing of a token of the generation with the host part's input.
    void launch_drawing(uint32_t token);
    reprise_token next_in_parts(const std::atomic<bool>& cancel);
    uint64_t load_ring(uint32_t number) const;
    reprise_token token_at(uint32_t number) const;
    reprise_token wait_for(uint32_t number, const std::atomic<bool>& cancel);
    bool is_there(uint32_t number) const;

    const std::shared_ptr<CudaModel> model_;
    const SessionShape shape_;
    const CudaModel::Reservation reservation_;
    Stream stream_;
    SequenceBuffers buffers_;
    Workspace workspace_;
    Forward forward_;
    DecodeGraph graph_;          // whole steps, and forward parts
    DecodeGraph drawing_graph_;  // drawings of steps in two parts
    KvTransfer kv_;
    PinnedBuffer ids_, logits_, bias_, counts_;  // staging: [context_length], then [n_vocab] each
    Event ids_free_, bias_free_, counts_free_, host_input_free_;
    std::string failure_;

    // The generation in progress. Token i of it carries number first_number_ + i; step i evaluates token i - 1.
    uint32_t n_launched_ = 0;  // drawings since the session was opened
    uint32_t first_number_ = 0;
    uint32_t kind_ = 0;
    uint32_t n_history_ = 0, max_tokens_ = 0;
    bool wants_logprobs_ = false;
    HostPart* host_part_ = nullptr;
    bool in_parts_ = false;  // whether it has, or the last one had, a host part
    uint32_t n_steps_ = 0, n_delivered_ = 0;

    uint64_t tokens_from_prefill_ = 0, discarded_steps_ = 0;
};

}  // namespace reprise::cuda
