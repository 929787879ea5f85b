#include "support/test_data.h"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace reprise::test {

std::optional<std::string> test_data(const std::string& name) {
    const char* root = std::getenv("REPRISE_TESTDATA");
    if (root == nullptr || *root == '\0') return std::nullopt;
    const std::filesystem::path path = std::filesystem::path(root) / name;
    if (!std::filesystem::exists(path)) {
        throw std::runtime_error("REPRISE_TESTDATA is " + std::string(root) + ", but " + path.string() +
                                 " does not exist");
    }
    return path.string();
}

}  // namespace reprise::test
