#include "session/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/log.h"

namespace reprise {

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char MAGIC[8] = {'R', 'P', 'R', 'S', 'T', 'A', 'T', 'E'};
constexpr uint32_t EXACT = 1, HAS_LOGITS = 2;  // flags

/// The header as it lies in the file.
struct RawHeader {
    char magic[8];
    uint32_t format;
    uint32_t flags;
    uint64_t file_bytes;
    uint64_t fingerprint;
    char architecture[32];  // filled up with zeros
    uint32_t n_vocab, n_layers, n_kv_heads, head_dim;
    uint32_t kv_type;  // number of the GGUF type
    uint32_t context_length, prefill_chunk;
    uint32_t n_tokens, n_evaluated;
    uint32_t other_position_bytes;
    uint32_t n_state_values[2];  // low half first
    uint32_t unused[2];          // zero
    uint64_t hash;               // of all in front of it
};
static_assert(sizeof(RawHeader) == StateHeader::HEADER_BYTES);

uint64_t hash_of(const RawHeader& raw) { return hash64(&raw, offsetof(RawHeader, hash)); }

bool can_be_cached(uint32_t type) {
    for (const TensorType known : {TensorType::F16, TensorType::F32, TensorType::Q8_0}) {
        if (type == static_cast<uint32_t>(known)) return true;
    }
    return false;
}

constexpr uint32_t MOST = 1 << 20;  // layers, heads, values of a head, tokens of a chunk: more than any model has

/// Bytes of the whole file. In 128 bits, which tokens times layers times heads times values up to MOST fit into.
unsigned __int128 total_bytes(const StateHeader& h) {
    const unsigned __int128 position_bytes = h.other_position_bytes != 0
                                                 ? h.other_position_bytes
                                                 : static_cast<unsigned __int128>(h.position_bytes()) * 2 * h.n_layers;
    return position_bytes * h.n_evaluated + static_cast<unsigned __int128>(h.n_state_values) * sizeof(float) +
           sizeof(int32_t) * uint64_t{h.n_tokens} + (h.has_logits ? sizeof(float) * uint64_t{h.n_vocab} : 0) +
           StateHeader::HEADER_BYTES + sizeof(uint64_t);
}

RawHeader encode(const StateHeader& h) {
    RawHeader raw{};
    std::copy(std::begin(MAGIC), std::end(MAGIC), raw.magic);
    raw.format = STATE_FORMAT;
    raw.flags = (h.exact ? EXACT : 0) | (h.has_logits ? HAS_LOGITS : 0);
    raw.file_bytes = h.file_bytes();
    raw.fingerprint = h.fingerprint;
    h.architecture.copy(raw.architecture, sizeof raw.architecture);
    raw.n_vocab = h.n_vocab;
    raw.n_layers = h.n_layers;
    raw.n_kv_heads = h.n_kv_heads;
    raw.head_dim = h.head_dim;
    raw.kv_type = static_cast<uint32_t>(h.kv_type);
    raw.context_length = h.context_length;
    raw.prefill_chunk = h.prefill_chunk;
    raw.other_position_bytes = h.other_position_bytes;
    raw.n_state_values[0] = static_cast<uint32_t>(h.n_state_values);
    raw.n_state_values[1] = static_cast<uint32_t>(h.n_state_values >> 32);
    raw.n_tokens = h.n_tokens;
    raw.n_evaluated = h.n_evaluated;
    raw.hash = hash_of(raw);
    return raw;
}

std::string directory_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

/// Where a file at path lies, or will. Of a link that leads nowhere: the link, which the file then takes the place of.
std::string without_links(const std::string& path) {
    char* real = ::realpath(path.c_str(), nullptr);
    if (real == nullptr) return path;
    std::string result(real);
    std::free(real);
    return result;
}

/// What has been moved into a folder is there after a power failure only once the folder is on the disk too.
void synchronize_directory(const std::string& directory) {
    const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool done = descriptor >= 0 && ::fsync(descriptor) == 0;
    if (!done) {
        log(REPRISE_LOG_WARN,
            "a session was saved, but a power failure may undo it: the folder '%s' cannot be "
            "synchronised (errno %d)",
            directory.c_str(), errno);
    }
    if (descriptor >= 0) ::close(descriptor);
}

}  // namespace

uint64_t StateHeader::position_bytes() const { return uint64_t{n_kv_heads} * row_bytes(kv_type, head_dim); }
uint64_t StateHeader::file_bytes() const { return static_cast<uint64_t>(total_bytes(*this)); }

// ---- writing ----

StateWriter::StateWriter(const std::string& path)
    : path_(path), place_(without_links(path)), directory_(directory_of(place_)) {
    struct stat status;
    const bool is_there = ::stat(path.c_str(), &status) == 0;
    if (path.empty() || path.back() == '/' || (is_there && !S_ISREG(status.st_mode)))
        fail(REPRISE_IO, "cannot write '%s': it is no name of a regular file", path.c_str());
    std::string name = directory_ + "/.reprise-session-XXXXXX";
    descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);  // readable and writable by its owner alone
    if (descriptor_ < 0) fail_io("write", path_, errno);
    temporary_ = std::move(name);
}

StateWriter::~StateWriter() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void StateWriter::write(const StateHeader& header) {
    const RawHeader raw = encode(header);
    write(&raw, sizeof raw);
}

void StateWriter::write(std::span<const uint8_t> bytes) {
    hash_.add(bytes);
    write_unhashed(bytes);
}

void StateWriter::write_unhashed(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail_io("write", path_, errno);
        bytes = bytes.subspan(static_cast<size_t>(n));
    }
}

void StateWriter::commit() {
    const uint64_t hash = hash_.value();
    write(&hash, sizeof hash);
    if (::fsync(descriptor_) != 0) fail_io("write", path_, errno);
    if (::close(std::exchange(descriptor_, -1)) != 0) fail_io("write", path_, errno);
    if (::rename(temporary_.c_str(), place_.c_str()) != 0) fail_io("write", path_, errno);
    temporary_.clear();
    synchronize_directory(directory_);
}

// ---- reading ----

StateReader::StateReader(const std::string& path, uint64_t offset) : path_(path) {
    try {
        open(offset);
        read_header();
    } catch (...) {
        if (descriptor_ >= 0) ::close(descriptor_);
        throw;
    }
}

StateReader::~StateReader() { ::close(descriptor_); }

void StateReader::open(uint64_t offset) {
    // O_NONBLOCK: opening a FIFO that nobody writes to must not wait.
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) fail_io("open", path_, errno);
    struct stat status;
    if (::fstat(descriptor_, &status) != 0) fail_io("examine", path_, errno);
    if (S_ISDIR(status.st_mode)) fail_io("open", path_, EISDIR);
    if (!S_ISREG(status.st_mode))
        fail(REPRISE_IO, "cannot open '%s': not a regular file (a pipe, socket or device)", path_.c_str());
    const auto whole = static_cast<uint64_t>(status.st_size), preface = std::min(offset, whole);
    if (::lseek(descriptor_, static_cast<off_t>(preface), SEEK_SET) < 0) fail_io("read", path_, errno);
    size_ = whole - preface;
}

void StateReader::fail_damaged(const char* what) const {
    fail(REPRISE_SESSION_FORMAT, "the saved session '%s' is damaged: %s", path_.c_str(), what);
}

void StateReader::read(std::span<uint8_t> bytes) {
    for (size_t done = 0; done < bytes.size();) {
        const ssize_t n = ::read(descriptor_, bytes.data() + done, bytes.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail_io("read", path_, errno);
        if (n == 0) fail(REPRISE_IO, "'%s' shrank while it was read", path_.c_str());
        done += static_cast<size_t>(n);
    }
    hash_.add(bytes);
}

void StateReader::read_header() {
    RawHeader raw{};
    read(&raw, std::min<uint64_t>(size_, sizeof raw));
    if (size_ == 0 || std::memcmp(raw.magic, MAGIC, std::min<uint64_t>(size_, sizeof MAGIC)) != 0)
        fail(REPRISE_SESSION_FORMAT, "'%s' is no saved session%s", path_.c_str(), size_ == 0 ? " but empty" : "");
    if (raw.format > STATE_FORMAT) {
        fail(
            REPRISE_SESSION_FORMAT,
            "the saved session '%s' has format version %u, and this version of Reprise reads up to %u: it was saved by "
            "a newer one",
            path_.c_str(), raw.format, STATE_FORMAT);
    }
    const auto fail_truncated = [&](uint64_t wanted) {
        fail(REPRISE_SESSION_FORMAT, "the saved session '%s' is truncated: it has %llu bytes and should have %llu",
             path_.c_str(), static_cast<unsigned long long>(size_), static_cast<unsigned long long>(wanted));
    };
    if (size_ < sizeof raw) fail_truncated(sizeof raw);
    if (raw.hash != hash_of(raw)) fail_damaged("its header has another hash than it says");

    // Beyond this nothing is wrong by chance.
    const auto check = [&](bool ok, const char* what) {
        if (!ok) fail_damaged(what);
    };
    check(raw.format == STATE_FORMAT && raw.flags <= (EXACT | HAS_LOGITS) &&
              std::all_of(std::begin(raw.unused), std::end(raw.unused), [](uint32_t word) { return word == 0; }),
          "its header sets what has no meaning");
    check(can_be_cached(raw.kv_type), "its KV cache has a type that no KV cache has");
    header_.fingerprint = raw.fingerprint;
    header_.architecture.assign(raw.architecture, strnlen(raw.architecture, sizeof raw.architecture));
    header_.n_vocab = raw.n_vocab;
    header_.n_layers = raw.n_layers;
    header_.n_kv_heads = raw.n_kv_heads;
    header_.head_dim = raw.head_dim;
    header_.exact = (raw.flags & EXACT) != 0;
    header_.kv_type = static_cast<TensorType>(raw.kv_type);
    header_.context_length = raw.context_length;
    header_.prefill_chunk = raw.prefill_chunk;
    header_.other_position_bytes = raw.other_position_bytes;
    header_.n_state_values = raw.n_state_values[0] | uint64_t{raw.n_state_values[1]} << 32;
    header_.n_tokens = raw.n_tokens;
    header_.n_evaluated = raw.n_evaluated;
    header_.has_logits = (raw.flags & HAS_LOGITS) != 0;
    check(raw.n_layers <= MOST && raw.n_kv_heads <= MOST && raw.head_dim <= MOST, "no model has its dimensions");
    check(raw.head_dim % traits(header_.kv_type).block_size == 0, "its KV cache has no whole blocks");
    check(raw.context_length > 0 && raw.context_length <= INT32_MAX, "its context has no length");
    check(raw.prefill_chunk <= MOST, "it was evaluated in chunks of no size");
    check(raw.n_tokens <= raw.context_length, "it has more tokens than its context holds");
    check(raw.n_evaluated <= raw.n_tokens, "more tokens are evaluated than it has");
    check(!header_.has_logits || (raw.n_tokens > 0 && raw.n_evaluated == raw.n_tokens),
          "it has logits of a token that is not evaluated");
    check(total_bytes(header_) == raw.file_bytes, "its header contradicts itself about the size");
    if (size_ < raw.file_bytes) fail_truncated(raw.file_bytes);
    check(size_ == raw.file_bytes, "there are bytes behind its end");
}

void StateReader::finish() {
    const uint64_t actual = hash_.value();
    uint64_t expected;
    read(&expected, sizeof expected);
    if (actual != expected) fail_damaged("its contents have another hash than they should");
}

}  // namespace reprise
