// A session: the history of token ids and the rules about it, on top of an engine that computes. See reprise.h for
// what each call promises.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "session/engine.h"
#include "session/state_file.h"

namespace reprise {

/// Throws REPRISE_SESSION_MISMATCH unless the file was saved with a model of the same fingerprint and arithmetic.
void check_saved(const StateReader& file, DeviceModel& model);

class Session {
  public:
    Session(std::shared_ptr<DeviceModel> model, const EngineOptions& options);
    /// A copy of what parent would be after end_generation() and a rewind to position, with enter()'s lock of parent
    /// held. Both go on independently; parent's generation goes on too.
    Session(Session& parent, uint32_t position);
    /// What save() wrote: model is the one that wrote it, as check_saved() says, options.kv_type and
    /// options.context_length fit. Throws REPRISE_SESSION_FORMAT if the rest of the file is damaged.
    Session(std::shared_ptr<DeviceModel> model, const EngineOptions& options, StateReader& file);

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
    /// constraint: in its start state, or null. sampling.constraint, which it comes from, is not looked at.
    void generate(std::span<const int32_t> ids, const reprise_sampling& sampling, uint32_t max_tokens,
                  std::span<const int32_t> end_ids, std::unique_ptr<Constraint> constraint = nullptr);
    size_t next(std::span<reprise_token> tokens, reprise_finish& finish);
    /// Alternatives of the tokens that next() delivered last, row by row.
    std::span<const reprise_token> top() const { return top_; }
    /// Whether the text of the generation started last is all that its constraint demands.
    bool complete() const { return host_part_ != nullptr ? host_part_->complete() : complete_; }
    void end_generation();
    void score(std::span<const int32_t> ids, reprise_score_mode mode, float* logits);
    reprise_statistics statistics() const;
    /// Writes what a fork at position would be. A generation in progress goes on.
    void save(uint32_t position, const std::string& path, std::span<const uint8_t> preface);

  private:
    void check_ids(std::span<const int32_t> ids) const;
    /// What a copy of the first position tokens has: how many of them the KV cache holds, and whether there are logits.
    struct Extent {
        uint32_t n_evaluated;
        bool has_logits;
    };
    Extent extent(uint32_t position) const;
    /// body(piece, room for its rows) for all of the KV cache at the first n positions.
    template <class Body>
    void for_each_kv_piece(uint32_t n, Body body) const;
    /// Before work that polls cancel_: an earlier cancel() was for earlier work.
    void start_work();
    /// Forgets the history from n on, and with it what the engine computed there.
    void truncate(size_t n);
    /// Ends the generation after an error and forgets its last n tokens, which are not delivered.
    void withdraw(size_t n);
    /// Appends ids and evaluates what is not evaluated; leaves the logits of the last token readable.
    void append(std::span<const int32_t> ids);
    void bring_logits_up_to_date();
    /// Of the token that the engine gave last.
    void append_top();
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
    reprise_sampling sampling_{};
    std::vector<reprise_logit_bias> logit_bias_;  // what sampling_ points to
    std::unique_ptr<HostPart> host_part_;         // null where drawings need none
    std::vector<reprise_token> top_;
    bool complete_ = true;  // of a generation that has ended

    uint64_t prefill_tokens_ = 0, prefix_tokens_ = 0, prefill_ns_ = 0, generated_tokens_ = 0, decode_ns_ = 0;
};

}  // namespace reprise
