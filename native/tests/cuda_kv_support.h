// Rows of the KV cache in the device's layout, for the tests of the kernels that write and read it.
#pragma once

#include <cstring>
#include <vector>

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

/// body(byte of the head's rows, byte of the row as GGUF has it, number of bytes) for all that a row consists of.
template <class Body>
void for_each_kv_piece(TensorType type, uint32_t head_dim, uint8_t* head, uint32_t position, Body body) {
    for (uint32_t i = 0; i < head_dim; ++i) {
        uint8_t* value = head + kv_value_offset(type, head_dim, position, i);
        if (type == TensorType::Q8_0) {
            const size_t block = i / KV_BLOCK * 34;
            body(value, block + 2 + i % KV_BLOCK, 1);
            body(head + kv_scale_offset(head_dim, position, i), block, 2);
        } else {
            const size_t size = type == TensorType::F32 ? sizeof(float) : sizeof(uint16_t);
            body(value, i * size, size);
        }
    }
}

inline void poison_kv_row(TensorType type, uint32_t head_dim, uint8_t* head, uint32_t position) {
    for_each_kv_piece(type, head_dim, head, position, [](uint8_t* at, size_t, size_t n) { std::memset(at, 0xff, n); });
}

/// A row as GGUF has it, to a head's rows.
inline void place_kv_row(TensorType type, uint32_t head_dim, const uint8_t* row, uint8_t* head, uint32_t position) {
    for_each_kv_piece(type, head_dim, head, position,
                      [&](uint8_t* at, size_t in_row, size_t n) { std::memcpy(at, row + in_row, n); });
}

/// Takes a row, as GGUF has it, out of a head's rows and leaves 0xff, what an untouched row of a test holds.
inline std::vector<uint8_t> take_kv_row(TensorType type, uint32_t head_dim, uint8_t* head, uint32_t position) {
    std::vector<uint8_t> row(row_bytes(type, head_dim));
    for_each_kv_piece(type, head_dim, head, position,
                      [&](uint8_t* at, size_t in_row, size_t n) { std::memcpy(&row[in_row], at, n); });
    poison_kv_row(type, head_dim, head, position);
    return row;
}

}  // namespace reprise::cuda
