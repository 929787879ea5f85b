#include "model/plan.h"

#include "core/error.h"
#include "model/builder.h"

namespace reprise {

uint64_t Plan::weight_bytes() const {
    uint64_t total = 0;
    for (const auto& w : weights) total += w->n_bytes();
    return total;
}

uint64_t Plan::bytes_per_token() const {
    uint64_t total = weight_bytes();
    const Weight* table = std::get<EmbedStep>(steps.front()).table;
    const Weight* head = std::get<OutputHeadStep>(steps.back()).weight;
    if (table != head) total -= table->n_bytes() - table->row_bytes();
    return total;
}

uint64_t Plan::n_parameters() const {
    uint64_t total = 0;
    for (const auto& w : weights) total += w->rows * w->cols;
    return total;
}

std::unique_ptr<Plan> build_plan(const GgufFile& file) {
    PlanBuilder builder(file);
    std::string names;
    for (const Architecture& architecture : architectures()) {
        if (builder.hparams().architecture == architecture.name) {
            architecture.build(builder);
            return builder.finish();
        }
        names += names.empty() ? architecture.name : std::string(", ") + architecture.name;
    }
    fail(REPRISE_UNSUPPORTED_MODEL, "architecture %s is not supported; supported are %s",
         quoted(builder.hparams().architecture).c_str(), names.c_str());
}

}  // namespace reprise
