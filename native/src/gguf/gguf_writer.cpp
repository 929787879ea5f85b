#include "gguf/gguf_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "core/error.h"
#include "gguf/split.h"

namespace reprise {

template <typename T>
static void append(std::vector<uint8_t>& out, T value) {
    const size_t at = out.size();
    out.resize(at + sizeof(T));
    std::memcpy(out.data() + at, &value, sizeof(T));
}

static void append_string(std::vector<uint8_t>& out, std::string_view text) {
    append<uint64_t>(out, text.size());
    out.insert(out.end(), text.begin(), text.end());
}

static uint64_t align_up(uint64_t n, uint64_t alignment) { return (n + alignment - 1) / alignment * alignment; }

template <typename T>
static EncodedValue scalar(ValueType type, T v) {
    EncodedValue value{type, {}};
    append(value.bytes, v);
    return value;
}

EncodedValue EncodedValue::uint8(uint8_t v) { return scalar(ValueType::UINT8, v); }
EncodedValue EncodedValue::int8(int8_t v) { return scalar(ValueType::INT8, v); }
EncodedValue EncodedValue::uint16(uint16_t v) { return scalar(ValueType::UINT16, v); }
EncodedValue EncodedValue::int16(int16_t v) { return scalar(ValueType::INT16, v); }
EncodedValue EncodedValue::uint32(uint32_t v) { return scalar(ValueType::UINT32, v); }
EncodedValue EncodedValue::int32(int32_t v) { return scalar(ValueType::INT32, v); }
EncodedValue EncodedValue::uint64(uint64_t v) { return scalar(ValueType::UINT64, v); }
EncodedValue EncodedValue::int64(int64_t v) { return scalar(ValueType::INT64, v); }
EncodedValue EncodedValue::float32(float v) { return scalar(ValueType::FLOAT32, v); }
EncodedValue EncodedValue::float64(double v) { return scalar(ValueType::FLOAT64, v); }
EncodedValue EncodedValue::boolean(bool v) { return scalar<uint8_t>(ValueType::BOOL, v ? 1 : 0); }

EncodedValue EncodedValue::string(std::string_view v) {
    EncodedValue value{ValueType::STRING, {}};
    append_string(value.bytes, v);
    return value;
}

static EncodedValue array_header(ValueType element_type, uint64_t count) {
    EncodedValue value{ValueType::ARRAY, {}};
    append(value.bytes, static_cast<uint32_t>(element_type));
    append(value.bytes, count);
    return value;
}

EncodedValue EncodedValue::strings(std::span<const std::string> v) {
    EncodedValue value = array_header(ValueType::STRING, v.size());
    for (const std::string& text : v) append_string(value.bytes, text);
    return value;
}

EncodedValue EncodedValue::float32s(std::span<const float> v) {
    EncodedValue value = array_header(ValueType::FLOAT32, v.size());
    for (const float number : v) append(value.bytes, number);
    return value;
}

EncodedValue EncodedValue::int32s(std::span<const int32_t> v) {
    EncodedValue value = array_header(ValueType::INT32, v.size());
    for (const int32_t number : v) append(value.bytes, number);
    return value;
}

EncodedValue EncodedValue::array(ValueType element_type, std::span<const EncodedValue> elements) {
    EncodedValue value = array_header(element_type, elements.size());
    for (const EncodedValue& element : elements) {
        if (element.type != element_type) fail(REPRISE_INTERNAL, "an array holds elements of another type");
        value.bytes.insert(value.bytes.end(), element.bytes.begin(), element.bytes.end());
    }
    return value;
}

uint64_t GgufWriter::TensorEntry::n_rows() const {
    uint64_t rows = 1;
    for (size_t i = 1; i < dims.size(); ++i) rows *= dims[i];
    return rows;
}

GgufWriter::GgufWriter(uint32_t version, uint32_t alignment) : version_(version), alignment_(alignment) {
    if (alignment != 32) set("general.alignment", EncodedValue::uint32(alignment));
}

void GgufWriter::set(std::string_view key, EncodedValue value) {
    const auto found = std::ranges::find(pairs_, key, &Pair::key);
    if (found != pairs_.end()) {
        found->value = std::move(value);
    } else {
        pairs_.push_back({std::string(key), std::move(value)});
    }
}

void GgufWriter::add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> dims, RowSource rows) {
    const TypeTraits& t = traits(type);
    if (dims.empty() || dims[0] % t.block_size != 0) {
        fail(REPRISE_INVALID_ARGUMENT, "tensor %s of type %s needs rows of a multiple of %u weights, not %llu",
             quoted(std::string(name)).c_str(), t.name, t.block_size,
             static_cast<unsigned long long>(dims.empty() ? 0 : dims[0]));
    }
    tensors_.push_back({std::string(name), type, {dims.begin(), dims.end()}, std::move(rows)});
}

void GgufWriter::add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> dims,
                            std::vector<float> weights) {
    add_tensor(
        name, type, dims,
        [type, row = dims.empty() ? 0 : dims[0], weights = std::move(weights)](
            uint64_t first, uint64_t n, uint8_t* out) { quantize(type, weights.data() + first * row, out, n * row); });
}

uint64_t GgufWriter::tensor_bytes() const {
    uint64_t total = 0;
    for (const TensorEntry& tensor : tensors_) total += tensor.row_bytes() * tensor.n_rows();
    return total;
}

GgufWriter::Layout GgufWriter::layout() const {
    Layout layout;
    std::vector<uint8_t>& header = layout.header;
    header = {'G', 'G', 'U', 'F'};
    append(header, version_);
    append<uint64_t>(header, tensors_.size());
    append<uint64_t>(header, pairs_.size());
    for (const Pair& pair : pairs_) {
        append_string(header, pair.key);
        append(header, static_cast<uint32_t>(pair.value.type));
        header.insert(header.end(), pair.value.bytes.begin(), pair.value.bytes.end());
    }
    uint64_t offset = 0;  // from the start of the tensor data
    for (const TensorEntry& tensor : tensors_) {
        append_string(header, tensor.name);
        append(header, static_cast<uint32_t>(tensor.dims.size()));
        for (const uint64_t dim : tensor.dims) append(header, dim);
        append(header, static_cast<uint32_t>(tensor.type));
        append(header, offset);
        layout.offsets.push_back(offset);
        offset = align_up(offset + tensor.row_bytes() * tensor.n_rows(), alignment_);
    }
    header.resize(align_up(header.size(), alignment_));
    for (uint64_t& tensor_offset : layout.offsets) tensor_offset += header.size();
    layout.file_bytes = header.size() + offset;
    return layout;
}

void GgufWriter::produce(const Layout& layout, unsigned n_threads, const Sink& sink) const {
    constexpr uint64_t kChunkBytes = 4 << 20;
    struct Chunk {
        size_t tensor;
        uint64_t first_row, n_rows;
    };
    std::vector<Chunk> chunks;
    for (size_t i = 0; i < tensors_.size(); ++i) {
        const uint64_t n_rows = tensors_[i].n_rows();
        const uint64_t step = std::max<uint64_t>(1, kChunkBytes / tensors_[i].row_bytes());
        for (uint64_t row = 0; row < n_rows; row += step) chunks.push_back({i, row, std::min(step, n_rows - row)});
    }
    std::atomic<size_t> next = 0;
    std::mutex mutex;
    std::exception_ptr error;
    const auto work = [&] {
        try {
            std::vector<uint8_t> buffer;
            for (size_t i = next++; i < chunks.size(); i = next++) {
                const Chunk& chunk = chunks[i];
                const TensorEntry& tensor = tensors_[chunk.tensor];
                buffer.resize(tensor.row_bytes() * chunk.n_rows);
                tensor.rows(chunk.first_row, chunk.n_rows, buffer.data());
                sink(layout.offsets[chunk.tensor] + tensor.row_bytes() * chunk.first_row, buffer);
            }
        } catch (...) {
            const std::lock_guard lock(mutex);
            error = std::current_exception();
            next = chunks.size();
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < n_threads; ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    if (error) std::rethrow_exception(error);
}

std::vector<uint8_t> GgufWriter::bytes(unsigned n_threads) const {
    const Layout layout = this->layout();
    std::vector<uint8_t> file(layout.file_bytes);
    std::ranges::copy(layout.header, file.begin());
    produce(layout, n_threads, [&](uint64_t offset, std::span<const uint8_t> rows) {
        std::ranges::copy(rows, file.begin() + static_cast<std::ptrdiff_t>(offset));
    });
    return file;
}

namespace {

class OutputFile {
  public:
    explicit OutputFile(const std::string& path)
        : path_(path), descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
        if (descriptor_ < 0) fail_write();
    }
    ~OutputFile() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    void write_at(uint64_t offset, std::span<const uint8_t> bytes) const {
        while (!bytes.empty()) {
            const ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) fail_write();
            bytes = bytes.subspan(static_cast<size_t>(n));
            offset += static_cast<uint64_t>(n);
        }
    }
    void resize(uint64_t size) const {
        if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0) fail_write();
    }
    void close() {
        if (::close(std::exchange(descriptor_, -1)) != 0) fail_write();
    }

  private:
    [[noreturn]] void fail_write() const {
        fail(REPRISE_IO, "cannot write '%s': %s", path_.c_str(), std::generic_category().message(errno).c_str());
    }
    std::string path_;
    int descriptor_;
};

}  // namespace

void GgufWriter::write(const std::string& path, unsigned n_threads) const {
    const Layout layout = this->layout();
    OutputFile file(path);
    file.resize(layout.file_bytes);  // padding between tensors is left to the file system: zeros
    file.write_at(0, layout.header);
    produce(layout, n_threads, [&](uint64_t offset, std::span<const uint8_t> rows) { file.write_at(offset, rows); });
    file.close();
}

std::string GgufWriter::write_split(const std::string& stem, uint16_t n_parts) const {
    for (uint16_t part = 0; part < n_parts; ++part) {
        GgufWriter writer(version_, alignment_);
        if (part == 0) writer.pairs_ = pairs_;
        writer.set("split.no", EncodedValue::uint16(part));
        writer.set("split.count", EncodedValue::uint16(n_parts));
        writer.set("split.tensors.count", EncodedValue::int32(static_cast<int32_t>(tensors_.size())));
        const auto begin = tensors_.begin() + static_cast<std::ptrdiff_t>(tensors_.size() * part / n_parts);
        const auto end = tensors_.begin() + static_cast<std::ptrdiff_t>(tensors_.size() * (part + 1u) / n_parts);
        writer.tensors_.assign(begin, end);
        writer.write(part_name(stem, part, n_parts));
    }
    return part_name(stem, 0, n_parts);
}

}  // namespace reprise
