// A GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), checked against its own size before use.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/file_image.h"
#include "quant/tensor_type.h"

namespace reprise {

enum class ValueType : uint32_t {
    UINT8 = 0,
    INT8 = 1,
    UINT16 = 2,
    INT16 = 3,
    UINT32 = 4,
    INT32 = 5,
    FLOAT32 = 6,
    BOOL = 7,
    STRING = 8,
    ARRAY = 9,
    UINT64 = 10,
    INT64 = 11,
    FLOAT64 = 12,
};

/// A metadata value: a view into the file.
struct Value {
    ValueType type;
    ValueType element_type;         // of an ARRAY
    uint64_t count;                 // elements of an ARRAY, bytes of a STRING, else 1
    std::span<const uint8_t> data;  // the encoded value (a STRING's bytes, an ARRAY's encoded elements)

    /// Whether test holds for a number or truth value (0 or 1), or for every element of an array of such. True for an
    /// empty array or text, false for other text and for arrays of it.
    bool all_numbers(const std::function<bool(double)>& test) const;
    /// For a message: numbers as digits, text quoted, of an array the first elements.
    std::string to_string() const;
};

struct Tensor {
    std::string name;
    int32_t type_number;
    uint32_t n_dims;
    uint64_t dims[4];  // dims[0] contiguous; 1 beyond n_dims
    uint64_t n_elements;
    uint64_t n_bytes;
    std::span<const uint8_t> data;  // inside the file; valid as long as the GgufFile
    uint64_t file_offset;           // of data, from the start of its file
    uint32_t file_index;            // which part of a split model
};

class GgufFile {
  public:
    /// Opens and checks a file, all parts if it is the first of a split model. Errors: REPRISE_IO,
    /// REPRISE_MODEL_FORMAT.
    static std::shared_ptr<const GgufFile> open(const std::string& path, bool use_mmap);
    /// Checks a file image in memory (one part). The bytes must outlive the result.
    static std::shared_ptr<const GgufFile> parse(std::span<const uint8_t> bytes, const std::string& name);
    ~GgufFile();

    const std::string& path() const { return path_; }
    uint32_t version() const { return version_; }
    uint32_t n_files() const { return static_cast<uint32_t>(parts_.size()); }
    uint64_t alignment() const { return alignment_; }
    uint64_t file_bytes() const { return file_bytes_; }
    uint64_t tensor_bytes() const { return tensor_bytes_; }
    uint64_t n_parameters() const { return n_parameters_; }
    uint64_t n_metadata() const { return keys_.size(); }

    /// The encoded key-value pairs of the first file.
    std::span<const uint8_t> metadata() const { return metadata_; }
    const std::vector<Tensor>& tensors() const { return tensors_; }
    const Tensor* find_tensor(std::string_view name) const;

    struct KeyValue {
        std::string_view key;
        Value value;
    };
    std::span<const KeyValue> keys() const { return keys_; }  // of the first file, sorted by key
    const Value* find(std::string_view key) const;
    bool has(std::string_view key) const { return find(key) != nullptr; }
    /// Typed look-ups: nullopt if the key is absent, REPRISE_MODEL_FORMAT if it has another kind of value.
    /// Integers of any width are accepted if they fit; a float where a float is wanted, or an integer.
    std::optional<uint64_t> get_uint(std::string_view key) const;
    std::optional<double> get_float(std::string_view key) const;
    std::optional<bool> get_bool(std::string_view key) const;
    std::optional<std::string_view> get_string(std::string_view key) const;
    /// Elements of an array of numbers, or a single number as an array of one.
    std::optional<std::vector<double>> get_numbers(std::string_view key, size_t max_count) const;
    std::optional<uint64_t> array_length(std::string_view key) const;

  private:
    friend class GgufReader;
    GgufFile();
    std::string path_;
    uint32_t version_ = 0;
    uint64_t alignment_ = 0, file_bytes_ = 0, tensor_bytes_ = 0, n_parameters_ = 0;
    std::vector<FileImage> parts_;
    std::span<const uint8_t> metadata_;
    std::vector<KeyValue> keys_;     // sorted by key
    std::vector<Tensor> tensors_;    // in file order
    std::vector<uint32_t> by_name_;  // indices into tensors_, sorted by name
};

}  // namespace reprise
