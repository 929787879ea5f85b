#include "cuda/decode_graph.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "cuda/check.h"
#include "cuda/launch.cuh"

namespace reprise::cuda {

namespace {

class SubmitTime {
  public:
    explicit SubmitTime(uint64_t& total) : total_(total), start_(std::chrono::steady_clock::now()) {}
    ~SubmitTime() {
        const auto elapsed = std::chrono::steady_clock::now() - start_;
        total_ += static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count());
    }

  private:
    uint64_t& total_;
    std::chrono::steady_clock::time_point start_;
};

/// Records the kernels that this thread launches while it lives.
class Recording {
  public:
    Recording() { launch_record = &kernels; }
    ~Recording() { launch_record = nullptr; }
    std::vector<const void*> kernels;
};

std::string kernel_names(const std::vector<const void*>& kernels) {
    std::string names;
    for (const void* kernel : kernels) {
        const char* name = nullptr;
        if (cudaFuncGetName(&name, kernel) != cudaSuccess) name = "?";
        names += (names.empty() ? "" : ", ") + std::string(name);
    }
    return names;
}

/// Functions of all nodes. A node that is not a kernel is a defect: it would be a copy or a synchronisation.
std::vector<const void*> node_kernels(cudaGraph_t graph) {
    size_t n = 0;
    check(cudaGraphGetNodes(graph, nullptr, &n), "counting the nodes of the decode graph");
    std::vector<cudaGraphNode_t> nodes(n);
    check(cudaGraphGetNodes(graph, nodes.data(), &n), "listing the nodes of the decode graph");
    std::vector<const void*> kernels;
    for (const cudaGraphNode_t node : nodes) {
        cudaGraphNodeType type;
        check(cudaGraphNodeGetType(node, &type), "asking for the type of a node of the decode graph");
        if (type != cudaGraphNodeTypeKernel)
            fail(REPRISE_INTERNAL, "the decode graph has a node of type %d, which is no kernel",
                 static_cast<int>(type));
        cudaKernelNodeParams params;
        check(cudaGraphKernelNodeGetParams(node, &params), "asking for the kernel of a node of the decode graph");
        kernels.push_back(params.func);
    }
    return kernels;
}

/// Kernels start while their predecessors run, one after the other: else a step is slow, or two of them run side by
/// side.
void check_edges(cudaGraph_t graph, size_t n_nodes) {
#if CUDART_VERSION >= 13000
    const auto get_edges = cudaGraphGetEdges;
#else
    const auto get_edges = cudaGraphGetEdges_v2;
#endif
    size_t n = 0;
    check(get_edges(graph, nullptr, nullptr, nullptr, &n), "counting the edges of the decode graph");
    if (n + 1 != n_nodes)
        fail(REPRISE_INTERNAL, "the decode graph has %zu edges between %zu kernels, which is no chain", n, n_nodes);
    std::vector<cudaGraphNode_t> from(n), to(n);
    std::vector<cudaGraphEdgeData> data(n);
    check(get_edges(graph, from.data(), to.data(), data.data(), &n), "listing the edges of the decode graph");
    if (!device_traits().programmatic_launch) return;
    for (const cudaGraphEdgeData& edge : data) {
        if (edge.type != cudaGraphDependencyTypeProgrammatic)
            fail(REPRISE_INTERNAL, "the decode graph has an edge of type %d, which is not programmatic",
                 static_cast<int>(edge.type));
    }
}

/// A capture can lose a node without an error, and a graph without one may give the same logits for every token.
void check_graph(cudaGraph_t graph, std::vector<const void*> launched, uint32_t planned) {
    std::vector<const void*> captured = node_kernels(graph);
    if (captured.size() != planned || launched.size() != planned) {
        fail(REPRISE_INTERNAL, "the decode graph has %zu nodes after %zu launches, the plan asks for %u kernels",
             captured.size(), launched.size(), planned);
    }
    std::sort(captured.begin(), captured.end());
    std::sort(launched.begin(), launched.end());
    if (captured != launched) {
        fail(REPRISE_INTERNAL, "the decode graph holds other kernels than were launched: %s; launched were %s",
             kernel_names(captured).c_str(), kernel_names(launched).c_str());
    }
    check_edges(graph, captured.size());
}

}  // namespace

struct DecodeGraph::Graph {
    cudaGraphExec_t exec = nullptr;
    uint64_t nodes = 0;
    ~Graph() {
        if (exec != nullptr) cudaGraphExecDestroy(exec);
    }
};

DecodeGraph::DecodeGraph(std::function<void(uint32_t, cudaStream_t)> step, std::function<uint32_t(uint32_t)> n_kernels,
                         reprise_graph_mode mode)
    : step_(std::move(step)), n_kernels_(std::move(n_kernels)), mode_(mode) {}

DecodeGraph::~DecodeGraph() = default;

bool DecodeGraph::is_quick(uint32_t kind) const { return mode_ == REPRISE_GRAPH_EAGER || graphs_.contains(kind); }

void DecodeGraph::launch(uint32_t kind, cudaStream_t stream) {
    const SubmitTime time(counts_.submit_ns);
    const auto known = graphs_.find(kind);
    if (known != graphs_.end() && mode_ != REPRISE_GRAPH_EAGER) return replay_captured(*known->second, stream);
    if (mode_ == REPRISE_GRAPH_EAGER || !warmed_up_) return step_eagerly(kind, stream);
    if (n_eager_left_ > 0) {
        --n_eager_left_;
        return step_eagerly(kind, stream);
    }
    Failure failure;
    if (capture(kind, stream, failure)) {
        n_failed_ = 0;
        return replay_captured(*graphs_.at(kind), stream);
    }
    if (mode_ == REPRISE_GRAPH_ALWAYS)
        fail(failure.status, "capturing the decode step failed, and the graph mode allows nothing else: %s",
             failure.why.c_str());
    // What invalidates a capture is over soon; a lack of memory may last.
    constexpr uint32_t AT_ONCE = 2, MOST_DOUBLINGS = 10;
    n_failed_ = std::min(n_failed_ + 1, AT_ONCE + 1 + MOST_DOUBLINGS);
    if (n_failed_ > AT_ONCE) n_eager_left_ = 1u << (n_failed_ - AT_ONCE - 1);
    log(REPRISE_LOG_WARN,
        "capturing the decode step failed, this step runs eagerly and step %u from here tries again: %s",
        n_eager_left_ + 1, failure.why.c_str());
    step_eagerly(kind, stream);
}

void DecodeGraph::launch_eagerly(uint32_t kind, cudaStream_t stream) {
    const SubmitTime time(counts_.submit_ns);
    step_eagerly(kind, stream);
}

void DecodeGraph::replay(uint32_t kind, cudaStream_t stream) {
    const SubmitTime time(counts_.submit_ns);
    Failure failure;
    if (!graphs_.contains(kind) && !capture(kind, stream, failure))
        fail(failure.status, "capturing the decode step failed: %s", failure.why.c_str());
    replay_captured(*graphs_.at(kind), stream);
}

void DecodeGraph::step_eagerly(uint32_t kind, cudaStream_t stream) {
    step_(kind, stream);
    warmed_up_ = true;
    ++counts_.eager_steps;
    counts_.kernels = n_kernels_(kind);
}

void DecodeGraph::replay_captured(const Graph& graph, cudaStream_t stream) {
    check(cudaGraphLaunch(graph.exec, stream), "launching the decode graph");
    ++counts_.replays;
    counts_.nodes = counts_.kernels = graph.nodes;
}

bool DecodeGraph::capture(uint32_t kind, cudaStream_t stream, Failure& failure) {
    std::string& why = failure.why;
    const auto give_up = [&](cudaError_t error) {
        failure.status = error == cudaErrorMemoryAllocation ? REPRISE_OUT_OF_DEVICE_MEMORY : REPRISE_ENGINE_FAILED;
        if (error != cudaSuccess) why += (why.empty() ? "" : "; ") + std::string(cudaGetErrorString(error));
        cudaGetLastError();
        // What broke the device and not just the capture is no matter of this step alone.
        const cudaError_t state = cudaStreamQuery(stream);
        if (state != cudaErrorNotReady) check(state, "capturing the decode step");
        ++counts_.capture_failures;
        return false;
    };
    Recording recording;
    if (const cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
        error != cudaSuccess)
        return give_up(error);
    try {
        step_(kind, stream);
    } catch (const std::exception& error) {
        why = error.what();  // the capture has to be ended all the same
    }
    cudaGraph_t captured = nullptr;
    const cudaError_t error = cudaStreamEndCapture(stream, &captured);
    const std::unique_ptr<CUgraph_st, cudaError_t (*)(cudaGraph_t)> graph(captured, cudaGraphDestroy);
    if (error != cudaSuccess || !why.empty()) return give_up(error);
    check_graph(graph.get(), std::move(recording.kernels), n_kernels_(kind));
    auto instantiated = std::make_unique<Graph>();
    // An eager step needs no memory, so that want of it is no more than want of a graph.
    if (const cudaError_t failed = cudaGraphInstantiate(&instantiated->exec, graph.get(), 0); failed != cudaSuccess)
        return give_up(failed);
    if (const cudaError_t failed = cudaGraphUpload(instantiated->exec, stream); failed != cudaSuccess)
        return give_up(failed);
    instantiated->nodes = n_kernels_(kind);
    graphs_[kind] = std::move(instantiated);
    ++counts_.captures;
    return true;
}

}  // namespace reprise::cuda
