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
    }
    return "unknown";
}

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
    return result;
}

uint64_t weight_bytes(std::span<const Launch* const> launches, uint64_t n_rows) {
    std::set<const Weight*> whole, by_row;
    for (const Launch* launch : launches) {
        for (const Weight* w : launch->weights()) (w == launch->table ? by_row : whole).insert(w);
    }
    uint64_t bytes = 0;
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
