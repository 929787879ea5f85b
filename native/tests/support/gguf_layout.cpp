#include "support/gguf_layout.h"

#include <cstring>

namespace reprise::test {

namespace {

class LayoutFinder {
  public:
    explicit LayoutFinder(std::span<const uint8_t> file) : file_(file) {}

    GgufLayout find() {
        uint64_t magic, version, n_tensors, n_pairs;
        if (take(4, magic) && field(FieldKind::VERSION, 4, version) && field(FieldKind::COUNT, 8, n_tensors) &&
            field(FieldKind::COUNT, 8, n_pairs)) {
            bool whole = true;
            for (uint64_t i = 0; i < n_pairs && whole; ++i) whole = pair();
            for (uint64_t i = 0; i < n_tensors && whole; ++i) whole = tensor();
        }
        layout_.header_end = at_;
        return std::move(layout_);
    }

  private:
    bool take(size_t n, uint64_t& value) {
        if (n > file_.size() - at_) return false;
        value = 0;
        std::memcpy(&value, file_.data() + at_, n);
        at_ += n;
        return true;
    }
    bool field(FieldKind kind, size_t n, uint64_t& value) {
        layout_.fields.push_back({kind, at_, n});
        if (take(n, value)) return true;
        layout_.fields.pop_back();
        return false;
    }
    bool skip(FieldKind kind, uint64_t n) {
        if (n > file_.size() - at_) return false;
        layout_.fields.push_back({kind, at_, static_cast<size_t>(n)});
        at_ += n;
        return true;
    }
    bool string(std::string_view& text) {
        uint64_t length;
        if (!field(FieldKind::STRING_LENGTH, 8, length) || !skip(FieldKind::TEXT, length)) return false;
        text = {reinterpret_cast<const char*>(file_.data()) + at_ - length, static_cast<size_t>(length)};
        return true;
    }

    static size_t scalar_bytes(uint64_t type) {
        static constexpr size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
        return type < std::size(kBytes) ? kBytes[type] : 0;
    }

    bool pair() {
        Entry entry{at_, at_, {}, {}, {}, 0, 0};
        uint64_t type;
        if (!string(entry.name) || !field(FieldKind::VALUE_TYPE, 4, type)) return false;
        entry.type = entry.element_type = static_cast<ValueType>(type);
        entry.value = at_;
        std::string_view text;
        if (entry.type == ValueType::ARRAY) {
            if (!array(entry)) return false;
        } else if (entry.type == ValueType::STRING) {
            if (!string(text)) return false;
            entry.value += 8;
        } else if (scalar_bytes(type) == 0 || !skip(FieldKind::NUMBER, scalar_bytes(type))) {
            return false;
        }
        entry.end = at_;
        layout_.pairs.push_back(entry);
        return true;
    }

    bool array(Entry& entry) {
        uint64_t type;
        if (!field(FieldKind::VALUE_TYPE, 4, type) || !field(FieldKind::ARRAY_COUNT, 8, entry.count)) return false;
        entry.element_type = static_cast<ValueType>(type);
        entry.value = at_;
        if (const size_t size = scalar_bytes(type)) {
            return entry.count <= file_.size() / size && skip(FieldKind::ELEMENTS, entry.count * size);
        }
        for (uint64_t i = 0; i < entry.count; ++i) {
            uint64_t length;
            Entry inner{};
            if (entry.element_type == ValueType::STRING) {
                if (!take(8, length) || length > file_.size() - at_) return false;
                at_ += length;
            } else if (!array(inner)) {
                return false;
            }
        }
        layout_.fields.push_back({FieldKind::ELEMENTS, entry.value, at_ - entry.value});
        return true;
    }

    bool tensor() {
        Entry entry{at_, at_, {}, {}, {}, 0, 0};
        uint64_t n_dims, value;
        if (!string(entry.name) || !field(FieldKind::N_DIMS, 4, n_dims)) return false;
        for (uint64_t i = 0; i < n_dims; ++i) {
            if (!field(FieldKind::DIM, 8, value)) return false;
        }
        if (!field(FieldKind::TENSOR_TYPE, 4, value) || !field(FieldKind::OFFSET, 8, value)) return false;
        entry.end = at_;
        layout_.tensors.push_back(entry);
        return true;
    }

    std::span<const uint8_t> file_;
    size_t at_ = 0;
    GgufLayout layout_;
};

}  // namespace

GgufLayout find_layout(std::span<const uint8_t> file) { return LayoutFinder(file).find(); }

}  // namespace reprise::test
