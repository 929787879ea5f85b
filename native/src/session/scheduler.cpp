#include "session/scheduler.h"

#include <algorithm>

#include "core/error.h"

namespace reprise {

namespace {

using std::chrono::nanoseconds;

// How long a step waits for sequences that decode: half of what a step takes, since a step that one of them misses
// costs it a whole one; a caller needs some 100 us to draw a token and come back.
constexpr nanoseconds LEAST_PATIENCE = std::chrono::microseconds(500), MOST_PATIENCE = std::chrono::milliseconds(10);
// Rows of prompts may make a step that decodes this many times as long.
constexpr double MOST_DELAY = 3;
// A job that so many steps have passed over counts as one of the next higher priority, so that none waits for ever.
constexpr uint64_t STEPS_PER_PRIORITY = 4;
constexpr size_t LEAST_PROMPT_ROWS = 4, USUAL_PROMPT_ROWS = 32;

void follow(double& mean, double value) { mean = mean == 0 ? value : mean + (value - mean) / 8; }

}  // namespace

Scheduler::Scheduler(size_t max_rows, Compute compute) : max_rows_(max_rows), compute_(std::move(compute)) {
    shares_.reserve(max_rows);
}

void Scheduler::expect(Member& member, bool expected) {
    if (member.expected_ == expected) return;
    member.expected_ = expected;
    if (expected) {
        expected_.push_back(&member);
    } else {
        std::erase(expected_, &member);
    }
    if (expected_.empty()) gathered_.notify_one();
}

void Scheduler::leave(Member& member) {
    std::lock_guard lock(mutex_);
    expect(member, false);
    member.returns_quickly_ = true;
    member.served_ = {};
}

nanoseconds Scheduler::patience() const {
    return std::clamp(nanoseconds(static_cast<int64_t>(decode_step_ns_ / 2)), LEAST_PATIENCE, MOST_PATIENCE);
}

void Scheduler::run(Job& job) {
    Lock lock(mutex_);
    expected_.reserve(expected_.size() + jobs_.size() + 1);
    jobs_.push_back(&job);
    job.since_ = n_formed_;
    if (job.decodes_ && job.member_.served_ != Clock::time_point{})
        job.member_.returns_quickly_ = Clock::now() - job.member_.served_ <= patience();
    expect(job.member_, false);
    if (led_) {
        job.changed_.wait(lock, [&] { return job.finished_ || job.leads_; });
    } else {
        led_ = job.leads_ = true;
    }
    while (!job.finished_) step(lock);
    if (job.leads_) {
        led_ = !jobs_.empty();
        if (led_) {
            jobs_.front()->leads_ = true;
            jobs_.front()->changed_.notify_one();
        }
    }
    if (job.error_ != nullptr) std::rethrow_exception(job.error_);
    if (job.cancelled_) fail(REPRISE_CANCELLED, "cancelled");
}

void Scheduler::finish(Job& job, bool cancelled) {
    job.finished_ = true;
    job.cancelled_ = cancelled;
    std::erase(jobs_, &job);
    job.changed_.notify_one();
}

void Scheduler::finish_cancelled() {
    for (size_t i = jobs_.size(); i-- > 0;) {
        if (jobs_[i]->cancel_.load(std::memory_order_relaxed)) finish(*jobs_[i], true);
    }
}

void Scheduler::gather(Lock& lock) {
    if (expected_.empty()) return;
    if (gathered_.wait_for(lock, patience(), [&] { return expected_.empty(); })) return;
    while (!expected_.empty()) expect(*expected_.back(), false);
}

size_t Scheduler::prompt_rows_beside(size_t n_decoding) const {
    const size_t room = max_rows_ - n_decoding;
    if (n_decoding == 0) return room;
    size_t n = USUAL_PROMPT_ROWS;
    if (decode_step_ns_ > 0 && prompt_row_ns_ > 0)
        n = static_cast<size_t>((MOST_DELAY - 1) * decode_step_ns_ / prompt_row_ns_);
    return std::min(room, std::max(n, LEAST_PROMPT_ROWS));
}

void Scheduler::rank() {
    for (Job* job : jobs_) {
        const auto passed_over = static_cast<int64_t>((n_formed_ - job->since_) / STEPS_PER_PRIORITY);
        job->rank_ = job->member_.priority_ + passed_over;
    }
    std::ranges::stable_sort(jobs_, [](const Job* a, const Job* b) {
        return a->rank_ != b->rank_ ? a->rank_ > b->rank_ : a->since_ < b->since_;
    });
}

void Scheduler::select() {
    shares_.clear();
    rank();
    for (Job* job : jobs_) {
        if (job->decodes_ && shares_.size() < max_rows_) shares_.push_back({job, 0, 1});
    }
    size_t room = prompt_rows_beside(shares_.size());
    const auto is_equal = [](const Job& job, const Job& other) { return !job.decodes_ && job.rank_ == other.rank_; };
    size_t n_equal = 0;  // prompts of this rank that are still to come
    for (size_t i = 0; i < jobs_.size() && room > 0; ++i) {
        Job* const job = jobs_[i];
        if (job->decodes_) continue;
        if (n_equal == 0) {
            n_equal = static_cast<size_t>(std::count_if(jobs_.begin() + static_cast<std::ptrdiff_t>(i), jobs_.end(),
                                                        [&](const Job* other) { return is_equal(*other, *job); }));
        }
        const size_t fair = (room + n_equal - 1) / n_equal;
        --n_equal;
        const size_t n = std::min({job->n_rows_ - job->n_done_, job->chunk_, fair});
        shares_.push_back({job, job->n_done_, n});
        room -= n;
    }
    ++n_formed_;
    for (const Share& share : shares_) share.job->since_ = n_formed_;
}

void Scheduler::account(nanoseconds elapsed) {
    size_t n_rows = 0;
    bool decodes_only = true;
    for (const Share& share : shares_) {
        n_rows += share.n;
        decodes_only &= share.job->decodes_;
    }
    const auto ns = static_cast<double>(elapsed.count());
    if (decodes_only) {
        follow(decode_step_ns_, ns);
    } else if (n_rows >= LEAST_PROMPT_ROWS) {
        follow(prompt_row_ns_, ns / static_cast<double>(n_rows));
    }
    n_steps_.fetch_add(1, std::memory_order_relaxed);
    n_rows_.fetch_add(n_rows, std::memory_order_relaxed);
}

void Scheduler::step(Lock& lock) {
    gather(lock);
    finish_cancelled();
    if (jobs_.empty()) return;
    select();
    lock.unlock();
    const Clock::time_point start = Clock::now();
    std::exception_ptr error;
    bool computed = false;
    try {
        computed = compute_(shares_, [this] {
            return std::ranges::all_of(shares_,
                                       [](const Share& s) { return s.job->cancel_.load(std::memory_order_relaxed); });
        });
    } catch (...) {
        error = std::current_exception();
    }
    const Clock::time_point end = Clock::now();
    lock.lock();
    if (computed) account(end - start);
    for (const Share& share : shares_) {
        Job& job = *share.job;
        if (!computed) {
            job.error_ = error;
            finish(job, error == nullptr);
            continue;
        }
        job.n_done_ += share.n;
        if (job.n_done_ < job.n_rows_) continue;
        job.member_.served_ = end;
        expect(job.member_, job.decodes_ && job.member_.returns_quickly_);
        finish(job, false);
    }
}

}  // namespace reprise
