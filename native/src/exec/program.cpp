#include "exec/program.h"

#include <algorithm>
#include <set>

namespace reprise {

const char* kernel_name(Kernel kernel) {
    switch (kernel) {
        case Kernel::EMBED:
            return "embed";
        case Kernel::PREPARE:
            return "prepare";
        case Kernel::PRODUCTS:
            return "products";
        case Kernel::ROTATE_AND_STORE:
            return "rotate_and_store";
        case Kernel::ATTENTION:
            return "attention";
        case Kernel::ADD_PRODUCT:
            return "add_product";
        case Kernel::GATED_PRODUCTS:
            return "gated_products";
        case Kernel::LOGITS:
            return "logits";
        case Kernel::ROWS:
            return "rows";
        case Kernel::SELECTED_PRODUCTS:
            return "selected_products";
        case Kernel::CONVOLVE:
            return "convolve";
        case Kernel::DELTA_NET:
            return "delta_net";
        case Kernel::SCAN:
            return "scan";
    }
    return "unknown";
}

namespace {

std::vector<const Weight*> weights_of(const RowOp& op) {
    if (const auto* norm = std::get_if<NormOp>(&op)) return {norm->weight, norm->bias};
    if (const auto* lookup = std::get_if<LookupOp>(&op)) return {lookup->table};
    if (const auto* route = std::get_if<RouteOp>(&op)) return {route->bias, route->expert_scale};
    return {};
}

/// Whether the launch reads a row of the weight for each of its rows.
bool is_table(const Launch& launch, const Weight* weight) {
    return weight == launch.table || std::ranges::any_of(launch.row_ops, [&](const RowOp& op) {
               const auto* lookup = std::get_if<LookupOp>(&op);
               return lookup != nullptr && lookup->table == weight;
           });
}

}  // namespace

std::vector<const Weight*> Launch::weights() const {
    std::vector<const Weight*> result;
    const auto add = [&](const Weight* w) {
        if (w != nullptr) result.push_back(w);
    };
    add(table);
    add(norm);
    add(q_norm);
    add(k_norm);
    for (const Product& product : products) {
        add(product.weight);
        add(product.bias);
    }
    for (const RowOp& op : row_ops) {
        for (const Weight* w : weights_of(op)) add(w);
    }
    std::visit(
        [&]<class Word>(const Word& w) {
            if constexpr (std::is_same_v<Word, AttendStep>) add(w.sinks);
            if constexpr (std::is_same_v<Word, SelectedLinearStep> || std::is_same_v<Word, ConvStep>)
                add(w.weight), add(w.bias);
            if constexpr (std::is_same_v<Word, DeltaNetStep>) add(w.a), add(w.dt_bias);
            if constexpr (std::is_same_v<Word, ScanStep>) add(w.a), add(w.d), add(w.dt_bias);
        },
        word);
    return result;
}

uint64_t weight_bytes(std::span<const Launch* const> launches, uint64_t n_rows) {
    std::set<const Weight*> whole, by_row;
    uint64_t bytes = 0;
    for (const Launch* launch : launches) {
        const auto* selected = std::get_if<SelectedLinearStep>(&launch->word);
        for (const Weight* w : launch->weights()) {
            if (selected != nullptr && w == selected->weight && selected->is_chosen) {
                const uint64_t n = std::min<uint64_t>(selected->n_matrices, n_rows * selected->out.n);
                bytes += w->n_bytes() / selected->n_matrices * n;
            } else {
                (is_table(*launch, w) ? by_row : whole).insert(w);
            }
        }
    }
    for (const Weight* w : whole) bytes += w->n_bytes();
    for (const Weight* w : by_row) bytes += whole.contains(w) ? 0 : n_rows * w->row_bytes();
    return bytes;
}

uint64_t Room::of(Extent extent) const {
    switch (extent) {
        case Extent::ROW:
            return rows;
        case Extent::LOGIT_ROW:
            return logit_rows;
        case Extent::THREAD:
            return threads;
        case Extent::STEP:
            return 1;
    }
    return 0;
}

void add_buffers(BufferBytes& buffers, std::span<const StepValue> values, const Room& room) {
    for (const StepValue& value : values) {
        uint64_t& bytes = buffers[value.name];
        bytes = std::max(bytes, room.bytes(value));
    }
}

BufferBytes buffer_bytes(std::span<const Program* const> programs, const Room& room) {
    BufferBytes buffers;
    for (const Program* program : programs) add_buffers(buffers, program->values, room);
    return buffers;
}

}  // namespace reprise
