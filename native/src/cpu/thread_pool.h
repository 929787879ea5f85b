// A fixed set of threads that run one function together. One region runs a whole decode step: phases inside it are
// separated by barrier(), which spins, because a step has dozens of phases of a few microseconds each.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace reprise::cpu {

class ThreadPool {
  public:
    /// n_threads includes the caller of run(), which works too.
    explicit ThreadPool(size_t n_threads);
    ~ThreadPool();  // joins
    size_t size() const { return n_threads_; }

    /// Runs body(thread) for thread in [0, size()), on size() threads at once, and returns when all have. Callers on
    /// different threads take turns. body must not throw.
    void run(const std::function<void(size_t thread)>& body);

    /// Waits until every thread of the running region has arrived. Spins, then yields where cores are oversubscribed.
    void barrier();

  private:
    void work(size_t thread);
    void wake();
    void stop();

    const size_t n_threads_;
    const bool shares_cores_;  // more threads than cores: nobody spins
    std::mutex turn_;          // held for the length of a region
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<bool> stop_{false};
    const std::function<void(size_t)>* body_ = nullptr;  // published by region_
    // Each word that threads spin on lies on its own cache line.
    alignas(64) std::atomic<uint64_t> region_{0};
    alignas(64) std::atomic<uint64_t> phase_{0};
    alignas(64) std::atomic<size_t> arrived_{0};
    alignas(64) std::atomic<size_t> running_{0};
    alignas(64) std::atomic<size_t> sleepers_{0};
    std::vector<std::thread> threads_;
};

/// Threads the process may use: affinity mask, cgroup v1/v2 CPU quota (rounded up), hardware.
size_t available_threads();

}  // namespace reprise::cpu
