// Forms steps from what the callers of a model's sessions want computed, so that those who come at the same time share
// one. There is no thread of its own: the first caller who finds nobody at it computes the steps, for others too, until
// its own rows are done, and hands over to one who waits. So a lone caller waits for nobody.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

namespace reprise {

class Scheduler {
  public:
    using Clock = std::chrono::steady_clock;

    /// A sequence, as the scheduler knows it. It is not in a job when it ends.
    class Member {
      public:
        /// Of a higher priority it goes first where a step has no room for all.
        explicit Member(Scheduler& scheduler, int32_t priority = 0) : scheduler_(scheduler), priority_(priority) {}
        ~Member() { scheduler_.leave(*this); }
        Member(const Member&) = delete;
        Member& operator=(const Member&) = delete;

      private:
        friend Scheduler;
        Scheduler& scheduler_;
        const int32_t priority_;
        bool expected_ = false;        // its next row is, soon
        bool returns_quickly_ = true;  // as it did the last time
        Clock::time_point served_;     // when its last row was computed
    };

    /// What a caller wants computed: tokens of one sequence, one after the other.
    class Job {
      public:
        /// At most chunk rows in a step. decodes: one row of a sequence that generates, so that another will follow.
        Job(Member& member, size_t n_rows, size_t chunk, bool decodes, const std::atomic<bool>& cancel)
            : member_(member), n_rows_(n_rows), chunk_(chunk), decodes_(decodes), cancel_(cancel) {}

      private:
        friend Scheduler;
        Member& member_;
        const size_t n_rows_, chunk_;
        const bool decodes_;
        const std::atomic<bool>& cancel_;
        size_t n_done_ = 0;
        uint64_t since_ = 0;  // the step that had rows of it last, or before which it came
        int64_t rank_ = 0;    // for the present step
        bool finished_ = false, leads_ = false, cancelled_ = false;
        std::exception_ptr error_;
        std::condition_variable changed_;
    };

    /// Rows of a job in a step: n from the first on.
    struct Share {
        Job* job;
        size_t first, n;
    };

    /// Computes a step, one at a time. False if it was given up because given_up() was true. What it throws is thrown
    /// to all who share the step.
    using Compute = std::function<bool(std::span<const Share> shares, const std::function<bool()>& given_up)>;

    /// compute takes up to max_rows rows.
    Scheduler(size_t max_rows, Compute compute);

    /// Returns when the rows of the job are computed. Throws REPRISE_CANCELLED if its cancel became true before that,
    /// once no step has its rows any more.
    void run(Job& job);
    /// The sequence does not generate any more: nobody waits for it.
    void leave(Member& member);

    uint64_t n_steps() const { return n_steps_.load(std::memory_order_relaxed); }
    uint64_t n_rows() const { return n_rows_.load(std::memory_order_relaxed); }

  private:
    using Lock = std::unique_lock<std::mutex>;

    void expect(Member& member, bool expected);
    void finish(Job& job, bool cancelled);
    void finish_cancelled();
    /// Waits, for a bounded time, for sequences that decode and are about to come back.
    void gather(Lock& lock);
    std::chrono::nanoseconds patience() const;
    /// What is of a higher rank first, then what has waited for longest.
    void rank();
    void select();
    size_t prompt_rows_beside(size_t n_decoding) const;
    void step(Lock& lock);
    void account(std::chrono::nanoseconds elapsed);

    const size_t max_rows_;
    const Compute compute_;
    std::mutex mutex_;
    std::condition_variable gathered_;
    // Both have room before a job comes in, so that nothing fails while steps are formed.
    std::vector<Job*> jobs_;         // that are not finished
    std::vector<Member*> expected_;  // members with expected_
    bool led_ = false;               // somebody computes steps
    uint64_t n_formed_ = 0;          // steps
    std::vector<Share> shares_;      // of the present step
    std::atomic<uint64_t> n_steps_{0}, n_rows_{0};
    // Running means, nanoseconds; 0: not measured yet.
    double decode_step_ns_ = 0;  // of steps without prompts
    double prompt_row_ns_ = 0;   // of steps with many rows, by the row
};

}  // namespace reprise
