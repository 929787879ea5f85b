#include "cuda/converted_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "core/error.h"
#include "cuda/linear.h"

namespace reprise::cuda {

namespace {

constexpr float LARGEST_HALF = 65504;

}  // namespace

ConvertedRows::ConvertedRows(const Weight& weight, TensorType to)
    : weight_(weight), to_(to), row_bytes_(reprise::row_bytes(to, weight.cols)) {}

const uint8_t* ConvertedRows::rows(uint64_t first, uint64_t n) {
    const uint8_t* blocks = weight_.data.data() + first * weight_.row_bytes();
    if (to_ == weight_.type) return blocks;
    row_.resize(weight_.cols);
    converted_.resize(std::max(converted_.size(), n * row_bytes_));
    for (uint64_t r = 0; r < n; ++r) {
        dequantize(weight_.type, blocks + r * weight_.row_bytes(), row_.data(), row_.size());
        const auto fits = [](float w) { return std::fabs(w) <= LARGEST_HALF; };
        if (to_ == TensorType::F16 && !std::ranges::all_of(row_, fits)) {
            fail(REPRISE_UNSUPPORTED_MODEL,
                 "tensor %s has type %s, which the CUDA backend converts to F16, and row %llu has values that F16 "
                 "cannot hold; load the model on the CPU",
                 weight_.name.c_str(), traits(weight_.type).name, static_cast<unsigned long long>(first + r));
        }
        quantize(to_, row_.data(), converted_.data() + r * row_bytes_, row_.size());
    }
    return converted_.data();
}

std::string conversions(const Plan& plan, bool exact) {
    std::set<std::string> types;
    uint64_t in_file = 0, on_device = 0;
    for (const auto& weight : plan.weights) {
        const TensorType to = upload_type(weight->type, exact);
        if (to == weight->type) continue;
        types.insert(traits(weight->type).name);
        in_file += weight->n_bytes();
        on_device += weight->rows * row_bytes(to, weight->cols);
    }
    if (types.empty()) return "";
    std::string names;
    for (const std::string& name : types) names += (names.empty() ? "" : ", ") + name;
    return format(
        "weights of the types %s are converted to %s, for which there are kernels: they take %.1f MiB of the device's "
        "memory instead of %.1f",
        names.c_str(), exact ? "F32" : "F16", on_device / 1048576.0, in_file / 1048576.0);
}

}  // namespace reprise::cuda
