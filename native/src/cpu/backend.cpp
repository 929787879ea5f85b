// The CPU backend: the reference the GPU is tested against, and what runs where there is none.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <mutex>

#include "core/error.h"
#include "cpu/executor.h"
#include "gguf/fingerprint.h"
#include "session/engine.h"
#include "session/sampler.h"

namespace reprise {

namespace {

using cpu::Executor;

/// Has the kernel read the mapped weights in and reports how far it is: what a progress bar over a mapped load shows.
void read_ahead(const Plan& plan, const LoadOptions& options) {
    if (options.progress == nullptr) return;
    constexpr size_t STRIDE = 4096;
    constexpr size_t PIECE = 16 << 20;
    const uint64_t total = plan.weight_bytes();
    uint64_t done = 0;
    volatile uint8_t sink = 0;
    for (const auto& w : plan.weights) {
        for (size_t begin = 0; begin < w->data.size(); begin += PIECE) {
            const size_t end = std::min(w->data.size(), begin + PIECE);
            for (size_t i = begin; i < end; i += STRIDE) sink = static_cast<uint8_t>(sink + w->data[i]);
            done += end - begin;
            if (options.progress(options.progress_user, done, total) != 0)
                fail(REPRISE_CANCELLED, "loading the model was cancelled by its progress callback");
        }
    }
}

class CpuModel : public DeviceModel {
  public:
    CpuModel(std::shared_ptr<const GgufFile> file, std::unique_ptr<Plan> plan, const LoadOptions& options)
        : file_(std::move(file)),
          plan_(std::move(plan)),
          kernels_(options.exact ? cpu::exact_kernels() : cpu::kernels()),
          exact_(options.exact),
          pool_(options.threads != 0 ? options.threads : cpu::available_threads()) {
        read_ahead(*plan_, options);
    }

    const Plan& plan() const override { return *plan_; }
    bool exact() const override { return exact_; }
    uint64_t fingerprint() override {
        // Only now: of a file that is not yet in memory it would hold up the loading.
        std::call_once(fingerprint_once_, [&] { fingerprint_ = reprise::fingerprint(*file_); });
        return fingerprint_;
    }
    std::unique_ptr<Engine> open(const EngineOptions& options) override;
    void describe(reprise_model_info& info) const override {
        info.device = REPRISE_DEVICE_CPU;
        info.device_index = 0;
        info.threads = static_cast<int32_t>(pool_.size());
        info.memory_bytes = plan_->weight_bytes();
    }
    reprise_token sample(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                         const reprise_sampling& sampling, uint32_t position, std::span<reprise_token> top) override {
        CpuSampler sampler(logits.size());
        if (!top.empty()) sampler.top(logits, top);
        return sampler.sample(logits, counts, host, sampling, position);
    }

    const cpu::Kernels& kernels() const { return kernels_; }
    cpu::ThreadPool& pool() { return pool_; }

  private:
    std::shared_ptr<const GgufFile> file_;
    std::unique_ptr<Plan> plan_;
    const cpu::Kernels& kernels_;
    bool exact_;
    cpu::ThreadPool pool_;
    std::once_flag fingerprint_once_;
    uint64_t fingerprint_ = 0;
};

uint32_t chunk_of(const EngineOptions& options) {
    const uint32_t wanted = options.prefill_chunk != 0 ? options.prefill_chunk : Executor::default_chunk();
    return std::min(wanted, options.context_length);
}

uint64_t nanoseconds() {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
}

class CpuEngine : public Engine {
  public:
    CpuEngine(std::shared_ptr<CpuModel> model, const EngineOptions& options)
        : model_(std::move(model)),
          executor_(model_->plan(), model_->kernels(), model_->pool(), options.context_length,
                    model_->exact() ? TensorType::F32 : options.kv_type, chunk_of(options)),
          sampler_(model_->plan().hparams.n_vocab) {}

    void prefill(std::span<const int32_t> ids, uint32_t position, const std::atomic<bool>& cancel) override {
        for (size_t done = 0; done < ids.size();) {
            const size_t n = std::min<size_t>(executor_.chunk(), ids.size() - done);
            evaluate(ids.subspan(done, n), position + static_cast<uint32_t>(done), nullptr, cancel);
            done += n;
        }
    }

    void read_logits(float* logits) override {
        std::copy_n(executor_.logits(), model_->plan().hparams.n_vocab, logits);
    }

    void begin(const GenerationStart& start) override {
        sampling_ = start.sampling;
        host_part_ = start.host_part;
        position_ = static_cast<uint32_t>(start.history.size());
        pending_ = -1;
        counts_.assign(model_->plan().hparams.n_vocab, 0);
        for (const int32_t id : start.history) ++counts_[static_cast<size_t>(id)];
    }

    reprise_token next(const std::atomic<bool>& cancel) override {
        if (pending_ < 0) {
            ++statistics_.tokens_from_prefill;
        } else {
            const uint64_t start = nanoseconds();
            evaluate({&pending_, 1}, position_ - 1, nullptr, cancel);
            statistics_.submit_ns += nanoseconds() - start;
            ++statistics_.eager_steps;
        }
        const HostInput host = host_part_ != nullptr ? host_part_->input() : HostInput{};
        const reprise_token token = sampler_.sample(logits(), counts_.data(), host, sampling_, position_);
        if (token.id == NO_TOKEN) return token;
        if (host_part_ != nullptr) host_part_->accept(token.id);
        pending_ = token.id;
        ++counts_[static_cast<size_t>(token.id)];
        ++position_;
        return token;
    }

    void top(std::span<reprise_token> top) override { sampler_.top(logits(), top); }

    uint32_t end() override { return pending_ < 0 ? position_ : position_ - 1; }

    void read_kv(const KvPiece& piece, uint8_t* rows) override {
        for_each_row(piece, [&](uint8_t* row, size_t bytes) {
            std::memcpy(rows, row, bytes);
            rows += bytes;
        });
    }
    void write_kv(const KvPiece& piece, const uint8_t* rows) override {
        for_each_row(piece, [&](uint8_t* row, size_t bytes) {
            std::memcpy(row, rows, bytes);
            rows += bytes;
        });
    }
    void write_logits(const float* logits) override {
        std::copy_n(logits, model_->plan().hparams.n_vocab, executor_.logits());
    }
    void copy_from(Engine& engine, uint32_t n, bool logits) override {
        auto& other = static_cast<CpuEngine&>(engine);
        const HyperParams& h = model_->plan().hparams;
        for (uint32_t layer = 0; layer < h.n_layers; ++layer) {
            for (const bool values : {false, true}) {
                for (uint32_t head = 0; head < h.n_kv_heads; ++head) {
                    std::memcpy(executor_.kv_row(values, layer, head, 0),
                                other.executor_.kv_row(values, layer, head, 0), n * executor_.kv_row_bytes());
                }
            }
        }
        if (logits) write_logits(other.executor_.logits());
    }

    void score(std::span<const int32_t> ids, uint32_t position, reprise_score_mode mode, float* logits,
               const std::atomic<bool>& cancel) override {
        const size_t chunk = mode == REPRISE_SCORE_BATCH ? executor_.chunk() : 1;
        for (size_t done = 0; done < ids.size();) {
            const size_t n = std::min(chunk, ids.size() - done);
            float* rows = logits == nullptr ? nullptr : logits + done * model_->plan().hparams.n_vocab;
            evaluate(ids.subspan(done, n), position + static_cast<uint32_t>(done), rows, cancel);
            done += n;
        }
    }

    void statistics(reprise_statistics& statistics) const override {
        statistics.tokens_from_prefill = statistics_.tokens_from_prefill;
        statistics.eager_steps = statistics_.eager_steps;
        statistics.submit_ns = statistics_.submit_ns;
        statistics.memory_kv = executor_.kv_bytes();
        statistics.memory_workspace = executor_.workspace_bytes();
    }

  private:
    template <class Body>
    void for_each_row(const KvPiece& piece, Body body) {
        for (uint32_t i = 0; i < piece.n; ++i) {
            for (uint32_t head = 0; head < model_->plan().hparams.n_kv_heads; ++head)
                body(executor_.kv_row(piece.values, piece.layer, head, piece.position + i), executor_.kv_row_bytes());
        }
    }

    std::span<const float> logits() const { return {executor_.logits(), model_->plan().hparams.n_vocab}; }
    void evaluate(std::span<const int32_t> ids, uint32_t position, float* logits, const std::atomic<bool>& cancel) {
        if (!executor_.evaluate(ids, position, logits, cancel)) fail(REPRISE_CANCELLED, "cancelled");
    }

    std::shared_ptr<CpuModel> model_;
    Executor executor_;
    CpuSampler sampler_;
    reprise_sampling sampling_{};
    HostPart* host_part_ = nullptr;
    uint32_t position_ = 0;  // of the next token to sample
    int32_t pending_ = -1;   // sampled but not evaluated
    std::vector<int32_t> counts_;
    reprise_statistics statistics_{};
};

std::unique_ptr<Engine> CpuModel::open(const EngineOptions& options) {
    return std::make_unique<CpuEngine>(std::static_pointer_cast<CpuModel>(shared_from_this()), options);
}

}  // namespace

std::shared_ptr<DeviceModel> load_cpu(std::shared_ptr<const GgufFile> file, std::unique_ptr<Plan> plan,
                                      const LoadOptions& options) {
    return std::make_shared<CpuModel>(std::move(file), std::move(plan), options);
}

reprise_memory memory_cpu(const Plan& plan, const LoadOptions& options, const EngineOptions& engine) {
    const TensorType kv_type = options.exact ? TensorType::F32 : engine.kv_type;
    const size_t threads = options.threads != 0 ? options.threads : cpu::available_threads();
    return {plan.weight_bytes(), Executor::kv_bytes(plan.hparams, engine.context_length, kv_type),
            Executor::workspace_bytes(plan, chunk_of(engine), threads)};
}

}  // namespace reprise
