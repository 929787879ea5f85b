#include "cuda/program.h"

#include <algorithm>

#include "core/error.h"

namespace reprise::cuda {

const char* kernel_name(CudaKernel kernel) {
    switch (kernel) {
        case CudaKernel::EMBED:
            return "embed";
        case CudaKernel::PREPARE:
            return "prepare";
        case CudaKernel::SWIGLU:
            return "swiglu";
        case CudaKernel::MATVEC:
            return "matvec";
        case CudaKernel::MATMUL:
            return "matmul";
        case CudaKernel::ROPE_KV:
            return "rope_kv";
        case CudaKernel::ATTENTION_DECODE:
            return "attention_decode";
        case CudaKernel::ATTENTION_PREFILL:
            return "attention_prefill";
        case CudaKernel::ATTENTION_BY_ROW:
            return "attention_prefill_by_row";
        case CudaKernel::FUSED_PROJECT:
            return "fused_project";
        case CudaKernel::FUSED_GATED:
            return "fused_gated_feed_forward";
        case CudaKernel::FUSED_ATTENTION:
            return "attention_fused";
        case CudaKernel::QUANTISE_ROWS:
            return "quantise_rows";
        case CudaKernel::PROJECT_ROWS:
            return "project_rows";
        case CudaKernel::GATED_ROWS:
            return "gated_rows";
    }
    return "unknown";
}

bool takes_slot(CudaKernel kernel) {
    switch (kernel) {
        case CudaKernel::FUSED_PROJECT:
        case CudaKernel::FUSED_GATED:
        case CudaKernel::FUSED_ATTENTION:
        case CudaKernel::PROJECT_ROWS:
        case CudaKernel::GATED_ROWS:
            return true;
        default:
            return false;
    }
}

uint32_t CudaProgram::n_kernels() const {
    uint32_t n = 0;
    for (const CudaLaunch& launch : launches) n += launch.n_kernels * (launch.by_row ? rows : 1);
    return n;
}

uint32_t CudaProgram::n_fallbacks() const {
    return static_cast<uint32_t>(
        std::ranges::count_if(launches, [](const CudaLaunch& launch) { return !launch.fallback.empty(); }));
}

std::vector<std::string> CudaProgram::fallbacks() const {
    struct Reason {
        const CudaLaunch* first;
        uint32_t n;
    };
    std::vector<Reason> reasons;
    for (const CudaLaunch& launch : launches) {
        if (launch.fallback.empty()) continue;
        const auto known = std::ranges::find_if(
            reasons, [&](const Reason& reason) { return reason.first->fallback == launch.fallback; });
        if (known == reasons.end()) {
            reasons.push_back({&launch, 1});
        } else {
            ++known->n;
        }
    }
    std::vector<std::string> sentences;
    for (const auto& [first, n] : reasons) {
        const Weight* weight = first->products.empty() ? nullptr : first->products[0].weight;
        sentences.push_back(format("%u of a decode step's %zu launches, %s first, take slower kernels: %s", n,
                                   launches.size(), weight != nullptr ? weight->name.c_str() : "attention",
                                   first->fallback.c_str()));
    }
    return sentences;
}

}  // namespace reprise::cuda
