#include "cpu/thread_pool.h"

#include <sched.h>

#include <system_error>

#include "core/error.h"

namespace reprise::cpu {
namespace {

// In pauses of 40 to 140 cycles. At a barrier: some 5 us, then the core is offered to whoever needs it at every look,
// which costs nothing on an idle machine and makes a step faster on a busy one. Between regions: some 30 us,
// longer than a caller needs from one decode step to the next.
constexpr int kBarrierSpins = 200;
constexpr int kIdleSpins = 1500;

void pause() { __builtin_ia32_pause(); }

/// Spins for a while, then gives the core away, until done() is true.
template <class Done>
void spin_until(int spins, const Done& done) {
    for (int i = 0; i < spins; ++i) {
        if (done()) return;
        pause();
    }
    while (!done()) sched_yield();
}

}  // namespace

ThreadPool::ThreadPool(size_t n_threads)
    : n_threads_(n_threads < 1 ? 1 : n_threads), shares_cores_(n_threads_ > available_threads()) {
    threads_.reserve(n_threads_ - 1);
    try {
        for (size_t thread = 1; thread < n_threads_; ++thread) threads_.emplace_back([this, thread] { work(thread); });
    } catch (const std::system_error& error) {
        const size_t started = threads_.size() + 1;
        stop();
        fail(REPRISE_OUT_OF_MEMORY,
             "only %zu of %zu threads could be started (%s): ask for fewer (threads), or raise the process's limit",
             started, n_threads_, error.what());
    } catch (...) {
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
    stop_.store(true);
    wake();
    for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::wake() {
    // Pairs with work(): either the sleeper counted itself before this load and is woken, or it sees what was stored
    // before the call. The empty critical section keeps the notification from falling between its check and its wait.
    if (sleepers_.load() == 0) return;
    {
        std::lock_guard lock(mutex_);
    }
    wake_.notify_all();
}

void ThreadPool::work(size_t thread) {
    const int idle_spins = shares_cores_ ? 0 : kIdleSpins;
    uint64_t seen = 0;
    const auto called = [&] { return region_.load() != seen || stop_.load(); };
    for (;;) {
        for (int i = 0; i < idle_spins && !called(); ++i) pause();
        if (!called()) {
            std::unique_lock lock(mutex_);
            sleepers_.fetch_add(1);
            wake_.wait(lock, called);
            sleepers_.fetch_sub(1);
        }
        if (stop_.load()) return;
        seen = region_.load();
        (*body_)(thread);
        running_.fetch_sub(1, std::memory_order_release);
    }
}

void ThreadPool::run(const std::function<void(size_t thread)>& body) {
    std::lock_guard lock(turn_);
    if (n_threads_ == 1) return body(0);
    body_ = &body;
    running_.store(n_threads_ - 1, std::memory_order_relaxed);
    region_.fetch_add(1);
    wake();
    body(0);
    spin_until(shares_cores_ ? 0 : kBarrierSpins, [&] { return running_.load(std::memory_order_acquire) == 0; });
}

void ThreadPool::barrier() {
    if (n_threads_ == 1) return;
    const uint64_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        phase_.store(phase + 1, std::memory_order_release);
        return;
    }
    spin_until(shares_cores_ ? 0 : kBarrierSpins, [&] { return phase_.load(std::memory_order_acquire) != phase; });
}

}  // namespace reprise::cpu
