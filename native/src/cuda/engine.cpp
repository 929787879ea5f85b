#include "cuda/engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "cuda/check.h"
#include "session/sampler.h"

namespace reprise::cuda {

namespace {

/// Steps launched before the tokens in front of them were read: enough to hide the host's round trip, few enough to
/// throw away.
constexpr uint32_t MAX_AHEAD = 4;
static_assert(MAX_AHEAD + 2 < RING_SIZE);

reprise_sampling greedy() {
    reprise_sampling sampling;
    reprise_sampling_default(&sampling);
    return sampling;
}

void poll(const std::atomic<bool>& cancel) {
    if (cancel.load(std::memory_order_relaxed)) fail(REPRISE_CANCELLED, "cancelled");
}

}  // namespace

CudaEngine::CudaEngine(std::shared_ptr<CudaModel> model, const EngineOptions& options)
    : model_(std::move(model)),
      shape_(session_shape(options, model_->exact())),
      reservation_(*model_, session_sizes(model_->plan(), shape_), shape_.context_length),
      buffers_(model_->plan().hparams, shape_, stream_),
      workspace_(workspace_buffers(model_->plan(), shape_), stream_),
      forward_(model_->plan(), model_->weights(), workspace_, buffers_, shape_),
      graph_([this](uint32_t kind, cudaStream_t stream) { forward_.decode(kind, stream); },
             [this](uint32_t kind) { return forward_.decode_launches(kind); }, options.graph_mode),
      drawing_graph_([this](uint32_t kind, cudaStream_t stream) { sample(buffers_.sampler, kind, 1, stream); },
                     sampler_launches, options.graph_mode),
      kv_(model_->plan().hparams, shape_, buffers_),
      ids_(shape_.context_length * sizeof(int32_t), "staging of token ids"),
      logits_(model_->plan().hparams.n_vocab * sizeof(float), "staging of logits"),
      bias_(model_->plan().hparams.n_vocab * sizeof(float), "staging of biases"),
      counts_(model_->plan().hparams.n_vocab * sizeof(int32_t), "staging of penalty counts") {
    buffers_.sampler.host_logits = logits_.as<float>();
    model_->log_fallbacks(forward_.decode_program());
}

CudaEngine::~CudaEngine() {
    // Steps in flight write to the buffers. After an unrecoverable error there is nothing to wait for.
    if (use_device_to_free(model_->device())) cudaStreamSynchronize(stream_);
}

template <class Body>
auto CudaEngine::guarded(Body body) {
    if (!failure_.empty()) {
        fail(REPRISE_ENGINE_FAILED,
             "the session's engine failed earlier and cannot go on: %s; close the session and the model and load again",
             failure_.c_str());
    }
    try {
        if (chosen_device != model_->device()) bind_device();
        return body();
    } catch (const Error& error) {
        if (error.status() == REPRISE_ENGINE_FAILED) failure_ = error.what();
        throw;
    }
}

void CudaEngine::bind_device() { use_device(model_->device()); }

void CudaEngine::copy_ids(std::span<const int32_t> ids) {
    ids_free_.wait();
    std::copy(ids.begin(), ids.end(), ids_.as<int32_t>());
    check(cudaMemcpyAsync(buffers_.queue, ids_.as<int32_t>(), ids.size_bytes(), cudaMemcpyHostToDevice, stream_),
          "copying token ids");
    ids_free_.record(stream_);
}

void CudaEngine::prefill_chunk(std::span<const int32_t> ids, uint32_t position) {
    copy_ids(ids);  // which waits for the chunk before: the host is never more than one ahead
    place(buffers_.state, ids[0], position, 0, 0, stream_);
    forward_.prefill(static_cast<uint32_t>(ids.size()), stream_);
}

void CudaEngine::prefill(std::span<const int32_t> ids, uint32_t position, const std::atomic<bool>& cancel) {
    guarded([&] {
        bind_device();
        size_t n = 0;
        for (size_t done = 0; done < ids.size(); done += n) {
            poll(cancel);
            n = std::min<size_t>(shape_.chunk, ids.size() - done);
            prefill_chunk(ids.subspan(done, n), position + static_cast<uint32_t>(done));
        }
        forward_.prefill_logits(static_cast<uint32_t>(n - 1), stream_);
        place(buffers_.state, 0, position + static_cast<uint32_t>(ids.size()), 0, 0, stream_);
        stream_.synchronize("evaluating the prompt");
    });
}

void CudaEngine::copy_logits(float* to) {
    check(
        cudaMemcpyAsync(logits_.as<float>(), buffers_.sampler.logits, logits_.size(), cudaMemcpyDeviceToHost, stream_),
        "copying logits");
    stream_.synchronize("copying logits");
    hand_logits(to);
}

void CudaEngine::hand_logits(float* to) const {
    if (to != nullptr) std::memcpy(to, logits_.as<float>(), logits_.size());
}

float* CudaEngine::row_of(float* logits, size_t row) const {
    return logits == nullptr ? nullptr : logits + row * model_->plan().hparams.n_vocab;
}

void CudaEngine::read_logits(float* logits) {
    guarded([&] { copy_logits(logits); });
}

void CudaEngine::set_counts(std::span<const int32_t> history) {
    counts_free_.wait();
    int32_t* counts = counts_.as<int32_t>();
    std::fill_n(counts, model_->plan().hparams.n_vocab, 0);
    for (const int32_t id : history) ++counts[id];
    check(cudaMemcpyAsync(buffers_.sampler.counts, counts, counts_.size(), cudaMemcpyHostToDevice, stream_),
          "copying penalty counts");
    counts_free_.record(stream_);
}

void CudaEngine::set_bias(const reprise_sampling& sampling) {
    bias_free_.wait();
    fill_bias({bias_.as<float>(), model_->plan().hparams.n_vocab}, sampling);
    check(cudaMemcpyAsync(buffers_.sampler.bias, bias_.as<float>(), bias_.size(), cudaMemcpyHostToDevice, stream_),
          "copying biases");
    bias_free_.record(stream_);
}

void CudaEngine::begin(const GenerationStart& start) {
    guarded([&] {
        bind_device();
        n_history_ = static_cast<uint32_t>(start.history.size());
        max_tokens_ = start.max_tokens;
        wants_logprobs_ = start.sampling.logprobs != 0;
        n_steps_ = n_delivered_ = 0;
        host_part_ = start.host_part;
        in_parts_ = host_part_ != nullptr;
        kind_ = sampling_kind(start.sampling, model_->plan().hparams.n_vocab, in_parts_);
        if (uses_counts(start.sampling)) set_counts(start.history);
        if (start.sampling.n_logit_bias > 0) set_bias(start.sampling);
        set_sampling(buffers_.sampler, start.sampling, stream_);
        if (in_parts_) {
            host_input_free_.wait();  // of a drawing that the generation before has left running
            write_host_input(buffers_.sampler, host_part_->input());
        }
        place(buffers_.state, 0, n_history_, 0, 0, stream_);
        sample(buffers_.sampler, kind_, 0, stream_);
        first_number_ = ++n_launched_;
        ++tokens_from_prefill_;
    });
}

void CudaEngine::launch_ahead() {
    // Token i takes i steps. The warm-up and a capture keep no token waiting that is already on its way.
    const uint32_t last_token = std::min(max_tokens_ - 1, n_delivered_ + MAX_AHEAD);
    while (n_steps_ < last_token && (n_steps_ < n_delivered_ || graph_.is_quick(kind_))) {
        graph_.launch(kind_, stream_);
        ++n_steps_;
        ++n_launched_;
    }
}

// With a host part a step is two launches on the one stream, its forward part F and its drawing S:
//
//   device   S(t)   F(t + 1) ............................   S(t + 1)   F(t + 2) ....
//   host          reads t, takes it, computes the input of S(t + 1), launches S(t + 1) and F(t + 2); delivers t
//
// F(t + 1) evaluates token t, which S(t) left in the decode state, so that it is launched behind S(t) without waiting
// for the host, and the device idles only where the host takes longer than a forward part. The input is written to
// pinned memory that S reads: written before S is launched, and written again only when the token that S gave has come,
// which the last block of S sends when all have read the input. The stream orders the rest: S(t + 1) reads the logits
// that F(t + 1) leaves, and F(t + 2) the token that S(t + 1) leaves.
void CudaEngine::launch_forward_behind(uint32_t token, bool even_if_slow) {
    constexpr auto kind = static_cast<uint32_t>(SamplingKind::NONE);
    if (n_steps_ > token || token + 1 >= max_tokens_ || !(even_if_slow || graph_.is_quick(kind))) return;
    graph_.launch(kind, stream_);
    ++n_steps_;
}

void CudaEngine::launch_drawing(uint32_t token) {
    write_host_input(buffers_.sampler, host_part_->input());
    drawing_graph_.launch(kind_, stream_);
    n_launched_ = first_number_ + token;
}

reprise_token CudaEngine::next_in_parts(const std::atomic<bool>& cancel) {
    const uint32_t number = n_delivered_;
    if (n_launched_ < first_number_ + number) launch_drawing(number);  // whose input could not be computed: throws
    // The warm-up and a capture keep no token waiting.
    launch_forward_behind(number, false);
    const reprise_token token = wait_for(first_number_ + number, cancel);
    ++n_delivered_;
    if (token.id == NO_TOKEN) return token;
    host_part_->accept(token.id);
    if (host_part_->ended() || n_delivered_ >= max_tokens_) return token;
    launch_forward_behind(number, true);
    if (!host_part_->prepare()) return token;
    launch_drawing(number + 1);
    launch_forward_behind(number + 1, false);
    return token;
}

bool CudaEngine::is_there(uint32_t number) const { return RingEntry::number_of(load_ring(number)) == number; }

uint64_t CudaEngine::load_ring(uint32_t number) const {
    RingEntry& entry = buffers_.sampler.ring[(number - 1) % RING_SIZE];
    return std::atomic_ref<uint64_t>(entry.number_and_token).load(std::memory_order_acquire);
}

reprise_token CudaEngine::wait_for(uint32_t number, const std::atomic<bool>& cancel) {
    using Clock = std::chrono::steady_clock;
    // As long as a token of a large model takes. Yielding would let another thread run on this core and evict what the
    // caller needs next from its caches.
    constexpr auto BUSY = std::chrono::milliseconds(5);
    constexpr auto PATIENCE = std::chrono::milliseconds(100);
    constexpr int POLLS = 64;  // between two looks at the clock
    for (const auto busy_until = Clock::now() + BUSY; Clock::now() < busy_until; poll(cancel)) {
        for (int i = 0; i < POLLS; ++i) {
            if (is_there(number)) return token_at(number);
            __builtin_ia32_pause();
        }
    }
    // Nothing behind this token is on its way, so there is nothing that waiting for the stream would wait for as well.
    // And tools that record what kernels do have room for no more than a few steps between two synchronisations.
    const bool forward_follows = host_part_ != nullptr && n_steps_ > number - first_number_;
    if (number == n_launched_ && !forward_follows) stream_.synchronize("decoding");
    auto ask_at = Clock::now() + PATIENCE;
    while (!is_there(number)) {
        poll(cancel);
        std::this_thread::yield();
        if (Clock::now() < ask_at) continue;
        const cudaError_t state = cudaStreamQuery(stream_);
        if (state == cudaSuccess && !is_there(number))
            fail(REPRISE_INTERNAL, "the device finished token %u without delivering it", number);
        if (state != cudaErrorNotReady) check(state, "decoding");
        ask_at = Clock::now() + PATIENCE;
    }
    return token_at(number);
}

reprise_token CudaEngine::token_at(uint32_t number) const {
    const float logprob = wants_logprobs_ ? buffers_.sampler.ring[(number - 1) % RING_SIZE].logprob
                                          : std::numeric_limits<float>::quiet_NaN();
    return {RingEntry::token_of(load_ring(number)), logprob};
}

reprise_token CudaEngine::next(const std::atomic<bool>& cancel) {
    return guarded([&] {
        if (n_delivered_ >= max_tokens_) fail(REPRISE_INTERNAL, "more tokens were asked for than the generation has");
        if (host_part_ != nullptr) return next_in_parts(cancel);
        launch_ahead();
        const reprise_token token = wait_for(first_number_ + n_delivered_, cancel);
        ++n_delivered_;
        return token;
    });
}

void CudaEngine::top(std::span<reprise_token> top) {
    const uint32_t slot = (first_number_ + n_delivered_ - 2) % RING_SIZE;  // of the token delivered last
    std::copy_n(buffers_.sampler.alternatives + slot * REPRISE_MAX_TOP_LOGPROBS, top.size(), top.begin());
}

bool CudaEngine::ready() const {
    return failure_.empty() && host_part_ == nullptr && n_delivered_ <= n_steps_ &&
           is_there(first_number_ + n_delivered_);
}

uint32_t CudaEngine::end() {
    return guarded([&] {
        // Token i is drawn behind step i - 1, which evaluates the token before it.
        const uint32_t n_used = n_delivered_ > 0 ? n_delivered_ - 1 : 0;
        discarded_steps_ += n_steps_ - n_used;
        const uint32_t n_evaluated = n_history_ + n_used;
        // Behind the steps in flight: what they leave at later positions is never read before it is written again.
        place(buffers_.state, 0, n_evaluated, 0, 0, stream_);
        if (host_part_ != nullptr) host_input_free_.record(stream_);
        host_part_ = nullptr;
        return n_evaluated;
    });
}

void CudaEngine::read_kv(const KvPiece& piece, uint8_t* rows) {
    guarded([&] {
        bind_device();
        kv_.read(piece, rows, stream_);
    });
}

void CudaEngine::write_kv(const KvPiece& piece, const uint8_t* rows) {
    guarded([&] {
        bind_device();
        kv_.write(piece, rows, stream_);
    });
}

void CudaEngine::write_logits(const float* logits) {
    guarded([&] {
        bind_device();
        std::memcpy(logits_.as<float>(), logits, logits_.size());
        check(cudaMemcpyAsync(buffers_.sampler.logits, logits_.as<float>(), logits_.size(), cudaMemcpyHostToDevice,
                              stream_),
              "copying logits");
        stream_.synchronize("copying logits");
    });
}

void CudaEngine::copy_from(Engine& engine, uint32_t n, bool logits) {
    auto& other = static_cast<CudaEngine&>(engine);
    other.guarded([&] {
        bind_device();
        stream_.synchronize("opening a session");  // which clears its buffers
        // Behind the steps that the other has in flight.
        kv_.copy(other.buffers_, n, other.stream_);
        if (logits) {
            check(cudaMemcpyAsync(buffers_.sampler.logits, other.buffers_.sampler.logits, logits_.size(),
                                  cudaMemcpyDeviceToDevice, other.stream_),
                  "copying logits");
        }
        other.stream_.synchronize("copying a session");
    });
}

void CudaEngine::score(std::span<const int32_t> ids, uint32_t position, reprise_score_mode mode, float* logits,
                       const std::atomic<bool>& cancel) {
    guarded([&] {
        bind_device();
        if (ids.empty()) return;
        if (mode != REPRISE_SCORE_BATCH) return score_steps(ids, position, mode == REPRISE_SCORE_GRAPH, logits, cancel);
        for (size_t done = 0; done < ids.size();) {
            poll(cancel);
            const size_t n = std::min<size_t>(shape_.chunk, ids.size() - done);
            prefill_chunk(ids.subspan(done, n), position + static_cast<uint32_t>(done));
            for (size_t row = 0; row < n; ++row, ++done) {
                forward_.prefill_logits(static_cast<uint32_t>(row), stream_);
                copy_logits(row_of(logits, done));
            }
        }
        place(buffers_.state, 0, position + static_cast<uint32_t>(ids.size()), 0, 0, stream_);
    });
}

/// The step that generate() uses, its tokens taken from the input queue; its sampler brings the logits to the host.
void CudaEngine::score_steps(std::span<const int32_t> ids, uint32_t position, bool replay, float* logits,
                             const std::atomic<bool>& cancel) {
    constexpr auto kind = static_cast<uint32_t>(SamplingKind::TO_HOST);
    set_sampling(buffers_.sampler, greedy(), stream_);
    copy_ids(ids);
    place(buffers_.state, ids[0], position, 1, static_cast<uint32_t>(ids.size()), stream_);
    for (size_t i = 0; i < ids.size(); ++i) {
        poll(cancel);
        if (replay) {
            graph_.replay(kind, stream_);
        } else {
            graph_.launch_eagerly(kind, stream_);
        }
        wait_for(++n_launched_, cancel);
        hand_logits(row_of(logits, i));
    }
}

void CudaEngine::statistics(reprise_statistics& s) const {
    const DecodeGraph::Counts &counts = graph_.counts(), &drawing = drawing_graph_.counts();
    s.tokens_from_prefill = tokens_from_prefill_;
    s.eager_steps = counts.eager_steps;
    s.graph_replays = counts.replays;
    s.discarded_steps = discarded_steps_;
    s.captures = counts.captures + drawing.captures;
    s.reinstantiations = 0;  // nothing that a graph holds changes while the session is open
    s.capture_failures = counts.capture_failures + drawing.capture_failures;
    s.graph_nodes = counts.nodes + (in_parts_ ? drawing.nodes : 0);
    s.kernels_per_token = counts.kernels + (in_parts_ ? drawing.kernels : 0);
    s.submit_ns = counts.submit_ns + drawing.submit_ns;
    s.memory_kv = buffers_.kv_bytes();
    s.memory_workspace = buffers_.rest_bytes() + workspace_.bytes();
    s.fallback_launches = forward_.decode_program().n_fallbacks();
}

}  // namespace reprise::cuda
