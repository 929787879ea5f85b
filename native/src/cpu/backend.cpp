// The CPU backend: the reference the GPU is tested against, and what runs where there is none.
#include <algorithm>

#include "core/error.h"
#include "cpu/engine.h"
#include "gguf/fingerprint.h"
#include "session/sampler.h"

namespace reprise {

namespace cpu {

namespace {

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

const Kernels& kernels_for(const LoadOptions& options) { return options.exact ? exact_kernels() : kernels(); }

size_t threads_for(const LoadOptions& options) { return options.threads != 0 ? options.threads : available_threads(); }

uint64_t kv_memory_for(const LoadOptions& options) {
    return options.kv_memory != 0 ? options.kv_memory : available_memory() / 4 * 3;
}

/// How much of it may stay without a holder. It is taken from the system, so that where nobody gave it to the model for
/// that a session's worth must do, lest a program grow for as long as it sees new texts.
uint64_t kept_memory_for(const LoadOptions& options, const HyperParams& h) {
    if (options.kv_memory != 0) return options.kv_memory / 4;
    return KvLayout(h, TensorType::F16).block_bytes * kv_blocks(h.default_session_context());
}

}  // namespace

CpuModel::CpuModel(std::shared_ptr<const GgufFile> file, std::unique_ptr<Plan> plan, const LoadOptions& options)
    : file_(std::move(file)),
      plan_(std::move(plan)),
      kernels_(kernels_for(options)),
      exact_(options.exact),
      pool_(threads_for(options)),
      kv_budget_(kv_memory_for(options), kept_memory_for(options, plan_->hparams)),
      executor_(*plan_, kernels_, pool_, MAX_ROWS),
      scheduler_(MAX_ROWS, [this](const auto& shares, const auto& given_up) { return compute(shares, given_up); }) {
    read_ahead(*plan_, options);
}

uint64_t CpuModel::fingerprint() {
    // Only now: of a file that is not yet in memory it would hold up the loading.
    std::call_once(fingerprint_once_, [&] { fingerprint_ = reprise::fingerprint(*file_); });
    return fingerprint_;
}

std::unique_ptr<Engine> CpuModel::open(const EngineOptions& options) {
    return std::make_unique<CpuEngine>(std::static_pointer_cast<CpuModel>(shared_from_this()), options);
}

void CpuModel::describe(reprise_model_info& info) const {
    info.device = REPRISE_DEVICE_CPU;
    info.device_index = 0;
    info.threads = static_cast<int32_t>(pool_.size());
    info.memory_bytes = plan_->weight_bytes();
    info.bytes_per_token = executor_.bytes_per_token();
}

reprise_token CpuModel::sample(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                               const reprise_sampling& sampling, uint32_t position, std::span<reprise_token> top) {
    CpuSampler sampler(logits.size());
    if (!top.empty()) sampler.top(logits, top);
    return sampler.sample(logits, counts, host, sampling, position);
}

std::shared_ptr<KvCache> CpuModel::kv_cache(TensorType type, bool is_long) {
    std::lock_guard lock(kv_mutex_);
    std::shared_ptr<KvCache>& cache = kv_caches_[{type, is_long}];
    if (cache == nullptr) cache = std::make_shared<KvCache>(plan_->hparams, type, kv_budget_);
    return cache;
}

struct CpuModel::Job : Scheduler::Job {
    Job(Scheduler::Member& member, const Evaluation& evaluation, uint32_t chunk, const std::atomic<bool>& cancel)
        : Scheduler::Job(member, evaluation.ids.size(), std::min(chunk, MAX_ROWS), evaluation.decodes, cancel),
          evaluation(evaluation) {}
    const Evaluation& evaluation;
};

void CpuModel::evaluate(Scheduler::Member& member, const Evaluation& evaluation, uint32_t chunk,
                        const std::atomic<bool>& cancel) {
    if (evaluation.ids.empty()) return;
    Job job(member, evaluation, chunk, cancel);
    scheduler_.run(job);
}

bool CpuModel::compute(std::span<const Scheduler::Share> shares, const std::function<bool()>& given_up) {
    const size_t n_vocab = plan_->hparams.n_vocab;
    rows_.clear();
    sequences_.clear();
    logits_.clear();
    for (const Scheduler::Share& share : shares) {
        const Evaluation& e = static_cast<const Job*>(share.job)->evaluation;
        for (size_t i = share.first; i < share.first + share.n; ++i) {
            const auto row = static_cast<uint32_t>(rows_.size());
            if (e.all != nullptr) {
                logits_.push_back({row, e.all + i * n_vocab});
            } else if (e.last != nullptr && i + 1 == e.ids.size()) {
                logits_.push_back({row, e.last});
            }
            const auto position = e.position + static_cast<uint32_t>(i);
            rows_.push_back({e.ids[i], position, static_cast<uint32_t>(sequences_.size())});
        }
        sequences_.push_back(e.kv);
    }
    return executor_.run({rows_, sequences_, logits_}, given_up);
}

class CpuModel::Tracer : public StepTracer {
  public:
    Tracer(std::shared_ptr<CpuModel> model, TensorType kv_type)
        : model_(std::move(model)),
          kv_(model_->kv_cache(kv_type, false)),
          states_(model_->plan().hparams.state_values) {}

    void step(std::span<const int32_t> ids, uint32_t position, const Trace& trace) override {
        const size_t n_vocab = model_->plan().hparams.n_vocab;
        kv_.make_writable(position, position + static_cast<uint32_t>(ids.size()));
        std::vector<float> logits(ids.size() * n_vocab);
        std::vector<Row> rows;
        std::vector<RowLogits> row_logits;
        for (const int32_t id : ids) {
            const auto i = static_cast<uint32_t>(rows.size());
            rows.push_back({id, position + i, 0});
            row_logits.push_back({i, &logits[i * n_vocab]});
        }
        KvView view = kv_.view();
        view.states = states_.pointers();
        model_->executor_.run({rows, {&view, 1}, row_logits}, [] { return false; }, &trace);
        trace(Launch(Kernel::LOGITS, model_->plan().hparams.n_layers - 1),
              {"logits", Extent::LOGIT_ROW, n_vocab * sizeof(float), true}, logits);
    }

  private:
    const std::shared_ptr<CpuModel> model_;
    KvSequence kv_;
    States states_;
};

std::unique_ptr<StepTracer> CpuModel::trace_steps(TensorType kv_type) {
    return std::make_unique<Tracer>(std::static_pointer_cast<CpuModel>(shared_from_this()), kv_type);
}

void CpuModel::statistics(reprise_statistics& statistics) const {
    statistics.memory_workspace += executor_.workspace_bytes();
    statistics.model_steps = scheduler_.n_steps();
    statistics.model_rows = scheduler_.n_rows();
    statistics.model_kv = kv_budget_.used();
    statistics.model_kv_kept = kv_budget_.kept();
}

}  // namespace cpu

std::shared_ptr<DeviceModel> load_cpu(std::shared_ptr<const GgufFile> file, std::unique_ptr<Plan> plan,
                                      const LoadOptions& options) {
    return std::make_shared<cpu::CpuModel>(std::move(file), std::move(plan), options);
}

reprise_memory memory_cpu(const Plan& plan, const LoadOptions& options, const EngineOptions& engine) {
    EngineOptions used = engine;
    if (options.exact) used.kv_type = TensorType::F32;
    return cpu::CpuEngine::memory(plan, cpu::kernels_for(options), cpu::threads_for(options), used);
}

}  // namespace reprise
