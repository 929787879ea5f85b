#include "tool.h"

#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace tool {

void die(const char* format, ...) {
    va_list args;
    va_start(args, format);
    std::fputs(program_invocation_short_name, stderr);
    std::fputs(": ", stderr);
    std::vfprintf(stderr, format, args);
    std::fputc('\n', stderr);
    va_end(args);
    std::exit(1);
}

void check(reprise_status status) {
    if (status == REPRISE_OK) return;
    std::vector<char> message(reprise_last_error(nullptr, 0) + 1);
    reprise_last_error(message.data(), message.size());
    const char* name = reprise_status_name(status);
    die("%s (%s)", message.data(), name != nullptr ? name : "?");
}

long number(const char* option, const char* text, long min, long max) {
    char* end;
    errno = 0;
    const long value = std::strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        die("%s %s: a whole number in %ld to %ld is wanted", option, text, min, max);
    return value;
}

double real(const char* option, const char* text, double min, double max) {
    char* end;
    errno = 0;
    const double value = std::strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(value >= min && value <= max))
        die("%s %s: a number in %g to %g is wanted", option, text, min, max);
    return value;
}

int choice(const char* option, const char* text, std::initializer_list<const char*> names) {
    int index = 0;
    std::string list;
    for (const char* name : names) {
        if (std::strcmp(name, text) == 0) return index;
        list += (index++ == 0 ? "" : ", ") + std::string(name);
    }
    die("%s %s: one of %s is wanted", option, text, list.c_str());
}

File::File(const std::string& path, const char* mode) : path_(path), file_(std::fopen(path.c_str(), mode)) {
    if (file_ == nullptr) die("%s: %s", path.c_str(), std::strerror(errno));
}

File::~File() {
    if (file_ != nullptr) std::fclose(file_);
}

void File::close() {
    const int result = std::fclose(file_);
    file_ = nullptr;
    if (result != 0) die("%s: cannot write: %s", path_.c_str(), std::strerror(errno));
}

std::vector<int32_t> random_ids(size_t n, int32_t n_vocab) {
    std::vector<int32_t> ids(n);
    uint64_t state = 1;
    for (int32_t& id : ids) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        id = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(n_vocab));
    }
    return ids;
}

void TokenHash::add(int32_t id) {
    for (int byte = 0; byte < 4; ++byte)
        value_ = (value_ ^ (static_cast<uint32_t>(id) >> (8 * byte) & 255)) * 0x100000001b3u;
}

}  // namespace tool
