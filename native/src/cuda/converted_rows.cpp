#include "cuda/converted_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"

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
        const bool fits = std::ranges::all_of(row_, [](float w) { return std::fabs(w) <= LARGEST_HALF; });
        if (to_ == TensorType::F16 && !fits) {
            fail(REPRISE_UNSUPPORTED_MODEL,
                 "tensor %s has type %s, which the CUDA backend converts to F16, and row %llu has values that F16 "
                 "cannot hold; load the model on the CPU",
                 weight_.name.c_str(), traits(weight_.type).name, static_cast<unsigned long long>(first + r));
        }
        quantize(to_, row_.data(), converted_.data() + r * row_bytes_, row_.size());
    }
    return converted_.data();
}

}  // namespace reprise::cuda
