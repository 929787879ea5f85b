#include "cpu/executor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "cpu/executor_task.h"
#include "cpu/lower.h"

namespace reprise::cpu {

namespace {

// Rows a thread takes at a time: a multiple of every kernel's row tile, and whole cache lines of output.
constexpr size_t ROW_GRAIN = 16;
// Queries per attention call of a prompt: enough to reuse a block of keys, few enough to balance the causal triangle.
constexpr size_t QUERY_TILE = 32;
// Heads of one row per attention call.
constexpr size_t MAX_HEADS = 256;
constexpr size_t MAX_TOGETHER = std::max(MAX_HEADS, QUERY_TILE);
// Rows whose logits are computed together where they do not go to neighbouring places.
constexpr size_t MAX_LOGIT_ROWS = 64;

/// Whether a form of a launch's input has a second part.
bool has_rest(const Launch& launch, TensorType form) {
    return launch.precise && form != TensorType::F32 && form != TensorType::F16 && form != TensorType::BF16;
}

Room room_for(uint32_t max_rows, size_t n_threads) { return {max_rows, max_rows, n_threads}; }

}  // namespace

uint64_t Executor::workspace_bytes(const Plan& plan, const Kernels& kernels, uint32_t max_rows, size_t n_threads) {
    const Program one = lower(plan, kernels, 1), many = lower(plan, kernels, max_rows);
    const Program* const programs[] = {&one, &many};
    uint64_t total = MAX_LOGIT_ROWS * plan.hparams.n_vocab * sizeof(float);
    for (const auto& [name, n_bytes] : buffer_bytes(programs, room_for(max_rows, n_threads))) total += n_bytes;
    return total;
}

uint64_t Executor::workspace_bytes() const {
    uint64_t total = logits_.size();
    for (const auto& [name, buffer] : buffers_) total += buffer.size();
    return total;
}

Executor::Executor(const Plan& plan, const Kernels& kernels, ThreadPool& pool, uint32_t max_rows)
    : plan_(plan),
      h_(plan.hparams),
      kernels_(kernels),
      pool_(pool),
      max_rows_(max_rows),
      room_(room_for(max_rows, pool.size())),
      logits_(MAX_LOGIT_ROWS * h_.n_vocab * sizeof(float), "the logits") {
    Program one = lower(plan, kernels, 1), many = lower(plan, kernels, max_rows);
    const Program* const programs[] = {&one, &many};
    for (const auto& [name, n_bytes] : buffer_bytes(programs, room_))
        buffers_.emplace(name, Buffer(n_bytes, "the workspace"));
    if (const auto normed = buffers_.find("normed"); normed != buffers_.end()) normed_ = normed->second.floats();
    one_ = bind(std::move(one));
    many_ = bind(std::move(many));
    runs_.reserve(max_rows);

    size_t n_values = 0;
    for (const auto& w : plan.weights) n_values += w->is_vector() ? w->rows * w->cols : 0;
    vector_data_.resize(n_values);
    vectors_.resize(plan.weights.size());
    float* next = vector_data_.data();
    for (const auto& w : plan.weights) {
        if (!w->is_vector()) continue;
        std::memcpy(next, w->data.data(), w->n_bytes());
        vectors_[w->id] = next;
        next += w->rows * w->cols;
    }
}

Executor::Bound Executor::bind(Program program) {
    std::vector<uint8_t*> values;
    for (const StepValue& value : program.values) values.push_back(buffers_.at(value.name).bytes());
    return {std::move(program), std::move(values)};
}

Executor::Range Executor::part(size_t n, size_t thread, size_t grain) const {
    const size_t grains = (n + grain - 1) / grain;
    const size_t begin = grains * thread / pool_.size() * grain;
    const size_t end = grains * (thread + 1) / pool_.size() * grain;
    return {std::min(begin, n), std::min(end, n)};
}

bool Executor::run(const Step& step, const std::function<bool()>& given_up, const Trace* trace) {
    runs_.clear();
    for (uint32_t i = 0; i < step.rows.size(); ++i) {
        if (!runs_.empty() && step.rows[runs_.back().first].sequence == step.rows[i].sequence) {
            ++runs_.back().n;
        } else {
            runs_.push_back({i, 1});
        }
    }
    const Bound& bound = step.rows.size() == 1 ? one_ : many_;
    const std::vector<Launch>& launches = bound.program.launches;
    abandoned_.store(false, std::memory_order_relaxed);
    pool_.run([&](size_t thread) {
        for (size_t i = 0; i < launches.size(); ++i) {
            launch({step, bound, launches[i], thread});
            if (i + 1 == launches.size() && trace == nullptr) return;
            // One thread decides for all, before a barrier that the others pass before they look; more barriers lie
            // between two decisions.
            const bool may_give_up = i + 1 < launches.size() && launches[i + 1].begins_layer;
            if (may_give_up && thread == 0 && given_up()) abandoned_.store(true, std::memory_order_relaxed);
            pool_.barrier();
            if (may_give_up && abandoned_.load(std::memory_order_relaxed)) return;
            if (trace == nullptr) continue;
            if (thread == 0) {
                for (const ValueId id : launches[i].writes) {
                    const StepValue& value = bound.program.values[id];
                    const size_t n_rows = value.extent == Extent::ROW ? step.rows.size() : step.logits.size();
                    if (!value.is_float || value.extent == Extent::THREAD) continue;
                    const auto* floats = reinterpret_cast<const float*>(bound.values[id]);
                    (*trace)(launches[i], value, {floats, n_rows * value.width()});
                }
            }
            pool_.barrier();
        }
    });
    return !abandoned_.load(std::memory_order_relaxed);
}

void Executor::launch(const Task& task) {
    switch (task.launch.kernel) {
        case Kernel::EMBED:
            return embed(task);
        case Kernel::PREPARE:
            return prepare(task);
        case Kernel::PRODUCTS:
            return products(task);
        case Kernel::ROTATE_AND_STORE:
            return rotate_and_store(task);
        case Kernel::ATTENTION:
            return attention(task);
        case Kernel::ADD_PRODUCT:
            return add_product(task);
        case Kernel::GATED_PRODUCTS:
            return gated_products(task);
        case Kernel::LOGITS:
            return logits(task);
        case Kernel::ROWS:
            return rows(task);
        case Kernel::SELECTED_PRODUCTS:
            return selected_products(task);
        case Kernel::CONVOLVE:
            return convolve(task);
        case Kernel::DELTA_NET:
            return delta_net(task);
        case Kernel::SCAN:
            return scan(task);
    }
}

void Executor::embed(const Task& task) {
    const Weight* table = task.launch.table;
    const Range rows = part(task.n(), task.thread, 1);
    for (size_t i = rows.begin; i < rows.end; ++i) {
        const Row& row = task.step.rows[i];
        const uint8_t* data = table->data.data() + static_cast<size_t>(row.token) * table->row_bytes();
        dequantize(table->type, data, task.floats(task.launch.writes[0], i), h_.n_embd);
        if (task.launch.writes.size() > 1)
            turns(plan_.rope, task.sequence(i).is_long, row.position, task.floats(task.launch.writes[1], i));
    }
}

void Executor::turns(const Rope& rope, bool is_long, uint32_t position, float* cos_sin) {
    const uint32_t half = rope.n_rot / 2;
    const std::vector<float>& inv_freq = is_long && !rope.long_inv_freq.empty() ? rope.long_inv_freq : rope.inv_freq;
    for (uint32_t j = 0; j < half; ++j) {
        // In double: at position 100,000 a float angle would be off by 0.004 radians.
        const double angle = static_cast<double>(position) * inv_freq[j];
        cos_sin[j] = static_cast<float>(rope.magnitude * std::cos(angle));
        cos_sin[half + j] = static_cast<float>(rope.magnitude * std::sin(angle));
    }
}

void Executor::prepare_row(const Task& task, const Weight* norm, TensorType form, size_t n_cols, const float* row,
                           uint8_t* out) {
    if (norm != nullptr) {
        float* normed = normed_ + task.thread * n_cols;
        kernels_.rms_norm(row, vectors_[norm->id], h_.rms_eps, n_cols, normed);
        row = normed;
    }
    kernels_.prepare(form, row, n_cols, out);
    if (has_rest(task.launch, form))
        kernels_.prepare_rest(form, row, n_cols, out + kernels_.activation_bytes(form, n_cols));
}

void Executor::prepare(const Task& task) {
    const Launch& launch = task.launch;
    const Pieces& input = launch.input;
    const bool of_logits = task.value(launch.writes[0]).extent == Extent::LOGIT_ROW;
    const Range rows = part(of_logits ? task.step.logits.size() : task.n(), task.thread, 1);
    for (size_t i = 0; i < launch.forms.size(); ++i) {
        for (size_t r = rows.begin; r < rows.end; ++r) {
            const float* row = task.floats(input, of_logits ? task.step.logits[r].row : r);
            uint8_t* out = task.bytes(launch.writes[i], r);
            for (uint32_t piece = 0; piece < input.n; ++piece, row += input.stride) {
                prepare_row(task, launch.norm, launch.forms[i], input.width, row, out);
                out += kernels_.activation_bytes(launch.forms[i], input.width);
            }
        }
    }
}

const uint8_t* Executor::input(const Task& task, size_t product) {
    const Launch& launch = task.launch;
    const ValueId id = launch.products[product].input;
    if (!launch.prepares) return task.bytes(id);
    const Weight* weight = launch.products[product].weight;
    const auto form = static_cast<size_t>(std::ranges::find(launch.forms, weight->type) - launch.forms.begin());
    uint8_t* own = task.bytes(launch.scratch[form], task.thread);
    // The first product with weights of the type prepares it for those that follow.
    for (size_t i = 0; i < product; ++i) {
        if (launch.products[i].weight->type == weight->type) return own;
    }
    prepare_row(task, launch.norm, weight->type, weight->cols, task.floats(launch.input, 0), own);
    return own;
}

void Executor::multiply(const Task& task, size_t product, size_t n_cols, Range rows, float* out, size_t out_stride) {
    const Weight* weight = task.launch.products[product].weight;
    const uint8_t* activations = input(task, product);
    if (rows.size() == 0) return;
    const size_t stride = task.launch.prepares ? 0 : task.value(task.launch.products[product].input).row_bytes;
    if (!has_rest(task.launch, weight->type)) {
        return kernels_.matmul(weight->type, weight->data.data(), weight->cols, rows.begin, rows.end, activations,
                               stride, n_cols, out, out_stride);
    }
    // A few rows of weights at a time, so that they are read from memory once for both parts of the input.
    constexpr size_t FEW = 4 * ROW_GRAIN, COLUMNS = 32;
    float of_rest[FEW * COLUMNS];
    const uint8_t* rest = activations + kernels_.activation_bytes(weight->type, weight->cols);
    for (size_t begin = rows.begin; begin < rows.end; begin += FEW) {
        const size_t n = std::min(FEW, rows.end - begin);
        const uint8_t* data = weight->data.data() + begin * weight->row_bytes();
        kernels_.matmul(weight->type, data, weight->cols, 0, n, activations, stride, n_cols, out + begin, out_stride);
        for (size_t column = 0; column < n_cols; column += COLUMNS) {
            const size_t n_now = std::min(COLUMNS, n_cols - column);
            kernels_.matmul(weight->type, data, weight->cols, 0, n, rest + column * stride, stride, n_now, of_rest,
                            FEW);
            for (size_t i = 0; i < n_now; ++i) {
                float* y = out + (column + i) * out_stride + begin;
                kernels_.add(y, of_rest + i * FEW, n, y);
            }
        }
    }
}

void Executor::products(const Task& task) {
    for (size_t i = 0; i < task.launch.products.size(); ++i) {
        const auto& [weight, bias, input] = task.launch.products[i];
        const ValueId out = task.launch.writes[i];
        const size_t column = task.launch.out_columns.empty() ? 0 : task.launch.out_columns[i];
        const Range rows = part(weight->rows, task.thread, ROW_GRAIN);
        multiply(task, i, task.n(), rows, task.floats(out) + column, task.value(out).width());
        if (bias == nullptr) continue;
        for (size_t r = 0; r < task.n(); ++r) {
            float* y = task.floats(out, r) + column + rows.begin;
            kernels_.add(y, vectors_[bias->id] + rows.begin, rows.size(), y);
        }
    }
}

void Executor::rotate(const Rope& rope, float* head, const float* cos_sin) {
    const uint32_t half = rope.n_rot / 2;
    const uint32_t step = rope.style == RopeStyle::ADJACENT ? 2 : 1;
    const uint32_t partner = rope.style == RopeStyle::ADJACENT ? 1 : half;
    for (uint32_t i = 0; i < half; ++i) {
        float& a = head[i * step];
        float& b = head[i * step + partner];
        const float a0 = a, b0 = b;
        a = a0 * cos_sin[i] - b0 * cos_sin[half + i];
        b = a0 * cos_sin[half + i] + b0 * cos_sin[i];
    }
}

void Executor::rotate_and_store(const Task& task) {
    const Launch& launch = task.launch;
    const uint32_t heads_per_row = h_.n_heads + h_.n_kv_heads;
    const Range tasks = part(task.n() * heads_per_row, task.thread, 1);
    for (size_t i = tasks.begin; i < tasks.end; ++i) {
        const size_t r = i / heads_per_row;
        const uint32_t head = static_cast<uint32_t>(i % heads_per_row);
        const bool is_query = head < h_.n_heads;
        const uint32_t kv_head = head - h_.n_heads;
        float* vector = is_query ? task.floats(launch.reads[0], r) + head * h_.head_dim
                                 : task.floats(launch.reads[1], r) + kv_head * h_.head_dim;
        const Weight* norm = is_query ? launch.q_norm : launch.k_norm;
        if (norm != nullptr) kernels_.rms_norm(vector, vectors_[norm->id], h_.rms_eps, h_.head_dim, vector);
        rotate(plan_.rope, vector, task.floats(launch.reads[3], r));
        if (is_query) continue;
        const KvView& kv = task.sequence(r);
        const uint32_t position = task.step.rows[r].position;
        kernels_.store_kv(kv.layout->type, vector, h_.head_dim, kv.row(false, launch.layer, kv_head, position));
        kernels_.store_kv(kv.layout->type, task.floats(launch.reads[2], r) + kv_head * h_.head_dim, h_.head_dim,
                          kv.row(true, launch.layer, kv_head, position));
    }
}

void Executor::attend(const Task& task, size_t row, uint32_t head, bool by_head, std::span<const uint32_t> n_keys) {
    const auto& word = std::get<AttendStep>(task.launch.word);
    const KvView& kv = task.sequence(row);
    const KvSpec& spec = h_.kv[word.kv];
    const uint32_t kv_head = head / (word.q.n / spec.n_heads);
    AttentionArgs args{};
    args.q = task.floats(word.q, row) + head * word.q.stride;
    args.out = task.floats(word.out, row) + head * word.out.stride;
    args.q_stride = by_head ? word.q.stride : task.value(word.q.value).width();
    args.out_stride = by_head ? word.out.stride : task.value(word.out.value).width();
    args.blocks = kv.blocks;
    args.k_offset = kv.layout->offset(false, word.kv, kv_head);
    args.v_offset = kv.layout->offset(true, word.kv, kv_head);
    args.k_stride = kv.layout->row_bytes(false, word.kv);
    args.v_stride = kv.layout->row_bytes(true, word.kv);
    args.kv_type = kv.layout->type;
    args.n_keys = n_keys.data();
    args.n_rows = n_keys.size();
    args.head_dim = word.q.width;
    args.value_dim = word.out.width;
    args.scale = word.scale;
    args.soft_cap = word.soft_cap;
    uint32_t first_keys[MAX_TOGETHER];
    if (word.window != 0 || word.chunk != 0) {
        for (size_t i = 0; i < n_keys.size(); ++i) {
            first_keys[i] = word.window != 0 ? n_keys[i] - std::min(n_keys[i], word.window)
                                             : (n_keys[i] - 1) / word.chunk * word.chunk;
        }
        args.first_keys = first_keys;
    }
    float sinks[MAX_TOGETHER];
    if (word.sinks != nullptr) {
        for (size_t i = 0; i < n_keys.size(); ++i) sinks[i] = vector(word.sinks)[by_head ? head + i : head];
        args.sinks = sinks;
    }
    kernels_.attention(args);
}

void Executor::attention(const Task& task) {
    const auto& word = std::get<AttendStep>(task.launch.word);
    const uint32_t n_heads = word.q.n, n_kv_heads = h_.kv[word.kv].n_heads;
    const uint32_t group = n_heads / n_kv_heads;
    // Rows that are the only ones of their sequence: heads of one KV head that fall to the same thread go together and
    // share its keys. Where there are few of them, a thread's part begins within such a group.
    const size_t n_single = static_cast<size_t>(std::ranges::count(runs_, 1u, &Run::n));
    const bool whole_groups = n_single * n_kv_heads >= 2 * pool_.size();
    const Range heads = part(n_single * n_heads, task.thread, whole_groups ? group : 1);
    uint32_t n_keys[MAX_TOGETHER];
    size_t single = 0;  // index of the row among the single ones
    size_t tile = 0;    // index among the tiles of the others
    for (const Run& run : runs_) {
        if (run.n == 1) {
            const size_t begin = std::max(heads.begin, single * n_heads);
            const size_t end = std::min(heads.end, (single + 1) * n_heads);
            for (size_t i = begin; i < end;) {
                const auto head = static_cast<uint32_t>(i - single * n_heads);
                const size_t n = std::min<size_t>({(head / group + 1) * group - head, end - i, MAX_HEADS});
                std::fill_n(n_keys, n, task.step.rows[run.first].position + 1);
                attend(task, run.first, head, true, {n_keys, n});
                i += n;
            }
            ++single;
            continue;
        }
        // Dealt out one by one: later tiles attend to more keys, so ranges would not be equal work.
        for (size_t first = 0; first < run.n; first += QUERY_TILE) {
            const size_t n = std::min<size_t>(QUERY_TILE, run.n - first);
            for (size_t i = 0; i < n; ++i) n_keys[i] = task.step.rows[run.first + first + i].position + 1;
            for (uint32_t head = 0; head < n_heads; ++head) {
                if (tile++ % pool_.size() == task.thread) attend(task, run.first + first, head, false, {n_keys, n});
            }
        }
    }
}

void Executor::add_product(const Task& task) {
    const auto& [weight, bias, input] = task.launch.products[0];
    const ValueId x = task.launch.writes[0], projected = task.launch.writes[1];
    const Range rows = part(weight->rows, task.thread, ROW_GRAIN);
    multiply(task, 0, task.n(), rows, task.floats(projected), weight->rows);
    for (size_t r = 0; r < task.n(); ++r) {
        float* y = task.floats(x, r) + rows.begin;
        kernels_.add(y, task.floats(projected, r) + rows.begin, rows.size(), y);
        if (bias != nullptr) kernels_.add(y, vectors_[bias->id] + rows.begin, rows.size(), y);
    }
}

void Executor::gated_products(const Task& task) {
    const ValueId gate = task.launch.writes[0], up = task.launch.writes[1];
    const Range rows = part(h_.n_ff, task.thread, ROW_GRAIN);
    multiply(task, 0, task.n(), rows, task.floats(gate), h_.n_ff);
    multiply(task, 1, task.n(), rows, task.floats(up), h_.n_ff);
    for (size_t r = 0; r < task.n(); ++r) {
        float* y = task.floats(gate, r) + rows.begin;
        kernels_.swiglu(y, task.floats(up, r) + rows.begin, rows.size(), y);
    }
}

void Executor::finish_logits(const Task& task, Range rows, size_t n, float* out) {
    const Launch& launch = task.launch;
    const float* bias = vector(launch.products[0].bias);
    for (size_t i = 0; i < n; ++i) {
        float* y = out + i * h_.n_vocab;
        if (bias != nullptr) kernels_.add(y + rows.begin, bias + rows.begin, rows.size(), y + rows.begin);
        if (launch.scale != 1) {
            for (size_t j = rows.begin; j < rows.end; ++j) y[j] *= launch.scale;
        }
        if (launch.cap != 0) {
            for (size_t j = rows.begin; j < rows.end; ++j) y[j] = launch.cap * std::tanh(y[j] / launch.cap);
        }
    }
}

void Executor::logits(const Task& task) {
    const std::span<const RowLogits> wanted = task.step.logits;
    const Range rows = part(h_.n_vocab, task.thread, ROW_GRAIN);
    if (wanted.empty() || rows.size() == 0) return;
    const Weight* weight = task.launch.products[0].weight;
    const size_t stride = task.launch.prepares ? 0 : task.value(task.launch.products[0].input).row_bytes;
    const uint8_t* activations = input(task, 0);
    const auto multiply = [&](size_t first, size_t n, float* out) {
        kernels_.matmul(weight->type, weight->data.data(), weight->cols, rows.begin, rows.end,
                        activations + first * stride, stride, n, out, h_.n_vocab);
        finish_logits(task, rows, n, out);
    };
    bool neighbours = true;
    for (size_t i = 0; i < wanted.size(); ++i) neighbours &= wanted[i].out == wanted[0].out + i * h_.n_vocab;
    if (neighbours) return multiply(0, wanted.size(), wanted[0].out);
    for (size_t first = 0; first < wanted.size(); first += MAX_LOGIT_ROWS) {
        const size_t n = std::min(MAX_LOGIT_ROWS, wanted.size() - first);
        multiply(first, n, logits_.floats());
        for (size_t i = 0; i < n; ++i)
            std::copy_n(logits_.floats() + i * h_.n_vocab + rows.begin, rows.size(),
                        wanted[first + i].out + rows.begin);
    }
}

}  // namespace reprise::cpu
