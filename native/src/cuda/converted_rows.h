// Rows of types that the device has no layout for, dequantised on the host while they are uploaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/plan.h"

namespace reprise::cuda {

class ConvertedRows {
  public:
    /// to: F16 or F32, or the weight's own type, and then rows are handed on as they are.
    ConvertedRows(const Weight& weight, TensorType to);

    size_t row_bytes() const { return row_bytes_; }
    /// Rows first .. first + n - 1; valid until the next call. A value that F16 cannot hold is
    /// REPRISE_UNSUPPORTED_MODEL and names the tensor.
    const uint8_t* rows(uint64_t first, uint64_t n);

  private:
    const Weight& weight_;
    TensorType to_;
    size_t row_bytes_;
    std::vector<float> row_;
    std::vector<uint8_t> converted_;
};

/// Names the types that become wider so, and what that takes; empty where none does.
std::string conversions(const Plan& plan, bool exact);

}  // namespace reprise::cuda
