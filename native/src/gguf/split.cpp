#include "gguf/split.h"

#include "core/error.h"

namespace reprise {

constexpr uint64_t kMaxParts = 99999;  // five digits in the name

std::string part_name(const std::string& stem, size_t index, size_t n_parts) {
    return format("%s-%05zu-of-%05zu.gguf", stem.c_str(), index + 1, n_parts);
}

Split check_first_part(const GgufFile& first) {
    const std::string& path = first.path();
    const uint64_t n_parts = first.get_uint("split.count").value_or(1);
    if (n_parts <= 1) return {};
    if (n_parts > kMaxParts) {
        fail(REPRISE_MODEL_FORMAT, "'%s': split.count is %llu; at most %llu parts are possible", path.c_str(),
             static_cast<unsigned long long>(n_parts), static_cast<unsigned long long>(kMaxParts));
    }
    const uint64_t number = first.get_uint("split.no").value_or(0);
    if (number >= n_parts) {
        fail(REPRISE_MODEL_FORMAT, "'%s': split.no is %llu of %llu parts", path.c_str(),
             static_cast<unsigned long long>(number), static_cast<unsigned long long>(n_parts));
    }
    const std::string suffix = part_name("", number, n_parts);
    const std::string stem = path.ends_with(suffix) ? path.substr(0, path.size() - suffix.size()) : "";
    if (number != 0) {
        const std::string first_name = part_name(stem.empty() ? "..." : stem, 0, n_parts);
        fail(REPRISE_MODEL_FORMAT, "'%s' is part %llu of a split model of %llu; open '%s' instead", path.c_str(),
             static_cast<unsigned long long>(number + 1), static_cast<unsigned long long>(n_parts), first_name.c_str());
    }
    if (!path.ends_with(suffix)) {
        fail(REPRISE_MODEL_FORMAT, "'%s' is part 1 of a split model of %llu, so its name must end in '%s'",
             path.c_str(), static_cast<unsigned long long>(n_parts), suffix.c_str());
    }
    return {stem, n_parts};
}

void check_part(const GgufFile& first, const GgufFile& part, size_t index, size_t n_parts) {
    const uint64_t number = part.get_uint("split.no").value_or(0);
    const uint64_t count = part.get_uint("split.count").value_or(1);
    if (number != index || count != n_parts) {
        fail(REPRISE_MODEL_FORMAT, "'%s' should be part %zu of %zu of '%s', but says it is part %llu of %llu",
             part.path().c_str(), index + 1, n_parts, first.path().c_str(), static_cast<unsigned long long>(number + 1),
             static_cast<unsigned long long>(count));
    }
}

void check_total(const GgufFile& merged) {
    const std::optional<uint64_t> expected = merged.get_uint("split.tensors.count");
    if (expected && *expected != merged.tensors().size()) {
        fail(REPRISE_MODEL_FORMAT, "'%s': the parts hold %zu tensors, but split.tensors.count says %llu",
             merged.path().c_str(), merged.tensors().size(), static_cast<unsigned long long>(*expected));
    }
}

}  // namespace reprise
