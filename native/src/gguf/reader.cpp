// Reads the header of a GGUF file: magic, counts, key-value pairs, tensor descriptions. Nothing in it is believed:
// every count, length, offset and product is checked against the file before anything is allocated or read by it.
#include <algorithm>
#include <bit>
#include <numeric>

#include "core/error.h"
#include "core/log.h"
#include "gguf/cursor.h"
#include "gguf/gguf.h"
#include "gguf/split.h"

namespace reprise {

// Values, keys and tensor counts are used as they lie in the file.
static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");

constexpr uint64_t kMaxKeyBytes = 65535;  // the specification's limits
constexpr uint64_t kMaxTensorNameBytes = 64;
constexpr uint32_t kMaxDims = 4;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMinAlignment = 8;                // the specification asks for a multiple of 8
constexpr uint64_t kMaxAlignment = 1 << 20;          // ours: no file has a use for more
constexpr int kMaxArrayDepth = 8;                    // ours: no file nests deeper than 2
constexpr uint64_t kMinPairBytes = 8 + 4 + 1;        // key length, type, the smallest value
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;  // name length, n_dims, type, offset

static unsigned long long ull(uint64_t n) { return n; }

static bool multiply(uint64_t a, uint64_t b, uint64_t& product) { return !__builtin_mul_overflow(a, b, &product); }

/// Bytes of a scalar of this type; 0 for strings, arrays and unknown types.
static uint64_t scalar_bytes(ValueType type) {
    switch (type) {
        case ValueType::UINT8:
        case ValueType::INT8:
        case ValueType::BOOL:
            return 1;
        case ValueType::UINT16:
        case ValueType::INT16:
            return 2;
        case ValueType::UINT32:
        case ValueType::INT32:
        case ValueType::FLOAT32:
            return 4;
        case ValueType::UINT64:
        case ValueType::INT64:
        case ValueType::FLOAT64:
            return 8;
        case ValueType::STRING:
        case ValueType::ARRAY:
            break;
    }
    return 0;
}

class GgufReader {
  public:
    explicit GgufReader(FileImage image) : file_(new GgufFile) { file_->parts_.push_back(std::move(image)); }

    std::shared_ptr<GgufFile> read() {
        Cursor cursor(image());
        file_->path_ = image().path();
        file_->file_bytes_ = image().size();
        check_magic(cursor);
        const uint64_t n_tensors = cursor.number<uint64_t>("the number of tensors");
        const uint64_t n_pairs = cursor.number<uint64_t>("the number of key-value pairs");
        read_pairs(cursor, n_pairs);
        read_alignment();
        read_tensors(cursor, n_tensors);
        image().read_all();
        return file_;
    }

    /// Adds the tensors of another part.
    static void append(GgufFile& file, GgufFile& part) {
        for (Tensor& tensor : part.tensors_) {
            tensor.file_index = file.n_files();
            file.tensors_.push_back(std::move(tensor));
        }
        file.file_bytes_ += part.file_bytes_;
        file.tensor_bytes_ += part.tensor_bytes_;
        file.n_parameters_ += part.n_parameters_;
        file.parts_.push_back(std::move(part.parts_[0]));
    }

    static void index_tensors(GgufFile& file) {
        const std::vector<Tensor>& tensors = file.tensors_;
        file.by_name_.resize(tensors.size());
        std::iota(file.by_name_.begin(), file.by_name_.end(), 0u);
        const auto name = [&](uint32_t i) -> const std::string& { return tensors[i].name; };
        std::ranges::sort(file.by_name_, {}, name);
        const auto twin = std::ranges::adjacent_find(file.by_name_, {}, name);
        if (twin != file.by_name_.end()) {
            fail(REPRISE_MODEL_FORMAT, "'%s': tensor %s appears twice", file.path_.c_str(),
                 quoted(name(*twin)).c_str());
        }
    }

  private:
    FileImage& image() { return file_->parts_[0]; }
    const char* path() { return image().path().c_str(); }

    void check_magic(Cursor& cursor);
    void read_pairs(Cursor& cursor, uint64_t n_pairs);
    GgufFile::KeyValue read_pair(Cursor& cursor, uint64_t index);
    void warn_of_odd_truth();
    std::span<const uint8_t> read_elements(Cursor& cursor, ValueType type, uint64_t count, int depth);
    Value read_array(Cursor& cursor, int depth);
    ValueType read_value_type(Cursor& cursor);
    void read_alignment();
    void read_tensors(Cursor& cursor, uint64_t n_tensors);
    Tensor read_tensor(Cursor& cursor, uint64_t index);
    void place_tensors(Cursor& cursor);
    void check_overlap();

    std::shared_ptr<GgufFile> file_;
};

/// What a file is that does not start with "GGUF", as far as its first bytes tell.
static const char* recognise(std::string_view start) {
    if (start.starts_with("lmgg") || start.starts_with("fmgg") || start.starts_with("tjgg") ||
        start.starts_with("algg")) {
        return "a GGML file from before GGUF; convert the original model to GGUF";
    }
    if (start.starts_with("FUGG")) return "a byte-swapped GGUF file; only little-endian files are supported";
    if (start.starts_with("version https://git-lfs"))
        return "a Git LFS pointer; fetch the file itself with 'git lfs pull'";
    if (start.starts_with("PK\x03\x04")) return "a zip archive (a PyTorch checkpoint?); convert the model to GGUF";
    if (start.size() >= 9 && start[8] == '{') return "perhaps a safetensors file; convert the model to GGUF";
    if (start.starts_with("<")) return "perhaps a web page that was saved instead of the model";
    return "its first bytes should be 'GGUF'";
}

void GgufReader::check_magic(Cursor& cursor) {
    const std::span<const uint8_t> head = cursor.bytes(std::min<uint64_t>(32, cursor.remaining()), "the magic number");
    const std::string_view start(reinterpret_cast<const char*>(head.data()), head.size());
    if (!start.starts_with("GGUF")) {
        fail(REPRISE_MODEL_FORMAT, "'%s' is not a GGUF file: it starts with %s: %s", path(),
             quoted(std::string(start.substr(0, 8))).c_str(), recognise(start));
    }
    cursor.seek(4);
    const uint32_t version = cursor.number<uint32_t>("the version");
    if ((version & 0xffffff) == 0 && version != 0) {
        fail(REPRISE_MODEL_FORMAT,
             "'%s' is a big-endian GGUF file (version field 0x%08x); only little-endian files are supported", path(),
             version);
    }
    if (version != 2 && version != 3) {
        fail(REPRISE_MODEL_FORMAT, "'%s' has GGUF version %u; versions 2 and 3 are supported", path(), version);
    }
    file_->version_ = version;
}

void GgufReader::read_pairs(Cursor& cursor, uint64_t n_pairs) {
    if (n_pairs > cursor.remaining() / kMinPairBytes) {
        fail(REPRISE_MODEL_FORMAT, "'%s': %llu key-value pairs need at least %llu bytes each, but %llu bytes are left",
             path(), ull(n_pairs), ull(kMinPairBytes), ull(cursor.remaining()));
    }
    // The first pass checks, the second keeps: memory is taken for pairs that are there, not for a count.
    const uint64_t start = cursor.offset();
    for (uint64_t i = 0; i < n_pairs; ++i) read_pair(cursor, i);
    file_->metadata_ = {image().data() + start, cursor.offset() - start};
    cursor.seek(start);
    std::vector<GgufFile::KeyValue>& keys = file_->keys_;
    keys.reserve(n_pairs);
    for (uint64_t i = 0; i < n_pairs; ++i) keys.push_back(read_pair(cursor, i));
    warn_of_odd_truth();
    std::ranges::sort(keys, {}, &GgufFile::KeyValue::key);
    const auto twin = std::ranges::adjacent_find(keys, {}, &GgufFile::KeyValue::key);
    if (twin != keys.end()) {
        fail(REPRISE_MODEL_FORMAT, "'%s': key %s appears twice", path(), quoted(std::string(twin->key)).c_str());
    }
}

GgufFile::KeyValue GgufReader::read_pair(Cursor& cursor, uint64_t index) {
    cursor.describe("key-value pair", index);
    GgufFile::KeyValue pair;
    pair.key = cursor.string("the key");
    if (pair.key.empty() || pair.key.size() > kMaxKeyBytes) {
        cursor.fail_here(
            format("the key has %llu bytes; it may have 1 to %llu", ull(pair.key.size()), ull(kMaxKeyBytes)));
    }
    cursor.describe("key-value pair", index, pair.key);
    const ValueType type = read_value_type(cursor);
    if (type == ValueType::ARRAY) {
        pair.value = read_array(cursor, 1);
    } else if (type == ValueType::STRING) {
        const std::string_view text = cursor.string("the value");
        pair.value = {type, type, text.size(), {reinterpret_cast<const uint8_t*>(text.data()), text.size()}};
    } else {
        pair.value = {type, type, 1, read_elements(cursor, type, 1, 0)};
    }
    return pair;
}

/// The specification has 0 and 1. Another byte is no reason to refuse a file of which perhaps nobody asks for the key.
void GgufReader::warn_of_odd_truth() {
    const auto is_odd = [](const GgufFile::KeyValue& pair) {
        return pair.value.element_type == ValueType::BOOL &&
               std::ranges::any_of(pair.value.data, [](uint8_t b) { return b > 1; });
    };
    const auto odd = std::ranges::find_if(file_->keys_, is_odd);
    if (odd == file_->keys_.end()) return;
    log(REPRISE_LOG_WARN, "'%s': metadata key %s has a truth value that is neither 0 nor 1: taken for true", path(),
        quoted(std::string(odd->key), 128).c_str());
}

ValueType GgufReader::read_value_type(Cursor& cursor) {
    const uint32_t number = cursor.number<uint32_t>("the value type");
    if (number > static_cast<uint32_t>(ValueType::FLOAT64)) cursor.fail_here(format("unknown value type %u", number));
    return static_cast<ValueType>(number);
}

Value GgufReader::read_array(Cursor& cursor, int depth) {
    if (depth > kMaxArrayDepth) cursor.fail_here(format("arrays nested deeper than %d", kMaxArrayDepth));
    const ValueType element_type = read_value_type(cursor);
    const uint64_t count = cursor.number<uint64_t>("the array length");
    return {ValueType::ARRAY, element_type, count, read_elements(cursor, element_type, count, depth)};
}

/// Checks count encoded values and returns their bytes.
std::span<const uint8_t> GgufReader::read_elements(Cursor& cursor, ValueType type, uint64_t count, int depth) {
    const uint64_t start = cursor.offset();
    if (const uint64_t size = scalar_bytes(type)) {
        uint64_t n_bytes;
        if (!multiply(count, size, n_bytes)) cursor.fail_here(format("an array of %llu elements", ull(count)));
        return cursor.bytes(n_bytes, "the value");
    }
    const uint64_t min_bytes = type == ValueType::STRING ? 8 : 12;  // its length; its element type and length
    if (count > cursor.remaining() / min_bytes) {
        cursor.fail_here(format("an array of %llu elements, but the file ends after %llu bytes", ull(count),
                                ull(cursor.remaining())));
    }
    for (uint64_t i = 0; i < count; ++i) {
        if (type == ValueType::STRING) {
            cursor.string("a string of the array");
        } else {
            read_array(cursor, depth + 1);
        }
    }
    return {image().data() + start, cursor.offset() - start};
}

void GgufReader::read_alignment() {
    const uint64_t alignment = file_->get_uint("general.alignment").value_or(kDefaultAlignment);
    if (!std::has_single_bit(alignment) || alignment < kMinAlignment || alignment > kMaxAlignment) {
        fail(REPRISE_MODEL_FORMAT, "'%s': general.alignment is %llu; it must be a power of two from %llu to %llu",
             path(), ull(alignment), ull(kMinAlignment), ull(kMaxAlignment));
    }
    file_->alignment_ = alignment;
}

void GgufReader::read_tensors(Cursor& cursor, uint64_t n_tensors) {
    if (n_tensors > cursor.remaining() / kMinTensorBytes) {
        fail(REPRISE_MODEL_FORMAT, "'%s': %llu tensors need at least %llu header bytes each, but %llu bytes are left",
             path(), ull(n_tensors), ull(kMinTensorBytes), ull(cursor.remaining()));
    }
    const uint64_t start = cursor.offset();
    for (uint64_t i = 0; i < n_tensors; ++i) read_tensor(cursor, i);
    cursor.seek(start);
    file_->tensors_.reserve(n_tensors);
    for (uint64_t i = 0; i < n_tensors; ++i) file_->tensors_.push_back(read_tensor(cursor, i));
    place_tensors(cursor);
    check_overlap();
    index_tensors(*file_);
}

/// A tensor's description; file_offset is still relative to the tensor data.
Tensor GgufReader::read_tensor(Cursor& cursor, uint64_t index) {
    cursor.describe("tensor", index);
    const std::string_view name = cursor.string("the name");
    if (name.empty() || name.size() > kMaxTensorNameBytes || name.find('\0') != name.npos) {
        cursor.fail_here(format("the name has %llu bytes; it may have 1 to %llu, none of them 0", ull(name.size()),
                                ull(kMaxTensorNameBytes)));
    }
    cursor.describe("tensor", index, name);
    Tensor tensor{.name = std::string(name),
                  .type_number = 0,
                  .n_dims = cursor.number<uint32_t>("the number of dimensions"),
                  .dims = {1, 1, 1, 1},
                  .n_elements = 1,
                  .n_bytes = 0,
                  .data = {},
                  .file_offset = 0,
                  .file_index = 0};
    if (tensor.n_dims < 1 || tensor.n_dims > kMaxDims) {
        cursor.fail_here(format("%u dimensions; 1 to %u are possible", tensor.n_dims, kMaxDims));
    }
    for (uint32_t i = 0; i < tensor.n_dims; ++i) {
        tensor.dims[i] = cursor.number<uint64_t>("a dimension");
        if (tensor.dims[i] == 0) cursor.fail_here(format("dimension %u is 0", i));
        if (!multiply(tensor.n_elements, tensor.dims[i], tensor.n_elements)) {
            cursor.fail_here("its dimensions multiply to more than 2^64 elements");
        }
    }
    tensor.type_number = cursor.number<int32_t>("the type");
    const TypeTraits* type = find_type(tensor.type_number);
    if (!type) cursor.fail_here(format("unknown tensor type number %d", tensor.type_number));
    if (tensor.dims[0] % type->block_size != 0) {
        cursor.fail_here(format("rows of %llu elements are not whole blocks of %u, as type %s has", ull(tensor.dims[0]),
                                type->block_size, type->name));
    }
    if (!multiply(tensor.n_elements / type->block_size, type->block_bytes, tensor.n_bytes)) {
        cursor.fail_here(
            format("its %llu elements of type %s take more than 2^64 bytes", ull(tensor.n_elements), type->name));
    }
    tensor.file_offset = cursor.number<uint64_t>("the offset");
    if (tensor.file_offset % file_->alignment_ != 0) {
        cursor.fail_here(format("the offset %llu is not a multiple of the alignment %llu", ull(tensor.file_offset),
                                ull(file_->alignment_)));
    }
    return tensor;
}

/// Turns offsets into places in the file.
void GgufReader::place_tensors(Cursor& cursor) {
    const uint64_t size = file_->file_bytes_;
    const uint64_t data_start = (cursor.offset() + file_->alignment_ - 1) / file_->alignment_ * file_->alignment_;
    const uint64_t data_bytes = size - std::min(size, data_start);
    for (uint64_t i = 0; i < file_->tensors_.size(); ++i) {
        Tensor& tensor = file_->tensors_[i];
        if (tensor.n_bytes > data_bytes || tensor.file_offset > data_bytes - tensor.n_bytes) {
            cursor.describe("tensor", i, tensor.name);
            cursor.fail_here(
                format("its %llu bytes at offset %llu of the tensor data lie beyond the %llu bytes that the file has "
                       "(truncated, or not downloaded completely?)",
                       ull(tensor.n_bytes), ull(tensor.file_offset), ull(data_bytes)));
        }
        tensor.file_offset += data_start;
        tensor.data = {image().data() + tensor.file_offset, tensor.n_bytes};
        file_->tensor_bytes_ += tensor.n_bytes;
        file_->n_parameters_ += tensor.n_elements;
    }
}

/// Tensors that share bytes would make a small file unpack to any size; no writer produces them.
void GgufReader::check_overlap() {
    const std::vector<Tensor>& tensors = file_->tensors_;
    std::vector<uint32_t> order(tensors.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::sort(order, {}, [&](uint32_t i) { return tensors[i].file_offset; });
    for (size_t i = 1; i < order.size(); ++i) {
        const Tensor& before = tensors[order[i - 1]];
        const Tensor& after = tensors[order[i]];
        if (before.file_offset + before.n_bytes > after.file_offset) {
            fail(REPRISE_MODEL_FORMAT, "'%s': tensors %s and %s overlap at byte %llu", path(),
                 quoted(before.name).c_str(), quoted(after.name).c_str(), ull(after.file_offset));
        }
    }
}

GgufFile::GgufFile() = default;
GgufFile::~GgufFile() = default;

std::shared_ptr<const GgufFile> GgufFile::parse(std::span<const uint8_t> bytes, const std::string& name) {
    std::shared_ptr<GgufFile> file = GgufReader(FileImage::borrow(bytes, name)).read();
    if (const uint64_t n_parts = file->get_uint("split.count").value_or(1); n_parts > 1) {
        fail(REPRISE_MODEL_FORMAT, "'%s' is one of %llu parts of a split model; open its first file by path",
             name.c_str(), ull(n_parts));
    }
    return file;
}

std::shared_ptr<const GgufFile> GgufFile::open(const std::string& path, bool use_mmap) {
    const auto read = [&](const std::string& part_path) {
        return GgufReader(use_mmap ? FileImage::map(part_path) : FileImage::read(part_path)).read();
    };
    std::shared_ptr<GgufFile> file = read(path);
    const Split split = check_first_part(*file);
    if (split.n_parts == 1) return file;
    for (size_t i = 1; i < split.n_parts; ++i) {
        std::shared_ptr<GgufFile> part = read(part_name(split.stem, i, split.n_parts));
        check_part(*file, *part, i, split.n_parts);
        GgufReader::append(*file, *part);
    }
    check_total(*file);
    GgufReader::index_tensors(*file);
    return file;
}

}  // namespace reprise
