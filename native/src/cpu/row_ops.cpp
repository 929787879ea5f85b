// What is computed row by row (model/words.h): a thread takes a row through all operations of a launch.
#include <algorithm>
#include <cmath>

#include "cpu/executor_task.h"

namespace reprise::cpu {

void Executor::rows(const Task& task) {
    const Range rows = part(task.n(), task.thread, 1);
    for (size_t r = rows.begin; r < rows.end; ++r) {
        for (const RowOp& op : task.launch.row_ops) std::visit([&](const auto& o) { apply(task, r, o); }, op);
    }
}

void Executor::apply(const Task& task, size_t row, const NormOp& op) {
    const size_t n = op.in.width;
    const bool has_own = op.weight != nullptr && op.weight->rows * op.weight->cols != n;  // every piece has a weight
    for (uint32_t piece = 0; piece < op.in.n; ++piece) {
        const float* x = task.floats(op.in, row) + piece * op.in.stride;
        float* y = task.floats(op.out, row) + piece * op.out.stride;
        const size_t at = has_own ? piece * n : 0;
        const float* weight = op.weight == nullptr ? nullptr : vector(op.weight) + at;
        const float* bias = op.bias == nullptr ? nullptr : vector(op.bias) + at;
        if (op.kind == NormKind::RMS && weight != nullptr && bias == nullptr) {
            kernels_.rms_norm(x, weight, op.eps, n, y);
            continue;
        }
        double mean = 0, squares = 0;
        if (op.kind == NormKind::LAYER) {
            for (size_t i = 0; i < n; ++i) mean += x[i];
            mean /= static_cast<double>(n);
        }
        for (size_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
        if (op.kind != NormKind::L2) squares /= static_cast<double>(n);
        const double factor = 1.0 / std::sqrt(squares + op.eps);
        for (size_t i = 0; i < n; ++i) {
            const auto normed = static_cast<float>((x[i] - mean) * factor);
            y[i] = (weight == nullptr ? normed : normed * weight[i]) + (bias == nullptr ? 0.0f : bias[i]);
        }
    }
}

void Executor::apply(const Task& task, size_t row, const AngleOp& op) {
    turns(plan_.ropes[op.rope], task.sequence(row).is_long, task.step.rows[row].position, task.floats(op.out, row));
}

void Executor::apply(const Task& task, size_t row, const RotateOp& op) {
    float* head = task.floats(op.pieces, row);
    for (uint32_t piece = 0; piece < op.pieces.n; ++piece, head += op.pieces.stride)
        rotate(plan_.ropes[op.rope], head, task.floats(op.angles, row));
}

void Executor::apply(const Task& task, size_t row, const ScaleOp& op) {
    for (uint32_t piece = 0; piece < op.in.n; ++piece) {
        const float* x = task.floats(op.in, row) + piece * op.in.stride;
        float* y = task.floats(op.out, row) + piece * op.out.stride;
        for (uint32_t i = 0; i < op.in.width; ++i) y[i] = op.factor * x[i];
    }
}

void Executor::apply(const Task& task, size_t row, const TemperatureOp& op) {
    const double periods = std::floor((task.step.rows[row].position + double(op.offset)) / op.length);
    const auto factor = static_cast<float>(1.0 + op.scale * std::log(1.0 + periods));
    float* x = task.floats(op.pieces, row);
    for (uint32_t piece = 0; piece < op.pieces.n; ++piece, x += op.pieces.stride) {
        for (uint32_t i = 0; i < op.pieces.width; ++i) x[i] *= factor;
    }
}

void Executor::apply(const Task& task, size_t row, const ActivateOp& op) {
    const float* gate = task.floats(op.gate, row);
    const float* up = op.has_up ? task.floats(op.up, row) : nullptr;
    float* out = task.floats(op.out, row);
    for (uint32_t piece = 0; piece < op.out.n; ++piece) {
        if (op.gate.width == op.out.width) {
            kernels_.activate(op.activation, gate, up, op.out.width, out);
        } else {
            float factor;
            kernels_.activate(op.activation, gate, nullptr, 1, &factor);
            for (uint32_t i = 0; i < op.out.width; ++i) out[i] = factor * up[i];
        }
        gate += op.gate.stride;
        if (up != nullptr) up += op.up.stride;
        out += op.out.stride;
    }
}

void Executor::apply(const Task& task, size_t row, const AddOp& op) {
    const float *a = task.floats(op.a, row), *b = task.floats(op.b, row);
    float* out = task.floats(op.out, row);
    if (op.factor == 1) return kernels_.add(a, b, op.out.width, out);
    for (uint32_t i = 0; i < op.out.width; ++i) out[i] = a[i] + op.factor * b[i];
}

void Executor::apply(const Task& task, size_t row, const LookupOp& op) {
    const Row& of = task.step.rows[row];
    const uint64_t index = op.first + (op.by_position ? of.position : static_cast<uint32_t>(of.token));
    float* out = task.floats(op.out, row);
    const uint8_t* data = op.table->data.data() + index * op.table->row_bytes();
    constexpr size_t CHUNK = 256;  // a multiple of every block size
    float values[CHUNK];
    for (uint32_t begin = 0; begin < op.out.width; begin += CHUNK) {
        const size_t n = std::min<size_t>(CHUNK, op.out.width - begin);
        dequantize(op.table->type, data + reprise::row_bytes(op.table->type, begin), values, n);
        for (size_t i = 0; i < n; ++i) {
            float& y = out[begin + i];
            y = op.adds ? y + op.factor * values[i] : op.factor * values[i];
        }
    }
}

void Executor::apply(const Task& task, size_t row, const StoreKvOp& op) {
    const KvView& kv = task.sequence(row);
    const uint32_t position = task.step.rows[row].position;
    const auto store = [&](const Pieces& from, bool values) {
        const float* x = task.floats(from, row);
        for (uint32_t head = 0; head < from.n; ++head, x += from.stride)
            kernels_.store_kv(kv.layout->type, x, from.width, kv.row(values, op.kv, head, position));
    };
    store(op.keys, false);
    if (h_.kv[op.kv].value_dim != 0) store(op.values, true);
}

void Executor::apply(const Task& task, size_t row, const RouteOp& op) {
    const float* logits = task.floats(op.logits, row);
    const uint32_t n = op.logits.width, n_used = op.weights.n;
    std::vector<float> values(n), choice(n);  // weights of all, and what they are chosen by
    if (op.gating == Gating::SIGMOID) {
        for (uint32_t i = 0; i < n; ++i) values[i] = 1.0f / (1.0f + std::exp(-logits[i]));
    } else if (op.gating == Gating::SOFTMAX) {
        const float largest = *std::max_element(logits, logits + n);
        double sum = 0;
        for (uint32_t i = 0; i < n; ++i) sum += std::exp(double(logits[i]) - largest);
        for (uint32_t i = 0; i < n; ++i) values[i] = static_cast<float>(std::exp(double(logits[i]) - largest) / sum);
    } else {
        std::copy_n(logits, n, values.begin());
    }
    const float* bias = vector(op.bias);
    for (uint32_t i = 0; i < n; ++i) choice[i] = bias == nullptr ? values[i] : values[i] + bias[i];
    // Of equal ones the first: NaN is never chosen while there is a number.
    const auto best = [](std::span<const float> from) {
        size_t at = 0;
        for (size_t i = 1; i < from.size(); ++i) {
            if (from[i] > from[at] || (std::isnan(from[at]) && !std::isnan(from[i]))) at = i;
        }
        return at;
    };
    if (op.n_groups > 1) {
        const uint32_t size = n / op.n_groups;
        std::vector<float> scores(op.n_groups);
        for (uint32_t group = 0; group < op.n_groups; ++group) {
            std::vector<float> members(choice.begin() + group * size, choice.begin() + (group + 1) * size);
            for (uint32_t i = 0; i < std::min(2u, size); ++i) {
                const size_t at = best(members);
                scores[group] += members[at];
                members[at] = -INFINITY;
            }
        }
        std::vector<bool> is_used(op.n_groups);
        for (uint32_t i = 0; i < op.n_groups_used; ++i) {
            const size_t at = best(scores);
            is_used[at] = true;
            scores[at] = -INFINITY;
        }
        for (uint32_t i = 0; i < n; ++i) {
            if (!is_used[i / size]) choice[i] = -INFINITY;
        }
    }
    float* chosen = task.floats(op.chosen, row);
    float* weights = task.floats(op.weights, row);
    for (uint32_t slot = 0; slot < n_used; ++slot) {
        const size_t at = best(choice);
        chosen[slot] = static_cast<float>(at);
        weights[slot] = values[at];
        choice[at] = -INFINITY;
    }
    if (op.gating == Gating::SOFTMAX_OF_CHOSEN) {
        const float largest = *std::max_element(weights, weights + n_used);
        float sum = 0;
        for (uint32_t i = 0; i < n_used; ++i) sum += weights[i] = std::exp(weights[i] - largest);
        for (uint32_t i = 0; i < n_used; ++i) weights[i] /= sum;
    }
    float factor = op.scale;
    if (op.normalised) {
        float sum = 0;
        for (uint32_t i = 0; i < n_used; ++i) sum += weights[i];
        factor /= std::max(sum, 6.103515625e-5f);  // the smallest normal float16
    }
    const float* expert_scale = vector(op.expert_scale);
    for (uint32_t i = 0; i < n_used; ++i) {
        weights[i] *= factor;
        if (expert_scale != nullptr) weights[i] *= expert_scale[static_cast<size_t>(chosen[i])];
    }
}

void Executor::apply(const Task& task, size_t row, const CombineOp& op) {
    const float* in = task.floats(op.in, row);
    const float* weights = op.weights.width == 0 ? nullptr : task.floats(op.weights, row);
    float* out = task.floats(op.out, row);
    for (uint32_t i = 0; i < op.out.width; ++i) {
        float sum = 0;
        for (uint32_t piece = 0; piece < op.in.n; ++piece)
            sum += (weights == nullptr ? 1.0f : weights[piece]) * in[piece * op.in.stride + i];
        out[i] = sum;
    }
}

}  // namespace reprise::cpu
