// Files that lie about themselves: every lie has an error that names it, at once and without memory.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

#include "gguf/gguf_writer.h"
#include "support/allocation_counter.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace reprise {
namespace {

using namespace test;

/// A file written field by field.
class Bytes {
  public:
    template <typename T>
    Bytes& put(T value) {
        const size_t at = bytes_.size();
        bytes_.resize(at + sizeof(T));
        std::memcpy(bytes_.data() + at, &value, sizeof(T));
        return *this;
    }
    Bytes& u32(uint32_t v) { return put(v); }
    Bytes& u64(uint64_t v) { return put(v); }
    Bytes& raw(std::string_view text) {
        const size_t at = bytes_.size();
        bytes_.resize(at + text.size());
        std::memcpy(bytes_.data() + at, text.data(), text.size());
        return *this;
    }
    Bytes& string(std::string_view text) { return u64(text.size()).raw(text); }
    Bytes& header(uint64_t n_tensors, uint64_t n_pairs, uint32_t version = 3) {
        return raw("GGUF").u32(version).u64(n_tensors).u64(n_pairs);
    }
    Bytes& tensor(std::string_view name, std::initializer_list<uint64_t> dims, uint32_t type, uint64_t offset) {
        string(name).u32(static_cast<uint32_t>(dims.size()));
        for (const uint64_t dim : dims) u64(dim);
        return u32(type).u64(offset);
    }
    /// Pads to the default alignment and adds n bytes of tensor data.
    Bytes& data(size_t n) {
        bytes_.resize((bytes_.size() + 31) / 32 * 32 + n);
        return *this;
    }
    const std::vector<uint8_t>& get() const { return bytes_; }

  private:
    std::vector<uint8_t> bytes_;
};

constexpr uint32_t F32 = 0, Q4_K = 12, UINT8 = 0, UINT32 = 4, STRING = 8, ARRAY = 9;

/// Fails as expected, in milliseconds and within 64 KB.
void expect_refused(const Bytes& file, std::initializer_list<const char*> parts) {
    reset_peak();
    const size_t before = allocated_bytes();
    const auto start = std::chrono::steady_clock::now();
    expect_error(REPRISE_MODEL_FORMAT, parts, [&] { GgufFile::parse(file.get(), "bad.gguf"); });
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
    EXPECT_LT(taken.count(), 50);
    EXPECT_LT(peak_allocated_bytes() - before, 65536u);
}

TEST(GgufMalformed, FilesOfOtherKindsAreRecognised) {
    expect_refused(Bytes().raw("tjgg\x03"), {"'bad.gguf'", "not a GGUF file", "before GGUF"});
    expect_refused(Bytes().raw("lmgg"), {"before GGUF"});
    expect_refused(Bytes().raw("fmgg"), {"before GGUF"});
    expect_refused(Bytes().raw("FUGG"), {"byte-swapped"});
    expect_refused(Bytes().raw("version https://git-lfs.github.com/spec/v1\n"), {"Git LFS"});
    expect_refused(Bytes().raw("PK\x03\x04zip"), {"zip"});
    expect_refused(Bytes().u64(1000).raw("{\"a\":{"), {"safetensors"});
    expect_refused(Bytes().raw("<!DOCTYPE html>"), {"web page"});
    expect_refused(Bytes().raw("GG"), {"not a GGUF file"});
    expect_refused(Bytes().raw("\x7f\xff\x01garbage"), {"not a GGUF file", "\\x7f\\xff\\x01"});
}

TEST(GgufMalformed, Versions) {
    expect_refused(Bytes().header(0, 0, 1), {"version 1;", "2 and 3"});
    expect_refused(Bytes().header(0, 0, 4), {"version 4;"});
    expect_refused(Bytes().header(0, 0, 0), {"version 0;"});
    expect_refused(Bytes().header(0, 0, 0x03000000), {"big-endian"});
}

TEST(GgufMalformed, AnEmptyHeaderIsAFile) {
    const Bytes file = Bytes().header(0, 0);
    EXPECT_EQ(0u, GgufFile::parse(file.get(), "empty")->tensors().size());
}

TEST(GgufMalformed, AbsurdCounts) {
    for (const uint64_t count : {uint64_t{1} << 60, ~uint64_t{0}, uint64_t{1000}}) {
        const std::string text = std::to_string(count);
        expect_refused(Bytes().header(count, 0).data(100), {text.c_str(), "tensors"});
        expect_refused(Bytes().header(0, count).data(100), {text.c_str(), "key-value pairs"});
    }
}

TEST(GgufMalformed, TruncationAtEveryByteOfTheHeader) {
    GgufWriter writer;
    writer.set("general.architecture", EncodedValue::string("llama"));
    writer.set("list", EncodedValue::strings(std::vector<std::string>{"one", "two"}));
    writer.set("number", EncodedValue::float64(1));
    writer.add_tensor("weight", TensorType::F32, std::vector<uint64_t>{4, 2}, std::vector<float>(8, 1.0f));
    std::vector<uint8_t> bytes = writer.bytes();
    ASSERT_EQ(1u, GgufFile::parse(bytes, "whole")->tensors().size());
    // The padding after the last tensor may be missing, nothing else.
    const size_t needed = bytes.size();
    for (size_t n = 1; n < needed; ++n) {
        SCOPED_TRACE(n);
        expect_error(REPRISE_MODEL_FORMAT, {"bad.gguf"},
                     [&] { GgufFile::parse(std::span(bytes).first(n), "bad.gguf"); });
    }
    expect_error(REPRISE_MODEL_FORMAT, {"empty"}, [&] { GgufFile::parse({}, "bad.gguf"); });
}

TEST(GgufMalformed, TruncatedDataNamesTheTensor) {
    expect_refused(Bytes().header(1, 0).tensor("blk.0.x", {8, 2}, F32, 32).data(95),
                   {"tensor 0 'blk.0.x'", "64 bytes", "offset 32", "95 bytes", "truncated"});
    EXPECT_NO_THROW(GgufFile::parse(Bytes().header(1, 0).tensor("x", {8, 2}, F32, 32).data(96).get(), "good"));
    expect_refused(Bytes().header(1, 0).tensor("x", {1}, F32, ~uint64_t{0} - 31).data(95),
                   {"offset 18446744073709551584"});
}

TEST(GgufMalformed, Keys) {
    expect_refused(Bytes().header(0, 1).u64(uint64_t{1} << 62).data(64),
                   {"key-value pair 0", "byte 32", "the key needs 46"});
    expect_refused(Bytes().header(0, 1).string("").u32(UINT8).put<uint8_t>(1), {"pair 0", "0 bytes", "1 to 65535"});
    expect_refused(Bytes().header(0, 1).string(std::string(65536, 'k')).u32(UINT8).put<uint8_t>(1), {"65536 bytes"});
    Bytes twice;
    twice.header(0, 2);
    for (int i = 0; i < 2; ++i) twice.string("same.key").u32(UINT32).u32(1);
    expect_refused(twice, {"key 'same.key' appears twice"});
}

TEST(GgufMalformed, Values) {
    expect_refused(Bytes().header(0, 1).string("k").u32(13).u64(0), {"pair 0 'k'", "unknown value type 13"});
    expect_refused(Bytes().header(0, 1).string("k").u32(0xffffffff).u64(0), {"unknown value type 4294967295"});
    expect_refused(Bytes().header(0, 1).string("k").u32(STRING).u64(99).raw("short"),
                   {"'k'", "needs 99 bytes", "after 5"});
    expect_refused(Bytes().header(0, 1).string("k").u32(UINT32).raw("ab"), {"'k'", "needs 4 bytes", "after 2"});
}

TEST(GgufMalformed, Arrays) {
    const auto array = [](uint32_t element_type, uint64_t count) {
        return Bytes().header(0, 1).string("list").u32(ARRAY).u32(element_type).u64(count).data(64);
    };
    expect_refused(array(UINT32, uint64_t{1} << 62), {"'list'", "4611686018427387904 elements"});
    expect_refused(array(UINT8, ~uint64_t{0}), {"'list'", "18446744073709551615 bytes"});
    expect_refused(array(STRING, uint64_t{1} << 60), {"'list'", "1152921504606846976 elements"});
    expect_refused(array(ARRAY, uint64_t{1} << 60), {"'list'", "1152921504606846976 elements"});
    expect_refused(array(77, 0), {"'list'", "unknown value type 77"});
    expect_refused(Bytes().header(0, 1).string("list").u32(ARRAY).u32(STRING).u64(1).u64(~uint64_t{0}),
                   {"'list'", "a string of the array needs 18446744073709551615"});
}

TEST(GgufMalformed, ArraysNestOnlySoDeep) {
    const auto nested = [](int depth) {
        Bytes file;
        file.header(0, 1).string("deep").u32(ARRAY);
        for (int i = 1; i < depth; ++i) file.u32(ARRAY).u64(1);
        return file.u32(UINT8).u64(0);
    };
    EXPECT_NO_THROW(GgufFile::parse(nested(8).get(), "good"));
    expect_refused(nested(9), {"'deep'", "nested deeper than 8"});
    expect_refused(nested(100000), {"nested deeper than 8"});
}

TEST(GgufMalformed, Alignments) {
    const auto aligned = [](uint32_t alignment) {
        return Bytes().header(0, 1).string("general.alignment").u32(UINT32).u32(alignment);
    };
    for (const uint32_t good : {8u, 16u, 1u << 20})
        EXPECT_NO_THROW(GgufFile::parse(aligned(good).get(), "good")) << good;
    for (const uint32_t bad : {0u, 1u, 4u, 12u, 33u, 1u << 21, 0xffffffffu}) {
        expect_refused(aligned(bad), {"general.alignment", std::to_string(bad).c_str(), "power of two"});
    }
    expect_refused(Bytes().header(0, 1).string("general.alignment").u32(STRING).string("32"),
                   {"general.alignment", "string"});
}

TEST(GgufMalformed, TensorNames) {
    expect_refused(Bytes().header(1, 0).tensor("", {1}, F32, 0).data(4), {"tensor 0", "0 bytes", "1 to 64"});
    expect_refused(Bytes().header(1, 0).tensor(std::string(65, 'n'), {1}, F32, 0).data(4), {"65 bytes"});
    expect_refused(Bytes().header(1, 0).tensor(std::string_view("a\0b", 3), {1}, F32, 0).data(4), {"none of them 0"});
    expect_refused(Bytes().header(2, 0).tensor("x", {8}, F32, 0).tensor("x", {8}, F32, 32).data(64),
                   {"tensor 'x' appears twice"});
    EXPECT_NO_THROW(
        GgufFile::parse(Bytes().header(1, 0).tensor(std::string(64, 'n'), {1}, F32, 0).data(4).get(), "good"));
}

TEST(GgufMalformed, TensorShapes) {
    expect_refused(Bytes().header(1, 0).tensor("x", {}, F32, 0).data(64), {"tensor 0 'x'", "0 dimensions", "1 to 4"});
    expect_refused(Bytes().header(1, 0).tensor("x", {1, 1, 1, 1, 1}, F32, 0).data(64), {"'x'", "5 dimensions"});
    expect_refused(Bytes().header(1, 0).tensor("x", {8, 0}, F32, 0).data(64), {"'x'", "dimension 1 is 0"});
    const uint64_t big = uint64_t{1} << 32;
    expect_refused(Bytes().header(1, 0).tensor("x", {big, big}, F32, 0).data(64), {"'x'", "2^64 elements"});
    expect_refused(Bytes().header(1, 0).tensor("x", {big, big / 2}, F32, 0).data(64), {"'x'", "2^64 bytes"});
    expect_refused(Bytes().header(1, 0).tensor("x", {~uint64_t{0}}, F32, 0).data(64), {"'x'", "2^64 bytes"});
    expect_refused(Bytes().header(1, 0).tensor("x", {128, 2}, Q4_K, 0).data(144),
                   {"'x'", "128", "blocks of 256", "Q4_K"});
}

TEST(GgufMalformed, TensorTypes) {
    for (const uint32_t type : {4u, 5u, 31u, 1000u, 0xffffffffu}) {
        const std::string number = std::to_string(static_cast<int32_t>(type));
        expect_refused(Bytes().header(1, 0).tensor("x", {256}, type, 0).data(2048),
                       {"'x'", "unknown tensor type number", number.c_str()});
    }
    // A type that cannot be computed with is still a well-formed file.
    EXPECT_NO_THROW(GgufFile::parse(Bytes().header(1, 0).tensor("x", {256}, 10, 0).data(84).get(), "q2_k"));
}

TEST(GgufMalformed, TensorOffsets) {
    expect_refused(Bytes().header(1, 0).tensor("x", {8}, F32, 16).data(64), {"'x'", "offset 16", "alignment 32"});
    expect_refused(Bytes().header(2, 0).tensor("x", {16}, F32, 0).tensor("y", {8}, F32, 32).data(96),
                   {"'x' and 'y' overlap"});
    // Order in the file is free, and so are gaps.
    EXPECT_NO_THROW(GgufFile::parse(
        Bytes().header(2, 0).tensor("x", {8}, F32, 128).tensor("y", {8}, F32, 0).data(160).get(), "good"));
}

TEST(GgufMalformed, APartOfASplitModelIsNoWholeOne) {
    GgufWriter writer;
    writer.set("split.count", EncodedValue::uint16(3));
    const std::vector<uint8_t> bytes = writer.bytes();
    expect_error(REPRISE_MODEL_FORMAT, {"one of 3 parts"}, [&] { GgufFile::parse(bytes, "part"); });
    const TempDir dir;
    writer.set("split.count", EncodedValue::uint64(uint64_t{1} << 40));
    expect_error(REPRISE_MODEL_FORMAT, {"1099511627776", "at most 99999"},
                 [&] { GgufFile::open(dir.write("a-00001-of-00003.gguf", writer.bytes()), true); });
    writer.set("split.count", EncodedValue::uint16(3));
    writer.set("split.no", EncodedValue::uint16(3));
    expect_error(REPRISE_MODEL_FORMAT, {"split.no is 3 of 3"},
                 [&] { GgufFile::open(dir.write("b-00001-of-00003.gguf", writer.bytes()), true); });
}

TEST(GgufMalformed, MessagesQuoteControlCharacters) {
    expect_refused(Bytes().header(0, 1).string("bad\nkey\x1b[31m").u32(99), {"'bad\\x0akey\\x1b[31m'"});
}

}  // namespace
}  // namespace reprise
