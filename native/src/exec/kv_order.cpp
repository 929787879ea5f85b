#include "exec/kv_order.h"

#include <algorithm>
#include <thread>

#include "core/error.h"

namespace reprise {

namespace {

using namespace std::chrono_literals;

// A caller needs some 100 us between two calls for tokens of a generation. Who takes longer than this waits for
// something else, and an older sequence does not wait with it.
constexpr auto MOMENT = 200ms;
constexpr auto PAUSE = 2ms;  // between two attempts

}  // namespace

KvOrder::Member::Member(KvOrder& order) : order_(order) {
    std::lock_guard lock(order_.mutex_);
    order_.members_.push_back(this);
}

KvOrder::Member::~Member() {
    std::lock_guard lock(order_.mutex_);
    std::erase(order_.members_, this);
}

KvOrder::Call::~Call() {
    member_.last_call_ = Clock::now().time_since_epoch();
    --member_.n_calls_;
}

bool KvOrder::newer_at_work(const Member& member) const {
    const Clock::duration since = Clock::now().time_since_epoch() - MOMENT;
    std::lock_guard lock(mutex_);
    const auto own = std::ranges::find(members_, &member);
    return std::any_of(own + 1, members_.end(),
                       [&](const Member* newer) { return newer->n_calls_ > 0 || newer->last_call_.load() > since; });
}

bool KvOrder::older_waits(const Member& member) const {
    std::lock_guard lock(mutex_);
    return std::any_of(members_.begin(), std::ranges::find(members_, &member),
                       [](const Member* older) { return older->waits_.load(); });
}

void KvOrder::take(Member& member, const std::atomic<bool>& cancel, const std::function<void()>& attempt) {
    struct Waiting {
        Member& member;
        ~Waiting() { member.waits_ = false; }
    } waiting{member};
    for (;;) {
        // Asked first: whoever ends between the two has given back what it held.
        const bool may_wait = newer_at_work(member);
        try {
            if (older_waits(member)) {
                fail(REPRISE_OUT_OF_MEMORY,
                     "the memory for keys and values is used up, and older sessions of the model wait for it: close or "
                     "rewind some of them, or load the model with a larger kv_memory");
            }
            return attempt();
        } catch (const Error& error) {
            if (error.status() != REPRISE_OUT_OF_MEMORY || !may_wait) throw;
        }
        if (cancel.load()) fail(REPRISE_CANCELLED, "cancelled");
        member.waits_ = true;
        std::this_thread::sleep_for(PAUSE);
    }
}

}  // namespace reprise
