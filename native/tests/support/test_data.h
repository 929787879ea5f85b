// Test data outside the repository: the folder that REPRISE_TESTDATA names.
#pragma once

#include <optional>
#include <string>

namespace reprise::test {

/// Path of a file or folder in it; nullopt if REPRISE_TESTDATA is not set. Throws if it is set and name is not there.
std::optional<std::string> test_data(const std::string& name);

}  // namespace reprise::test

/// Declares `path`, or skips the test if REPRISE_TESTDATA is not set.
#define TEST_DATA_OR_SKIP(path, name)                                                                   \
    const auto path##_or_none = ::reprise::test::test_data(name);                                       \
    if (!path##_or_none) GTEST_SKIP() << "REPRISE_TESTDATA is not set: " << (name) << " is not tested"; \
    const std::string& path = *path##_or_none
