// A plan's weights in device memory: matrices in the layout of the products, vectors as they are.
#pragma once

#include <vector>

#include "cuda/linear.h"
#include "cuda/memory.h"
#include "model/plan.h"
#include "reprise.h"

namespace reprise::cuda {

/// Matrix of a weight on the device, data still null.
DeviceMatrix matrix_shape(const Weight& weight, bool exact);

class DeviceWeights {
  public:
    /// Device bytes of all weights.
    static size_t bytes(const Plan& plan, bool exact);

    /// Allocates on the current device. upload() fills.
    DeviceWeights(const Plan& plan, bool exact);
    /// Copies and repacks through pinned staging. Throws REPRISE_CANCELLED if progress (may be null) asks for it.
    void upload(const Plan& plan, reprise_progress_fn progress, void* progress_user);

    /// Of a weight with rows > 1 / rows == 1; a null weight gives null.
    const DeviceMatrix* matrix(const Weight* weight) const {
        return weight == nullptr ? nullptr : &matrices_[weight->id];
    }
    const float* vector(const Weight* weight) const { return weight == nullptr ? nullptr : vectors_[weight->id]; }
    const double* rope_turns() const { return rope_turns_; }
    size_t bytes() const { return memory_.size(); }

  private:
    DeviceBuffer memory_;
    std::vector<DeviceMatrix> matrices_;  // by weight id
    std::vector<float*> vectors_;         // by weight id
    double* rope_turns_ = nullptr;
};

}  // namespace reprise::cuda
