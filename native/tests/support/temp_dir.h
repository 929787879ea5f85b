// A directory that lives as long as a test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace reprise::test {

class TempDir {
  public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    /// Path of a file in it, which need not exist.
    std::string file(const std::string& name) const { return (path_ / name).string(); }
    /// Writes a file and returns its path.
    std::string write(const std::string& name, std::span<const uint8_t> bytes) const;
    std::vector<uint8_t> read(const std::string& name) const;

  private:
    std::filesystem::path path_;
};

}  // namespace reprise::test
