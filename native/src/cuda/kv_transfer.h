// The KV cache on its way to and from the host: whole tiles are copied between the device and page-locked memory, the
// host puts them in order.
#pragma once

#include "cuda/sequence_buffers.h"
#include "session/engine.h"

namespace reprise::cuda {

/// Takes n rows, as GGUF has them, out of a head's tiles in the layout of kv_layout.h, the first of them at a multiple
/// of KV_TILE positions. Rows are row_stride bytes apart.
void take_kv_rows(TensorType type, uint32_t head_dim, const uint8_t* tiles, uint32_t n, uint8_t* rows,
                  size_t row_stride);
/// The other way round. What lies behind the last row in its tile stays as it is.
void place_kv_rows(TensorType type, uint32_t head_dim, uint8_t* tiles, uint32_t n, const uint8_t* rows,
                   size_t row_stride);

class KvTransfer {
  public:
    KvTransfer(const HyperParams& h, const SessionShape& shape, const SequenceBuffers& buffers)
        : h_(h), shape_(shape), buffers_(buffers) {}

    /// Both wait for the stream.
    void read(const KvPiece& piece, uint8_t* rows, const Stream& stream);
    void write(const KvPiece& piece, const uint8_t* rows, const Stream& stream);
    /// Copies the first n positions of all layers from a session of the same shape, in stream order.
    void copy(const SequenceBuffers& from, uint32_t n, cudaStream_t stream) const;

  private:
    size_t row_bytes() const { return reprise::row_bytes(shape_.kv_type, h_.head_dim); }
    size_t head_bytes(uint32_t n) const;  // of the tiles that n positions of a KV head take
    uint8_t* on_device(const KvPiece& piece) const;
    uint8_t* staged(uint32_t head, uint32_t n);  // of a piece of n positions: [n_kv_heads][tiles]

    const HyperParams& h_;
    const SessionShape& shape_;
    const SequenceBuffers& buffers_;
    PinnedBuffer staging_;  // a whole piece; allocated with the first
};

}  // namespace reprise::cuda
