#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "gguf/gguf_writer.h"
#include "support/tiny_model.h"

namespace reprise {
namespace {

using namespace test;

TEST(GgufTensors, ShapesTypesAndWeightsComeBack) {
    GgufWriter writer;
    const std::vector<float> matrix = {1, 2, 3, 4, 5, 6};
    const std::vector<float> cube(2 * 3 * 4 * 5, 0.5f);
    writer.add_tensor("matrix", TensorType::F32, std::vector<uint64_t>{3, 2}, matrix);
    writer.add_tensor("cube", TensorType::F16, std::vector<uint64_t>{2, 3, 4, 5}, cube);
    writer.add_tensor("vector", TensorType::Q8_0, std::vector<uint64_t>{32}, std::vector<float>(32, 1.0f));
    const std::vector<uint8_t> bytes = writer.bytes();
    const auto file = GgufFile::parse(bytes, "shapes");
    ASSERT_EQ(3u, file->tensors().size());
    EXPECT_EQ(32u, file->alignment());
    EXPECT_EQ(6u + 120 + 32, file->n_parameters());
    EXPECT_EQ(24u + 240 + 34, file->tensor_bytes());
    EXPECT_EQ(bytes.size(), file->file_bytes());
    EXPECT_EQ(1u, file->n_files());

    const Tensor* tensor = file->find_tensor("matrix");
    ASSERT_NE(nullptr, tensor);
    EXPECT_EQ(2u, tensor->n_dims);
    EXPECT_EQ(3u, tensor->dims[0]);
    EXPECT_EQ(2u, tensor->dims[1]);
    EXPECT_EQ(1u, tensor->dims[3]);
    ASSERT_EQ(24u, tensor->n_bytes);
    EXPECT_EQ(0, std::memcmp(tensor->data.data(), matrix.data(), 24));
    EXPECT_EQ(0u, tensor->file_offset % 32);
    EXPECT_EQ(bytes.data() + tensor->file_offset, tensor->data.data());

    tensor = file->find_tensor("cube");
    ASSERT_NE(nullptr, tensor);
    EXPECT_EQ(4u, tensor->n_dims);
    EXPECT_EQ(5u, tensor->dims[3]);
    EXPECT_EQ(120u, tensor->n_elements);
    EXPECT_EQ(nullptr, file->find_tensor("cub"));
    EXPECT_EQ(nullptr, file->find_tensor("cubes"));
}

TEST(GgufTensors, LieAtMultiplesOfTheAlignment) {
    for (const uint32_t alignment : {8u, 64u, 4096u}) {
        GgufWriter writer(3, alignment);
        for (const char* name : {"a", "b", "c"}) {
            writer.add_tensor(name, TensorType::F32, std::vector<uint64_t>{3}, std::vector<float>{1, 2, 3});
        }
        const std::vector<uint8_t> bytes = writer.bytes();
        const auto file = GgufFile::parse(bytes, "aligned");
        EXPECT_EQ(alignment, file->alignment());
        for (const Tensor& tensor : file->tensors()) {
            EXPECT_EQ(0u, tensor.file_offset % alignment);
            EXPECT_EQ(0, std::memcmp(tensor.data.data(), "\0\0\x80\x3f", 4)) << tensor.name;
        }
    }
}

TEST(GgufTensors, ThreadsAndChunksWriteTheSameFile) {
    ModelSpec spec = tiny_spec();
    spec.n_vocab = 20000;  // an embedding of several chunks
    const GgufWriter writer = random_model(spec, uniform_types(TensorType::F32), 3);
    const TempDir dir;
    writer.write(dir.file("a.gguf"), 3);
    const std::vector<uint8_t> expected = writer.bytes();
    const auto file = GgufFile::open(dir.file("a.gguf"), true);
    ASSERT_EQ(expected.size(), file->file_bytes());
    const auto parsed = GgufFile::parse(expected, "bytes");
    for (const Tensor& tensor : parsed->tensors()) {
        const Tensor* other = file->find_tensor(tensor.name);
        ASSERT_NE(nullptr, other);
        ASSERT_TRUE(std::ranges::equal(tensor.data, other->data)) << tensor.name;
    }
}

TEST(RandomModel, IsTheSameForTheSameSeedOnly) {
    const ModelSpec spec = tiny_spec("qwen2");
    const TypeMix types = named_types("Q4_K_M", spec);
    EXPECT_EQ(tiny_model_bytes(spec, types, 5), tiny_model_bytes(spec, types, 5));
    EXPECT_NE(tiny_model_bytes(spec, types, 5), tiny_model_bytes(spec, types, 6));
}

TEST(RandomModel, MixesTypesAsPublishedFilesDo) {
    ModelSpec spec = tiny_spec();
    spec.n_layers = 16;
    spec.tied_output = false;
    const std::vector<uint8_t> bytes = tiny_model_bytes(spec, named_types("Q4_K_M", spec));
    const auto file = GgufFile::parse(bytes, "mix");
    const auto type = [&](const std::string& name) {
        return static_cast<TensorType>(file->find_tensor(name)->type_number);
    };
    EXPECT_EQ(TensorType::Q4_K, type("token_embd.weight"));
    EXPECT_EQ(TensorType::Q6_K, type("output.weight"));
    EXPECT_EQ(TensorType::F32, type("output_norm.weight"));
    // Layers 0 and 1 are the first eighth, 14 and 15 the last, 4, 7, 10 and 13 every third between.
    for (uint32_t layer = 0; layer < 16; ++layer) {
        const bool more = layer < 2 || layer >= 14 || (layer - 2) % 3 == 2;
        const std::string prefix = "blk." + std::to_string(layer) + ".";
        EXPECT_EQ(more ? TensorType::Q6_K : TensorType::Q4_K, type(prefix + "attn_v.weight")) << layer;
        EXPECT_EQ(more ? TensorType::Q6_K : TensorType::Q4_K, type(prefix + "ffn_down.weight")) << layer;
        EXPECT_EQ(TensorType::Q4_K, type(prefix + "attn_q.weight")) << layer;
        EXPECT_EQ(TensorType::Q4_K, type(prefix + "ffn_gate.weight")) << layer;
    }
}

TEST(RandomModel, VocabulariesHaveUniqueTokensAndUsableMerges) {
    for (const bool byte_level : {true, false}) {
        ModelSpec spec = tiny_spec();
        spec.n_vocab = 3000;
        if (byte_level) {
            spec.vocabulary.n_regular = 2997;
            spec.vocabulary.specials = {{2997, "<|endoftext|>"}};
        } else {
            spec.vocabulary = sentence_piece_vocabulary(3000);
        }
        const std::vector<uint8_t> bytes = tiny_model_bytes(spec, uniform_types(TensorType::Q8_0));
        const auto file = GgufFile::parse(bytes, "vocabulary");
        EXPECT_EQ(3000u, file->array_length("tokenizer.ggml.tokens"));
        EXPECT_EQ(3000u, file->array_length("tokenizer.ggml.token_type"));
        EXPECT_EQ(byte_level, file->array_length("tokenizer.ggml.merges") == 2997u - 256);
        EXPECT_EQ(!byte_level, file->array_length("tokenizer.ggml.scores") == 3000u);
        const Value* tokens = file->find("tokenizer.ggml.tokens");
        std::vector<std::string> texts;
        for (const uint8_t *p = tokens->data.data(), *end = p + tokens->data.size(); p < end;) {
            uint64_t length;
            std::memcpy(&length, p, 8);
            texts.emplace_back(reinterpret_cast<const char*>(p) + 8, length);
            p += 8 + length;
        }
        std::ranges::sort(texts);
        EXPECT_EQ(texts.end(), std::ranges::adjacent_find(texts));
    }
}

}  // namespace
}  // namespace reprise
