// The bytes of a file: mapped, read into memory, or lent by the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace reprise {

class FileImage {
  public:
    /// Maps the file. Only regular files; REPRISE_IO names the path and the reason.
    static FileImage map(const std::string& path);
    /// Reserves page-aligned memory for the file and reads it as require() and read_all() ask.
    static FileImage read(const std::string& path);
    /// Bytes that the caller keeps alive.
    static FileImage borrow(std::span<const uint8_t> bytes, const std::string& name);

    FileImage(FileImage&& other) noexcept;
    FileImage& operator=(FileImage&&) = delete;
    ~FileImage();

    const std::string& path() const { return path_; }
    const uint8_t* data() const { return data_; }
    size_t size() const { return size_; }

    /// Makes the first end bytes readable; end <= size().
    void require(size_t end) {
        if (end > available_) read_until(end);
    }
    void read_all() { read_until(size_); }

  private:
    explicit FileImage(std::string path) : path_(std::move(path)) {}
    void open_file();
    void close_file();
    void read_until(size_t end);

    std::string path_;
    const uint8_t* data_ = nullptr;
    size_t size_ = 0;
    size_t available_ = 0;  // readable bytes from the start
    int descriptor_ = -1;   // open while there is more to read
    bool owned_ = false;    // data_ is a mapping of size_ bytes to be unmapped
};

}  // namespace reprise
