// The way into a fused product: the input, from the predecessor's float32 or bfloat16 to the form that the product's
// types want, in shared memory. Every block does it for itself.
#pragma once

#include <cuda_bf16.h>

#include "cuda/bulk_copy.cuh"
#include "cuda/fused_project.h"
#include "cuda/quant_input.cuh"
#include "cuda/quant_layout.cuh"
#include "cuda/shared_address.cuh"

namespace reprise::cuda {

/// Quantises eight consecutive values; four consecutive lanes hold a group of 32. All lanes of the warp come along.
__device__ __forceinline__ void store_eighth(uint8_t* row, uint32_t groups, uint32_t first, bool active,
                                             const float* v) {
    float max = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) max = fmaxf(max, fabsf(v[i]));
    max = fmaxf(max, __shfl_xor_sync(~0u, max, 1));
    max = fmaxf(max, __shfl_xor_sync(~0u, max, 2));
    const float inverse = max > 0.f ? __fdividef(127.f, max) : 0.f;
    // Adding 1.5 * 2^23 rounds to an integer in the low bits: cheaper than a conversion.
    constexpr float ROUND = 12582912.f;
    uint32_t words[2];
#pragma unroll
    for (int w = 0; w < 2; ++w) {
        uint32_t q[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) q[i] = __float_as_uint(fmaf(v[4 * w + i], inverse, ROUND));
        words[w] = __byte_perm(__byte_perm(q[0], q[1], 0x0040), __byte_perm(q[2], q[3], 0x0040), 0x5410);
    }
    int sum = __dp4a(static_cast<int>(words[0]), 0x01010101, __dp4a(static_cast<int>(words[1]), 0x01010101, 0));
    sum += __shfl_xor_sync(~0u, sum, 1);
    const int other = __shfl_xor_sync(~0u, sum, 2);
    if (!active) return;
    const uint32_t group = first / 32, within = first % 32;
    *reinterpret_cast<uint2*>(row + (within / 16 * groups + group) * 16 + within % 16) = make_uint2(words[0], words[1]);
    if (within == 0) {
        reinterpret_cast<GroupScale*>(row + int8_scales_offset(groups))[group] =
            GroupScale{max * (1.f / 127.f), {static_cast<int16_t>(sum), static_cast<int16_t>(other)}};
    }
}

/// The eight values at the front of what was loaded.
__device__ __forceinline__ void decode_eight(const uint4* raw, bool bf16, float* v) {
    if (bf16) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            v[2 * j] = __uint_as_float(word_of(raw[0], j) << 16);
            v[2 * j + 1] = __uint_as_float(word_of(raw[0], j) & 0xffff0000u);
        }
    } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            v[j] = __uint_as_float(word_of(raw[0], j));
            v[4 + j] = __uint_as_float(word_of(raw[1], j));
        }
    }
}

/// The norm's weights for the first eights of this thread, which are there before the input is.
struct EarlyNorms {
    static constexpr uint32_t EIGHTS = 2;
    float4 weights[EIGHTS][2];

    __device__ __forceinline__ void load(const FusedInput& input, uint32_t cols) {
        if (input.norm == nullptr) return;
#pragma unroll
        for (uint32_t u = 0; u < EIGHTS; ++u) {
            const uint32_t i = (u * blockDim.x + threadIdx.x) * 8;
            if (i < cols) load_one(input, i, weights[u]);
        }
    }
    static __device__ __forceinline__ void load_one(const FusedInput& input, uint32_t i, float4* to) {
        to[0] = __ldg(reinterpret_cast<const float4*>(input.norm + i));
        to[1] = __ldg(reinterpret_cast<const float4*>(input.norm + i + 4));
    }
    __device__ __forceinline__ void next() {
#pragma unroll
        for (uint32_t u = 0; u + 1 < EIGHTS; ++u) {
            weights[u][0] = weights[u + 1][0];
            weights[u][1] = weights[u + 1][1];
        }
    }
};

/// The input as it is, float32 for weights of a float type, by one bulk copy, where the device has them (Hopper and
/// later). Through registers it comes in two rounds, each of which waits for memory: 0.7 us more for 8960 values, on an
/// H100 by bench/kernels/decode_chain.cu.
class InputCopy {
  public:
#if __CUDA_ARCH__ >= 900
    static constexpr bool EXISTS = true;
#else
    static constexpr bool EXISTS = false;
#endif
    /// barrier: in shared memory.
    __device__ __forceinline__ explicit InputCopy(uint64_t* barrier) : barrier_(shared_address(barrier)) {}
    /// These by all threads.
    __device__ __forceinline__ void prepare() const {
        if (threadIdx.x == 0) init_barrier(barrier_, 1);
        __syncthreads();
    }
    __device__ __forceinline__ void take(const FusedInput& input, uint32_t cols, uint8_t* out) const {
#if __CUDA_ARCH__ >= 900
        if (threadIdx.x == 0) bulk_copy(shared_address(out), input.x, cols * 4, barrier_);
        wait_at_barrier(barrier_, 0);
#endif
    }

  private:
    uint32_t barrier_;
};

/// Writes the input into shared memory in the form the types want, without the norm's factor. Returns this thread's
/// part of the sum of squares. Loads as much as registers hold at once, since a round trip takes a microsecond while
/// the next kernel's weights stream in; the loop over what came is not unrolled, since a kernel's code streams in too.
/// thread: threadIdx.x.
template <bool QUANTIZED>
__device__ __forceinline__ float take_input(const FusedInput& input, EarlyNorms norms, uint32_t cols, uint8_t* out,
                                            uint32_t thread) {
    constexpr uint32_t LOADS = 5;  // of 16 bytes: five eights of bfloat16, two of float32
    const bool bf16 = QUANTIZED && input.bf16;
    const uint32_t n_eights = cols / 8, per_round = bf16 ? LOADS : LOADS / 2;
    const auto* x = static_cast<const uint4*>(input.x);
    float squares = 0;
#pragma unroll 1
    for (uint32_t first = 0; first < n_eights; first += per_round * blockDim.x) {
        uint4 raw[LOADS];
        if (bf16) {
#pragma unroll
            for (uint32_t u = 0; u < LOADS; ++u) {
                const uint32_t eight = first + u * blockDim.x + thread;
                if (eight < n_eights) raw[u] = __ldcg(x + eight);
            }
        } else {
#pragma unroll
            for (uint32_t u = 0; u < LOADS / 2; ++u) {
                const uint32_t eight = first + u * blockDim.x + thread;
                if (eight < n_eights) {
                    raw[2 * u] = __ldcg(x + 2 * eight);
                    raw[2 * u + 1] = __ldcg(x + 2 * eight + 1);
                }
            }
        }
#pragma unroll 1
        for (uint32_t u = 0; u < per_round; ++u) {
            const uint32_t eight = first + u * blockDim.x + thread;
            if (eight - thread % 32 >= n_eights) break;  // whole warps only: the shuffles need every lane
            const uint32_t i = eight * 8;
            const bool active = eight < n_eights;
            float v[8] = {};
            if (active) {
                decode_eight(raw, bf16, v);
                if (input.norm != nullptr) {
                    if (u >= EarlyNorms::EIGHTS || first > 0) EarlyNorms::load_one(input, i, norms.weights[0]);
                    const float* weight = reinterpret_cast<const float*>(norms.weights[0]);
#pragma unroll
                    for (int j = 0; j < 8; ++j) {
                        squares = fmaf(v[j], v[j], squares);
                        v[j] *= weight[j];
                    }
                    norms.next();
                }
            }
            if constexpr (QUANTIZED) {
                store_eighth(out, cols / 32, i, active, v);
            } else if (active) {
                *reinterpret_cast<float4*>(out + i * 4) = *reinterpret_cast<const float4*>(v);
                *reinterpret_cast<float4*>(out + i * 4 + 16) = *reinterpret_cast<const float4*>(v + 4);
            }
#pragma unroll
            for (uint32_t load = 0; load + 1 < LOADS; ++load)
                raw[load] = bf16 || load + 2 >= LOADS ? raw[load + 1] : raw[load + 2];
        }
    }
    return squares;
}

}  // namespace reprise::cuda
