// Runs the programs of a plan on the CPU for a step of rows. One parallel region per step: every thread walks the
// launches and takes its share of each, a barrier ends each whose output another thread reads. A row's results do not
// depend on the rows computed with it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cpu/buffer.h"
#include "cpu/kernels.h"
#include "cpu/kv_cache.h"
#include "cpu/thread_pool.h"
#include "exec/program.h"
#include "exec/rows.h"

namespace reprise::cpu {

/// Where the logits behind a row of the step go, [n_vocab].
struct RowLogits {
    uint32_t row;
    float* out;
};

struct Step {
    std::span<const Row> rows;          // those of a sequence lie together, at ascending positions without a gap
    std::span<const KvView> sequences;  // writable at the rows' positions
    std::span<const RowLogits> logits;  // by ascending row
};

class Executor {
  public:
    /// For steps of up to max_rows rows.
    Executor(const Plan& plan, const Kernels& kernels, ThreadPool& pool, uint32_t max_rows);

    /// Computes a step, unless given_up() says otherwise, which a thread asks once a layer: then false, and what the
    /// rows leave is undefined. One caller at a time. trace, if not null, sees every float value of the rows.
    bool run(const Step& step, const std::function<bool()>& given_up, const Trace* trace = nullptr);

    uint32_t max_rows() const { return max_rows_; }
    uint64_t workspace_bytes() const;
    /// Of weights, read by a step of one row.
    uint64_t bytes_per_token() const { return one_.program.weight_bytes(1); }
    static uint64_t workspace_bytes(const Plan& plan, const Kernels& kernels, uint32_t max_rows, size_t n_threads);

  private:
    struct Bound {  // a program and where its values lie
        Program program;
        std::vector<uint8_t*> values;
    };
    struct Task;  // a launch of a step, as a thread sees it: executor_task.h
    struct Range {
        size_t begin, end;
        size_t size() const { return end - begin; }
    };
    struct Run {  // rows of one sequence
        uint32_t first, n;
    };

    Bound bind(Program program);
    /// The part of n items that a thread works on, in whole multiples of grain.
    Range part(size_t n, size_t thread, size_t grain) const;

    void launch(const Task& task);
    void embed(const Task& task);
    void prepare(const Task& task);
    void products(const Task& task);
    void rotate_and_store(const Task& task);
    void attention(const Task& task);
    void add_product(const Task& task);
    void gated_products(const Task& task);
    void logits(const Task& task);
    void finish_logits(const Task& task, Range rows, size_t n, float* out);

    // words.cpp
    void rows(const Task& task);
    void selected_products(const Task& task);
    void convolve(const Task& task);
    void delta_net(const Task& task);
    void scan(const Task& task);
    void apply(const Task& task, size_t row, const NormOp& op);
    void apply(const Task& task, size_t row, const AngleOp& op);
    void apply(const Task& task, size_t row, const RotateOp& op);
    void apply(const Task& task, size_t row, const ScaleOp& op);
    void apply(const Task& task, size_t row, const TemperatureOp& op);
    void apply(const Task& task, size_t row, const ActivateOp& op);
    void apply(const Task& task, size_t row, const AddOp& op);
    void apply(const Task& task, size_t row, const LookupOp& op);
    void apply(const Task& task, size_t row, const StoreKvOp& op);
    void apply(const Task& task, size_t row, const RouteOp& op);
    void apply(const Task& task, size_t row, const CombineOp& op);

    /// The input of products in the form that they read: of a launch that prepares it itself, by and for this thread.
    const uint8_t* input(const Task& task, size_t product);
    void prepare_row(const Task& task, const Weight* norm, TensorType form, size_t n_cols, const float* row,
                     uint8_t* out);
    void multiply(const Task& task, size_t product, size_t n_cols, Range rows, float* out, size_t out_stride);
    static void rotate(const Rope& rope, float* head, const float* cos_sin);
    static void turns(const Rope& rope, bool is_long, uint32_t position, float* cos_sin);
    const float* vector(const Weight* weight) const { return weight == nullptr ? nullptr : vectors_[weight->id]; }
    /// Of a row and a head, and of the heads behind it (by_head) or the rows, with one KV head.
    void attend(const Task& task, size_t row, uint32_t head, bool by_head, std::span<const uint32_t> n_keys);

    const Plan& plan_;
    const HyperParams& h_;
    const Kernels& kernels_;
    ThreadPool& pool_;
    const uint32_t max_rows_;
    const Room room_;
    std::map<std::string, Buffer> buffers_;  // by the names of the values
    float* normed_ = nullptr;                // the buffer of that name: an input after its norm, for each thread
    std::vector<const float*> vectors_;      // F32 data of norms and biases by weight id, aligned copies
    std::vector<float> vector_data_;
    Bound one_, many_;
    std::vector<Run> runs_;  // of the present step
    Buffer logits_;          // [MAX_LOGIT_ROWS][n_vocab], of rows whose logits do not go to neighbouring places
    std::atomic<bool> abandoned_{false};
};

}  // namespace reprise::cpu
