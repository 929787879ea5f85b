// What the command-line tools share: options, files, errors. Tools print one line on stderr and exit with 1.
#pragma once

#include <cerrno>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <vector>

#include "reprise.h"

namespace tool {

[[noreturn]] void die(const char* format, ...) __attribute__((format(printf, 1, 2)));
/// Exits with the library's message if a call failed.
void check(reprise_status status);
/// A whole decimal number in [min, max], or exit.
long number(const char* option, const char* text, long min, long max);
/// A decimal number in [min, max], or exit.
double real(const char* option, const char* text, double min, double max);
/// The index of text among names, or exit naming them.
int choice(const char* option, const char* text, std::initializer_list<const char*> names);

/// n ids below n_vocab, the same in every run and tool.
std::vector<int32_t> random_ids(size_t n, int32_t n_vocab);

/// FNV-1a of the little-endian bytes of token ids.
class TokenHash {
  public:
    void add(int32_t id);
    uint64_t value() const { return value_; }

  private:
    uint64_t value_ = 0xcbf29ce484222325u;
};

/// A stdio file that exits with the path and the reason if it cannot be opened or written.
class File {
  public:
    File(const std::string& path, const char* mode);
    ~File();
    std::FILE* get() const { return file_; }
    void close();

  private:
    std::string path_;
    std::FILE* file_;
};

}  // namespace tool
