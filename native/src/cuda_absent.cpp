// Stands in for cuda/ in a library built without CUDA.
#include "core/error.h"
#include "cuda/bandwidth.h"
#include "session/engine.h"

namespace reprise {

namespace {
constexpr char REASON[] =
    "this Reprise library was built without CUDA: add the artifact with the classifier linux-x86_64-cuda, or build "
    "with the CUDA Toolkit";
}

std::string cuda_unavailable_reason(int32_t) { return REASON; }
std::string describe_cuda_json() {
    return format("{\"compiled\": false, \"available\": false, \"reason\": \"%s\", \"devices\": []}", REASON);
}

std::shared_ptr<DeviceModel> load_cuda(std::shared_ptr<const GgufFile>, std::unique_ptr<Plan>, const LoadOptions&) {
    fail(REPRISE_DEVICE_UNAVAILABLE, "%s", REASON);
}
reprise_memory memory_cuda(const Plan&, const LoadOptions&, const EngineOptions&) {
    fail(REPRISE_DEVICE_UNAVAILABLE, "%s", REASON);
}

double measure_read_bandwidth(int) { return 0; }

}  // namespace reprise
