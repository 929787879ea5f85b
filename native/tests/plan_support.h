// Plans of tiny models whose metadata a test changes.
#pragma once

#include <gtest/gtest.h>

#include "model/plan.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace reprise::test {

using Change = std::pair<std::string, EncodedValue>;

inline std::vector<uint8_t> model_with(const std::vector<Change>& changes, const ModelSpec& spec = tiny_spec(),
                                       TensorType type = TensorType::F32) {
    GgufWriter writer = random_model(spec, uniform_types(type), 1);
    for (const auto& [key, value] : changes) writer.set(key, value);
    return writer.bytes();
}

inline std::unique_ptr<Plan> plan_of(const std::vector<uint8_t>& bytes) {
    return build_plan(*GgufFile::parse(bytes, "tiny.gguf"));
}

inline void expect_refused(reprise_status status, std::initializer_list<const char*> parts,
                           const std::vector<uint8_t>& bytes) {
    SCOPED_TRACE(*parts.begin());
    expect_error(status, parts, [&] { plan_of(bytes); });
}

inline EncodedValue uint(uint32_t v) { return EncodedValue::uint32(v); }
inline EncodedValue real(float v) { return EncodedValue::float32(v); }
inline EncodedValue text(const char* v) { return EncodedValue::string(v); }

}  // namespace reprise::test
