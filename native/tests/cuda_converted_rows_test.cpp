// Types without a layout on the device: what their rows become on the way there. Needs no device.
#include "cuda/converted_rows.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "cpu_test_support.h"
#include "cuda/linear.h"
#include "plan_support.h"

namespace reprise::cuda {
namespace {

constexpr uint64_t kRows = 5, kColumns = 512;

Weight weight_of(TensorType type, const std::vector<uint8_t>& bytes) {
    Weight weight;
    weight.name = "blk.0.ffn_up.weight";
    weight.type = type;
    weight.rows = kRows;
    weight.cols = kColumns;
    weight.data = bytes;
    return weight;
}

TEST(CudaConvertedRows, EveryTypeHasAFormOnTheDevice) {
    for (const TensorType type : cpu::kAllTypes) {
        for (const bool exact : {false, true}) {
            const TensorType on_device = device_type(type, exact), uploaded = upload_type(type, exact);
            EXPECT_GT(device_bytes(on_device, 8, 512), 0u) << traits(type).name;
            EXPECT_TRUE(uploaded == on_device || on_device == TensorType::F32) << traits(type).name;
            EXPECT_TRUE(!exact || on_device == TensorType::F32) << traits(type).name;
        }
    }
    EXPECT_EQ(TensorType::Q4_K, device_type(TensorType::Q4_K, false));
    EXPECT_EQ(TensorType::F16, device_type(TensorType::IQ3_S, false));
    EXPECT_EQ(TensorType::F16, upload_type(TensorType::MXFP4, false));
    EXPECT_EQ(TensorType::F32, upload_type(TensorType::MXFP4, true));
    EXPECT_EQ(TensorType::Q6_K, upload_type(TensorType::Q6_K, true));
}

TEST(CudaConvertedRows, AreNamedWithWhatTheyTake) {
    const auto of = [](TensorType type) { return test::plan_of(test::model_with({}, test::tiny_spec(), type)); };
    EXPECT_EQ("", conversions(*of(TensorType::Q8_0), false));
    EXPECT_EQ("", conversions(*of(TensorType::F32), true));
    const std::string named = conversions(*of(TensorType::Q5_0), false);
    EXPECT_NE(named.npos, named.find("types Q5_0 are converted to F16")) << named;
    EXPECT_NE(named.npos, conversions(*of(TensorType::Q5_0), true).find("converted to F32"));
}

TEST(CudaConvertedRows, AreTheReferenceDequantisation) {
    cpu::Random random(1);
    for (const TensorType type : cpu::kAllTypes) {
        const std::vector<uint8_t> bytes = random.weights(type, kRows, kColumns);
        const Weight weight = weight_of(type, bytes);
        std::vector<float> expected(kRows * kColumns), got(2 * kColumns);
        dequantize(type, bytes.data(), expected.data(), expected.size());
        ConvertedRows exact(weight, TensorType::F32);
        ASSERT_EQ(kColumns * 4, exact.row_bytes());
        std::memcpy(got.data(), exact.rows(2, 2), 2 * exact.row_bytes());
        ASSERT_TRUE(std::equal(got.begin(), got.end(), expected.begin() + 2 * kColumns)) << traits(type).name;
        ConvertedRows half(weight, TensorType::F16);
        dequantize(TensorType::F16, half.rows(3, 2), got.data(), got.size());
        for (size_t i = 0; i < got.size(); ++i) {
            ASSERT_EQ(half_to_float(float_to_half(expected[3 * kColumns + i])), got[i]) << traits(type).name;
        }
        ConvertedRows same(weight, type);
        EXPECT_EQ(bytes.data() + weight.row_bytes(), same.rows(1, 1));
    }
}

TEST(CudaConvertedRows, RefuseByNameWhatHalfCannotHold) {
    std::vector<uint8_t> bytes(kRows * row_bytes(TensorType::MXFP4, kColumns), 0);
    BlockMXFP4 block{};
    block.e = 143;
    block.qs[0] = 7;  // 6 * 2^16
    std::memcpy(bytes.data() + 2 * row_bytes(TensorType::MXFP4, kColumns), &block, sizeof block);
    const Weight weight = weight_of(TensorType::MXFP4, bytes);
    ConvertedRows half(weight, TensorType::F16);
    half.rows(0, 2);
    try {
        half.rows(0, 3);
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(REPRISE_UNSUPPORTED_MODEL, error.status());
        const std::string message = error.what();
        EXPECT_NE(std::string::npos, message.find("blk.0.ffn_up.weight has type MXFP4")) << message;
        EXPECT_NE(std::string::npos, message.find("row 2")) << message;
    }
}

}  // namespace
}  // namespace reprise::cuda
