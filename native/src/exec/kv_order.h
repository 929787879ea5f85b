// Who is told when the memory for keys and values is used up: the newest of the sequences that are at work. An older
// one waits for it, as long as it works: it ends, or is told when it needs more itself.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

namespace reprise {

class KvOrder {
  public:
    using Clock = std::chrono::steady_clock;

    /// A sequence, newer than those that were there before.
    class Member {
      public:
        explicit Member(KvOrder& order);
        ~Member();
        Member(const Member&) = delete;
        Member& operator=(const Member&) = delete;

      private:
        friend KvOrder;
        KvOrder& order_;
        std::atomic<int> n_calls_{0};
        std::atomic<bool> waits_{false};
        std::atomic<Clock::duration> last_call_{Clock::duration::min()};  // when it ended, since the clock's epoch
    };

    /// The sequence is at work while there is one, and for a moment after.
    class Call {
      public:
        explicit Call(Member& member) : member_(member) { ++member_.n_calls_; }
        ~Call();
        Call(const Call&) = delete;
        Call& operator=(const Call&) = delete;

      private:
        Member& member_;
    };

    /// Runs attempt(), which takes memory, until it does not throw REPRISE_OUT_OF_MEMORY, as long as a newer sequence
    /// than member is at work; then what it throws is thrown. Not while an older one waits, for which the memory is.
    /// Throws REPRISE_CANCELLED if cancel becomes true while it waits.
    void take(Member& member, const std::atomic<bool>& cancel, const std::function<void()>& attempt);

  private:
    bool newer_at_work(const Member& member) const;
    bool older_waits(const Member& member) const;

    mutable std::mutex mutex_;
    std::vector<const Member*> members_;  // the oldest first
};

}  // namespace reprise
