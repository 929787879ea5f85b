// Many sessions of one model on the CPU, joining and leaving as they like: each gets what it gets alone, and whatever
// they do, nothing is left of it.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <random>
#include <thread>

#include "support/tiny_session.h"

namespace reprise::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class SessionStress : public ::testing::Test {
  protected:
    LoadedModel load(uint64_t kv_memory) const {
        ModelSpec spec = tiny_spec();
        spec.context_length = 1024;
        reprise_model_options options = model_options(REPRISE_DEVICE_CPU);
        options.kv_memory = kv_memory;
        return {write_tiny_model(dir_, spec, named_types("Q4_K_M", spec)), options};
    }

    TempDir dir_;
};

class Random {
  public:
    explicit Random(uint64_t seed) : generator_(seed) {}
    uint64_t below(uint64_t n) { return generator_() % n; }
    bool once_in(uint64_t n) { return below(n) == 0; }
    void pause() { std::this_thread::sleep_for(std::chrono::microseconds(below(3000))); }

  private:
    std::mt19937_64 generator_;
};

template <class T>
void append_bits(Ids& ids, const std::vector<T>& values) {
    for (const T& value : values) {
        int32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        ids.push_back(bits);
    }
}

reprise_sampling some_sampling(Random& random) {
    reprise_sampling sampling = greedy();
    sampling.logprobs = 1;  // which follows from all of a token's logits
    if (random.once_in(3)) return sampling;
    sampling.temperature = 1.1f;
    sampling.seed = random.below(1000);
    if (random.once_in(2)) sampling.top_k = 40;
    if (random.once_in(2)) sampling.top_p = 0.9f;
    if (random.once_in(2)) sampling.repeat_penalty = 1.2f;
    if (random.once_in(4)) sampling.dry_multiplier = 0.8f;
    if (random.once_in(4)) sampling.xtc_probability = 0.3f;
    return sampling;
}

/// A session with a prompt, options and an end that follow from the seed: its tokens, the bits of their probabilities
/// and those of the logits at its end.
Ids life(const LoadedModel& model, uint64_t seed, bool in_company) {
    constexpr reprise_kv_type TYPES[] = {REPRISE_KV_F16, REPRISE_KV_F16, REPRISE_KV_F32, REPRISE_KV_Q8_0};
    Random random(seed), pauses(seed + 1000);
    const auto pause = [&] {
        if (in_company && pauses.once_in(4)) pauses.pause();
    };
    reprise_session_options options = session_options(900, static_cast<int32_t>(random.below(3) * 50));
    options.kv_type = TYPES[random.below(4)];
    options.priority = static_cast<int32_t>(random.below(5)) - 2;
    const bool sharing = random.once_in(2);
    options.prefix_sharing = in_company && sharing;
    // Half of them begin alike.
    const Ids prompt = random.once_in(2) ? joined({some_ids(200, 7), some_ids(1 + random.below(60), seed)})
                                         : some_ids(1 + random.below(150), seed);
    const Ids end_ids = some_ids(1, seed + 1);
    const reprise_sampling sampling = some_sampling(random);
    for (uint64_t i = in_company ? pauses.below(20) : 0; i > 0; --i) pause();
    const OpenSession session = model.open(options);
    Ids result;
    int32_t left = 170 + static_cast<int32_t>(random.below(100));
    session.start(prompt, left, sampling, end_ids);
    for (int finish = REPRISE_FINISH_NONE; left > 0;) {
        const Generated some = session.take(1 + random.below(9));
        left -= static_cast<int32_t>(some.ids.size());
        result.insert(result.end(), some.ids.begin(), some.ids.end());
        append_bits(result, some.logprobs);
        finish = some.finish;
        if (finish == REPRISE_FINISH_MAX_TOKENS || left <= 0) break;
        if (finish != REPRISE_FINISH_NONE || random.once_in(30)) {  // an end token, or a turn of somebody else
            const Ids turn = some_ids(1 + random.below(20), seed + static_cast<uint64_t>(left));
            session.start(turn, left, sampling, end_ids);
        }
        pause();
    }
    append_bits(result, session.logits());
    return result;
}

TEST_F(SessionStress, SixtyFourSessionsThatComeAndGoGetWhatTheyGetAlone) {
    constexpr uint64_t N = 64;
    const LoadedModel model = load(0);
    std::vector<Ids> alone(N), together(N);
    for (uint64_t i = 0; i < N; ++i) alone[i] = life(model, i, false);
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < N; ++i) threads.emplace_back([&, i] { together[i] = life(model, i, true); });
    for (std::thread& thread : threads) thread.join();
    size_t n_tokens = 0;
    for (uint64_t i = 0; i < N; ++i) {
        EXPECT_TRUE(alone[i] == together[i]) << "seed " << i;
        n_tokens += (together[i].size() - 512) / 2;
    }
    EXPECT_GE(n_tokens, 10000u);
    EXPECT_EQ(0u, model.open().statistics().model_kv);
}

uint64_t resident_bytes() {
    uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages >> pages;
    return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

/// What a thread does with a session of its own until the time is over.
class User {
  public:
    User(const LoadedModel& model, std::string file, uint64_t seed, std::atomic<reprise_handle>& visible)
        : model_(model), file_(std::move(file)), random_(seed), visible_(visible) {}
    ~User() { close(); }

    void act() {
        if (session_ == 0) return open();
        switch (random_.below(12)) {
            case 0:
                return close();
            case 1:
                return replace([&](reprise_handle* fork) { return reprise_session_fork(session_, -1, fork); });
            case 2:
                return save_and_restore();
            case 3:
                return expect_ok(reprise_session_rewind(session_, static_cast<int32_t>(random_.below(position() + 1))));
            case 4:
            case 5:
                return evaluate();
            default:
                return generate();
        }
    }

    uint64_t n_told = 0, n_cancelled = 0, n_tokens = 0;

  private:
    uint64_t position() const {
        int32_t n = 0;
        ok(reprise_session_position(session_, &n));
        return static_cast<uint64_t>(n);
    }
    reprise_session_options options() {
        reprise_session_options o = session_options(700, random_.once_in(2) ? 0 : 64);
        o.prefix_sharing = !random_.once_in(4);
        o.priority = static_cast<int32_t>(random_.below(3));
        o.kv_type = random_.once_in(4) ? REPRISE_KV_Q8_0 : REPRISE_KV_DEFAULT;
        return o;
    }
    void expect_ok(reprise_status status) {
        if (status == REPRISE_OUT_OF_MEMORY) {
            ++n_told;
        } else if (status == REPRISE_CANCELLED) {
            ++n_cancelled;
        } else {
            ok(status);
        }
    }
    void show(reprise_handle session) { visible_ = session_ = session; }
    void open() {
        const reprise_session_options o = options();
        reprise_handle session = 0;
        ok(reprise_session_open(model_.handle(), &o, &session));
        show(session);
    }
    void close() {
        if (session_ == 0) return;
        const reprise_handle session = session_;
        show(0);
        ok(reprise_session_close(session));
    }
    template <class Make>
    void replace(Make make) {
        reprise_handle other = 0;
        const reprise_status status = make(&other);
        expect_ok(status);
        if (status != REPRISE_OK) return;
        close();
        show(other);
    }
    void save_and_restore() {
        const reprise_status status = reprise_session_save(session_, -1, file_.c_str(), nullptr, 0);
        expect_ok(status);
        if (status != REPRISE_OK) return;
        replace([&](reprise_handle* restored) {
            return reprise_session_restore(model_.handle(), file_.c_str(), 0, nullptr, restored);
        });
    }
    Ids prompt() {
        if (position() > 400) expect_ok(reprise_session_rewind(session_, 0));
        // One of few texts, so that they meet.
        const Ids ids = some_ids(1 + random_.below(200), 1 + random_.below(3));
        return position() == 0 ? joined({some_ids(150, random_.below(2)), ids}) : ids;
    }
    void evaluate() {
        const Ids ids = prompt();
        expect_ok(reprise_session_evaluate(session_, ids.data(), ids.size()));
    }
    void generate() {
        const Ids ids = prompt();
        const reprise_sampling sampling = some_sampling(random_);
        const auto n_most = static_cast<int32_t>(1 + random_.below(60));
        reprise_status status =
            reprise_session_generate(session_, ids.data(), ids.size(), &sampling, n_most, nullptr, 0);
        int32_t finish = REPRISE_FINISH_NONE;
        while (status == REPRISE_OK && finish == REPRISE_FINISH_NONE && !random_.once_in(100)) {
            reprise_token tokens[4];
            size_t n = 0;
            status = reprise_session_next(session_, tokens, 1 + random_.below(4), &n, &finish);
            n_tokens += n;
        }
        expect_ok(status);
    }

    const LoadedModel& model_;
    const std::string file_;
    Random random_;
    std::atomic<reprise_handle>& visible_;
    reprise_handle session_ = 0;
};

TEST_F(SessionStress, RandomUseByThirtyTwoThreadsLeavesNothingBehind) {
    constexpr uint64_t N = 32;
    const char* const given = std::getenv("REPRISE_STRESS_SECONDS");
    const auto duration = std::chrono::seconds(given != nullptr ? std::atol(given) : 30);
    const LoadedModel model = load(40 * 128 * 2 * 2 * 2 * 64 * 2);  // 40 blocks of 128 tokens in F16
    std::vector<std::atomic<reprise_handle>> visible(N);
    std::atomic<uint64_t> n_told{0}, n_cancelled{0}, n_tokens{0};
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < N; ++i) {
        threads.emplace_back([&, i] {
            User user(model, dir_.file("session-" + std::to_string(i)), i, visible[i]);
            while (!done) user.act();
            n_told += user.n_told;
            n_cancelled += user.n_cancelled;
            n_tokens += user.n_tokens;
        });
    }
    std::thread canceller([&] {
        Random random(99);
        while (!done) {
            std::this_thread::sleep_for(20ms);
            const reprise_handle session = visible[random.below(N)];
            if (session == 0) continue;
            const reprise_status status = reprise_session_cancel(session);
            if (status != REPRISE_INVALID_HANDLE) ok(status);  // closed meanwhile
        }
    });
    std::this_thread::sleep_for(duration / 3);
    const uint64_t early = resident_bytes();
    std::this_thread::sleep_for(duration * 2 / 3);
    const uint64_t late = resident_bytes();
    done = true;
    for (std::thread& thread : threads) thread.join();
    canceller.join();
    std::cout << n_tokens << " tokens, " << n_cancelled << " cancelled and " << n_told
              << " told; resident MiB: " << (early >> 20) << ", then " << (late >> 20) << "\n";
    EXPECT_LT(late, early + (8 << 20));
    EXPECT_GT(n_tokens, N);
    const reprise_statistics after = model.open().statistics();
    EXPECT_EQ(0u, after.model_kv);
    EXPECT_LE(after.model_kv_kept, 10u * 128 * 2 * 2 * 2 * 64 * 2);
}

}  // namespace
}  // namespace reprise::test
