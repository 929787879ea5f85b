// The decode step as a graph: the first step of a session runs eagerly, the next is captured, every later one is one
// launch. One graph per sampling kind; nothing else of a step depends on anything but device memory at fixed addresses.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "reprise.h"

namespace reprise::cuda {

class DecodeGraph {
  public:
    struct Counts {
        uint64_t eager_steps = 0, replays = 0, captures = 0, capture_failures = 0;
        uint64_t nodes = 0;    // of the graph last replayed
        uint64_t kernels = 0;  // of the step last launched
        uint64_t submit_ns = 0;
    };

    /// step enqueues one decode step of a sampling kind; n_kernels says how many kernels that are, from the plan alone.
    DecodeGraph(std::function<void(uint32_t kind, cudaStream_t stream)> step,
                std::function<uint32_t(uint32_t kind)> n_kernels, reprise_graph_mode mode);
    ~DecodeGraph();

    /// One step, as the mode has it. Where a capture fails: eagerly, counted and logged, and tried again, ever more
    /// seldom if it goes on failing; or with mode ALWAYS REPRISE_ENGINE_FAILED, or REPRISE_OUT_OF_DEVICE_MEMORY if it
    /// is that.
    void launch(uint32_t kind, cudaStream_t stream);
    /// Whether launch() is quick: neither the warm-up nor a capture comes next.
    bool is_quick(uint32_t kind) const;

    void launch_eagerly(uint32_t kind, cudaStream_t stream);
    /// Captures first where there is no graph yet; fails as launch() with mode ALWAYS does.
    void replay(uint32_t kind, cudaStream_t stream);

    const Counts& counts() const { return counts_; }

  private:
    struct Graph;
    /// Why there is no graph: something invalidated the capture, or memory is lacking (REPRISE_OUT_OF_DEVICE_MEMORY).
    struct Failure {
        reprise_status status = REPRISE_ENGINE_FAILED;
        std::string why;
    };
    /// False if there is none.
    bool capture(uint32_t kind, cudaStream_t stream, Failure& failure);
    void replay_captured(const Graph& graph, cudaStream_t stream);
    void step_eagerly(uint32_t kind, cudaStream_t stream);

    std::function<void(uint32_t, cudaStream_t)> step_;
    std::function<uint32_t(uint32_t)> n_kernels_;
    reprise_graph_mode mode_;
    bool warmed_up_ = false;
    uint32_t n_failed_ = 0, n_eager_left_ = 0;  // captures in a row; steps until the next
    std::map<uint32_t, std::unique_ptr<Graph>> graphs_;
    Counts counts_;
};

}  // namespace reprise::cuda
