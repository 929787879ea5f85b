// How the KV cache lies in device memory: per layer [n_kv_heads][kv_rows(capacity)] rows of head_dim values. Whole
// tiles of KV_TILE rows can be copied to shared memory as they are.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace reprise::cuda {

constexpr uint32_t KV_TILE = 16;

/// Rows of a head: whole tiles.
__host__ __device__ constexpr size_t kv_rows(uint32_t capacity) {
    return (size_t{capacity} + KV_TILE - 1) / KV_TILE * KV_TILE;
}

/// Float16 rows: where chunk number chunk (eight values) of the row at a position is, in chunks. Eight consecutive rows
/// have the same chunk in different places, so that tiles are read without bank conflicts. Heads that are no multiple
/// of 64 lie straight.
__host__ __device__ constexpr uint32_t kv_chunk(uint32_t position, uint32_t chunk, uint32_t head_dim) {
    return head_dim % 64 == 0 ? chunk ^ (position & 7) : chunk;
}

/// Q8_0 rows, as a type of cache elements for templates. A tile has the quants of its rows one after the other, then
/// their scales: what 16 rows of blocks take, in an order that 16-byte loads like.
struct KvQ8;
constexpr uint32_t KV_BLOCK = 32;  // values that share a scale
__host__ __device__ constexpr size_t kv_q8_tile_bytes(uint32_t head_dim) {
    return size_t{KV_TILE} * (head_dim + head_dim / KV_BLOCK * 2);
}
/// Bytes from the head's first tile to the quants of the row at a position, and to its scales.
__host__ __device__ constexpr size_t kv_q8_quants(uint32_t position, uint32_t head_dim) {
    return position / KV_TILE * kv_q8_tile_bytes(head_dim) + position % KV_TILE * head_dim;
}
__host__ __device__ constexpr size_t kv_q8_scales(uint32_t position, uint32_t head_dim) {
    return position / KV_TILE * kv_q8_tile_bytes(head_dim) + KV_TILE * head_dim +
           position % KV_TILE * (head_dim / KV_BLOCK * 2);
}

/// Bytes of a row, of cache elements T.
template <class T>
__host__ __device__ constexpr size_t kv_row_bytes(uint32_t head_dim) {
    return head_dim * sizeof(T);
}
template <>
__host__ __device__ constexpr size_t kv_row_bytes<KvQ8>(uint32_t head_dim) {
    return kv_q8_tile_bytes(head_dim) / KV_TILE;
}

}  // namespace reprise::cuda
