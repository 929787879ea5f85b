#include "support/mutator.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace reprise::test {

namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kTensorCountAt = 8, kPairCountAt = 16;

uint64_t load(const Bytes& file, size_t at, size_t size) {
    uint64_t value = 0;
    std::memcpy(&value, file.data() + at, size);
    return value;
}

void store(Bytes& file, size_t at, size_t size, uint64_t value) { std::memcpy(file.data() + at, &value, size); }

/// Replaces file[begin, end).
void splice(Bytes& file, size_t begin, size_t end, const Bytes& bytes) {
    Bytes changed;
    changed.reserve(file.size() - (end - begin) + bytes.size());
    changed.assign(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(begin));
    changed.insert(changed.end(), bytes.begin(), bytes.end());
    changed.insert(changed.end(), file.begin() + static_cast<std::ptrdiff_t>(end), file.end());
    file = std::move(changed);
}

Bytes slice(const Bytes& file, size_t begin, size_t end) {
    return Bytes(file.begin() + static_cast<std::ptrdiff_t>(begin), file.begin() + static_cast<std::ptrdiff_t>(end));
}

Bytes encoded(std::string_view text) {
    Bytes bytes(8 + text.size());
    const uint64_t length = text.size();
    std::memcpy(bytes.data(), &length, 8);
    std::memcpy(bytes.data() + 8, text.data(), text.size());
    return bytes;
}

/// Moves the tensor data back to a multiple of the default alignment after the header grew by grown bytes (modulo
/// 2^64), so that the weights stay what they were.
void realign(Bytes& file, size_t old_header_end, size_t grown) {
    const auto padding = [](size_t end) { return (32 - end % 32) % 32; };
    const size_t end = old_header_end + grown;
    if (grown == 0 || end + padding(old_header_end) > file.size()) return;
    splice(file, end, end + padding(old_header_end), Bytes(padding(end)));
}

size_t element_bytes(ValueType type) {
    switch (type) {
        case ValueType::UINT8:
        case ValueType::INT8:
        case ValueType::BOOL:
            return 1;
        case ValueType::UINT16:
        case ValueType::INT16:
            return 2;
        case ValueType::UINT32:
        case ValueType::INT32:
        case ValueType::FLOAT32:
            return 4;
        case ValueType::UINT64:
        case ValueType::INT64:
        case ValueType::FLOAT64:
            return 8;
        case ValueType::STRING:
        case ValueType::ARRAY:
            break;
    }
    return 0;
}

/// Where each element of an array of strings begins, and its end.
std::vector<size_t> string_edges(const Bytes& file, const Entry& entry) {
    std::vector<size_t> edges = {entry.value};
    for (uint64_t i = 0; i < entry.count; ++i) edges.push_back(edges.back() + 8 + load(file, edges.back(), 8));
    return edges;
}

std::vector<Entry> arrays(const GgufLayout& layout) {
    std::vector<Entry> found;
    for (const Entry& pair : layout.pairs) {
        const bool flat = pair.element_type == ValueType::STRING || element_bytes(pair.element_type) != 0;
        if (pair.type == ValueType::ARRAY && flat && pair.count > 0) found.push_back(pair);
    }
    return found;
}

std::vector<Field> fields_of(const GgufLayout& layout, std::initializer_list<FieldKind> kinds) {
    std::vector<Field> found;
    for (const Field& field : layout.fields) {
        if (std::find(kinds.begin(), kinds.end(), field.kind) != kinds.end() && field.size > 0) found.push_back(field);
    }
    return found;
}

}  // namespace

const char* mutation_name(Mutation mutation) {
    static constexpr const char* kNames[] = {"field",        "number",       "text",         "known string",
                                             "elements",     "array length", "delete entry", "duplicate entry",
                                             "swap entries", "rename entry", "truncate",     "random bytes",
                                             "insert bytes", "erase bytes"};
    return kNames[static_cast<int>(mutation)];
}

/// A number that is likely to be wrong in an interesting way.
uint64_t Mutator::odd_number(uint64_t old, size_t size) {
    switch (random_.below(8)) {
        case 0:
            return 0;
        case 1:
            return old + 1;
        case 2:
            return old - 1;
        case 3:
            return old * 2 + random_.below(2);
        case 4:
            return old ^ uint64_t{1} << random_.below(size * 8);
        case 5:
            return (uint64_t{1} << random_.below(64)) - random_.below(2);
        case 6:
            return random_.below(256);
        default:
            return random_.next();
    }
}

void Mutator::scramble(uint8_t* bytes, size_t n) {
    for (uint64_t i = 1 + random_.below(4); i > 0; --i) bytes[random_.below(n)] = static_cast<uint8_t>(random_.next());
}

Mutation Mutator::mutate(Bytes& file) {
    const GgufLayout layout = find_layout(file);
    if (!layout.fields.empty() && !chance(10)) {
        for (int attempt = 0; attempt < 16; ++attempt) {
            // Fields and numbers are where most checks are, so they get a larger share.
            const auto drawn = static_cast<Mutation>(random_.below(static_cast<uint64_t>(Mutation::BYTES) + 6));
            const Mutation mutation = is_structured(drawn)               ? drawn
                                      : static_cast<int>(drawn) % 2 == 0 ? Mutation::FIELD
                                                                         : Mutation::NUMBER;
            const size_t size = file.size();
            if (!apply(mutation, file, layout)) continue;
            if (mutation != Mutation::TRUNCATE) realign(file, layout.header_end, file.size() - size);
            return mutation;
        }
    }
    const auto mutation = static_cast<Mutation>(static_cast<uint64_t>(Mutation::BYTES) + random_.below(3));
    change_bytes(mutation, file);
    return mutation;
}

bool Mutator::apply(Mutation mutation, Bytes& file, const GgufLayout& layout) {
    switch (mutation) {
        case Mutation::FIELD:
            return change_field(file, layout);
        case Mutation::NUMBER:
            return change_number(file, layout);
        case Mutation::TEXT:
            return change_text(file, layout);
        case Mutation::KNOWN_STRING:
            return set_known_string(file, layout);
        case Mutation::ELEMENTS:
            return change_elements(file, layout);
        case Mutation::ARRAY_LENGTH:
            return change_array_length(file, layout);
        case Mutation::DELETE_ENTRY:
        case Mutation::DUPLICATE_ENTRY:
        case Mutation::SWAP_ENTRIES:
            return change_entries(mutation, file, layout);
        case Mutation::RENAME_ENTRY:
            return rename_entry(file, layout);
        case Mutation::TRUNCATE:
            return truncate(file, layout);
        case Mutation::BYTES:
        case Mutation::INSERT:
        case Mutation::ERASE:
            break;
    }
    return false;
}

bool Mutator::change_field(Bytes& file, const GgufLayout& layout) {
    // Draw the kind first: there are many more string lengths than counts.
    static constexpr FieldKind kKinds[] = {FieldKind::VERSION, FieldKind::COUNT,       FieldKind::STRING_LENGTH,
                                           FieldKind::DIM,     FieldKind::VALUE_TYPE,  FieldKind::ARRAY_COUNT,
                                           FieldKind::N_DIMS,  FieldKind::TENSOR_TYPE, FieldKind::OFFSET};
    const std::vector<Field> fields = fields_of(layout, {kKinds[random_.below(std::size(kKinds))]});
    if (fields.empty()) return false;
    const Field& field = pick(fields);
    const bool is_type = field.kind == FieldKind::VALUE_TYPE || field.kind == FieldKind::TENSOR_TYPE;
    const uint64_t old = load(file, field.offset, field.size);
    store(file, field.offset, field.size, is_type && !chance(4) ? random_.below(42) : odd_number(old, field.size));
    return true;
}

bool Mutator::change_number(Bytes& file, const GgufLayout& layout) {
    std::vector<Entry> numbers;
    for (const Entry& pair : layout.pairs) {
        if (element_bytes(pair.type) != 0) numbers.push_back(pair);
    }
    if (numbers.empty()) return false;
    const Entry& pair = pick(numbers);
    const size_t size = element_bytes(pair.type);
    uint64_t value = odd_number(load(file, pair.value, size), size);
    if (pair.type == ValueType::FLOAT32 && !chance(3)) {
        const float odd[] = {0.0f, -1.0f, 1e-30f, 1e30f, INFINITY, std::numeric_limits<float>::quiet_NaN()};
        value = std::bit_cast<uint32_t>(odd[random_.below(std::size(odd))]);
    }
    store(file, pair.value, size, value);
    return true;
}

bool Mutator::change_text(Bytes& file, const GgufLayout& layout) {
    const std::vector<Field> texts = fields_of(layout, {FieldKind::TEXT});
    if (texts.empty()) return false;
    const Field& text = pick(texts);
    scramble(file.data() + text.offset, text.size);
    return true;
}

bool Mutator::set_known_string(Bytes& file, const GgufLayout& layout) {
    static constexpr const char* kKnown[] = {"llama",   "qwen2",     "qwen3",    "gpt2",          "gemma2", "bert",
                                             "default", "llama-bpe", "gpt-2",    "smollm",        "",       "tekken",
                                             "yarn",    "linear",    "longrope", "{{ messages }}"};
    std::vector<Entry> strings;
    for (const Entry& pair : layout.pairs) {
        if (pair.type == ValueType::STRING) strings.push_back(pair);
    }
    if (strings.empty()) return false;
    const Entry& pair = pick(strings);
    splice(file, pair.value - 8, pair.end, encoded(kKnown[random_.below(std::size(kKnown))]));
    return true;
}

bool Mutator::change_elements(Bytes& file, const GgufLayout& layout) {
    const std::vector<Entry> all = arrays(layout);
    if (all.empty()) return false;
    const Entry& array = pick(all);
    if (const size_t size = element_bytes(array.element_type)) {
        for (uint64_t i = 1 + random_.below(4); i > 0; --i) {
            const size_t at = array.value + size * random_.below(array.count);
            store(file, at, size, odd_number(load(file, at, size), size));
        }
        return true;
    }
    const std::vector<size_t> edges = string_edges(file, array);
    const auto element = [&](uint64_t i) { return slice(file, edges[i], edges[i + 1]); };
    const uint64_t i = random_.below(array.count);
    Bytes changed = element(i);
    switch (random_.below(4)) {
        case 0:
            changed = encoded("");
            break;
        case 1:
            changed = element(random_.below(array.count));
            break;
        case 2:
            changed = encoded(std::string(random_.below(300), static_cast<char>(random_.next())));
            break;
        default:
            if (changed.size() == 8) return false;
            scramble(changed.data() + 8, changed.size() - 8);
    }
    splice(file, edges[i], edges[i + 1], changed);
    return true;
}

bool Mutator::change_array_length(Bytes& file, const GgufLayout& layout) {
    const std::vector<Entry> all = arrays(layout);
    if (all.empty()) return false;
    const Entry& array = pick(all);
    const size_t size = element_bytes(array.element_type);
    const std::vector<size_t> edges = size == 0 ? string_edges(file, array) : std::vector<size_t>();
    const auto edge = [&](uint64_t i) { return size == 0 ? edges[i] : array.value + size * i; };
    const uint64_t kept = random_.below(array.count + 1);
    const bool longer = chance(2);
    store(file, array.value - 8, 8, longer ? array.count + kept : kept);
    if (longer) {
        splice(file, edge(array.count), edge(array.count), slice(file, edge(0), edge(kept)));
    } else {
        splice(file, edge(kept), edge(array.count), {});
    }
    return true;
}

bool Mutator::change_entries(Mutation mutation, Bytes& file, const GgufLayout& layout) {
    const bool pairs = layout.tensors.empty() || chance(2);
    const std::vector<Entry>& entries = pairs ? layout.pairs : layout.tensors;
    if (entries.empty()) return false;
    const size_t count_at = pairs ? kPairCountAt : kTensorCountAt;
    const uint64_t count = load(file, count_at, 8);
    const Entry& one = pick(entries);
    const Entry& other = pick(entries);
    if (mutation == Mutation::DELETE_ENTRY) {
        store(file, count_at, 8, count - 1);
        splice(file, one.begin, one.end, {});
    } else if (mutation == Mutation::DUPLICATE_ENTRY) {
        store(file, count_at, 8, count + 1);
        splice(file, other.begin, other.begin, slice(file, one.begin, one.end));
    } else {
        const Entry& first = one.begin < other.begin ? one : other;
        const Entry& last = one.begin < other.begin ? other : one;
        if (first.begin == last.begin) return false;
        const Bytes first_bytes = slice(file, first.begin, first.end);
        const Bytes last_bytes = slice(file, last.begin, last.end);
        splice(file, last.begin, last.end, first_bytes);
        splice(file, first.begin, first.end, last_bytes);
    }
    return true;
}

bool Mutator::rename_entry(Bytes& file, const GgufLayout& layout) {
    const std::vector<Entry>& entries = layout.tensors.empty() || chance(2) ? layout.pairs : layout.tensors;
    if (entries.empty()) return false;
    const Entry& entry = pick(entries);
    const std::string name = chance(2) ? std::string(pick(entries).name) : std::string(entry.name) + "x";
    splice(file, entry.begin, entry.begin + 8 + entry.name.size(), encoded(name));
    return true;
}

bool Mutator::truncate(Bytes& file, const GgufLayout& layout) {
    const Field& field = pick(layout.fields);
    const size_t at = chance(2) ? field.offset : random_.below(layout.header_end + 1);
    if (at >= file.size()) return false;
    file.resize(std::max<size_t>(at, 1));
    return true;
}

void Mutator::change_bytes(Mutation mutation, Bytes& file) {
    const size_t at = random_.below(file.size());
    const size_t n = 1 + random_.below(16);
    if (mutation == Mutation::INSERT) {
        Bytes random(n);
        for (uint8_t& byte : random) byte = static_cast<uint8_t>(random_.next());
        splice(file, at, at, random);
    } else if (mutation == Mutation::ERASE && file.size() > at + n && at + n > 0) {
        splice(file, at, at + n, {});
    } else {
        scramble(file.data() + at, std::min(n, file.size() - at));
    }
    if (file.empty()) file.push_back(0);
}

}  // namespace reprise::test
