// A model on a CUDA device: its weights, shared by sessions, and the account of device memory.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "cuda/program.h"
#include "cuda/sequence_buffers.h"
#include "cuda/weights.h"
#include "session/engine.h"

namespace reprise::cuda {

/// What a session of these options needs.
SessionShape session_shape(const EngineOptions& options, bool exact);
struct SessionSizes {
    size_t kv_cache, workspace;  // bytes
};
SessionSizes session_sizes(const Plan& plan, const SessionShape& shape);

class CudaModel : public DeviceModel {
  public:
    /// Checks the memory, then uploads.
    CudaModel(const GgufFile& file, std::unique_ptr<Plan> plan, const LoadOptions& options);
    ~CudaModel() override;

    const Plan& plan() const override { return *plan_; }
    bool exact() const override { return exact_; }
    uint64_t fingerprint() override { return fingerprint_; }
    std::unique_ptr<Engine> open(const EngineOptions& options) override;
    void describe(reprise_model_info& info) const override;
    reprise_token sample(std::span<const float> logits, const int32_t* counts, const HostInput& host,
                         const reprise_sampling& sampling, uint32_t position, std::span<reprise_token> top) override;

    int device() const { return device_; }
    const DeviceWeights& weights() const { return *weights_; }
    /// Logs what the launches of a program fell back for, once for the model.
    void log_fallbacks(const CudaProgram& program);

    /// Bytes of this model's account for as long as it lives. Throws REPRISE_OUT_OF_DEVICE_MEMORY if they are not
    /// there.
    class Reservation {
      public:
        Reservation(CudaModel& model, const SessionSizes& sizes, uint32_t context_length);
        ~Reservation();
        Reservation(const Reservation&) = delete;
        Reservation& operator=(const Reservation&) = delete;

      private:
        CudaModel& model_;
        uint64_t bytes_;
    };

  private:
    struct Drawing;  // what sample() needs
    const int device_;
    const bool exact_;
    const uint64_t limit_;  // bytes; 0: what is free
    std::unique_ptr<Plan> plan_;
    std::unique_ptr<DeviceWeights> weights_;
    uint64_t fingerprint_ = 0;
    std::mutex account_mutex_;
    uint64_t used_ = 0;  // bytes
    std::mutex logged_mutex_;
    std::set<std::string> logged_;
    std::mutex drawing_mutex_;
    std::unique_ptr<Drawing> drawing_;
};

}  // namespace reprise::cuda
