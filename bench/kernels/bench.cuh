// What the benchmarks of kernels share: device buffers, random numbers on host and device, timing by graph replay.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include "cuda/check.h"

namespace reprise::cuda::bench {

template <typename T>
struct Buffer {
    T* data = nullptr;
    size_t n;
    explicit Buffer(size_t count) : n(count) {
        check(cudaMalloc(reinterpret_cast<void**>(&data), n * sizeof(T)), "allocating");
        check(cudaMemset(data, 0, n * sizeof(T)), "clearing");
    }
    explicit Buffer(const std::vector<T>& v) : Buffer(v.size()) {
        check(cudaMemcpy(data, v.data(), n * sizeof(T), cudaMemcpyHostToDevice), "uploading");
    }
    ~Buffer() { cudaFree(data); }
    Buffer(const Buffer&) = delete;
    std::vector<T> download() const {
        std::vector<T> v(n);
        check(cudaMemcpy(v.data(), data, n * sizeof(T), cudaMemcpyDeviceToHost), "downloading");
        return v;
    }
};

inline std::vector<float> normals(size_t n, uint32_t seed, float scale = 1.f) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal(0.f, scale);
    std::vector<float> v(n);
    for (float& x : v) x = normal(engine);
    return v;
}

/// Random bits of a number.
__host__ __device__ inline uint32_t hash(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

/// Microseconds per replay of what enqueue() enqueues: the median of several. ahead: a replay more before each that is
/// timed, so that the host's part of a launch is over when that one's turn comes.
inline double time_graph(const std::function<void(cudaStream_t)>& enqueue, int replays = 20, bool ahead = false) {
    cudaStream_t stream;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
    enqueue(stream);
    check(cudaStreamSynchronize(stream), "running");
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
    enqueue(stream);
    check(cudaStreamEndCapture(stream, &graph), "capturing");
    check(cudaGraphInstantiate(&exec, graph, 0), "instantiating");
    cudaEvent_t begin, end;
    check(cudaEventCreate(&begin), "creating an event");
    check(cudaEventCreate(&end), "creating an event");
    std::vector<double> times;
    for (int i = 0; i < replays + 2; ++i) {
        if (ahead) check(cudaGraphLaunch(exec, stream), "replaying");
        check(cudaEventRecord(begin, stream), "timing");
        check(cudaGraphLaunch(exec, stream), "replaying");
        check(cudaEventRecord(end, stream), "timing");
        check(cudaStreamSynchronize(stream), "replaying");
        float ms;
        check(cudaEventElapsedTime(&ms, begin, end), "timing");
        if (i >= 2) times.push_back(ms * 1e3);
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return times[times.size() / 2];
}

}  // namespace reprise::cuda::bench
