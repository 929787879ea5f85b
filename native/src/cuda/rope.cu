#include "cuda/rope.h"

#include <cuda_fp16.h>

#include <cmath>
#include <numbers>

#include "cuda/launch.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t WARPS = 4;
constexpr uint32_t MAX_PAIRS = 4;  // of a lane: heads of up to 256

template <class T>
__device__ T to_cache(float value);
template <>
__device__ float to_cache<float>(float value) {
    return value;
}
template <>
__device__ __half to_cache<__half>(float value) {
    return __float2half_rn(value);
}

/// Where pair p of a head has its two elements.
struct Pair {
    uint32_t a, b;
};
__device__ Pair pair_of(const RopeKvArgs& args, uint32_t p) {
    const uint32_t half = args.n_rot / 2;
    // Those behind the turned ones are neighbours in either style; n_rot is even.
    if (args.style == RopeStyle::ADJACENT || p >= half) return {2 * p, 2 * p + 1};
    return {p, p + half};
}

/// One warp per head of q, k or v. A lane has up to MAX_PAIRS pairs in registers.
template <class T>
__global__ void __launch_bounds__(WARPS * 32) rope_kv_kernel(const __grid_constant__ RopeKvArgs args) {
    release_successor();
    wait_for_predecessor();
    const uint32_t lane = threadIdx.x % 32;
    const uint32_t head = blockIdx.x * WARPS + threadIdx.x / 32;
    const uint32_t row = blockIdx.y;
    if (head >= args.n_heads + 2 * args.n_kv_heads) return;
    const uint32_t position = args.state->position + row;
    const bool is_q = head < args.n_heads, is_v = head >= args.n_heads + args.n_kv_heads;
    float* values = args.qkv + row * args.row_stride + size_t{head} * args.head_dim;
    const float* norm = is_q ? args.q_norm : is_v ? nullptr : args.k_norm;

    float a[MAX_PAIRS], b[MAX_PAIRS];
    float sum = 0;
#pragma unroll
    for (uint32_t i = 0; i < MAX_PAIRS; ++i) {
        const uint32_t p = lane + i * 32;
        if (p >= args.head_dim / 2) break;
        const Pair at = pair_of(args, p);
        a[i] = values[at.a];
        b[i] = values[at.b];
        sum = fmaf(a[i], a[i], fmaf(b[i], b[i], sum));
    }
    float factor = 1.f;
    if (norm != nullptr) {
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
        factor = 1.f / sqrtf(sum / static_cast<float>(args.head_dim) + args.rms_eps);
    }
    const uint32_t kv_head = is_v ? head - args.n_heads - args.n_kv_heads : head - args.n_heads;
    T* cache = static_cast<T*>(is_v ? args.v_cache : args.k_cache) + (size_t{kv_head} * args.capacity + position) * args.head_dim;
    delay_point();
#pragma unroll
    for (uint32_t i = 0; i < MAX_PAIRS; ++i) {
        const uint32_t p = lane + i * 32;
        if (p >= args.head_dim / 2) break;
        const Pair at = pair_of(args, p);
        float x = a[i], y = b[i];
        if (norm != nullptr) {
            x = x * factor * norm[at.a];
            y = y * factor * norm[at.b];
        }
        if (!is_v && p < args.n_rot / 2) {
            const double turns = static_cast<double>(position) * args.turns[p];
            float sin, cos;
            sincospif(2.f * static_cast<float>(turns - rint(turns)), &sin, &cos);
            const float turned = x * cos - y * sin;
            y = x * sin + y * cos;
            x = turned;
        }
        if (is_q) {
            values[at.a] = x;
            values[at.b] = y;
        } else if (position < args.capacity) {
            cache[at.a] = to_cache<T>(x);
            cache[at.b] = to_cache<T>(y);
        }
    }
}

}  // namespace

void rope_kv(const RopeKvArgs& args, uint32_t n, cudaStream_t stream) {
    if (args.head_dim % 2 != 0 || args.head_dim > MAX_PAIRS * 64) fail(REPRISE_INTERNAL, "rope: heads of %u", args.head_dim);
    const uint32_t heads = args.n_heads + 2 * args.n_kv_heads;
    const auto kernel = args.kv_type == TensorType::F16 ? rope_kv_kernel<__half> : rope_kv_kernel<float>;
    launch(kernel, dim3((heads + WARPS - 1) / WARPS, n), WARPS * 32, 0, stream, args);
}

std::vector<double> rope_turns(const Rope& rope) {
    std::vector<double> turns(rope.inv_freq.size());
    for (size_t i = 0; i < turns.size(); ++i) turns[i] = rope.inv_freq[i] / (2 * std::numbers::pi);
    return turns;
}

void load_rope_kernels() {
    load_kernel(rope_kv_kernel<__half>);
    load_kernel(rope_kv_kernel<float>);
}

}  // namespace reprise::cuda
