// A KV cache on both sides and the CPU's attention over it, for the tests of attention on the device.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/kernels.h"
#include "cuda/attention.h"
#include "cuda_kv_support.h"
#include "cuda_linear_support.h"
#include "support/library.h"

namespace reprise::cuda {

struct Heads {
    uint32_t n_heads, n_kv_heads, head_dim;
};
inline constexpr Heads kHeads[] = {{4, 2, 64},   {9, 3, 64},  {14, 2, 64}, {12, 2, 128}, {32, 8, 128},
                                   {28, 4, 128}, {8, 1, 256}, {3, 3, 80},  {20, 1, 96},  {2, 2, 8},
                                   {6, 2, 40},   {5, 1, 136}, {1, 1, 128}};

/// Rounding of the weights to float16, which tensor cores multiply, and of sums.
inline double attention_bound(TensorType kv_type) { return kv_type == TensorType::F32 ? 5e-6 : 1e-3; }

/// A cache of random keys and values, on both sides. Slots from n_keys on are NaN: nothing may read them.
struct Cache {
    TensorType type;
    Heads heads;
    uint32_t capacity;
    std::vector<uint8_t> keys, values;
    Buffer<uint8_t> device_keys, device_values;

    Cache(cpu::Random& random, TensorType kv_type, const Heads& h, uint32_t n_keys, uint32_t slots, float scale)
        : type(kv_type),
          heads(h),
          capacity(slots),
          keys(fill(random, n_keys, scale)),
          values(fill(random, n_keys, scale)),
          device_keys(on_device(keys)),
          device_values(on_device(values)) {}

    /// The rows as kv_layout.h has them.
    std::vector<uint8_t> on_device(const std::vector<uint8_t>& rows) const {
        const size_t row = row_bytes(type, heads.head_dim);
        std::vector<uint8_t> bytes(heads.n_kv_heads * kv_rows(capacity) * row, 0xff);
        for (uint32_t head = 0; head < heads.n_kv_heads; ++head) {
            uint8_t* to = &bytes[head * kv_rows(capacity) * row];
            for (uint32_t key = 0; key < capacity; ++key)
                place_kv_row(type, heads.head_dim, &rows[(size_t{head} * capacity + key) * row], to, key);
        }
        return bytes;
    }

    std::vector<uint8_t> fill(cpu::Random& random, uint32_t n_keys, float scale) const {
        const size_t row = row_bytes(type, heads.head_dim);
        std::vector<uint8_t> bytes(size_t{heads.n_kv_heads} * capacity * row, 0xff);
        for (uint32_t head = 0; head < heads.n_kv_heads; ++head) {
            for (uint32_t key = 0; key < n_keys; ++key) {
                std::vector<float> x = random.normals(heads.head_dim);
                for (float& v : x) v *= scale;
                cpu::exact_kernels().store_kv(type, x.data(), x.size(), &bytes[(size_t{head} * capacity + key) * row]);
            }
        }
        return bytes;
    }

    /// Without q and out.
    AttentionArgs args(const DecodeState* state, float scale) const {
        AttentionArgs args = {};
        args.k = device_keys.get();
        args.v = device_values.get();
        args.n_heads = heads.n_heads;
        args.n_kv_heads = heads.n_kv_heads;
        args.head_dim = heads.head_dim;
        args.capacity = capacity;
        args.scale = scale;
        args.state = state;
        return args;
    }

    /// Row i of q sees first_len + i keys.
    std::vector<float> expected(const std::vector<float>& q, uint32_t n, uint32_t first_len, float scale) const {
        const size_t width = heads.n_heads * heads.head_dim, row = row_bytes(type, heads.head_dim);
        std::vector<float> out(n * width);
        std::vector<uint32_t> n_keys(n);
        for (uint32_t i = 0; i < n; ++i) n_keys[i] = first_len + i;
        for (uint32_t head = 0; head < heads.n_heads; ++head) {
            const size_t of_head = head / (heads.n_heads / heads.n_kv_heads) * size_t{capacity} * row;
            // The reference reads blocks, keys and values of KV_BLOCK positions each.
            const size_t part = KV_BLOCK * row;
            std::vector<uint8_t> kv(kv_blocks(capacity) * 2 * part);
            std::vector<const uint8_t*> blocks;
            for (size_t begin = 0; begin < size_t{capacity} * row; begin += part) {
                uint8_t* const block = &kv[2 * begin];
                const size_t n_bytes = std::min(part, size_t{capacity} * row - begin);
                std::copy_n(&keys[of_head + begin], n_bytes, block);
                std::copy_n(&values[of_head + begin], n_bytes, block + part);
                blocks.push_back(block);
            }
            cpu::AttentionArgs args = {};
            args.q = q.data() + head * heads.head_dim;
            args.out = out.data() + head * heads.head_dim;
            args.q_stride = args.out_stride = width;
            args.blocks = blocks.data();
            args.v_offset = part;
            args.k_stride = args.v_stride = row;
            args.kv_type = type;
            args.n_keys = n_keys.data();
            args.n_rows = n;
            args.head_dim = args.value_dim = heads.head_dim;
            args.scale = scale;
            cpu::exact_kernels().attention(args);
        }
        return out;
    }
};

using test::relative_difference;

}  // namespace reprise::cuda
