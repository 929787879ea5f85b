// A model on the CPU: its weights where they lie in the file, the threads, and what its sessions share.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "cpu/executor.h"
#include "exec/kv_order.h"
#include "session/engine.h"
#include "session/scheduler.h"

namespace reprise::cpu {

/// Consecutive tokens of one sequence, and where their logits go.
struct Evaluation {
    std::span<const int32_t> ids;
    uint32_t position;
    KvView kv;             // writable at the positions
    float* last;           // gets the logits behind the last token; or null
    float* all;            // gets those behind every token, [ids.size()][n_vocab]; or null
    bool decodes = false;  // the one token of a sequence that generates
};

class CpuModel : public DeviceModel {
  public:
    CpuModel(std::shared_ptr<const GgufFile> file, std::unique_ptr<Plan> plan, const LoadOptions& options);

    const Plan& plan() const override { return *plan_; }
    bool exact() const override { return exact_; }
    uint64_t fingerprint() override;
    std::unique_ptr<Engine> open(const EngineOptions& options) override;
    void describe(reprise_model_info& info) const override;
    std::unique_ptr<StepTracer> trace_steps(TensorType kv_type) override;
    reprise_token sample(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                         const reprise_sampling& sampling, uint32_t position, std::span<reprise_token> top) override;

    // ---- for its engines, on any thread ----

    /// The blocks of sequences of a type, apart for those with the RoPE of long contexts, whose keys are others.
    std::shared_ptr<KvCache> kv_cache(TensorType type, bool is_long);
    KvOrder& kv_order() { return kv_order_; }
    Scheduler& scheduler() { return scheduler_; }
    /// Evaluates in steps that are shared with who comes at the same time, at most chunk tokens in each. Throws
    /// REPRISE_CANCELLED where cancel became true: what it leaves behind the position is undefined.
    void evaluate(Scheduler::Member& member, const Evaluation& evaluation, uint32_t chunk,
                  const std::atomic<bool>& cancel);
    void statistics(reprise_statistics& statistics) const;

    /// Rows of a step.
    static constexpr uint32_t MAX_ROWS = 256;

  private:
    struct Job;
    class Tracer;
    bool compute(std::span<const Scheduler::Share> shares, const std::function<bool()>& given_up);

    const std::shared_ptr<const GgufFile> file_;
    const std::unique_ptr<Plan> plan_;
    const Kernels& kernels_;
    const bool exact_;
    ThreadPool pool_;
    KvBudget kv_budget_;
    KvOrder kv_order_;
    std::mutex kv_mutex_;
    std::map<std::pair<TensorType, bool>, std::shared_ptr<KvCache>> kv_caches_;
    Executor executor_;
    // Of the present step.
    std::vector<Row> rows_;
    std::vector<KvView> sequences_;
    std::vector<RowLogits> logits_;
    Scheduler scheduler_;
    std::once_flag fingerprint_once_;
    uint64_t fingerprint_ = 0;
};

}  // namespace reprise::cpu
