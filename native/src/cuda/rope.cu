#include "cuda/rope.h"

#include <cmath>
#include <numbers>

#include "cuda/launch.cuh"
#include "cuda/rope_head.cuh"

namespace reprise::cuda {

namespace {

constexpr uint32_t WARPS = 4;

/// One warp per head of q, k or v.
template <class T>
__global__ void __launch_bounds__(WARPS * 32) rope_kv_kernel(const __grid_constant__ RopeKvArgs args) {
    release_successor();
    wait_for_predecessor();
    const uint32_t head = blockIdx.x * WARPS + threadIdx.x / 32;
    const uint32_t row = blockIdx.y;
    if (head >= args.n_heads + 2 * args.n_kv_heads) return;
    const uint32_t position = args.state->position + row;
    float* values = args.qkv + row * args.row_stride + size_t{head} * args.head_dim;
    TurnedHead<MAX_HEAD_PAIRS> turned = load_head<MAX_HEAD_PAIRS>(args, values);
    HeadNorm<MAX_HEAD_PAIRS> norm;
    HeadAngles<MAX_HEAD_PAIRS> angles;
    norm.load(args, head);
    angles.compute(args, position);
    turn_head(args, head, norm, angles, turned);
    delay_point();
    if (head < args.n_heads) {
        turned.store(args, values);
    } else {
        __shared__ float rows[std::is_same_v<T, KvQ8> ? WARPS : 1][MAX_HEAD_PAIRS * 64];
        store_to_cache<T>(args, head, turned, position, rows[std::is_same_v<T, KvQ8> ? threadIdx.x / 32 : 0],
                          [](uint32_t, __half) {});
    }
}

void (*kernel_of(TensorType kv_type))(RopeKvArgs) {
    if (kv_type == TensorType::Q8_0) return rope_kv_kernel<KvQ8>;
    return kv_type == TensorType::F16 ? rope_kv_kernel<__half> : rope_kv_kernel<float>;
}

}  // namespace

void rope_kv(const RopeKvArgs& args, uint32_t n, cudaStream_t stream) {
    if (args.head_dim % 2 != 0 || args.head_dim > MAX_HEAD_PAIRS * 64)
        fail(REPRISE_INTERNAL, "rope: heads of %u", args.head_dim);
    const uint32_t heads = args.n_heads + 2 * args.n_kv_heads;
    launch(kernel_of(args.kv_type), dim3((heads + WARPS - 1) / WARPS, n), WARPS * 32, 0, stream, args);
}

std::vector<double> rope_turns(const Rope& rope) {
    std::vector<double> turns(rope.inv_freq.size());
    for (size_t i = 0; i < turns.size(); ++i) turns[i] = rope.inv_freq[i] / (2 * std::numbers::pi);
    return turns;
}

void load_rope_kernels() {
    for (const TensorType type : {TensorType::F16, TensorType::F32, TensorType::Q8_0}) load_kernel(kernel_of(type));
}

}  // namespace reprise::cuda
