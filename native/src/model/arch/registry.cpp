#include "model/builder.h"

namespace reprise {

void build_llama(PlanBuilder& builder);
void build_qwen2(PlanBuilder& builder);
void build_qwen3(PlanBuilder& builder);

std::span<const Architecture> architectures() {
    static constexpr Architecture table[] = {
        {"llama", build_llama},
        {"qwen2", build_qwen2},
        {"qwen3", build_qwen3},
    };
    return table;
}

}  // namespace reprise
