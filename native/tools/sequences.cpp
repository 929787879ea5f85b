#include "sequences.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <thread>

#include "tool.h"

namespace tool {

namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

/// One sequence, and what its thread measured in the last repetition.
struct Sequence {
    reprise_handle session = 0;
    std::vector<Clock::time_point> times;  // of its tokens
    uint64_t token_hash = 0;

    int32_t next(int32_t& finish) {
        reprise_token token;
        size_t count = 0;
        check(reprise_session_next(session, &token, 1, &count, &finish));
        if (count != 1) die("a generation ended before all of its tokens came");
        times.push_back(Clock::now());
        return token.id;
    }

    void run(size_t n_decode, std::barrier<>& start) {
        times.clear();
        check(reprise_session_generate(session, nullptr, 0, nullptr, static_cast<int32_t>(n_decode) + 1, nullptr, 0));
        TokenHash hash;
        int32_t finish = REPRISE_FINISH_NONE;
        hash.add(next(finish));
        start.arrive_and_wait();
        times[0] = Clock::now();
        for (size_t i = 0; i < n_decode; ++i) hash.add(next(finish));
        if (token_hash != 0 && token_hash != hash.value())
            die("greedy decoding gave other tokens in another repetition");
        token_hash = hash.value();
    }

    reprise_statistics statistics() const {
        reprise_statistics s;
        check(reprise_session_statistics(session, &s));
        return s;
    }
};

}  // namespace

SequencesResult measure_sequences(reprise_handle model, const reprise_session_options& options, size_t n_sequences,
                                  size_t n_prompt, size_t n_decode, long repetitions) {
    reprise_model_info info;
    check(reprise_model_get_info(model, &info));
    reprise_session_options session_options = options;
    session_options.context_length = static_cast<int32_t>(n_prompt + n_decode + 2);
    const std::vector<int32_t> ids = random_ids(n_sequences * n_prompt, info.n_vocab);
    std::vector<Sequence> sequences(n_sequences);
    for (Sequence& s : sequences) check(reprise_session_open(model, &session_options, &s.session));

    SequencesResult result{n_sequences, {}, 0, 0, 0, {}};
    const auto steps = [&] {
        uint64_t of_each = 0, of_all = 0;
        for (const Sequence& sequence : sequences) {
            const reprise_statistics s = sequence.statistics();
            of_each += s.eager_steps + s.graph_replays - s.discarded_steps;
            of_all = std::max(of_all, s.model_steps);
        }
        return of_all != 0 ? of_all : of_each;
    };
    std::vector<double> gaps;
    for (long r = 0; r <= repetitions; ++r) {
        for (size_t i = 0; i < n_sequences; ++i) {
            check(reprise_session_rewind(sequences[i].session, 0));
            check(reprise_session_evaluate(sequences[i].session, &ids[i * n_prompt], n_prompt));
        }
        const uint64_t steps_before = steps();
        std::barrier start(static_cast<std::ptrdiff_t>(n_sequences));
        std::vector<std::thread> threads;
        for (Sequence& s : sequences) threads.emplace_back([&] { s.run(n_decode, start); });
        for (std::thread& thread : threads) thread.join();
        if (r == 0) continue;
        Clock::time_point first = sequences[0].times.front(), last = first;
        for (const Sequence& s : sequences) {
            first = std::min(first, s.times.front());
            last = std::max(last, s.times.back());
            for (size_t i = 1; i < s.times.size(); ++i) gaps.push_back(seconds(s.times[i - 1], s.times[i]) * 1e6);
        }
        result.rates.push_back(static_cast<double>(n_sequences * n_decode) / seconds(first, last));
        result.steps = steps() - steps_before;
    }
    for (Sequence& s : sequences) {
        result.token_hashes.push_back(s.token_hash);
        check(reprise_session_close(s.session));
    }
    std::sort(result.rates.begin(), result.rates.end());
    std::sort(gaps.begin(), gaps.end());
    result.p50_us = gaps[gaps.size() / 2];
    result.p99_us = gaps[gaps.size() * 99 / 100];
    return result;
}

}  // namespace tool
