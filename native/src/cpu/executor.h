// Runs a plan on the CPU for a batch of tokens. One parallel region per batch: every thread walks the steps, a barrier
// ends each phase whose output another thread reads.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/thread_pool.h"
#include "model/plan.h"

namespace reprise::cpu {

/// Zeroed memory, 64-byte aligned, committed by the kernel only where it is touched.
class Buffer {
  public:
    Buffer() = default;
    /// Throws REPRISE_OUT_OF_MEMORY naming what was to be held.
    Buffer(uint64_t n_bytes, const char* what);
    uint8_t* bytes() const { return data_.get(); }
    float* floats() const { return reinterpret_cast<float*>(data_.get()); }
    uint64_t size() const { return n_bytes_; }

  private:
    struct Unmap {
        uint64_t n_bytes;
        void operator()(uint8_t* p) const;
    };
    std::unique_ptr<uint8_t, Unmap> data_{nullptr, Unmap{0}};
    uint64_t n_bytes_ = 0;
};

class Executor {
  public:
    Executor(const Plan& plan, const Kernels& kernels, ThreadPool& pool, uint32_t context_length, TensorType kv_type,
             uint32_t chunk);

    /// Evaluates ids (at most chunk()) at position. logits_all, if not null, gets a row of n_vocab per id; otherwise
    /// the logits of the last one are in logits(). Returns false if cancel became true: KV behind position is
    /// undefined.
    bool evaluate(std::span<const int32_t> ids, uint32_t position, float* logits_all, const std::atomic<bool>& cancel);

    float* logits() { return logits_.floats(); }
    const float* logits() const { return logits_.floats(); }
    uint32_t chunk() const { return chunk_; }
    uint64_t kv_bytes() const { return kv_.size(); }
    /// The row of head_dim keys or values of a KV head at a position; those of the following positions lie behind it.
    uint8_t* kv_row(bool value, uint32_t layer, uint32_t head, uint64_t position) const;
    uint64_t kv_row_bytes() const { return row_bytes(kv_type_, h_.head_dim); }
    uint64_t workspace_bytes() const;

    static uint64_t kv_bytes(const HyperParams& h, uint32_t context_length, TensorType kv_type);
    static uint64_t workspace_bytes(const Plan& plan, uint32_t chunk, size_t n_threads);
    static uint32_t default_chunk() { return 256; }

  private:
    struct Batch;  // what one call evaluates
    struct Range {
        size_t begin, end;
        size_t size() const { return end - begin; }
    };
    /// The part of n items that a thread works on, in whole multiples of grain.
    Range part(size_t n, size_t thread, size_t grain) const;

    void run(const EmbedStep& step, const Batch& batch, size_t thread);
    void run(const QkvStep& step, const Batch& batch, size_t thread);
    void run(const AttentionStep& step, const Batch& batch, size_t thread);
    void run(const ProjectResidualStep& step, const Batch& batch, size_t thread);
    void run(const GatedFeedForwardStep& step, const Batch& batch, size_t thread);
    void run(const OutputHeadStep& step, const Batch& batch, size_t thread);

    /// Activation rows prepared for a weight type: by every thread for itself when there is one column, since that is
    /// cheaper than a barrier; together otherwise.
    const uint8_t* prepare(TensorType type, const float* x, size_t cols, const Weight* norm, const Batch& batch,
                           size_t thread, int slot);
    void matmul(const Weight* weight, const uint8_t* activations, size_t n_cols, Range rows, float* out,
                size_t out_stride);
    void rope_and_store(const QkvStep& step, const Batch& batch, size_t thread);
    void rotate(float* head, const float* cos_sin) const;

    const Plan& plan_;
    const HyperParams& h_;
    const Kernels& kernels_;
    ThreadPool& pool_;
    uint32_t context_length_;
    TensorType kv_type_;
    uint32_t chunk_;
    uint64_t activation_stride_;
    std::vector<const float*> vectors_;  // F32 data of norms and biases by weight id, aligned copies
    std::vector<float> vector_data_;
    Buffer kv_;         // [layer][k, v][n_kv_heads][context][head_dim]
    Buffer x_;          // [chunk][n_embd]
    Buffer q_;          // [chunk][q_dim]
    Buffer k_, v_;      // [chunk][kv_dim]
    Buffer attention_;  // [chunk][q_dim]
    Buffer gate_, up_;  // [chunk][n_ff]
    Buffer projected_;  // [chunk][n_embd]
    Buffer cos_sin_;    // [chunk][n_rot]: cosines, then sines
    Buffer prepared_;   // [3 slots][max(chunk, threads)] activation rows, any weight type
    Buffer normed_;     // [threads][n_embd]
    Buffer logits_;     // [n_vocab]
    std::atomic<bool> abandoned_{false};
};

}  // namespace reprise::cpu
