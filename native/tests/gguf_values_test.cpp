#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/log.h"
#include "gguf/gguf_writer.h"
#include "support/expect_error.h"

namespace reprise {
namespace {

using test::expect_error;

class GgufValues : public ::testing::TestWithParam<uint32_t> {
  protected:
    std::shared_ptr<const GgufFile> parse() {
        bytes_ = writer_.bytes();
        return GgufFile::parse(bytes_, "values");
    }
    GgufWriter writer_{GetParam()};
    std::vector<uint8_t> bytes_;
};

INSTANTIATE_TEST_SUITE_P(Versions, GgufValues, ::testing::Values(2u, 3u));

TEST_P(GgufValues, EveryTypeComesBack) {
    writer_.set("u8", EncodedValue::uint8(255));
    writer_.set("i8", EncodedValue::int8(127));
    writer_.set("u16", EncodedValue::uint16(65535));
    writer_.set("i16", EncodedValue::int16(32767));
    writer_.set("u32", EncodedValue::uint32(4294967295u));
    writer_.set("i32", EncodedValue::int32(2147483647));
    writer_.set("u64", EncodedValue::uint64(std::numeric_limits<uint64_t>::max()));
    writer_.set("i64", EncodedValue::int64(std::numeric_limits<int64_t>::max()));
    writer_.set("f32", EncodedValue::float32(0.1f));
    writer_.set("f64", EncodedValue::float64(0.1));
    writer_.set("yes", EncodedValue::boolean(true));
    writer_.set("no", EncodedValue::boolean(false));
    writer_.set("text", EncodedValue::string("caf\xc3\xa9"));
    writer_.set("nothing", EncodedValue::string(""));
    const auto file = parse();
    EXPECT_EQ(GetParam(), file->version());
    EXPECT_EQ(14u, file->n_metadata());
    EXPECT_EQ(255u, file->get_uint("u8"));
    EXPECT_EQ(127u, file->get_uint("i8"));
    EXPECT_EQ(65535u, file->get_uint("u16"));
    EXPECT_EQ(32767u, file->get_uint("i16"));
    EXPECT_EQ(4294967295u, file->get_uint("u32"));
    EXPECT_EQ(2147483647u, file->get_uint("i32"));
    EXPECT_EQ(std::numeric_limits<uint64_t>::max(), file->get_uint("u64"));
    EXPECT_EQ(static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), file->get_uint("i64"));
    EXPECT_EQ(double{0.1f}, file->get_float("f32"));
    EXPECT_EQ(0.1, file->get_float("f64"));
    EXPECT_EQ(255.0, file->get_float("u8"));
    EXPECT_EQ(true, file->get_bool("yes"));
    EXPECT_EQ(false, file->get_bool("no"));
    EXPECT_EQ("caf\xc3\xa9", file->get_string("text"));
    EXPECT_EQ("", file->get_string("nothing"));
}

/// A byte that the specification does not have must not keep anybody from all the rest of the file.
TEST_P(GgufValues, ATruthValueThatIsNeitherZeroNorOneIsTrueAndWarnedOf) {
    writer_.set("before", EncodedValue::uint32(7));
    writer_.set("odd", EncodedValue::boolean(true));
    writer_.set("after", EncodedValue::string("text"));
    bytes_ = writer_.bytes();
    const std::string_view key = "odd";
    const auto at = std::search(bytes_.begin(), bytes_.end(), key.begin(), key.end());
    ASSERT_NE(bytes_.end(), at);
    uint8_t& truth = at[key.size() + sizeof(uint32_t)];
    ASSERT_EQ(1, truth);
    truth = 2;
    static std::string logged;
    logged.clear();
    set_log_callback([](void*, int32_t, const char* message) { logged += message; }, nullptr);
    const auto file = GgufFile::parse(bytes_, "values");
    set_log_callback(nullptr, nullptr);
    EXPECT_EQ(true, file->get_bool("odd"));
    EXPECT_TRUE(file->find("odd")->all_numbers([](double number) { return number == 1; }));
    EXPECT_EQ(7u, file->get_uint("before"));
    EXPECT_EQ("text", file->get_string("after"));
    EXPECT_NE(std::string::npos, logged.find("'odd' has a truth value that is neither 0 nor 1")) << logged;
}

TEST_P(GgufValues, AbsentKeysAreNothing) {
    writer_.set("b", EncodedValue::uint8(1));
    const auto file = parse();
    for (const char* key : {"a", "bb", "", "c"}) {
        EXPECT_FALSE(file->has(key));
        EXPECT_EQ(std::nullopt, file->get_uint(key));
        EXPECT_EQ(std::nullopt, file->get_float(key));
        EXPECT_EQ(std::nullopt, file->get_bool(key));
        EXPECT_EQ(std::nullopt, file->get_string(key));
        EXPECT_EQ(std::nullopt, file->get_numbers(key, 8));
        EXPECT_EQ(std::nullopt, file->array_length(key));
    }
}

TEST_P(GgufValues, AnotherKindOfValueIsAnErrorThatNamesTheKey) {
    writer_.set("text", EncodedValue::string("x"));
    writer_.set("number", EncodedValue::uint32(1));
    writer_.set("negative", EncodedValue::int32(-1));
    writer_.set("fraction", EncodedValue::float32(1.5f));
    writer_.set("words", EncodedValue::strings(std::vector<std::string>{"a"}));
    writer_.set("no.words", EncodedValue::strings({}));
    const auto file = parse();
    expect_error(REPRISE_MODEL_FORMAT, {"'values'", "'text'", "string", "integer"}, [&] { file->get_uint("text"); });
    expect_error(REPRISE_MODEL_FORMAT, {"'negative'", "negative"}, [&] { file->get_uint("negative"); });
    expect_error(REPRISE_MODEL_FORMAT, {"'fraction'", "float32"}, [&] { file->get_uint("fraction"); });
    expect_error(REPRISE_MODEL_FORMAT, {"'words'", "array"}, [&] { file->get_float("words"); });
    expect_error(REPRISE_MODEL_FORMAT, {"'number'", "uint32"}, [&] { file->get_bool("number"); });
    expect_error(REPRISE_MODEL_FORMAT, {"'number'", "uint32"}, [&] { file->get_string("number"); });
    expect_error(REPRISE_MODEL_FORMAT, {"'number'", "array"}, [&] { file->array_length("number"); });
    expect_error(REPRISE_MODEL_FORMAT, {"'text'", "string"}, [&] { file->get_numbers("text", 9); });
    expect_error(REPRISE_MODEL_FORMAT, {"'words'", "numbers"}, [&] { file->get_numbers("words", 9); });
    expect_error(REPRISE_MODEL_FORMAT, {"'no.words'", "numbers"}, [&] { file->get_numbers("no.words", 9); });
}

TEST_P(GgufValues, ArraysOfNumbers) {
    writer_.set("floats", EncodedValue::float32s(std::vector<float>{1, 0.5f, -2}));
    writer_.set("ints", EncodedValue::int32s(std::vector<int32_t>{-1, 7}));
    writer_.set("bytes", EncodedValue::array(ValueType::UINT8, std::vector<EncodedValue>{EncodedValue::uint8(9)}));
    writer_.set("empty", EncodedValue::int32s({}));
    writer_.set("single", EncodedValue::uint16(3));
    const auto file = parse();
    EXPECT_EQ((std::vector<double>{1, 0.5, -2}), file->get_numbers("floats", 3));
    EXPECT_EQ((std::vector<double>{-1, 7}), file->get_numbers("ints", 3));
    EXPECT_EQ((std::vector<double>{9}), file->get_numbers("bytes", 3));
    EXPECT_EQ((std::vector<double>{}), file->get_numbers("empty", 3));
    EXPECT_EQ((std::vector<double>{3}), file->get_numbers("single", 3));
    EXPECT_EQ(3u, file->array_length("floats"));
    expect_error(REPRISE_MODEL_FORMAT, {"'floats'", "3", "at most 2"}, [&] { file->get_numbers("floats", 2); });
}

TEST_P(GgufValues, AreShownInMessages) {
    const auto numbers = [](std::initializer_list<float> v) { return EncodedValue::float32s(std::vector<float>(v)); };
    const std::pair<EncodedValue, std::string> values[] = {
        {EncodedValue::float32(0.22f), "0.22"},
        {EncodedValue::float64(1.0 / 3), "0.3333333333333333"},
        {EncodedValue::float32(NAN), "nan"},
        {EncodedValue::uint32(4294967295u), "4294967295"},
        {EncodedValue::int8(-3), "-3"},
        {EncodedValue::boolean(true), "true"},
        {EncodedValue::string("a\nb"), "'a\\x0ab'"},
        {EncodedValue::string(""), "''"},
        {numbers({}), "[]"},
        {numbers({1, 0.5f}), "[1, 0.5]"},
        {numbers({1, 2, 3, 4, 5}), "[1, 2, 3, 4, ...] (5 elements)"},
        {EncodedValue::strings(std::vector<std::string>{"a", "b"}), "an array of 2 elements of type string"},
    };
    for (const auto& [value, shown] : values) {
        writer_.set("key", value);
        EXPECT_EQ(shown, parse()->find("key")->to_string());
    }
}

TEST_P(GgufValues, AreTestedAsNumbers) {
    const auto is_one = [&](const EncodedValue& value) {
        writer_.set("key", value);
        return parse()->find("key")->all_numbers([](double number) { return number == 1; });
    };
    EXPECT_TRUE(is_one(EncodedValue::uint8(1)));
    EXPECT_TRUE(is_one(EncodedValue::float64(1)));
    EXPECT_TRUE(is_one(EncodedValue::boolean(true)));
    EXPECT_TRUE(is_one(EncodedValue::int32s(std::vector<int32_t>{1, 1, 1})));
    EXPECT_TRUE(is_one(EncodedValue::strings({})));
    EXPECT_TRUE(is_one(EncodedValue::string("")));
    EXPECT_FALSE(is_one(EncodedValue::boolean(false)));
    EXPECT_FALSE(is_one(EncodedValue::int32s(std::vector<int32_t>{1, 1, 2})));
    EXPECT_FALSE(is_one(EncodedValue::float32(NAN)));
    EXPECT_FALSE(is_one(EncodedValue::string("1")));
    EXPECT_FALSE(is_one(EncodedValue::strings(std::vector<std::string>{"1"})));
}

TEST_P(GgufValues, NestedArraysKeepTheirEncoding) {
    const EncodedValue inner = EncodedValue::strings(std::vector<std::string>{"a", "bc"});
    const EncodedValue empty = EncodedValue::int32s({});
    const EncodedValue outer = EncodedValue::array(ValueType::ARRAY, std::vector<EncodedValue>{inner, empty, inner});
    writer_.set("nested", outer);
    writer_.set("after", EncodedValue::uint8(5));
    const auto file = parse();
    EXPECT_EQ(3u, file->array_length("nested"));
    EXPECT_EQ(5u, file->get_uint("after"));
    const Value* value = file->find("nested");
    ASSERT_NE(nullptr, value);
    EXPECT_EQ(ValueType::ARRAY, value->type);
    EXPECT_EQ(ValueType::ARRAY, value->element_type);
    // The view holds the elements, without the element type and the count that precede them.
    EXPECT_TRUE(std::equal(value->data.begin(), value->data.end(), outer.bytes.begin() + 12, outer.bytes.end()));
}

TEST_P(GgufValues, MetadataIsTheEncodedPairsInFileOrder) {
    writer_.set("b", EncodedValue::uint8(7));
    writer_.set("a", EncodedValue::string("x"));
    const auto file = parse();
    const std::vector<uint8_t> expected = {1, 0, 0, 0, 0, 0, 0, 0, 'b', 0, 0, 0, 0, 7,  //
                                           1, 0, 0, 0, 0, 0, 0, 0, 'a', 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'x'};
    const std::span<const uint8_t> metadata = file->metadata();
    EXPECT_EQ(expected, std::vector<uint8_t>(metadata.begin(), metadata.end()));
}

TEST_P(GgufValues, ManyKeysAreFound) {
    for (int i = 0; i < 500; ++i) writer_.set("key." + std::to_string(i * 7919 % 500), EncodedValue::int32(i));
    const auto file = parse();
    for (int i = 0; i < 500; ++i) {
        EXPECT_EQ(static_cast<uint64_t>(i), file->get_uint("key." + std::to_string(i * 7919 % 500)));
    }
}

}  // namespace
}  // namespace reprise
