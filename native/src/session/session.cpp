#include "session/session.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"
#include "core/log.h"
#include "session/sampler.h"

namespace reprise {

namespace {

class Stopwatch {
  public:
    explicit Stopwatch(uint64_t& total) : total_(total), start_(std::chrono::steady_clock::now()) {}
    ~Stopwatch() {
        const auto elapsed = std::chrono::steady_clock::now() - start_;
        total_ += static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count());
    }

  private:
    uint64_t& total_;
    std::chrono::steady_clock::time_point start_;
};

}  // namespace

Session::Session(std::shared_ptr<DeviceModel> model, const EngineOptions& options)
    : model_(std::move(model)), options_(options), engine_(model_->open(options)) {}

std::unique_lock<std::mutex> Session::enter() {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (closed_.load()) fail(REPRISE_INVALID_HANDLE, "the session is closed");
    if (!lock.owns_lock()) {
        fail(REPRISE_BUSY,
             "the session is in use by another thread: a session serves one caller at a time, open one per thread");
    }
    return lock;
}

void Session::close() {
    closed_.store(true);
    cancel_.store(true);
    std::lock_guard<std::mutex> lock(mutex_);
    engine_.reset();
    model_.reset();
}

void Session::start_work() {
    cancel_.store(false);
    if (closed_.load()) fail(REPRISE_CANCELLED, "the session was closed");
}

void Session::truncate(size_t n) {
    history_.resize(n);
    n_evaluated_ = std::min(n_evaluated_, n);
    if (logits_after_ != n) logits_after_ = 0;
    engine_->truncate(static_cast<uint32_t>(n));
    n_evaluated_ = engine_->held(static_cast<uint32_t>(n_evaluated_));
}

void Session::check_ids(std::span<const int32_t> ids) const {
    for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] < 0 || static_cast<size_t>(ids[i]) >= n_vocab()) {
            fail(REPRISE_INVALID_ARGUMENT, "token id %d at index %zu is outside the vocabulary of %zu tokens", ids[i],
                 i, n_vocab());
        }
    }
    if (ids.size() > options_.context_length - history_.size()) {
        fail(REPRISE_CONTEXT_OVERFLOW,
             "%zu tokens do not fit behind the %zu in a context of %u: rewind or reset the session, or open one with a "
             "longer context",
             ids.size(), history_.size(), options_.context_length);
    }
}

void Session::append(std::span<const int32_t> ids) {
    const size_t before = history_.size();
    history_.insert(history_.end(), ids.begin(), ids.end());
    try {
        bring_logits_up_to_date();
    } catch (...) {
        truncate(before);  // the KV cache in front of the appended tokens is untouched
        throw;
    }
}

void Session::bring_logits_up_to_date() {
    if (history_.empty() || logits_after_ == history_.size()) return;
    // Logits are only left by an evaluation: if all tokens are evaluated but the logits are gone, repeat the last one.
    const size_t from = std::min(n_evaluated_, history_.size() - 1);
    n_evaluated_ = from;
    logits_after_ = 0;
    {
        Stopwatch stopwatch(prefill_ns_);
        n_evaluated_ = engine_->adopt(history_, static_cast<uint32_t>(from), cancel_);
        prefix_tokens_ += n_evaluated_ > from ? n_evaluated_ - from : 0;
        engine_->prefill(std::span<const int32_t>(history_).subspan(n_evaluated_), static_cast<uint32_t>(n_evaluated_),
                         cancel_);
    }
    prefill_tokens_ += history_.size() - n_evaluated_;
    n_evaluated_ = logits_after_ = history_.size();
}

void Session::evaluate(std::span<const int32_t> ids) {
    end_generation();
    check_ids(ids);
    start_work();
    append(ids);
}

void Session::logits(float* out, size_t n) {
    if (n != n_vocab())
        fail(REPRISE_INVALID_ARGUMENT, "room for %zu logits was given, the vocabulary has %zu tokens", n, n_vocab());
    if (history_.empty())
        fail(REPRISE_INVALID_ARGUMENT, "there are no logits before the first token: evaluate a prompt first");
    end_generation();
    start_work();
    append({});
    engine_->read_logits(out);
}

void Session::rewind(uint32_t position) {
    if (position > history_.size()) {
        fail(REPRISE_INVALID_ARGUMENT, "cannot rewind to position %u: the session is at %zu", position,
             history_.size());
    }
    end_generation();
    truncate(position);
}

void Session::generate(std::span<const int32_t> ids, const reprise_sampling& sampling, uint32_t max_tokens,
                       std::span<const int32_t> end_ids, std::unique_ptr<Constraint> constraint) {
    end_generation();
    check_sampling(sampling, n_vocab());
    check_ids(ids);
    if (ids.empty() && history_.empty())
        fail(REPRISE_INVALID_ARGUMENT, "nothing to continue: the prompt is empty and so is the session");
    start_work();
    const size_t before = history_.size();
    append(ids);

    const uint32_t room = options_.context_length - static_cast<uint32_t>(history_.size());
    const bool context_limits = max_tokens == 0 || max_tokens > room;
    n_left_ = context_limits ? room : max_tokens;
    limit_reason_ = context_limits ? REPRISE_FINISH_CONTEXT_FULL : REPRISE_FINISH_MAX_TOKENS;
    end_ids_.assign(end_ids.begin(), end_ids.end());
    sampling_ = sampling;
    if (sampling_.n_top_logprobs > 0) sampling_.logprobs = 1;
    logit_bias_.assign(sampling.logit_bias, sampling.logit_bias + sampling.n_logit_bias);
    sampling_.logit_bias = logit_bias_.data();
    top_.clear();
    try {
        if (HostPart::is_needed(sampling, constraint.get()))
            host_part_ = std::make_unique<HostPart>(sampling, std::move(constraint), history_, end_ids_, n_vocab());
        complete_ = true;
        if (host_part_ != nullptr && n_left_ > 0) host_part_->input();  // which may say that nothing can be drawn
        if (n_left_ > 0) engine_->begin({history_, sampling_, n_left_, end_ids_, host_part_.get()});
    } catch (...) {
        host_part_.reset();
        truncate(before);
        throw;
    }
    armed_ = n_left_ > 0;
    generating_ = true;
}

size_t Session::next(std::span<reprise_token> tokens, reprise_finish& finish) {
    if (!generating_) fail(REPRISE_INVALID_ARGUMENT, "no generation is in progress: it has ended or was not started");
    if (tokens.empty()) fail(REPRISE_INVALID_ARGUMENT, "no room for a token was given");
    finish = n_left_ == 0 ? limit_reason_ : REPRISE_FINISH_NONE;
    top_.clear();
    size_t n = 0;
    {
        Stopwatch stopwatch(decode_ns_);
        while (finish == REPRISE_FINISH_NONE && !nothing_to_draw_ && n < tokens.size() &&
               (n == 0 || engine_->ready())) {
            if (cancel_.load()) {
                finish = REPRISE_FINISH_CANCELLED;
                break;
            }
            try {
                tokens[n] = engine_->next(cancel_);
            } catch (const Error& error) {
                if (error.status() == REPRISE_CANCELLED) {
                    finish = REPRISE_FINISH_CANCELLED;
                    break;
                }
                withdraw(n);
                throw;
            }
            if (tokens[n].id == NO_TOKEN) {
                nothing_to_draw_ = true;  // said when the tokens before it are delivered
                break;
            }
            const int32_t id = tokens[n++].id;
            if (sampling_.n_top_logprobs > 0) append_top();
            history_.push_back(id);
            ++generated_tokens_;
            --n_left_;
            if (std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end()) {
                finish = REPRISE_FINISH_END;
            } else if (n_left_ == 0) {
                finish = limit_reason_;
            }
        }
    }
    if (nothing_to_draw_ && n == 0) {
        end_generation();
        fail(REPRISE_NAN_LOGITS,
             "the logits after %zu tokens are not numbers, so that no token can be drawn: the model's weights are "
             "damaged, or its values exceed what the device computes with; compare the file with its publisher's "
             "checksum",
             history_.size());
    }
    if (finish != REPRISE_FINISH_NONE) {
        try {
            end_generation();
        } catch (const Error&) {
            withdraw(n);
            throw;
        }
    }
    return n;
}

void Session::append_top() {
    const auto n = static_cast<size_t>(sampling_.n_top_logprobs);
    top_.resize(top_.size() + n);
    engine_->top(std::span(top_).last(n));
}

void Session::withdraw(size_t n) {
    try {
        end_generation();
    } catch (const Error& error) {
        // The caller gets the error that led here.
        log(REPRISE_LOG_WARN, "the generation could not be ended: %s", error.what());
    }
    top_.clear();
    truncate(history_.size() - n);
    generated_tokens_ -= n;
}

void Session::end_generation() {
    if (!generating_) return;
    generating_ = nothing_to_draw_ = false;
    const bool armed = armed_;
    armed_ = false;
    if (armed) {
        logits_after_ = 0;  // a backend that runs ahead has overwritten them
        n_evaluated_ = 0;   // should the engine fail, nothing that it holds is of use
        n_evaluated_ = engine_->held(static_cast<uint32_t>(std::min<size_t>(engine_->end(), history_.size())));
    }
    complete_ = complete();
    host_part_.reset();  // the engine has let go of it
}

void Session::score(std::span<const int32_t> ids, reprise_score_mode mode, float* logits) {
    end_generation();
    check_ids(ids);
    start_work();
    if (n_evaluated_ < history_.size()) append({});
    const size_t before = history_.size();
    logits_after_ = 0;
    try {
        engine_->score(ids, static_cast<uint32_t>(before), mode, logits, cancel_);
    } catch (...) {
        truncate(before);
        throw;
    }
    history_.insert(history_.end(), ids.begin(), ids.end());
    n_evaluated_ = history_.size();
}

reprise_statistics Session::statistics() const {
    reprise_statistics s{};
    engine_->statistics(s);
    s.prefill_tokens = prefill_tokens_;
    s.prefix_tokens = prefix_tokens_;
    s.prefill_ns = prefill_ns_;
    s.generated_tokens = generated_tokens_;
    s.decode_ns = decode_ns_;
    return s;
}

}  // namespace reprise
