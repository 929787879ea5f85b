// A session: the history of token ids and the rules about it, on top of an engine that computes. See reprise.h for
// what each call promises.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "session/engine.h"

namespace reprise {

class Session {
  public:
    Session(std::shared_ptr<DeviceModel> model, const EngineOptions& options);

    /// The lock that every call but cancel() and close() holds. Throws REPRISE_BUSY if another thread is in the
    /// session, REPRISE_INVALID_HANDLE once it is closed.
    std::unique_lock<std::mutex> enter();
    void cancel() { cancel_.store(true); }
    /// Cancels, waits for the caller inside to leave, frees the engine. Idempotent.
    void close();

    // ---- all of these with enter()'s lock held ----
    uint32_t position() const { return static_cast<uint32_t>(history_.size()); }
    uint32_t context_length() const { return options_.context_length; }
    std::span<const int32_t> history() const { return history_; }
    void rewind(uint32_t position);
    void evaluate(std::span<const int32_t> ids);
    void logits(float* out, size_t n);
    void generate(std::span<const int32_t> ids, const reprise_sampling& sampling, uint32_t max_tokens,
                  std::span<const int32_t> end_ids);
    size_t next(std::span<reprise_token> tokens, reprise_finish& finish);
    void end_generation();
    void score(std::span<const int32_t> ids, reprise_score_mode mode, float* logits);
    reprise_statistics statistics() const;

  private:
    void check_ids(std::span<const int32_t> ids) const;
    /// Before work that polls cancel_: an earlier cancel() was for earlier work.
    void start_work();
    /// Forgets the history from n on, and with it what the engine computed there.
    void truncate(size_t n);
    /// Ends the generation after an error and forgets its last n tokens, which are not delivered.
    void withdraw(size_t n);
    /// Appends ids and evaluates what is not evaluated; leaves the logits of the last token readable.
    void append(std::span<const int32_t> ids);
    void bring_logits_up_to_date();
    size_t n_vocab() const { return model_->plan().hparams.n_vocab; }

    std::shared_ptr<DeviceModel> model_;  // null once closed: a closed session's handle holds no weights
    const EngineOptions options_;
    std::unique_ptr<Engine> engine_;
    std::mutex mutex_;
    std::atomic<bool> cancel_{false};
    std::atomic<bool> closed_{false};

    std::vector<int32_t> history_;
    size_t n_evaluated_ = 0;   // leading tokens of history_ that the KV cache holds
    size_t logits_after_ = 0;  // the engine's logits are those after this many tokens; 0: of no use

    bool generating_ = false;
    bool nothing_to_draw_ = false;                       // from the logits behind the last token delivered
    bool armed_ = false;                                 // the engine is: not where the context was full from the start
    reprise_finish limit_reason_ = REPRISE_FINISH_NONE;  // why the generation ends when n_left_ tokens are delivered
    uint32_t n_left_ = 0;
    std::vector<int32_t> end_ids_;

    uint64_t prefill_tokens_ = 0, prefill_ns_ = 0, generated_tokens_ = 0, decode_ns_ = 0;
};

}  // namespace reprise
