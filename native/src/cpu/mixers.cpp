// Products with chosen matrices, and what carries a state from row to row (model/words.h). A sequence's rows come in
// their order; threads share channels and heads.
#include <algorithm>
#include <cmath>

#include "cpu/executor_task.h"

namespace reprise::cpu {

namespace {

constexpr size_t ROW_GRAIN = 16;  // of matrices: whole tiles of every kernel

float softplus(float x) { return x > 20 ? x : std::log1p(std::exp(x)); }
float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

}  // namespace

void Executor::selected_products(const Task& task) {
    const auto& word = std::get<SelectedLinearStep>(task.launch.word);
    const Weight& weight = *word.weight;
    const size_t n_rows = word.out.width, matrix_bytes = n_rows * weight.row_bytes();
    const ValueId input = task.launch.reads[0];
    const size_t piece_bytes = word.in.n == 1 ? 0 : kernels_.activation_bytes(weight.type, word.in.width);
    const float* bias = vector(word.bias);
    const Range rows = part(n_rows, task.thread, ROW_GRAIN);
    if (rows.size() == 0) return;
    const auto multiply = [&](uint32_t matrix, size_t row, uint32_t slot, Range of, size_t n) {
        float* out = task.floats(word.out, row) + slot * word.out.stride;
        const size_t out_stride = task.value(word.out.value).width();
        kernels_.matmul(weight.type, weight.data.data() + matrix * matrix_bytes, weight.cols, of.begin, of.end,
                        task.bytes(input, row) + slot * piece_bytes, task.value(input).row_bytes, n, out, out_stride);
        if (bias == nullptr) return;
        for (size_t i = 0; i < n; ++i) {
            float* y = out + i * out_stride + of.begin;
            kernels_.add(y, bias + matrix * n_rows + of.begin, of.size(), y);
        }
    };
    if (!word.is_chosen) {
        for (uint32_t matrix = 0; matrix < word.n_matrices; ++matrix) multiply(matrix, 0, matrix, rows, task.n());
        return;
    }
    // By matrix, and of a matrix a few rows for all who chose it, so that weights are read from memory once.
    struct Use {
        uint32_t matrix, row, slot;
    };
    std::vector<Use> uses;
    uses.reserve(task.n() * word.out.n);
    for (uint32_t row = 0; row < task.n(); ++row) {
        const float* chosen = task.floats(word.chosen, row);
        for (uint32_t slot = 0; slot < word.out.n; ++slot)
            uses.push_back({static_cast<uint32_t>(chosen[slot]), row, slot});
    }
    std::ranges::stable_sort(uses, {}, &Use::matrix);
    for (auto first = uses.begin(); first != uses.end();) {
        const auto last = std::find_if(first, uses.end(), [&](const Use& use) { return use.matrix != first->matrix; });
        const size_t step = last - first == 1 ? rows.size() : 4 * ROW_GRAIN;
        for (size_t begin = rows.begin; begin < rows.end; begin += step) {
            const Range few = {begin, std::min(begin + step, rows.end)};
            for (auto use = first; use != last; ++use) multiply(use->matrix, use->row, use->slot, few, 1);
        }
        first = last;
    }
}

void Executor::convolve(const Task& task) {
    const auto& word = std::get<ConvStep>(task.launch.word);
    const size_t n_channels = word.in.width, size = word.weight->cols;
    const float *weight = vector(word.weight), *bias = vector(word.bias);
    const Range channels = part(n_channels, task.thread, ROW_GRAIN);
    for (const Run& run : runs_) {
        float* const state = task.sequence(run.first).states[word.state];  // [size - 1][channels], the oldest first
        for (uint32_t row = run.first; row < run.first + run.n; ++row) {
            const float* x = task.floats(word.in, row);
            float* y = task.floats(word.out, row);
            for (size_t c = channels.begin; c < channels.end; ++c) {
                float sum = bias == nullptr ? 0.0f : bias[c];
                for (size_t i = 0; i + 1 < size; ++i) {
                    sum += weight[c * size + i] * state[i * n_channels + c];
                    state[i * n_channels + c] = i + 2 < size ? state[(i + 1) * n_channels + c] : x[c];
                }
                y[c] = sum + weight[c * size + size - 1] * x[c];
            }
            float* own = y + channels.begin;
            if (word.silu) kernels_.activate(Activation::SILU, own, nullptr, channels.size(), own);
        }
    }
}

void Executor::delta_net(const Task& task) {
    const auto& word = std::get<DeltaNetStep>(task.launch.word);
    const uint32_t n_heads = word.v.n, key_dim = word.k.width, value_dim = word.v.width;
    const Range heads = part(n_heads, task.thread, 1);
    std::vector<float> change(value_dim);
    for (const Run& run : runs_) {
        for (size_t head = heads.begin; head < heads.end; ++head) {
            const size_t key_head = word.interleaved ? head % word.k.n : head / (n_heads / word.k.n);
            float* const state = task.sequence(run.first).states[word.state] + head * key_dim * value_dim;
            for (uint32_t row = run.first; row < run.first + run.n; ++row) {
                const float* q = task.floats(word.q, row) + key_head * word.q.stride;
                const float* k = task.floats(word.k, row) + key_head * word.k.stride;
                const float* v = task.floats(word.v, row) + head * word.v.stride;
                float* out = task.floats(word.out, row) + head * word.out.stride;
                const float rate =
                    softplus(task.floats(word.decay, row)[head * word.decay.stride] + vector(word.dt_bias)[head]);
                const float decay = std::exp(rate * vector(word.a)[head]);
                const float beta = sigmoid(task.floats(word.beta, row)[head * word.beta.stride]);
                std::fill(change.begin(), change.end(), 0.0f);
                for (uint32_t i = 0; i < key_dim; ++i) {
                    float* s = state + i * value_dim;
                    for (uint32_t j = 0; j < value_dim; ++j) {
                        s[j] *= decay;
                        change[j] += k[i] * s[j];
                    }
                }
                for (uint32_t j = 0; j < value_dim; ++j) change[j] = beta * (v[j] - change[j]);
                std::fill_n(out, value_dim, 0.0f);
                for (uint32_t i = 0; i < key_dim; ++i) {
                    float* s = state + i * value_dim;
                    const float scaled = q[i] * word.scale;
                    for (uint32_t j = 0; j < value_dim; ++j) {
                        s[j] += k[i] * change[j];
                        out[j] += scaled * s[j];
                    }
                }
            }
        }
    }
}

void Executor::scan(const Task& task) {
    const auto& word = std::get<ScanStep>(task.launch.word);
    const uint32_t n_heads = word.x.n, head_dim = word.x.width, state_dim = word.b.width;
    const Range heads = part(n_heads, task.thread, 1);
    for (const Run& run : runs_) {
        for (size_t head = heads.begin; head < heads.end; ++head) {
            const size_t group = head / (n_heads / word.b.n);
            float* const state = task.sequence(run.first).states[word.state] + head * state_dim * head_dim;
            for (uint32_t row = run.first; row < run.first + run.n; ++row) {
                const float* x = task.floats(word.x, row) + head * word.x.stride;
                const float* b = task.floats(word.b, row) + group * word.b.stride;
                const float* c = task.floats(word.c, row) + group * word.c.stride;
                float* out = task.floats(word.out, row) + head * word.out.stride;
                const float dt =
                    softplus(task.floats(word.dt, row)[head * word.dt.stride] + vector(word.dt_bias)[head]);
                const float decay = std::exp(dt * vector(word.a)[head]), skip = vector(word.d)[head];
                for (uint32_t i = 0; i < head_dim; ++i) out[i] = skip * x[i];
                for (uint32_t n = 0; n < state_dim; ++n) {
                    float* h = state + n * head_dim;
                    const float in = dt * b[n];
                    for (uint32_t i = 0; i < head_dim; ++i) {
                        h[i] = decay * h[i] + in * x[i];
                        out[i] += c[n] * h[i];
                    }
                }
            }
        }
    }
}

}  // namespace reprise::cpu
