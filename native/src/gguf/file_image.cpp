#include "gguf/file_image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/error.h"

namespace reprise {

FileImage::FileImage(FileImage&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      available_(std::exchange(other.available_, 0)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      owned_(std::exchange(other.owned_, false)) {}

FileImage::~FileImage() {
    close_file();
    if (owned_) ::munmap(const_cast<uint8_t*>(data_), size_);
}

void FileImage::open_file() {
    // O_NONBLOCK: opening a FIFO that nobody writes to must not wait.
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) fail_io("open", path_, errno);
    struct stat status;
    if (::fstat(descriptor_, &status) != 0) fail_io("examine", path_, errno);
    if (S_ISDIR(status.st_mode)) fail_io("open", path_, EISDIR);
    if (!S_ISREG(status.st_mode)) {
        fail(REPRISE_IO, "cannot open '%s': not a regular file (a pipe, socket or device)", path_.c_str());
    }
    size_ = static_cast<size_t>(status.st_size);
    if (size_ == 0) fail(REPRISE_MODEL_FORMAT, "'%s' is empty", path_.c_str());
}

void FileImage::close_file() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

FileImage FileImage::map(const std::string& path) {
    FileImage image(path);
    image.open_file();
    void* data = ::mmap(nullptr, image.size_, PROT_READ, MAP_PRIVATE, image.descriptor_, 0);
    if (data == MAP_FAILED) fail_io("map", path, errno);
    image.data_ = static_cast<const uint8_t*>(data);
    image.owned_ = true;
    image.available_ = image.size_;
    image.close_file();
    return image;
}

FileImage FileImage::read(const std::string& path) {
    FileImage image(path);
    image.open_file();
    void* data = ::mmap(nullptr, image.size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        fail(REPRISE_OUT_OF_MEMORY, "no memory for the %zu bytes of '%s'", image.size_, path.c_str());
    }
    image.data_ = static_cast<const uint8_t*>(data);
    image.owned_ = true;
    return image;
}

FileImage FileImage::borrow(std::span<const uint8_t> bytes, const std::string& name) {
    if (bytes.empty()) fail(REPRISE_MODEL_FORMAT, "'%s' is empty", name.c_str());
    FileImage image(name);
    image.data_ = bytes.data();
    image.size_ = image.available_ = bytes.size();
    return image;
}

void FileImage::read_until(size_t end) {
    constexpr size_t kReadAhead = size_t{1} << 18;
    const size_t target = std::min(size_, std::max(end, available_ + kReadAhead));
    while (available_ < target) {
        uint8_t* out = const_cast<uint8_t*>(data_) + available_;
        const ssize_t n = ::pread(descriptor_, out, target - available_, static_cast<off_t>(available_));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail_io("read", path_, errno);
        if (n == 0) {
            fail(REPRISE_IO, "'%s' shrank to %zu bytes while it was read, from %zu", path_.c_str(), available_, size_);
        }
        available_ += static_cast<size_t>(n);
    }
    if (available_ == size_) close_file();
}

}  // namespace reprise
