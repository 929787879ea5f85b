// Rows of the KV cache in the device's layout, for the tests of the kernels that write and read it.
#pragma once

#include <cstring>

#include "cuda/kv_layout.h"
#include "quant/tensor_type.h"

namespace reprise::cuda {

/// Bytes from a head's first row to value number i of the row at a position.
inline size_t kv_value_offset(TensorType type, uint32_t head_dim, uint32_t position, uint32_t i) {
    if (type == TensorType::Q8_0) return kv_q8_quants(position, head_dim) + i;
    if (type == TensorType::F32) return (size_t{position} * head_dim + i) * sizeof(float);
    return (size_t{position} * head_dim + kv_chunk(position, i / 8, head_dim) * 8 + i % 8) * sizeof(uint16_t);
}
inline size_t kv_scale_offset(uint32_t head_dim, uint32_t position, uint32_t i) {
    return kv_q8_scales(position, head_dim) + i / KV_BLOCK * sizeof(uint16_t);
}

template <class T>
T kv_read(const uint8_t* bytes) {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

inline float kv_value(TensorType type, uint32_t head_dim, const uint8_t* head, uint32_t position, uint32_t i) {
    const uint8_t* value = head + kv_value_offset(type, head_dim, position, i);
    if (type == TensorType::F32) return kv_read<float>(value);
    if (type == TensorType::F16) return half_to_float(kv_read<uint16_t>(value));
    return half_to_float(kv_read<uint16_t>(head + kv_scale_offset(head_dim, position, i))) * kv_read<int8_t>(value);
}

/// A row as GGUF has it, to a head's rows.
inline void place_kv_row(TensorType type, uint32_t head_dim, const uint8_t* row, uint8_t* head, uint32_t position) {
    for (uint32_t i = 0; i < head_dim; ++i) {
        uint8_t* value = head + kv_value_offset(type, head_dim, position, i);
        if (type == TensorType::Q8_0) {
            const uint8_t* block = row + i / KV_BLOCK * 34;
            *value = block[2 + i % KV_BLOCK];
            std::memcpy(head + kv_scale_offset(head_dim, position, i), block, 2);
        } else {
            const size_t size = type == TensorType::F32 ? sizeof(float) : sizeof(uint16_t);
            std::memcpy(value, row + i * size, size);
        }
    }
}

}  // namespace reprise::cuda
