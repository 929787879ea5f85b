// Look-ups of metadata and tensors by name.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <type_traits>

#include "core/error.h"
#include "gguf/gguf.h"

namespace reprise {

static const char* type_name(ValueType type) {
    static constexpr const char* kNames[] = {"uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
                                             "bool",  "string", "array",  "uint64", "int64",  "float64"};
    const size_t number = static_cast<uint32_t>(type);
    return number < std::size(kNames) ? kNames[number] : "unknown";
}

template <typename T>
static T decode(const uint8_t* data) {
    T value;
    std::memcpy(&value, data, sizeof(T));
    return value;
}

static bool is_number(ValueType type) {
    return type != ValueType::BOOL && type != ValueType::STRING && type != ValueType::ARRAY;
}

/// Calls use with the number at data.
template <typename Use>
static void with_number(ValueType type, const uint8_t* data, Use use) {
    switch (type) {
        case ValueType::UINT8:
            return use(decode<uint8_t>(data));
        case ValueType::INT8:
            return use(decode<int8_t>(data));
        case ValueType::UINT16:
            return use(decode<uint16_t>(data));
        case ValueType::INT16:
            return use(decode<int16_t>(data));
        case ValueType::UINT32:
            return use(decode<uint32_t>(data));
        case ValueType::INT32:
            return use(decode<int32_t>(data));
        case ValueType::UINT64:
            return use(decode<uint64_t>(data));
        case ValueType::INT64:
            return use(decode<int64_t>(data));
        case ValueType::FLOAT32:
            return use(decode<float>(data));
        case ValueType::FLOAT64:
            return use(decode<double>(data));
        case ValueType::BOOL:
        case ValueType::STRING:
        case ValueType::ARRAY:
            break;
    }
    fail(REPRISE_INTERNAL, "a %s is not a number", type_name(type));
}

[[noreturn]] static void fail_kind(const GgufFile& file, std::string_view key, const Value& value, const char* wanted) {
    fail(REPRISE_MODEL_FORMAT, "'%s': %s is of type %s where %s is needed", file.path().c_str(),
         quoted(std::string(key)).c_str(), type_name(value.type), wanted);
}

/// Element i of a number or truth value, or of an array of such.
static double element(const Value& value, uint64_t i) {
    const uint8_t* data = value.data.data() + i * (value.data.size() / value.count);
    if (value.element_type == ValueType::BOOL) return *data != 0;
    double result = 0;
    with_number(value.element_type, data, [&](auto number) { result = static_cast<double>(number); });
    return result;
}

/// As few digits as tell the number from others of its type.
static std::string digits(double number, ValueType type) {
    const auto is_same = [&](double other) {
        return type == ValueType::FLOAT32 ? static_cast<float>(other) == static_cast<float>(number) : other == number;
    };
    std::string text;
    for (int n = 6; n <= 17; ++n) {
        text = format("%.*g", n, number);
        if (is_same(std::strtod(text.c_str(), nullptr))) break;
    }
    return text;
}

bool Value::all_numbers(const std::function<bool(double)>& test) const {
    if (count == 0) return true;
    if (!is_number(element_type) && element_type != ValueType::BOOL) return false;
    uint64_t i = 0;
    while (i < count && test(element(*this, i))) ++i;
    return i == count;
}

std::string Value::to_string() const {
    constexpr uint64_t SHOWN = 4;
    if (type == ValueType::STRING) return quoted({reinterpret_cast<const char*>(data.data()), data.size()});
    const bool is_truth = element_type == ValueType::BOOL;
    if (!is_number(element_type) && !is_truth) {
        return format("an array of %llu elements of type %s", static_cast<unsigned long long>(count),
                      type_name(element_type));
    }
    std::string text;
    for (uint64_t i = 0; i < std::min(count, SHOWN); ++i) {
        const double number = element(*this, i);
        text += i == 0 ? "" : ", ";
        text += !is_truth ? digits(number, element_type) : number != 0 ? "true" : "false";
    }
    if (type != ValueType::ARRAY) return text;
    return "[" + text +
           (count > SHOWN ? format(", ...] (%llu elements)", static_cast<unsigned long long>(count)) : "]");
}

const Value* GgufFile::find(std::string_view key) const {
    const auto found = std::ranges::lower_bound(keys_, key, {}, &KeyValue::key);
    return found != keys_.end() && found->key == key ? &found->value : nullptr;
}

std::optional<uint64_t> GgufFile::get_uint(std::string_view key) const {
    const Value* value = find(key);
    if (!value) return std::nullopt;
    uint64_t result = 0;
    bool fits = false;
    const bool is_float = value->type == ValueType::FLOAT32 || value->type == ValueType::FLOAT64;
    if (!is_number(value->type) || is_float) fail_kind(*this, key, *value, "an integer");
    with_number(value->type, value->data.data(), [&](auto number) {
        if constexpr (std::is_integral_v<decltype(number)>) {
            fits = number >= 0;
            result = static_cast<uint64_t>(number);
        }
    });
    if (!fits) fail(REPRISE_MODEL_FORMAT, "'%s': %s is negative", path_.c_str(), quoted(std::string(key)).c_str());
    return result;
}

std::optional<double> GgufFile::get_float(std::string_view key) const {
    const Value* value = find(key);
    if (!value) return std::nullopt;
    double result = 0;
    if (!is_number(value->type)) fail_kind(*this, key, *value, "a number");
    with_number(value->type, value->data.data(), [&](auto number) { result = static_cast<double>(number); });
    return result;
}

std::optional<bool> GgufFile::get_bool(std::string_view key) const {
    const Value* value = find(key);
    if (!value) return std::nullopt;
    if (value->type != ValueType::BOOL) fail_kind(*this, key, *value, "a truth value");
    return value->data[0] != 0;
}

std::optional<std::string_view> GgufFile::get_string(std::string_view key) const {
    const Value* value = find(key);
    if (!value) return std::nullopt;
    if (value->type != ValueType::STRING) fail_kind(*this, key, *value, "a string");
    return std::string_view(reinterpret_cast<const char*>(value->data.data()), value->data.size());
}

std::optional<std::vector<double>> GgufFile::get_numbers(std::string_view key, size_t max_count) const {
    const Value* value = find(key);
    if (!value) return std::nullopt;
    if (!is_number(value->element_type)) fail_kind(*this, key, *value, "a number or an array of numbers");
    if (value->count > max_count) {
        fail(REPRISE_MODEL_FORMAT, "'%s': %s has %llu elements; at most %zu are possible", path_.c_str(),
             quoted(std::string(key)).c_str(), static_cast<unsigned long long>(value->count), max_count);
    }
    std::vector<double> numbers;
    const size_t element_bytes = value->count == 0 ? 0 : value->data.size() / value->count;
    for (uint64_t i = 0; i < value->count; ++i) {
        const auto keep = [&](auto number) { numbers.push_back(static_cast<double>(number)); };
        with_number(value->element_type, value->data.data() + i * element_bytes, keep);
    }
    return numbers;
}

std::optional<uint64_t> GgufFile::array_length(std::string_view key) const {
    const Value* value = find(key);
    if (!value) return std::nullopt;
    if (value->type != ValueType::ARRAY) fail_kind(*this, key, *value, "an array");
    return value->count;
}

const Tensor* GgufFile::find_tensor(std::string_view name) const {
    const auto name_of = [&](uint32_t i) -> std::string_view { return tensors_[i].name; };
    const auto found = std::ranges::lower_bound(by_name_, name, {}, name_of);
    return found != by_name_.end() && name_of(*found) == name ? &tensors_[*found] : nullptr;
}

}  // namespace reprise
