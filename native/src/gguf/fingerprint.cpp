#include "gguf/fingerprint.h"

#include "core/hash.h"

namespace reprise {

namespace {

constexpr size_t PIECES = 16, PIECE_BYTES = 64;

void add_samples(Hash64& hash, std::span<const uint8_t> data) {
    if (data.size() <= PIECES * PIECE_BYTES) return hash.add(data);
    const size_t last = data.size() - PIECE_BYTES;
    for (size_t i = 0; i < PIECES; ++i) {
        // In two steps, so that no product overflows.
        const size_t at = last / (PIECES - 1) * i + last % (PIECES - 1) * i / (PIECES - 1);
        hash.add(data.subspan(at, PIECE_BYTES));
    }
}

}  // namespace

uint64_t fingerprint(const GgufFile& file) {
    Hash64 hash;
    const uint64_t n_metadata = file.metadata().size();
    hash.add(&n_metadata, sizeof n_metadata);
    hash.add(file.metadata());
    for (const Tensor& tensor : file.tensors()) {
        hash.add(tensor.name.c_str(), tensor.name.size() + 1);
        hash.add(&tensor.type_number, sizeof tensor.type_number);
        hash.add(tensor.dims, sizeof tensor.dims);
        add_samples(hash, tensor.data);
    }
    return hash.value();
}

}  // namespace reprise
