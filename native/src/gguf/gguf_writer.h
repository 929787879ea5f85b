// Writes GGUF files: fixtures of the tests and the models of reprise-synth.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace reprise {

/// A metadata value in its encoding.
struct EncodedValue {
    ValueType type;
    std::vector<uint8_t> bytes;

    static EncodedValue uint8(uint8_t v);
    static EncodedValue int8(int8_t v);
    static EncodedValue uint16(uint16_t v);
    static EncodedValue int16(int16_t v);
    static EncodedValue uint32(uint32_t v);
    static EncodedValue int32(int32_t v);
    static EncodedValue uint64(uint64_t v);
    static EncodedValue int64(int64_t v);
    static EncodedValue float32(float v);
    static EncodedValue float64(double v);
    static EncodedValue boolean(bool v);
    static EncodedValue string(std::string_view v);
    static EncodedValue strings(std::span<const std::string> v);
    static EncodedValue float32s(std::span<const float> v);
    static EncodedValue int32s(std::span<const int32_t> v);
    /// Every element must be of element_type; arrays nest.
    static EncodedValue array(ValueType element_type, std::span<const EncodedValue> elements);
};

/// Produces n_rows rows of a tensor from first_row on. Called from several threads, in any order, once per row.
using RowSource = std::function<void(uint64_t first_row, uint64_t n_rows, uint8_t* out)>;

class GgufWriter {
  public:
    /// alignment other than 32 is recorded as general.alignment.
    explicit GgufWriter(uint32_t version = 3, uint32_t alignment = 32);

    void set(std::string_view key, EncodedValue value);  // in the order of the calls; replaces an earlier value
    void add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> dims, RowSource rows);
    /// A tensor of given weights, quantised to type.
    void add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> dims, std::vector<float> weights);

    uint64_t tensor_bytes() const;

    /// The file as bytes.
    std::vector<uint8_t> bytes(unsigned n_threads = 1) const;
    /// Writes the file; rows are produced and written by n_threads threads. REPRISE_IO if that fails.
    void write(const std::string& path, unsigned n_threads = 1) const;
    /// Writes stem-00001-of-0000N.gguf and so on, the tensors dealt out evenly; returns the first path.
    std::string write_split(const std::string& stem, uint16_t n_parts) const;

  private:
    struct Pair {
        std::string key;
        EncodedValue value;
    };
    struct TensorEntry {
        std::string name;
        TensorType type;
        std::vector<uint64_t> dims;
        RowSource rows;
        uint64_t row_bytes() const { return reprise::row_bytes(type, dims[0]); }
        uint64_t n_rows() const;
    };
    struct Layout {
        std::vector<uint8_t> header;    // padded to the alignment
        std::vector<uint64_t> offsets;  // of the tensors, from the start of the file
        uint64_t file_bytes;
    };
    using Sink = std::function<void(uint64_t offset, std::span<const uint8_t> bytes)>;

    Layout layout() const;
    void produce(const Layout& layout, unsigned n_threads, const Sink& sink) const;

    uint32_t version_;
    uint32_t alignment_;
    std::vector<Pair> pairs_;
    std::vector<TensorEntry> tensors_;
};

}  // namespace reprise
