// What makes a model file another one.
#include "gguf/fingerprint.h"

#include <gtest/gtest.h>

#include <set>

#include "support/tiny_model.h"

namespace reprise {
namespace {

using namespace test;

uint64_t fingerprint_of(const std::vector<uint8_t>& bytes) { return fingerprint(*GgufFile::parse(bytes, "model")); }
uint64_t fingerprint_of(const ModelSpec& spec, TensorType type = TensorType::Q8_0, uint64_t seed = 1) {
    return fingerprint_of(tiny_model_bytes(spec, uniform_types(type), seed));
}

TEST(Fingerprint, IsTheSameForTheSameFile) {
    const std::vector<uint8_t> bytes = tiny_model_bytes(tiny_spec(), uniform_types(TensorType::Q8_0));
    const uint64_t parsed = fingerprint_of(bytes);
    EXPECT_EQ(parsed, fingerprint_of(tiny_spec()));
    const TempDir dir;
    const std::string path = dir.write("model.gguf", bytes);
    for (const bool use_mmap : {true, false}) EXPECT_EQ(parsed, fingerprint(*GgufFile::open(path, use_mmap)));
}

TEST(Fingerprint, DiffersBetweenWeightsTypesShapesAndMetadata) {
    std::set<uint64_t> seen = {fingerprint_of(tiny_spec())};
    const auto expect_new = [&](uint64_t value, const char* what) { EXPECT_TRUE(seen.insert(value).second) << what; };
    expect_new(fingerprint_of(tiny_spec(), TensorType::Q8_0, 2), "other weights");
    expect_new(fingerprint_of(tiny_spec(), TensorType::F16), "another type");
    ModelSpec spec = tiny_spec();
    spec.name = "tiny llamb";
    expect_new(fingerprint_of(spec), "another name");
    spec = tiny_spec();
    spec.n_layers = 3;
    expect_new(fingerprint_of(spec), "a layer more");
    spec = tiny_spec();
    spec.context_length = 255;
    expect_new(fingerprint_of(spec), "another context");
    expect_new(fingerprint_of(tiny_spec("qwen2")), "another architecture");
}

TEST(Fingerprint, CoversTheEndsOfEveryTensorAndAllOfASmallOne) {
    std::vector<uint8_t> bytes = tiny_model_bytes(tiny_spec(), uniform_types(TensorType::Q8_0));
    const auto file = GgufFile::parse(bytes, "model");
    const uint64_t before = fingerprint(*file);
    const auto expect_noticed = [&](size_t offset, const std::string& tensor) {
        bytes[offset] ^= 1;
        EXPECT_NE(before, fingerprint(*file)) << tensor << ", byte " << offset;
        bytes[offset] ^= 1;
    };
    for (const Tensor& tensor : file->tensors()) {
        const size_t first = static_cast<size_t>(tensor.data.data() - bytes.data());
        expect_noticed(first, tensor.name);
        expect_noticed(first + tensor.n_bytes - 1, tensor.name);
        if (tensor.n_bytes <= 1024) expect_noticed(first + tensor.n_bytes / 2, tensor.name);
    }
    EXPECT_EQ(before, fingerprint(*file));
}

}  // namespace
}  // namespace reprise
