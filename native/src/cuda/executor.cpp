#include "cuda/executor.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/device.h"
#include "cuda/embed_rows.h"
#include "cuda/fused_project.h"
#include "cuda/rows/many.h"

namespace reprise::cuda {

namespace {

/// Of a launch for each row: large and small go on taking turns.
Slot slot_of_row(Slot first, uint32_t row) {
    return row % 2 == 0 ? first : first == Slot::LARGE ? Slot::SMALL : Slot::LARGE;
}

}  // namespace

struct Executor::Task {
    const Bound& bound;
    const CudaLaunch& launch;
    const CudaStep& step;
    cudaStream_t stream;

    const StepValue& value(ValueId id) const { return bound.program.values[id]; }
    bool of_many_sequences() const { return step.rows != nullptr; }
    const SequenceView& sequence(uint32_t row) const { return step.sequences[of_many_sequences() ? row : 0]; }
    uint8_t* bytes(ValueId id, uint32_t row = 0) const {
        if (value(id).extent == Extent::LOGIT_ROW && !of_many_sequences())
            return reinterpret_cast<uint8_t*>(sequence(0).logits);
        return bound.values[id] + row * value(id).row_bytes;
    }
    float* floats(ValueId id, uint32_t row = 0) const { return reinterpret_cast<float*>(bytes(id, row)); }
    uint32_t width(ValueId id) const { return static_cast<uint32_t>(value(id).width()); }

    Activations forms(uint32_t row) const {
        Activations to;
        const FormValues& from = launch.forms;
        if (from.f32) to.f32 = floats(*from.f32, row);
        if (from.int8) to.int8 = bytes(*from.int8, row);
        if (from.half) to.half = reinterpret_cast<__half*>(bytes(*from.half, row));
        if (from.half_scale) to.half_scale = floats(*from.half_scale, row);
        return to;
    }
    bool is_bf16(ValueId id) const { return !value(id).is_float; }
};

Executor::Executor(const Plan& plan, const DeviceWeights& weights, const Workspace& workspace, TensorType kv_type,
                   uint32_t capacity)
    : plan_(plan),
      h_(plan.hparams),
      weights_(weights),
      workspace_(workspace),
      kv_type_(kv_type),
      capacity_(capacity),
      n_sms_(multiprocessors()) {}

Executor::Bound Executor::bind(CudaProgram program) const {
    std::vector<uint8_t*> values = workspace_.addresses(program);
    return {std::move(program), std::move(values)};
}

void Executor::run(const Bound& bound, const CudaStep& step, cudaStream_t stream, const Trace* trace) const {
    if (step.n > bound.program.rows || (step.rows != nullptr && step.sequences.size() < step.n))
        fail(REPRISE_INTERNAL, "a step of %u rows by a program of %u", step.n, bound.program.rows);
    for (const CudaLaunch& launch : bound.program.launches) {
        const Task task = {bound, launch, step, stream};
        this->launch(task);
        if (trace != nullptr) show(task, *trace);
    }
}

void Executor::show(const Task& task, const Trace& trace) {
    for (const TracedValue& traced : task.bound.program.traced) {
        if (std::ranges::find(task.launch.writes, traced.of) == task.launch.writes.end()) continue;
        // It turns q in place; turned keys go to the cache alone.
        if (task.launch.by == CudaKernel::ROPE_KV && traced.value.name != "q") continue;
        const size_t width = traced.value.width(), pitch = task.value(traced.of).row_bytes;
        const size_t n_bytes = width * (traced.is_bf16 ? sizeof(uint16_t) : sizeof(float));
        const uint32_t n = task.step.n;
        std::vector<uint8_t> bytes(n * n_bytes);
        check(cudaMemcpy2DAsync(bytes.data(), n_bytes, task.bytes(traced.of) + traced.offset, pitch, n_bytes, n,
                                cudaMemcpyDeviceToHost, task.stream),
              "copying a step's values");
        check(cudaStreamSynchronize(task.stream), "copying a step's values");
        std::vector<float> rows(n * width);
        for (size_t i = 0; i < rows.size(); ++i) {
            uint32_t bits = 0;
            if (traced.is_bf16) {
                uint16_t upper;
                std::memcpy(&upper, &bytes[i * sizeof upper], sizeof upper);
                bits = uint32_t{upper} << 16;
            } else {
                std::memcpy(&bits, &bytes[i * sizeof bits], sizeof bits);
            }
            rows[i] = std::bit_cast<float>(bits);
        }
        trace(task.launch, traced.value, rows);
    }
}

void Executor::launch(const Task& task) const {
    if (!task.launch.by_row) return launch_rows(task, 0, task.step.n);
    for (uint32_t row = 0; row < task.step.n; ++row) launch_rows(task, row, 1);
}

std::vector<MatvecPart> Executor::parts(const Task& task, uint32_t row) const {
    const CudaLaunch& launch = task.launch;
    const bool adds = launch.kernel == Kernel::ADD_PRODUCT;
    std::vector<MatvecPart> parts;
    for (size_t i = 0; i < launch.products.size(); ++i) {
        const Product& product = launch.products[i];
        float* out = task.floats(launch.writes[0], row) + launch.columns[i];
        parts.push_back({weights_.matrix(product.weight), out, weights_.vector(product.bias), adds ? out : nullptr});
    }
    return parts;
}

RopeKvArgs Executor::rope_args(const Task& task, uint32_t row) const {
    const CudaLaunch& launch = task.launch;
    const SequenceView& sequence = task.sequence(row);
    RopeKvArgs args = {};
    args.qkv = task.floats(launch.reads[0], row);
    args.row_stride = task.width(launch.reads[0]);
    args.q_norm = weights_.vector(launch.q_norm);
    args.k_norm = weights_.vector(launch.k_norm);
    args.rms_eps = h_.rms_eps;
    args.n_heads = h_.n_heads;
    args.n_kv_heads = h_.n_kv_heads;
    args.head_dim = h_.head_dim;
    args.style = plan_.rope.style;
    args.n_rot = plan_.rope.n_rot;
    args.turns = weights_.rope_turns();
    args.magnitude = plan_.rope.magnitude;
    args.k_cache = sequence.keys(launch.layer);
    args.v_cache = sequence.values(launch.layer);
    args.kv_type = kv_type_;
    args.capacity = capacity_;
    args.state = sequence.state;
    return args;
}

AttentionArgs Executor::attention_args(const Task& task, uint32_t row) const {
    const CudaLaunch& launch = task.launch;
    const SequenceView& sequence = task.sequence(row);
    AttentionArgs args = {};
    args.q = task.floats(launch.reads[0], row);
    args.q_stride = task.width(launch.reads[0]);
    args.k = sequence.keys(launch.layer);
    args.v = sequence.values(launch.layer);
    args.n_heads = h_.n_heads;
    args.n_kv_heads = h_.n_kv_heads;
    args.head_dim = h_.head_dim;
    args.capacity = capacity_;
    args.scale = launch.scale;
    args.state = sequence.state;
    if (launch.forms.int8) {
        args.int8 = task.bytes(*launch.forms.int8, row);
    } else {
        args.out = task.floats(launch.writes[0], row);
    }
    return args;
}

WeightPrefetch Executor::prefetch(const FetchAhead& ahead) const {
    if (ahead.first == nullptr) return {};
    const DeviceMatrix& first = *weights_.matrix(ahead.first);
    if (ahead.second == nullptr) return project_prefetch(first, ahead.bytes_between, n_sms_);
    return gated_feed_forward_prefetch(first, *weights_.matrix(ahead.second), ahead.bytes_between, n_sms_);
}

void Executor::embed(const Task& task) const {
    const CudaLaunch& launch = task.launch;
    const DeviceMatrix& table = *weights_.matrix(launch.table);
    float* x = task.floats(launch.writes[0]);
    if (task.of_many_sequences()) return embed_step_rows(table, task.step.rows, task.step.n, x, task.stream);
    const SequenceView& sequence = task.sequence(0);
    const int32_t* tokens = task.bound.program.rows == 1 ? &sequence.state->token : sequence.queue;
    embed_rows(table, tokens, task.step.n, x, task.stream);
}

void Executor::attention(const Task& task, uint32_t row) const {
    const CudaLaunch& launch = task.launch;
    if (task.sequence(row).state == nullptr) return;  // the row has no sequence
    const AttentionArgs args = attention_args(task, row);
    AttentionScratch scratch = {};
    const bool is_prefill = launch.by == CudaKernel::ATTENTION_PREFILL || launch.by == CudaKernel::ATTENTION_BY_ROW;
    if (is_prefill && !launch.scratch.empty()) {
        scratch.k = task.bytes(launch.scratch[0]);
        scratch.v = task.bytes(launch.scratch[1]);
    } else if (!is_prefill) {
        scratch.parts = task.floats(launch.scratch[0], row);
        scratch.arrived = reinterpret_cast<uint32_t*>(task.bytes(launch.scratch[1], row));
    }
    switch (launch.by) {
        case CudaKernel::ATTENTION_DECODE:
            return attention_decode(args, kv_type_, scratch, task.stream);
        case CudaKernel::ATTENTION_PREFILL:
            return attention_prefill(args, kv_type_, scratch, task.step.n, task.stream);
        case CudaKernel::ATTENTION_BY_ROW:
            return attention_prefill_by_row(args, kv_type_, scratch, task.step.n, task.stream);
        default:
            return attention_fused(args, rope_args(task, row), scratch, prefetch(launch.ahead),
                                   slot_of_row(launch.slot, row), task.stream);
    }
}

void Executor::launch_rows(const Task& task, uint32_t first, uint32_t n) const {
    const CudaLaunch& launch = task.launch;
    const cudaStream_t stream = task.stream;
    switch (launch.by) {
        case CudaKernel::EMBED:
            return embed(task);
        case CudaKernel::PREPARE: {
            const ValueId from = launch.reads[0];
            const float* x = task.floats(from, task.step.first + first);
            if (launch.norm == nullptr)
                return prepare(x, task.width(from), n, task.width(from), task.forms(first), stream);
            return rms_norm(x, weights_.vector(launch.norm), h_.rms_eps, n, task.width(from), task.forms(first),
                            stream);
        }
        case CudaKernel::SWIGLU: {
            const float* gate = task.floats(launch.reads[0], first);
            return swiglu(gate, gate + h_.n_ff, task.width(launch.reads[0]), n, h_.n_ff, task.forms(first), stream);
        }
        case CudaKernel::MATVEC:
            return matvec(parts(task, first), task.forms(first), stream);
        case CudaKernel::MATMUL:
            return matmul(parts(task, first), task.forms(first), n, task.width(launch.writes[0]),
                          task.bytes(launch.scratch[0]), stream);
        case CudaKernel::ROPE_KV:
            return rope_kv(rope_args(task, first), n, stream);
        case CudaKernel::ATTENTION_DECODE:
        case CudaKernel::ATTENTION_PREFILL:
        case CudaKernel::ATTENTION_BY_ROW:
        case CudaKernel::FUSED_ATTENTION:
            return attention(task, first);
        case CudaKernel::FUSED_PROJECT: {
            const ValueId from = launch.reads[0];
            const FusedInput input = {task.bytes(from, first), weights_.vector(launch.norm), h_.rms_eps,
                                      task.is_bf16(from)};
            return fused_project(parts(task, first), input, prefetch(launch.ahead), slot_of_row(launch.slot, first),
                                 stream);
        }
        case CudaKernel::FUSED_GATED: {
            const FusedInput input = {task.bytes(launch.reads[0], first), weights_.vector(launch.norm), h_.rms_eps};
            return fused_gated_feed_forward(
                *weights_.matrix(launch.products[0].weight), *weights_.matrix(launch.products[1].weight), input,
                task.bytes(launch.writes[0], first), slot_of_row(launch.slot, first), stream);
        }
        case CudaKernel::QUANTISE_ROWS:
        case CudaKernel::PROJECT_ROWS:
        case CudaKernel::GATED_ROWS:
            return launch_many(task);
    }
}

void Executor::launch_many(const Task& task) const {
    const CudaLaunch& launch = task.launch;
    const uint32_t bucket = task.bound.program.rows, n = task.step.n;
    if (launch.by == CudaKernel::QUANTISE_ROWS) {
        const ValueId from = launch.reads[0];
        const uint32_t cols = launch.n_cols;
        const bool bf16 = task.is_bf16(from);
        const auto stride = static_cast<uint32_t>(task.value(from).row_bytes / (bf16 ? 2 : sizeof(float)));
        float* squares = launch.norm == nullptr ? nullptr : task.floats(launch.writes[1]);
        return rows::quantise_rows({task.bytes(from), stride, bf16, weights_.vector(launch.norm)}, cols, bucket, n,
                                   task.bytes(launch.writes[0]), squares, task.stream);
    }
    const bool is_gated = launch.by == CudaKernel::GATED_ROWS;
    const float* squares = nullptr;
    for (const ValueId id : launch.reads) {
        if (task.value(id).name == "squares") squares = task.floats(id);
    }
    const rows::RowsInput input = {task.bytes(launch.reads[0]), squares, h_.rms_eps};
    std::vector<rows::RowsPart> parts;
    uint32_t n_units = 0;
    for (const MatvecPart& part : this->parts(task, 0)) {
        const uint64_t stride = task.value(launch.writes[0]).row_bytes / (is_gated ? 2 : sizeof(float));
        void* out = is_gated ? task.bytes(launch.writes[0]) : static_cast<void*>(part.out);
        parts.push_back({part.matrix, out, static_cast<uint32_t>(stride), part.bias, part.residual});
        n_units += part.matrix->rows / 16;
    }
    // Where there are few units of 16 rows of weights, several warps share the columns of each.
    const int k_warps = n_units >= 8 * n_sms_ ? 1 : bucket == 64 ? 4 : 8;
    const rows::RowsTuning tuning = {k_warps, launch.slot == Slot::LARGE};
    if (is_gated) return rows::gated_rows(parts, input, bucket, n, tuning, task.stream);
    rows::project_rows(parts, input, bucket, n, tuning, task.stream);
}

}  // namespace reprise::cuda
