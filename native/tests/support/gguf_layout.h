// Where the fields of a GGUF header lie. Tolerant: what cannot be followed ends the list.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace reprise::test {

enum class FieldKind {
    VERSION,
    COUNT,          // of tensors or key-value pairs
    STRING_LENGTH,  // of keys, names, string values
    TEXT,           // the bytes of those strings
    VALUE_TYPE,     // of values and array elements
    NUMBER,         // a scalar value
    ARRAY_COUNT,
    ELEMENTS,  // numbers of an array, or the strings of one with their lengths
    N_DIMS,
    DIM,
    TENSOR_TYPE,
    OFFSET,
};

struct Field {
    FieldKind kind;
    size_t offset, size;
};

/// A key-value pair or a tensor description.
struct Entry {
    size_t begin, end;
    std::string_view name;
    ValueType type;          // of a value
    ValueType element_type;  // of an array
    size_t value;            // offset of the value: of its first element for arrays, of the text for strings
    uint64_t count;          // elements of an array
};

struct GgufLayout {
    std::vector<Field> fields;
    std::vector<Entry> pairs, tensors;
    size_t header_end = 0;
};

GgufLayout find_layout(std::span<const uint8_t> file);

}  // namespace reprise::test
