// The vocabulary is split into spans of SAMPLER_SPAN ids, one block each. What needs all blocks is done by the last one
// to arrive; everything that blocks add to is an integer, so that the order of arrival does not show.
//
// Thresholds (the k-th rank key, the key at which top-p's mass is reached) are found without sorting the vocabulary: a
// histogram over buckets of the logit's distance from the maximum finds the bucket. Mostly few keys lie in the buckets
// up to there: they are gathered, and one block sorts them and draws among them. Where they are many, the keys of that
// bucket alone are gathered, the threshold is found among them, by sorting or by a radix search, and all blocks take
// part in the drawing.
#include "cuda/sampler.h"

#include <cuda/atomic>

#include "cuda/launch.cuh"
#include "cuda/sampler_block.cuh"
#include "session/sampler.h"
#include "session/sampler_math.h"

namespace reprise::cuda {

namespace {

using namespace sampler;
using namespace sampler_block;

constexpr uint32_t PER_THREAD = SAMPLER_SPAN / THREADS;

uint32_t block_count(uint32_t n_vocab) { return (n_vocab + SAMPLER_SPAN - 1) / SAMPLER_SPAN; }

/// The ids of the block's span that a thread looks at, and their logits after penalties, as far as there are some.
__device__ __forceinline__ uint32_t id_in_span(uint32_t j) {
    return blockIdx.x * SAMPLER_SPAN + j * THREADS + threadIdx.x;
}
__device__ __forceinline__ void load_span(const SamplerBuffers& b, float (&logits)[PER_THREAD]) {
#pragma unroll
    for (uint32_t j = 0; j < PER_THREAD; ++j) logits[j] = id_in_span(j) < b.n_vocab ? b.adjusted[id_in_span(j)] : 0.f;
}

__device__ bool has_penalties(const reprise_sampling& s) {
    return s.repeat_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0;
}

/// Of a logit x above the maximum (x <= 0): 0 for the maximum, the last for what cannot be drawn (-inf and NaN), the
/// one before it for what has no weight at a temperature of 1, but may have some at a higher one or where XTC drops
/// what is likelier. Never lower for a smaller logit, so that buckets are ranges of rank keys.
__device__ uint32_t bucket_of(float x) {
    if (!(x > -INFINITY)) return SAMPLER_BUCKETS - 1;
    if (x <= -22.f) return SAMPLER_BUCKETS - 2;
    return min(static_cast<uint32_t>(mul(-x, (SAMPLER_BUCKETS - 3) / 22.f)), SAMPLER_BUCKETS - 3);
}

/// The float that order_key() made it of.
__device__ float float_of(uint32_t order) { return from_bits(order & 0x80000000u ? order & 0x7fffffffu : ~order); }
/// The logit in a rank key; of zeros, one without a sign.
__device__ float logit_of(u64 key) { return float_of(static_cast<uint32_t>(key >> 32)); }
__device__ uint32_t id_of(u64 key) { return 0xffffffffu - static_cast<uint32_t>(key); }

constexpr float NO_LOGPROB = __builtin_nanf("");
/// [REPRISE_MAX_TOP_LOGPROBS] behind those of the blocks.
__device__ u64* likeliest_of_all(const SamplerBuffers& b) {
    return b.likeliest + (b.n_vocab + SAMPLER_SPAN - 1) / SAMPLER_SPAN * REPRISE_MAX_TOP_LOGPROBS;
}

/// Softmax of the unmodified logits, from the sums of all blocks. One thread.
struct LogSoftmax {
    __device__ explicit LogSoftmax(const SamplerBuffers& b) {
        const uint32_t blocks = (b.n_vocab + SAMPLER_SPAN - 1) / SAMPLER_SPAN;
        for (uint32_t i = 0; i < blocks; ++i) max = fmaxf(max, __ldcg(&b.logit_sums[i].max));
        double sum = 0;
        for (uint32_t i = 0; i < blocks; ++i) {
            const float of_block = __ldcg(&b.logit_sums[i].max);
            if (of_block > -INFINITY) sum += __ldcg(&b.logit_sums[i].sum) * exp(static_cast<double>(of_block) - max);
        }
        log_sum = log(sum);
    }
    __device__ float of(float logit) const { return static_cast<float>(static_cast<double>(logit) - max - log_sum); }
    float max = -INFINITY;
    double log_sum;
};

/// The log-probability of token, if there is one, and the alternatives go to entry number slot of the ring. One thread.
__device__ void publish_logprobs(const SamplerBuffers& b, int32_t token, uint32_t slot) {
    const LogSoftmax softmax(b);
    b.ring[slot].logprob = token != NO_TOKEN ? softmax.of(b.logits[token]) : NO_LOGPROB;
    const auto n = static_cast<uint32_t>(b.sampling->n_top_logprobs);
    for (uint32_t i = 0; i < n; ++i) {
        const u64 key = __ldcg(likeliest_of_all(b) + i);
        reprise_token& to = b.alternatives[slot * REPRISE_MAX_TOP_LOGPROBS + i];
        if (is_drawable(key)) {
            to = {static_cast<int32_t>(id_of(key)), softmax.of(logit_of(key))};
        } else {
            to = {NO_TOKEN, NO_LOGPROB};
        }
    }
}

/// The end of a step: the token goes to the state, the counts and the ring; NO_TOKEN to the ring alone. One thread.
__device__ void publish(const SamplerBuffers& b, int32_t token, uint32_t advance) {
    const DecodeState before = *b.state;  // all loads at once: the step waits for this thread
    const bool wants_logprob = b.sampling->logprobs != 0, exists = token != NO_TOKEN;
    const uint32_t position = before.position + advance, number = before.n_sampled + 1;
    const bool queued = before.queue_next < before.queue_end;
    const int32_t next = queued ? b.queue[before.queue_next] : exists ? token : 0;
    delay_point();
    if (exists) atomicAdd(b.counts + token, 1);  // alone there; unlike += it does not wait for the old value
    DecodeState& state = *b.state;
    state.token = next;
    if (queued) state.queue_next = before.queue_next + 1;
    state.position = position;
    state.seq_len = position + 1;
    state.n_sampled = number;
    const uint32_t slot = (number - 1) % RING_SIZE;
    if (wants_logprob) {
        publish_logprobs(b, token, slot);
        __threadfence_system();  // takes a round trip to the host's memory
    }
    delay_point();
    const uint64_t word = static_cast<uint64_t>(number) << 32 | static_cast<uint32_t>(token);
    ::cuda::atomic_ref<uint64_t, ::cuda::thread_scope_system>(b.ring[slot].number_and_token)
        .store(word, ::cuda::memory_order_relaxed);
}

/// The host's input for the ids of one block.
struct SpanInput {
    uint32_t mask[SAMPLER_SPAN / 32];
    uint32_t penalties[2];  // the first and the one behind the last
    float penalty[SAMPLER_SPAN];
};

/// Before the predecessor's end: the host wrote its input before it launched the drawing, and writes again only when it
/// has the token. It lies in the host's memory, from where each block has it in two requests, past caches that may hold
/// that of an earlier drawing.
__device__ void load_host_input(const SamplerBuffers& b, SpanInput& to) {
    static_assert(SAMPLER_SPAN / 32 == 32);
    const DeviceHostInput& from = b.host_input;
    const uint32_t lane = threadIdx.x % 32;
    if (threadIdx.x < 32) {
        to.mask[lane] = __ldcv(from.mask + blockIdx.x * 32 + lane);
    } else if (threadIdx.x < 34) {
        to.penalties[lane] = __ldcv(from.first_penalty + blockIdx.x + lane);
    }
    for (uint32_t i = threadIdx.x; i < SAMPLER_SPAN; i += THREADS) to.penalty[i] = 0;
    __syncthreads();
    for (uint32_t i = to.penalties[0] + threadIdx.x; i < to.penalties[1]; i += THREADS) {
        const int2 entry = __ldcv(reinterpret_cast<const int2*>(from.penalties) + i);
        to.penalty[static_cast<uint32_t>(entry.x) % SAMPLER_SPAN] = __int_as_float(entry.y);
    }
    __syncthreads();
}

/// Constraint, bias, penalties and the maximum. Greedy: also the end. to_host: null, or where all logits go before the
/// token does.
template <bool HOST_PART>
__global__ void __launch_bounds__(THREADS)
    scan_kernel(SamplerBuffers b, bool greedy, float* to_host, uint32_t advance) {
    release_successor();
    __shared__ typename std::conditional<HOST_PART, SpanInput, char>::type input;
    if constexpr (HOST_PART) load_host_input(b, input);
    // A step's weights have pushed these out of the L2.
    if (threadIdx.x == 0) {
        for (const void* p : {static_cast<const void*>(b.sampling), static_cast<const void*>(b.state),
                              static_cast<const void*>(b.work)})
            asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
    }
    wait_for_predecessor();
    const reprise_sampling& s = *b.sampling;
    const bool penalties = has_penalties(s), biases = s.n_logit_bias > 0;
    delay_point();
    for (uint32_t i = blockIdx.x * THREADS + threadIdx.x; i < SAMPLER_BUCKETS && !greedy; i += gridDim.x * THREADS) {
        b.bucket_count[i] = 0;
        b.bucket_mass[i] = 0;
    }
    float logits[PER_THREAD];
    u64 best = 0;
    float largest = -INFINITY;
#pragma unroll
    for (uint32_t j = 0; j < PER_THREAD; ++j) {
        const uint32_t id = id_in_span(j);
        logits[j] = id < b.n_vocab ? b.logits[id] : __uint_as_float(0x7fc00000u);
        largest = fmaxf(largest, logits[j]);
        if (id >= b.n_vocab) continue;
        if (to_host != nullptr) to_host[id] = logits[j];
        float l = logits[j];
        if constexpr (HOST_PART) {
            const uint32_t at = id % SAMPLER_SPAN;
            if ((input.mask[at / 32] >> at % 32 & 1) == 0) l = -INFINITY;
        }
        if (biases) l = add(l, b.bias[id]);
        if (penalties) l = penalized(l, b.counts[id], s.repeat_penalty, s.presence_penalty, s.frequency_penalty);
        if constexpr (HOST_PART) l = add(l, -input.penalty[id % SAMPLER_SPAN]);
        if (!greedy) b.adjusted[id] = l;
        const u64 key = rank_key(l, id);
        best = key > best ? key : best;
    }
    best = block_max(best);
    if (s.logprobs != 0) {
        // Order keys order as the floats do, and the block's maximum must not depend on the order of threads either.
        const float max = float_of(static_cast<uint32_t>(block_max(order_key(largest))));
        double sum = 0;
        for (uint32_t j = 0; j < PER_THREAD; ++j) {
            if (logits[j] == logits[j] && max > -INFINITY) sum += exp(static_cast<double>(logits[j] - max));
        }
        __shared__ double partial[WARPS];
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
        if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
        __syncthreads();
        if (threadIdx.x == 0) {
            sum = 0;
            for (uint32_t w = 0; w < WARPS; ++w) sum += partial[w];
            b.logit_sums[blockIdx.x] = {max, sum};
        }
    }
    if (threadIdx.x == 0) atomicMax(&b.work->best, best);
    if (!is_last_arrival(&b.work->arrived, gridDim.x) || threadIdx.x != 0) return;
    SamplerWork& work = *b.work;
    const u64 winner = __ldcg(&work.best);
    work.best = 0;
    const int32_t argmax = is_drawable(winner) ? static_cast<int32_t>(id_of(winner)) : NO_TOKEN;
    if (greedy) {
        if (to_host != nullptr) __threadfence_system();  // also of what the other blocks stored before they arrived
        return publish(b, argmax, advance);
    }
    work.argmax = argmax;
    work.max = argmax != NO_TOKEN ? __ldcg(b.adjusted + argmax) : -INFINITY;
    work.top = work.max;
    work.keep_from = 0;
    work.keep_to = ~u64{0};
    work.top_k = work.is_short = work.keeps_all = work.drawn = false;
}

/// How many ids and, for top-p, how much weight each bucket has; then the bucket of the first threshold.
__global__ void __launch_bounds__(THREADS) histogram_kernel(SamplerBuffers b, bool top_k, bool top_p) {
    static_assert(SAMPLER_BUCKETS == THREADS);
    const uint32_t own_bucket = threadIdx.x;
    // Of the weights the lower 16 bits and the others apart: shared memory adds 32 bits at once.
    __shared__ uint32_t count[SAMPLER_BUCKETS], low[SAMPLER_BUCKETS], high[SAMPLER_BUCKETS];
    static_assert(SAMPLER_SPAN <= 1 << 15);
    release_successor();
    count[own_bucket] = low[own_bucket] = high[own_bucket] = 0;
    wait_for_predecessor();
    SamplerWork& work = *b.work;
    float logits[PER_THREAD];
    load_span(b, logits);
    const float max = work.max;
    if (!isfinite(max)) return;
    __syncthreads();
#pragma unroll
    for (uint32_t j = 0; j < PER_THREAD; ++j) {
        if (id_in_span(j) >= b.n_vocab) break;
        const float x = add(logits[j], -max);
        const uint32_t bucket = bucket_of(x);
        atomicAdd(&count[bucket], 1u);
        if (!top_p) continue;
        const u64 mass = weight(x);
        atomicAdd(&low[bucket], static_cast<uint32_t>(mass & 0xffff));
        atomicAdd(&high[bucket], static_cast<uint32_t>(mass >> 16));
    }
    __syncthreads();
    delay_point();
    const u64 of_span = (static_cast<u64>(high[own_bucket]) << 16) + low[own_bucket];
    if (count[own_bucket] != 0) atomicAdd(b.bucket_count + own_bucket, count[own_bucket]);
    if (of_span != 0) atomicAdd(b.bucket_mass + own_bucket, of_span);
    if (!is_last_arrival(&b.work->arrived, gridDim.x)) return;
    const u64 own_count = __ldcg(b.bucket_count + own_bucket), own_mass = __ldcg(b.bucket_mass + own_bucket);
    u64 n_ids;
    const u64 higher = block_prefix(own_count, n_ids);
    // What is in the last bucket cannot be drawn: a top-k that reaches into it, as where a constraint leaves few
    // tokens, drops nothing that could, and need not be told apart from its neighbours.
    const u64 n_drawable = n_ids - __ldcg(b.bucket_count + SAMPLER_BUCKETS - 1);
    const auto k = static_cast<u64>(b.sampling->top_k);
    const bool by_count = top_k && k < n_drawable, keeps_all = top_k && !by_count && !top_p;
    Crossing crossing = {SAMPLER_BUCKETS - 2, 0, 0};
    if (!keeps_all) {
        crossing = find_crossing(
            SAMPLER_BUCKETS, [&](uint32_t) { return by_count ? own_count : own_mass; },
            [&](u64 total) { return by_count ? k : fraction_of(b.sampling->top_p, total); });
    }
    if (own_bucket != crossing.index) return;
    work.bucket = crossing.index;
    work.above = crossing.before;
    work.target = crossing.target;
    work.top_k = by_count;
    work.is_short = higher + own_count <= SAMPLER_SHORT_LIST;
    work.keeps_all = keeps_all && !work.is_short;
}

/// The first running sum that exceeds the definition's target is the first to reach one more.
__device__ u64 draw_target(const reprise_sampling& s, uint32_t position, u64 total) {
    return mul_high(philox(s.seed, position), total) + 1;
}

__device__ bool xtc_drops(const reprise_sampling& s, uint32_t position) {
    return s.xtc_probability > 0 && xtc_applies(s.xtc_probability, s.seed, position);
}

/// Draws among n keys, whose complements are sorted in shared memory: those of the highest buckets, which hold all that
/// the thresholds keep.
__device__ void draw_from_list(const SamplerBuffers& b, u64* keys, uint32_t n, bool top_p, uint32_t advance) {
    const reprise_sampling& s = *b.sampling;
    const float max = b.work->max;
    const bool top_k = b.work->top_k;
    const uint32_t position = b.state->position + advance;
    uint32_t kept = top_k ? min(n, static_cast<uint32_t>(s.top_k)) : n;
    if (top_p) {  // of the mass of all, or of what top-k keeps
        const auto mass_at = [&](uint32_t i) { return static_cast<u64>(weight(add(logit_of(~keys[i]), -max))); };
        const auto target_of = [&](u64 total) { return top_k ? fraction_of(s.top_p, total) : b.work->target; };
        kept = find_crossing(kept, mass_at, target_of).index + 1;
    }
    const u64 min_weight = fraction_of(s.min_p, u64{1} << 32);
    u64 keep_to = ~keys[0];
    if (xtc_drops(s, position)) {
        const auto mass_at = [&](uint32_t i) {
            const u64 mass = weight(add(logit_of(~keys[i]), -max));
            return mass < min_weight ? u64{0} : mass;
        };
        u64 own = 0, total;
        for (uint32_t i = threadIdx.x; i < kept; i += THREADS) own += mass_at(i);
        block_prefix(own, total);
        const u64 least = fraction_of(s.xtc_threshold, total);
        u64 last = 0;
        for (uint32_t i = threadIdx.x; i < kept; i += THREADS) last = mass_at(i) >= least ? i : last;
        keep_to = ~keys[block_max(last)];
    }
    const float top = logit_of(keep_to);
    __syncthreads();
    // By id, each with the upper half of its key.
    for (uint32_t i = threadIdx.x; i < kept; i += THREADS)
        keys[i] = static_cast<u64>(id_of(~keys[i])) << 32 | ~keys[i] >> 32;
    sort_keys(keys, kept);
    const auto weight_at = [&](uint32_t i) {
        const float l = logit_of(keys[i] << 32);
        if (rank_key(l, static_cast<uint32_t>(keys[i] >> 32)) > keep_to) return u64{0};
        return weight(add(l, -max)) < min_weight ? u64{0} : static_cast<u64>(weight(div(add(l, -top), s.temperature)));
    };
    const uint32_t drawn =
        find_crossing(kept, weight_at, [&](u64 total) { return draw_target(s, position, total); }).index;
    if (threadIdx.x == 0) publish(b, static_cast<int32_t>(keys[drawn] >> 32), advance);
}

/// Where few keys lie in the buckets down to the threshold's: gathers them and draws. Else gathers the bucket's alone
/// and finds the threshold among them: top-k's, then the bucket of top-p's if that follows; or top-p's.
__global__ void __launch_bounds__(THREADS)
    threshold_kernel(SamplerBuffers b, bool top_p, bool is_first, uint32_t advance) {
    release_successor();
    wait_for_predecessor();
    __shared__ u64 keys[SAMPLER_SHORT_LIST];
    SamplerWork& work = *b.work;
    float logits[PER_THREAD];
    load_span(b, logits);
    const float max = work.max;
    const uint32_t bucket = work.bucket;
    const u64 kept = work.keep_from;
    const bool is_short = is_first && work.is_short;
    const bool top_k = work.top_k;
    if (work.drawn || work.keeps_all || !isfinite(max) || (!is_first && !top_k)) return;
    delay_point();
#pragma unroll
    for (uint32_t j = 0; j < PER_THREAD; ++j) {
        const uint32_t id = id_in_span(j);
        if (id >= b.n_vocab) break;
        const u64 key = rank_key(logits[j], id);
        const uint32_t own_bucket = bucket_of(add(logits[j], -max));
        if (own_bucket == bucket ? key >= kept : is_short && own_bucket < bucket)
            b.list[atomicAdd(&work.n_listed, 1u)] = key;
    }
    if (!is_last_arrival(&b.work->arrived, gridDim.x)) return;
    const uint32_t n = __ldcg(&work.n_listed);
    if (n <= SAMPLER_SHORT_LIST) {
        for (uint32_t i = threadIdx.x; i < n; i += THREADS) keys[i] = ~__ldcg(b.list + i);
        sort_keys(keys, n);
    }
    if (is_short) {
        draw_from_list(b, keys, n, top_p, advance);
        if (threadIdx.x == 0) {
            work.n_listed = 0;
            work.drawn = true;
        }
        return;
    }
    const bool finds_top_k = top_k && is_first, top_p_follows = finds_top_k && top_p;
    const auto mass_of = [&](u64 key) { return static_cast<u64>(weight(add(logit_of(key), -max))); };
    const auto measure = [&](u64 key) { return finds_top_k ? u64{1} : mass_of(key); };
    const u64 in_bucket = work.target - work.above;
    u64 keep_from;
    if (n <= SAMPLER_SHORT_LIST) {
        keep_from =
            ~keys
                [find_crossing(n, [&](uint32_t i) { return measure(~keys[i]); }, [&](u64) { return in_bucket; }).index];
    } else {
        keep_from = find_key(b.list, n, in_bucket, measure);
    }
    Crossing next = {};
    if (top_p_follows) {
        // The mass of what top-k keeps: all buckets above this one, and this one's keys from the threshold on.
        const auto mass_at = [&](uint32_t i) { return i < bucket ? __ldcg(b.bucket_mass + i) : 0; };
        u64 own = 0, total, above;
        for (uint32_t i = threadIdx.x; i < bucket; i += THREADS) own += mass_at(i);
        block_prefix(own, above);
        own = 0;
        for (uint32_t i = threadIdx.x; i < n; i += THREADS) {
            const u64 key = __ldcg(b.list + i);
            if (key >= keep_from) own += mass_of(key);
        }
        block_prefix(own, total);
        total += above;
        const u64 target = fraction_of(b.sampling->top_p, total);
        next = target > above ? Crossing{bucket, above, target}
                              : find_crossing(SAMPLER_BUCKETS, mass_at, [&](u64) { return target; });
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    work.n_listed = 0;
    work.keep_from = keep_from > kept ? keep_from : kept;
    work.bucket = next.index;
    work.above = next.before;
    work.target = next.target;
}

/// Which tokens XTC drops of those that the thresholds keep. Those it may count as top choices are gathered: that is
/// decided by the weight of all, which is at least the likeliest's own.
__global__ void __launch_bounds__(THREADS) xtc_kernel(SamplerBuffers b, uint32_t advance) {
    release_successor();
    wait_for_predecessor();
    SamplerWork& work = *b.work;
    const float max = work.max;
    const u64 keep_from = work.keep_from;
    const reprise_sampling& s = *b.sampling;
    if (work.drawn || !isfinite(max) || !xtc_drops(s, b.state->position + advance)) return;
    const u64 min_weight = fraction_of(s.min_p, u64{1} << 32);
    const u64 least_of_all = fraction_of(s.xtc_threshold, u64{1} << 32);
    float logits[PER_THREAD];
    load_span(b, logits);
    delay_point();
    u64 own = 0, total;
#pragma unroll
    for (uint32_t j = 0; j < PER_THREAD; ++j) {
        const uint32_t id = id_in_span(j);
        if (id >= b.n_vocab) break;
        const u64 key = rank_key(logits[j], id), mass = weight(add(logits[j], -max));
        if (key < keep_from || mass < min_weight) continue;
        own += mass;
        if (mass >= least_of_all) b.list[atomicAdd(&work.n_listed, 1u)] = key;
    }
    block_prefix(own, total);
    if (threadIdx.x == 0) b.sums[blockIdx.x] = total;
    if (!is_last_arrival(&work.arrived, gridDim.x)) return;
    own = 0;
    for (uint32_t i = threadIdx.x; i < gridDim.x; i += THREADS) own += __ldcg(b.sums + i);
    block_prefix(own, total);
    const u64 least = fraction_of(s.xtc_threshold, total);
    const uint32_t n = __ldcg(&work.n_listed);
    u64 last = 0;  // the complement of the smallest key
    for (uint32_t i = threadIdx.x; i < n; i += THREADS) {
        const u64 key = __ldcg(b.list + i);
        if (weight(add(logit_of(key), -max)) >= least && ~key > last) last = ~key;
    }
    last = block_max(last);
    if (threadIdx.x != 0) return;
    work.n_listed = 0;
    if (last == 0) return;  // no token is that likely
    work.keep_to = ~last;
    work.top = logit_of(~last);
}

/// Weight of a logit at the given temperature; 0 for what is dropped.
struct DrawWeight {
    const float max, top;
    const u64 keep_from, keep_to, min_weight;
    const float temperature;
    __device__ u64 of(float l, uint32_t id) const {
        const u64 key = rank_key(l, id);
        if (key < keep_from || key > keep_to || weight(add(l, -max)) < min_weight) return 0;
        return weight(div(add(l, -top), temperature));
    }
};

__global__ void __launch_bounds__(THREADS) draw_kernel(SamplerBuffers b, uint32_t advance) {
    release_successor();
    wait_for_predecessor();
    SamplerWork& work = *b.work;
    if (work.drawn) return;
    const reprise_sampling& s = *b.sampling;
    const DrawWeight weights = {
        work.max, work.top, work.keep_from, work.keep_to, fraction_of(s.min_p, u64{1} << 32), s.temperature};
    const bool drawable = isfinite(weights.max);
    const auto weight_at = [&](uint32_t id) {
        return id < b.n_vocab && drawable ? weights.of(b.adjusted[id], id) : u64{0};
    };
    u64 own = 0, total;
    for (uint32_t j = 0; j < PER_THREAD; ++j) own += weight_at(id_in_span(j));
    block_prefix(own, total);
    delay_point();
    if (threadIdx.x == 0) b.sums[blockIdx.x] = total;
    if (!is_last_arrival(&b.work->arrived, gridDim.x)) return;
    if (!drawable) {
        if (threadIdx.x == 0) publish(b, work.argmax, advance);
        return;
    }
    const uint32_t position = b.state->position + advance;
    const Crossing span = find_crossing(
        gridDim.x, [&](uint32_t i) { return __ldcg(b.sums + i); },
        [&](u64 sum) { return draw_target(s, position, sum); });
    const uint32_t first = span.index * SAMPLER_SPAN;
    const uint32_t drawn = find_crossing(
                               SAMPLER_SPAN, [&](uint32_t i) { return weight_at(first + i); },
                               [&](u64) { return span.target - span.before; })
                               .index;
    if (threadIdx.x == 0) publish(b, static_cast<int32_t>(first + drawn), advance);
}

/// The n largest keys go to to, one after the other, 0 where there are no more. for_each calls what it is given with
/// each key of the thread. Keys differ.
template <class ForEach>
__device__ void find_largest(ForEach for_each, uint32_t n, u64* to) {
    u64 below = ~u64{0};
    for (uint32_t i = 0; i < n; ++i) {
        u64 own = 0;
        for_each([&](u64 key) { own = key < below && key > own ? key : own; });
        below = block_max(own);
        if (threadIdx.x == 0) to[i] = below;
    }
}

/// The rank keys of the likeliest tokens: of each block, then of all of those.
__global__ void __launch_bounds__(THREADS) alternatives_kernel(SamplerBuffers b) {
    release_successor();
    wait_for_predecessor();
    const auto n = static_cast<uint32_t>(b.sampling->n_top_logprobs);
    u64 keys[PER_THREAD];
#pragma unroll
    for (uint32_t j = 0; j < PER_THREAD; ++j) {
        const uint32_t id = id_in_span(j);
        keys[j] = id < b.n_vocab ? rank_key(b.logits[id], id) : 0;
    }
    delay_point();
    const auto for_each_of_span = [&](auto take) {
        for (uint32_t j = 0; j < PER_THREAD; ++j) take(keys[j]);
    };
    find_largest(for_each_of_span, n, b.likeliest + blockIdx.x * REPRISE_MAX_TOP_LOGPROBS);
    if (!is_last_arrival(&b.work->arrived, gridDim.x)) return;
    const auto for_each_of_blocks = [&](auto take) {
        for (uint32_t i = threadIdx.x; i < gridDim.x * n; i += THREADS)
            take(__ldcg(b.likeliest + i / n * REPRISE_MAX_TOP_LOGPROBS + i % n));
    };
    find_largest(for_each_of_blocks, n, likeliest_of_all(b));
}

__global__ void place_kernel(DecodeState* state, int32_t token, uint32_t position, uint32_t queue_next,
                             uint32_t queue_end) {
    release_successor();
    wait_for_predecessor();
    state->token = token;
    state->position = position;
    state->seq_len = position + 1;
    state->queue_next = queue_next;
    state->queue_end = queue_end;
}

__global__ void set_sampling_kernel(reprise_sampling* to, reprise_sampling from) {
    release_successor();
    wait_for_predecessor();
    *to = from;
}

bool has(uint32_t kind, SamplingKind bit) { return (kind & static_cast<uint32_t>(bit)) != 0; }

}  // namespace

uint32_t sampling_kind(const reprise_sampling& s, uint32_t n_vocab, bool host_part) {
    uint32_t kind = 0;
    const auto add_if = [&](bool on, SamplingKind bit) { kind |= on ? static_cast<uint32_t>(bit) : 0; };
    add_if(host_part, SamplingKind::HOST_PART);
    add_if(s.n_top_logprobs > 0, SamplingKind::ALTERNATIVES);
    if (is_greedy(s)) return kind;
    add_if(true, SamplingKind::TEMPERATURE);
    add_if(s.top_k > 0 && static_cast<uint32_t>(s.top_k) < n_vocab, SamplingKind::TOP_K);
    add_if(s.top_p < 1, SamplingKind::TOP_P);
    add_if(s.xtc_probability > 0, SamplingKind::XTC);
    return kind;
}

uint32_t sampler_launches(uint32_t kind) {
    if (has(kind, SamplingKind::NONE)) return 0;
    const uint32_t scans = 1 + has(kind, SamplingKind::ALTERNATIVES);
    if (!has(kind, SamplingKind::TEMPERATURE)) return scans;
    const uint32_t thresholds = has(kind, SamplingKind::TOP_K) + has(kind, SamplingKind::TOP_P);
    return scans + (thresholds > 0) + thresholds + has(kind, SamplingKind::XTC) + 1;
}

void SamplerBuffers::carve(Carver& carver, uint32_t vocabulary) {
    n_vocab = vocabulary;
    logits = carver.take<float>(n_vocab);
    sampling = carver.take<reprise_sampling>(1);
    counts = carver.take<int32_t>(n_vocab);
    bias = carver.take<float>(n_vocab);
    adjusted = carver.take<float>(n_vocab);
    work = carver.take<SamplerWork>(1);
    bucket_count = carver.take<uint32_t>(SAMPLER_BUCKETS);
    bucket_mass = carver.take<unsigned long long>(SAMPLER_BUCKETS);
    list = carver.take<unsigned long long>(n_vocab);
    likeliest = carver.take<unsigned long long>((block_count(n_vocab) + 1) * REPRISE_MAX_TOP_LOGPROBS);
    sums = carver.take<unsigned long long>(block_count(n_vocab));
    logit_sums = carver.take<LogitSum>(block_count(n_vocab));
}

void SamplerBuffers::carve_with_state(Carver& carver, uint32_t vocabulary) {
    carve(carver, vocabulary);
    state = carver.take<DecodeState>(1);
}

size_t SamplerBuffers::bytes_with_state(uint32_t vocabulary) {
    Carver carver(nullptr);
    SamplerBuffers().carve_with_state(carver, vocabulary);
    return carver.used();
}

void SamplerBuffers::carve_pinned(Carver& carver, uint32_t vocabulary, size_t n_penalties) {
    const size_t spans = block_count(vocabulary);
    ring = carver.take<RingEntry>(RING_SIZE);
    alternatives = carver.take<reprise_token>(RING_SIZE * REPRISE_MAX_TOP_LOGPROBS);
    host_input.mask = carver.take<uint32_t>(spans * (SAMPLER_SPAN / 32));
    host_input.first_penalty = carver.take<uint32_t>(spans + 1);
    host_input.penalties = carver.take<TokenPenalty>(n_penalties);
}

size_t SamplerBuffers::pinned_bytes(uint32_t vocabulary, size_t n_penalties) {
    Carver carver(nullptr);
    SamplerBuffers().carve_pinned(carver, vocabulary, n_penalties);
    return carver.used();
}

void write_host_input(const SamplerBuffers& b, const HostInput& input) {
    const DeviceHostInput& to = b.host_input;
    const size_t spans = block_count(b.n_vocab), n_words = spans * (SAMPLER_SPAN / 32);
    if (input.mask.empty()) {
        std::fill_n(to.mask, n_words, ~0u);
    } else {
        std::fill(std::copy(input.mask.begin(), input.mask.end(), to.mask), to.mask + n_words, 0u);
    }
    size_t i = 0;
    for (size_t span = 0; span <= spans; ++span) {
        const auto is_before = [&](const TokenPenalty& p) { return static_cast<size_t>(p.id) < span * SAMPLER_SPAN; };
        for (; i < input.penalties.size() && is_before(input.penalties[i]); ++i) to.penalties[i] = input.penalties[i];
        to.first_penalty[span] = static_cast<uint32_t>(i);
    }
}

void fill_bias(std::span<float> bias, const reprise_sampling& sampling) {
    std::ranges::fill(bias, 0.f);
    for (const auto& [id, value] : std::span(sampling.logit_bias, sampling.n_logit_bias))
        bias[static_cast<size_t>(id)] = value;
}

void sample(const SamplerBuffers& b, uint32_t kind, uint32_t advance, cudaStream_t stream) {
    if (has(kind, SamplingKind::NONE)) return;
    const uint32_t blocks = block_count(b.n_vocab);
    const bool greedy = !has(kind, SamplingKind::TEMPERATURE);
    const bool top_k = has(kind, SamplingKind::TOP_K), top_p = has(kind, SamplingKind::TOP_P);
    if (has(kind, SamplingKind::ALTERNATIVES)) launch(alternatives_kernel, blocks, THREADS, 0, stream, b);
    const auto scan = has(kind, SamplingKind::HOST_PART) ? scan_kernel<true> : scan_kernel<false>;
    launch(scan, blocks, THREADS, 0, stream, b, greedy, has(kind, SamplingKind::TO_HOST) ? b.host_logits : nullptr,
           advance);
    if (greedy) return;
    if (top_k || top_p) launch(histogram_kernel, blocks, THREADS, 0, stream, b, top_k, top_p);
    if (top_k || top_p) launch(threshold_kernel, blocks, THREADS, 0, stream, b, top_p, true, advance);
    if (top_k && top_p) launch(threshold_kernel, blocks, THREADS, 0, stream, b, top_p, false, advance);
    if (has(kind, SamplingKind::XTC)) launch(xtc_kernel, blocks, THREADS, 0, stream, b, advance);
    launch(draw_kernel, blocks, THREADS, 0, stream, b, advance);
}

void place(DecodeState* state, int32_t token, uint32_t position, uint32_t queue_next, uint32_t queue_end,
           cudaStream_t stream) {
    launch(place_kernel, 1, 1, 0, stream, state, token, position, queue_next, queue_end);
}

void set_sampling(const SamplerBuffers& b, const reprise_sampling& sampling, cudaStream_t stream) {
    launch(set_sampling_kernel, 1, 1, 0, stream, b.sampling, sampling);
}

void load_sampler_kernels() {
    load_kernel(alternatives_kernel);
    load_kernel(scan_kernel<false>);
    load_kernel(scan_kernel<true>);
    load_kernel(xtc_kernel);
    load_kernel(histogram_kernel);
    load_kernel(threshold_kernel);
    load_kernel(draw_kernel);
    load_kernel(place_kernel);
    load_kernel(set_sampling_kernel);
}

}  // namespace reprise::cuda
