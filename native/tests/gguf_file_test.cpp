// Opening files: mapped and read, split, unreadable.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "gguf/gguf_writer.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace reprise {
namespace {

using namespace test;

class GgufOpen : public ::testing::TestWithParam<bool> {
  protected:
    std::shared_ptr<const GgufFile> open(const std::string& path) { return GgufFile::open(path, GetParam()); }
    /// Three parts of a model at stem m; returns the path of the first.
    std::string write_parts() {
        return random_model(tiny_spec(), uniform_types(TensorType::Q8_0), 1).write_split(dir_.file("m"), 3);
    }
    TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Modes, GgufOpen, ::testing::Bool(),
                         [](const auto& mode) { return std::string(mode.param ? "Mapped" : "Read"); });

TEST_P(GgufOpen, HoldsTheSameAsTheBytes) {
    const ModelSpec spec = tiny_spec("qwen3");
    const std::vector<uint8_t> bytes = tiny_model_bytes(spec, uniform_types(TensorType::F16));
    const auto parsed = GgufFile::parse(bytes, "bytes");
    const auto file = open(dir_.write("model.gguf", bytes));
    EXPECT_EQ(dir_.file("model.gguf"), file->path());
    EXPECT_TRUE(std::ranges::equal(parsed->metadata(), file->metadata()));
    ASSERT_EQ(parsed->tensors().size(), file->tensors().size());
    for (size_t i = 0; i < parsed->tensors().size(); ++i) {
        EXPECT_EQ(parsed->tensors()[i].name, file->tensors()[i].name);
        EXPECT_TRUE(std::ranges::equal(parsed->tensors()[i].data, file->tensors()[i].data));
    }
    // Whole pages: weights are as aligned in memory as in the file.
    const Tensor& last = file->tensors().back();
    EXPECT_EQ(last.file_offset % 4096, reinterpret_cast<uintptr_t>(last.data.data()) % 4096);
}

TEST_P(GgufOpen, KeepsWorkingWhenTheFileIsRemoved) {
    const std::string path = write_tiny_model(dir_, tiny_spec(), uniform_types(TensorType::Q8_0));
    const auto file = open(path);
    std::filesystem::remove(path);
    EXPECT_EQ("llama", file->get_string("general.architecture"));
    unsigned sum = 0;
    for (const Tensor& tensor : file->tensors()) sum += tensor.data.back();
    EXPECT_NE(0u, sum);
}

TEST_P(GgufOpen, OpensAllPartsThroughTheFirst) {
    const auto file = open(write_parts());
    const std::vector<uint8_t> bytes = tiny_model_bytes(tiny_spec(), uniform_types(TensorType::Q8_0));
    const auto whole = GgufFile::parse(bytes, "whole");
    EXPECT_EQ(3u, file->n_files());
    EXPECT_EQ("llama", file->get_string("general.architecture"));
    EXPECT_EQ(whole->tensor_bytes(), file->tensor_bytes());
    EXPECT_EQ(whole->n_parameters(), file->n_parameters());
    ASSERT_EQ(whole->tensors().size(), file->tensors().size());
    for (const Tensor& expected : whole->tensors()) {
        const Tensor* tensor = file->find_tensor(expected.name);
        ASSERT_NE(nullptr, tensor) << expected.name;
        EXPECT_TRUE(std::ranges::equal(expected.data, tensor->data)) << expected.name;
    }
    EXPECT_EQ(0u, file->tensors().front().file_index);
    EXPECT_EQ(2u, file->tensors().back().file_index);
}

TEST_P(GgufOpen, NamesTheFirstPartWhereALaterOneIsOpened) {
    write_parts();
    expect_error(REPRISE_MODEL_FORMAT, {"part 2", "of 3", "m-00001-of-00003.gguf"},
                 [&] { open(dir_.file("m-00002-of-00003.gguf")); });
}

TEST_P(GgufOpen, NamesAMissingPart) {
    const std::string first = write_parts();
    std::filesystem::remove(dir_.file("m-00003-of-00003.gguf"));
    expect_error(REPRISE_IO, {"m-00003-of-00003.gguf", "No such file"}, [&] { open(first); });
}

TEST_P(GgufOpen, RefusesPartsOfAnotherModel) {
    const std::string first = write_parts();
    std::filesystem::copy_file(dir_.file("m-00002-of-00003.gguf"), dir_.file("m-00003-of-00003.gguf"),
                               std::filesystem::copy_options::overwrite_existing);
    expect_error(REPRISE_MODEL_FORMAT, {"m-00003-of-00003.gguf", "part 3 of 3", "part 2 of 3"}, [&] { open(first); });
}

TEST_P(GgufOpen, RefusesAPartWhoseNameDoesNotTellTheOthers) {
    std::filesystem::rename(write_parts(), dir_.file("renamed.gguf"));
    expect_error(REPRISE_MODEL_FORMAT, {"renamed.gguf", "-00001-of-00003.gguf"},
                 [&] { open(dir_.file("renamed.gguf")); });
}

TEST_P(GgufOpen, ComparesTheTensorsOfAllPartsWithTheirCount) {
    const std::string first = write_parts();
    GgufWriter part;
    part.set("split.no", EncodedValue::uint16(2));
    part.set("split.count", EncodedValue::uint16(3));
    part.write(dir_.file("m-00003-of-00003.gguf"));
    expect_error(REPRISE_MODEL_FORMAT, {"split.tensors.count says 20"}, [&] { open(first); });
}

TEST_P(GgufOpen, RefusesATensorThatIsInTwoParts) {
    for (uint16_t i = 0; i < 2; ++i) {
        GgufWriter part;
        part.set("split.no", EncodedValue::uint16(i));
        part.set("split.count", EncodedValue::uint16(2));
        part.add_tensor("twice", TensorType::F32, std::vector<uint64_t>{1}, std::vector<float>{1});
        part.write(dir_.file("d-0000" + std::to_string(i + 1) + "-of-00002.gguf"));
    }
    expect_error(REPRISE_MODEL_FORMAT, {"'twice'", "appears twice"}, [&] { open(dir_.file("d-00001-of-00002.gguf")); });
}

TEST_P(GgufOpen, NamesThePathAndTheReasonWhereThereIsNoFile) {
    expect_error(REPRISE_IO, {"/none.gguf'", "No such file", "errno 2"}, [&] { open(dir_.file("none.gguf")); });
    expect_error(REPRISE_IO, {"directory"}, [&] { open(dir_.file("")); });
}

TEST_P(GgufOpen, DoesNotWaitForAPipe) {
    const std::string path = dir_.file("pipe");
    ASSERT_EQ(0, ::mkfifo(path.c_str(), 0600));
    expect_error(REPRISE_IO, {"/pipe'", "not a regular file"}, [&] { open(path); });
    expect_error(REPRISE_IO, {"/dev/zero", "not a regular file"}, [&] { open("/dev/zero"); });
}

TEST_P(GgufOpen, SaysThatAFileMayNotBeRead) {
    if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
    const std::string path = dir_.write("secret.gguf", std::vector<uint8_t>{'G'});
    ASSERT_EQ(0, ::chmod(path.c_str(), 0));
    expect_error(REPRISE_IO, {"secret.gguf", "Permission denied", "errno 13"}, [&] { open(path); });
}

TEST_P(GgufOpen, RefusesAnEmptyFile) {
    expect_error(REPRISE_MODEL_FORMAT, {"empty.gguf", "is empty"}, [&] { open(dir_.write("empty.gguf", {})); });
}

TEST_P(GgufOpen, LooksOnlyAtTheStartOfAHugeFileThatIsNoModel) {
    const std::string path = dir_.write("huge.gguf", std::vector<uint8_t>{'n', 'o', 'p', 'e'});
    std::filesystem::resize_file(path, uint64_t{1} << 30);  // a hole: 1 GB that nothing may read
    expect_error(REPRISE_MODEL_FORMAT, {"huge.gguf", "not a GGUF file", "'nope"}, [&] { open(path); });
}

}  // namespace
}  // namespace reprise
