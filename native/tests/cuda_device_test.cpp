// What is said where CUDA cannot be used, and that the CPU is used then.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cuda/device.h"
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

nlohmann::json described() {
    size_t length = 0;
    ok(reprise_describe(nullptr, 0, &length));
    std::string text(length + 1, '\0');
    ok(reprise_describe(text.data(), text.size(), &length));
    return nlohmann::json::parse(text.c_str());
}

TEST(CudaDevice, IsDescribed) {
    const nlohmann::json cuda = described().at("cuda");
    std::printf("%s\n", cuda.dump(2).c_str());
    EXPECT_TRUE(cuda.at("compiled").get<bool>());
    EXPECT_EQ(cuda.at("available").get<bool>(), cuda.at("reason").get<std::string>().empty());
    EXPECT_EQ(cuda.at("available").get<bool>(), why_unusable(REPRISE_DEVICE_CUDA).empty());
    for (const nlohmann::json& device : cuda.at("devices")) {
        EXPECT_EQ(device.at("usable").get<bool>(), device.at("reason").get<std::string>().empty());
        EXPECT_LE(device.at("free_bytes").get<uint64_t>(), device.at("memory_bytes").get<uint64_t>());
        if (device.at("usable").get<bool>()) {
            EXPECT_GT(device.at("free_bytes").get<uint64_t>(), 0u);
        }
    }
}

TEST(CudaDevice, OneThatIsTooOldIsRefusedByItsCapability) {
    const std::string reason = cuda::unusable_reason("Tesla T4", 7, 5);
    for (const char* part : {"Tesla T4", "7.5", "8.0"}) EXPECT_NE(std::string::npos, reason.find(part)) << reason;
    EXPECT_EQ("", cuda::unusable_reason("a newer one", 99, 0));
}

TEST(CudaDevice, CodeOfAnOlderOneIsSaidToBeSlower) {
    const std::string slower = cuda::missing_overlap(9, false);
    for (const char* part : {"slower", "9.0", "REPRISE_CUDA_ARCHITECTURES"})
        EXPECT_NE(std::string::npos, slower.find(part)) << slower;
    EXPECT_EQ("", cuda::missing_overlap(9, true));
    EXPECT_EQ("", cuda::missing_overlap(8, false));
}

/// Loads with the driver told to hide its devices, or without a driver; the process has to be a new one for that.
TEST(CudaDevice, WithoutOneModelsRunOnTheCpuUnlessCudaWasAskedFor) {
    ::setenv("CUDA_VISIBLE_DEVICES", "", 1);
    const std::string reason = why_unusable(REPRISE_DEVICE_CUDA);
    if (reason.empty()) GTEST_SKIP() << "this process has used the driver already";
    const TempDir dir;
    reprise_handle gguf = 0, model = 0;
    ok(reprise_gguf_open(write_tiny_model(dir, tiny_spec(), uniform_types(TensorType::Q8_0)).c_str(), 1, &gguf));
    reprise_model_options options = model_options(REPRISE_DEVICE_CUDA);
    expect_status(REPRISE_DEVICE_UNAVAILABLE, reprise_model_load(gguf, &options, &model), {"NVIDIA driver"});
    EXPECT_EQ(0u, model);

    static std::string logged;
    logged.clear();
    ok(reprise_set_log_callback([](void*, int32_t, const char* message) { logged += message; }, nullptr));
    options.device = REPRISE_DEVICE_AUTO;
    ok(reprise_model_load(gguf, &options, &model));
    ok(reprise_set_log_callback(nullptr, nullptr));
    EXPECT_NE(std::string::npos, logged.find(reason)) << logged;
    reprise_model_info info;
    ok(reprise_model_get_info(model, &info));
    EXPECT_EQ(REPRISE_DEVICE_CPU, info.device);
    ok(reprise_model_close(model));
    ok(reprise_gguf_close(gguf));
    EXPECT_EQ(reason, described().at("cuda").at("reason").get<std::string>());
}

}  // namespace
}  // namespace reprise::test
