#include "cuda/kv_transfer.h"

#include <cstring>

#include "cuda/check.h"
#include "cuda/kv_layout.h"
#include "quant/blocks.h"

namespace reprise::cuda {

static_assert(KV_PIECE % KV_TILE == 0);

namespace {

/// body(byte of the head's tiles, byte of the row as GGUF has it, number of bytes) for all that a row consists of.
template <class Body>
void for_each_part(TensorType type, uint32_t head_dim, uint32_t row, Body body) {
    switch (type) {
        case TensorType::F16:
            if (head_dim % 64 == 0) {
                for (uint32_t chunk = 0; chunk < head_dim / 8; ++chunk)
                    body((size_t{row} * head_dim + kv_chunk(row, chunk, head_dim) * 8) * 2, chunk * 16, 16);
                return;
            }
            [[fallthrough]];
        case TensorType::F32:
            return body(row * row_bytes(type, head_dim), 0, row_bytes(type, head_dim));
        case TensorType::Q8_0:
            for (uint32_t block = 0; block < head_dim / KV_BLOCK; ++block) {
                const size_t in_row = block * sizeof(BlockQ8_0);
                body(kv_q8_scales(row, head_dim) + block * 2, in_row + offsetof(BlockQ8_0, d), 2);
                body(kv_q8_quants(row, head_dim) + block * KV_BLOCK, in_row + offsetof(BlockQ8_0, qs), KV_BLOCK);
            }
            return;
        default:
            fail(REPRISE_INTERNAL, "there is no KV cache of type %s", traits(type).name);
    }
}

}  // namespace

void take_kv_rows(TensorType type, uint32_t head_dim, const uint8_t* tiles, uint32_t n, uint8_t* rows,
                  size_t row_stride) {
    for (uint32_t row = 0; row < n; ++row, rows += row_stride) {
        for_each_part(type, head_dim, row, [&](size_t in_tiles, size_t in_row, size_t n_bytes) {
            std::memcpy(rows + in_row, tiles + in_tiles, n_bytes);
        });
    }
}

void place_kv_rows(TensorType type, uint32_t head_dim, uint8_t* tiles, uint32_t n, const uint8_t* rows,
                   size_t row_stride) {
    for (uint32_t row = 0; row < n; ++row, rows += row_stride) {
        for_each_part(type, head_dim, row, [&](size_t in_tiles, size_t in_row, size_t n_bytes) {
            std::memcpy(tiles + in_tiles, rows + in_row, n_bytes);
        });
    }
}

size_t KvTransfer::head_bytes(uint32_t n) const { return kv_rows(n) * row_bytes(); }

uint8_t* KvTransfer::staged(uint32_t head, uint32_t n) {
    if (staging_.size() == 0) staging_ = {h_.n_kv_heads * head_bytes(KV_PIECE), "staging of keys and values"};
    return staging_.as<uint8_t>() + head * head_bytes(n);
}

uint8_t* KvTransfer::on_device(const KvPiece& piece) const {
    void* const layer = piece.values ? buffers_.values(piece.layer) : buffers_.keys(piece.layer);
    return static_cast<uint8_t*>(layer) + piece.position * row_bytes();
}

void KvTransfer::read(const KvPiece& piece, uint8_t* rows, const Stream& stream) {
    const size_t width = head_bytes(piece.n);
    check(cudaMemcpy2DAsync(staged(0, piece.n), width, on_device(piece), head_bytes(shape_.context_length), width,
                            h_.n_kv_heads, cudaMemcpyDeviceToHost, stream),
          "copying keys and values");
    stream.synchronize("copying keys and values");
    for (uint32_t head = 0; head < h_.n_kv_heads; ++head) {
        take_kv_rows(shape_.kv_type, h_.head_dim, staged(head, piece.n), piece.n, rows + head * row_bytes(),
                     h_.n_kv_heads * row_bytes());
    }
}

void KvTransfer::write(const KvPiece& piece, const uint8_t* rows, const Stream& stream) {
    const size_t width = head_bytes(piece.n);
    for (uint32_t head = 0; head < h_.n_kv_heads; ++head) {
        place_kv_rows(shape_.kv_type, h_.head_dim, staged(head, piece.n), piece.n, rows + head * row_bytes(),
                      h_.n_kv_heads * row_bytes());
    }
    check(cudaMemcpy2DAsync(on_device(piece), head_bytes(shape_.context_length), staged(0, piece.n), width, width,
                            h_.n_kv_heads, cudaMemcpyHostToDevice, stream),
          "copying keys and values");
    stream.synchronize("copying keys and values");
}

void KvTransfer::copy(const SequenceBuffers& from, uint32_t n, cudaStream_t stream) const {
    if (n == 0) return;
    // Heads of all layers lie one behind the other, keys and values in turns.
    const size_t pitch = head_bytes(shape_.context_length);
    check(cudaMemcpy2DAsync(buffers_.keys(0), pitch, from.keys(0), pitch, head_bytes(n),
                            size_t{2} * h_.n_layers * h_.n_kv_heads, cudaMemcpyDeviceToDevice, stream),
          "copying keys and values");
}

}  // namespace reprise::cuda
