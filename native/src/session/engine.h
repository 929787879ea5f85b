// What a backend gives the session: one context's compute state (KV cache, activations, sampler) on one device.
// session.cpp owns the history of ids and the rules; an engine only computes. One caller at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "core/error.h"
#include "exec/program.h"
#include "model/plan.h"
#include "reprise.h"
#include "session/host_part.h"

namespace reprise {

struct EngineOptions {
    uint32_t context_length;
    TensorType kv_type;  // F16, F32 or, where head_dim is a multiple of 32, Q8_0; exact arithmetic takes F32
    reprise_graph_mode graph_mode;
    uint32_t prefill_chunk;  // 0: the backend's choice
    bool unfused;            // CUDA: decode with the reference kernels
    int32_t priority;        // in steps that have no room for all
    bool prefix_sharing;     // equal beginnings of sequences are evaluated and kept once
};

/// Which tokens the session's history holds: the engine reads it when a sampler with penalties is armed.
struct GenerationStart {
    std::span<const int32_t> history;  // all ids up to and including the last evaluated one
    reprise_sampling sampling;         // its arrays stay until end()
    uint32_t max_tokens;               // at least 1; history.size() + max_tokens <= context_length
    std::span<const int32_t> end_ids;  // a token after which the engine need not go on
    HostPart* host_part;  // stays until end(); null: drawings need none, so that nothing waits for the host
};

/// Keys or values of a layer at n consecutive positions, as they are moved out of and into a KV cache: rows of head_dim
/// values in the cache's type as GGUF has it, [n][heads].
struct KvPiece {
    uint32_t layer;     // of the KV cache: HyperParams::kv
    bool values;        // or the keys
    uint32_t position;  // a multiple of KV_PIECE
    uint32_t n;         // at most KV_PIECE
};
constexpr uint32_t KV_PIECE = 256;

class Engine {
  public:
    virtual ~Engine() = default;

    /// Before prefill() of what history has behind the first n tokens, which the KV cache holds: where the engine
    /// shares the memory of equal beginnings it takes over what others have evaluated of them, waiting for those who
    /// are at it, and returns how many tokens the KV cache holds then, fewer than history has; of a model with
    /// recurrent states held(n). Throws REPRISE_CANCELLED where cancel became true.
    virtual uint32_t adopt(std::span<const int32_t> history, uint32_t n, const std::atomic<bool>& cancel) {
        (void)history, (void)cancel;
        return n;
    }
    /// Evaluates ids at positions position .. position + n - 1, writing the KV cache there; the logits of the last one
    /// stay readable. Polls cancel between chunks and throws REPRISE_CANCELLED; KV behind position is then undefined.
    virtual void prefill(std::span<const int32_t> ids, uint32_t position, const std::atomic<bool>& cancel) = 0;
    /// What the KV cache has behind the first n positions is of no use any more. Not during a generation.
    virtual void truncate(uint32_t n) { (void)n; }
    /// How many of the first n positions it could go on behind: all, unless the model has recurrent states, which are
    /// known at some positions alone.
    virtual uint32_t held(uint32_t n) const { return n; }
    /// Logits after the last evaluated token, [n_vocab].
    virtual void read_logits(float* logits) = 0;

    /// Arms the sampler. The logits of the last token of start.history are the ones the last prefill() left, or
    /// write_logits() or copy_from().
    virtual void begin(const GenerationStart& start) = 0;
    /// Waits for and returns the next token: sampled from the current logits; NO_TOKEN (sampler.h) if none can be drawn
    /// from them, after which the generation is to be ended. When the following call comes, the token has been or will
    /// be evaluated at the next position. At most max_tokens calls per begin(). May run ahead; the host part takes a
    /// token in the call that returns it.
    virtual reprise_token next(const std::atomic<bool>& cancel) = 0;
    /// Alternatives of the token that next() returned last, the likeliest first: as many as top has room for, at most
    /// the n_top_logprobs of the sampling.
    virtual void top(std::span<reprise_token> top) = 0;
    /// Further tokens that are ready without waiting. Never with a host part.
    virtual bool ready() const { return false; }
    /// Ends the generation. n_evaluated tokens of the history stay valid in the KV cache; steps launched ahead are
    /// discarded, so that read_logits() is only defined if the session evaluates again. Returns how many tokens of the
    /// history (prompt and the delivered ones) are in the KV cache: all but the last delivered one, however far the
    /// engine ran ahead, so that what follows is the same to the last bit. Throws where the engine has failed.
    virtual uint32_t end() = 0;

    // ---- copies of the state; legal during a generation for what end() would say is in the KV cache ----

    virtual void read_kv(const KvPiece& piece, uint8_t* rows) = 0;
    virtual void write_kv(const KvPiece& piece, const uint8_t* rows) = 0;
    /// Recurrent states behind the first n tokens, a position that held() gives; of a model without, nothing.
    virtual void read_states(uint32_t n, std::span<float> values) { (void)n, (void)values; }
    virtual void write_states(uint32_t n, std::span<const float> values) { (void)n, (void)values; }
    /// What read_logits() gives from now on, [n_vocab].
    virtual void write_logits(const float* logits) = 0;
    /// Takes the first n positions of the KV cache and, if asked to, the logits over from another engine that the same
    /// model opened with the same options. The caller holds both.
    virtual void copy_from(Engine& other, uint32_t n, bool logits) = 0;

    /// Logits after each of ids, fed as mode says; null: those of steps are dropped once they are on the host. For
    /// reprise-eval and reprise-bench.
    virtual void score(std::span<const int32_t> ids, uint32_t position, reprise_score_mode mode, float* logits,
                       const std::atomic<bool>& cancel) = 0;

    virtual void statistics(reprise_statistics& statistics) const = 0;
};

/// A sequence whose steps show their values: tools/compare_steps.h. Nobody else computes with the model meanwhile.
class StepTracer {
  public:
    virtual ~StepTracer() = default;
    /// Computes ids from position on, behind what the steps before computed, in one step, with the logits behind every
    /// row as the value "logits" of the last launch.
    virtual void step(std::span<const int32_t> ids, uint32_t position, const Trace& trace) = 0;
};

/// A model's weights on a device. Immutable; engines keep it alive.
class DeviceModel : public std::enable_shared_from_this<DeviceModel> {
  public:
    virtual ~DeviceModel() = default;
    virtual const Plan& plan() const = 0;
    /// Whether it computes by the reference arithmetic, with KV caches in F32.
    virtual bool exact() const = 0;
    /// That of the model's file: gguf/fingerprint.h.
    virtual uint64_t fingerprint() = 0;
    virtual std::unique_ptr<Engine> open(const EngineOptions& options) = 0;
    virtual void describe(reprise_model_info& info) const = 0;
    /// Throws REPRISE_UNSUPPORTED where the backend does not show the values of its steps.
    virtual std::unique_ptr<StepTracer> trace_steps(TensorType kv_type) {
        (void)kv_type;
        fail(REPRISE_UNSUPPORTED, "this device does not show the values of its steps: choose the CPU");
    }
    /// Draws a token from given logits on this device, as next() does, and fills top with its alternatives. counts may
    /// be null.
    virtual reprise_token sample(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                                 const reprise_sampling& sampling, uint32_t position, std::span<reprise_token> top) = 0;
};

struct LoadOptions {
    reprise_device device;
    int32_t device_index;
    uint32_t threads;  // 0: all available
    bool exact;
    uint64_t device_memory_limit;
    uint64_t kv_memory;  // 0: the backend's choice
    reprise_progress_fn progress;
    void* progress_user;
};

/// cpu/backend.cpp. The file stays open as long as the model: weights are used where they lie.
std::shared_ptr<DeviceModel> load_cpu(std::shared_ptr<const GgufFile> file, std::unique_ptr<Plan> plan,
                                      const LoadOptions& options);
reprise_memory memory_cpu(const Plan& plan, const LoadOptions& options, const EngineOptions& engine);

// cuda/model.cpp, or cuda_absent.cpp in a build without CUDA.
std::shared_ptr<DeviceModel> load_cuda(std::shared_ptr<const GgufFile> file, std::unique_ptr<Plan> plan,
                                       const LoadOptions& options);
reprise_memory memory_cuda(const Plan& plan, const LoadOptions& options, const EngineOptions& engine);
/// Why a CUDA device cannot be used (no CUDA in this library, no driver, no device, too old ...); empty if it can.
std::string cuda_unavailable_reason(int32_t device_index);
/// The "cuda" object of reprise_describe().
std::string describe_cuda_json();

}  // namespace reprise
