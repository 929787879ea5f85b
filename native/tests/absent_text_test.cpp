// A library that was built without native/text says so.
#include <gtest/gtest.h>

#include "support/library.h"

namespace reprise::test {
namespace {

TEST(AbsentText, CallsFailByName) {
    const auto* bytes = reinterpret_cast<const uint8_t*>("ab");
    reprise_handle handle = 0;
    expect_status(REPRISE_UNSUPPORTED, reprise_template_open(bytes, 2, nullptr, nullptr, 0, &handle),
                  {"built without templates and constraints", "REPRISE_TEXT=ON"});
    const uint64_t offsets[] = {0, 1, 2};
    const uint8_t flags[] = {0, 0};
    const int32_t end = 1;
    expect_status(REPRISE_UNSUPPORTED, reprise_vocabulary_open(bytes, offsets, flags, 2, &end, 1, &handle),
                  {"built without templates and constraints"});
    EXPECT_EQ(0u, handle);
    expect_status(REPRISE_INVALID_HANDLE, reprise_template_close(handle), {"template"});
    expect_status(REPRISE_INVALID_HANDLE, reprise_constraint_close(handle), {"constraint"});
}

}  // namespace
}  // namespace reprise::test
