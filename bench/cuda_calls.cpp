// Counts the CUDA driver calls that a process makes between its 32nd and its 254th graph launch: a decoding session
// makes none but those launches. A library that the driver loads (CUDA_INJECTION64_PATH); prints to stderr when the
// process ends.
#include <cupti.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int FIRST_LAUNCH = 32, LAST_LAUNCH = 254;
constexpr uint32_t MAX_FUNCTIONS = 4096;

struct Function {
    std::atomic<const char*> name;
    std::atomic<uint64_t> calls;
};
Function functions[MAX_FUNCTIONS];
std::atomic<int> launches;

void CUPTIAPI on_call(void*, CUpti_CallbackDomain, CUpti_CallbackId id, const void* data) {
    const auto* call = static_cast<const CUpti_CallbackData*>(data);
    if (call->callbackSite != CUPTI_API_ENTER || id >= MAX_FUNCTIONS) return;
    const bool is_launch = std::strncmp(call->functionName, "cuGraphLaunch", 13) == 0;
    const int n = is_launch ? ++launches : launches.load();
    if (n < FIRST_LAUNCH || n > LAST_LAUNCH || (n == LAST_LAUNCH && !is_launch)) return;
    functions[id].name = call->functionName;
    ++functions[id].calls;
}

void report() {
    std::fprintf(stderr, "CUDA driver calls from graph launch %d to %d of %d:\n", FIRST_LAUNCH, LAST_LAUNCH,
                 launches.load());
    bool only_launches = launches >= LAST_LAUNCH;
    for (const Function& f : functions) {
        if (f.calls == 0) continue;
        std::fprintf(stderr, "  %s %llu\n", f.name.load(), static_cast<unsigned long long>(f.calls.load()));
        only_launches = only_launches && std::strncmp(f.name, "cuGraphLaunch", 13) == 0;
    }
    std::fprintf(stderr, "%s\n", only_launches ? "nothing but graph launches" : "NOT ONLY GRAPH LAUNCHES");
}

}  // namespace

extern "C" int InitializeInjection() {
    CUpti_SubscriberHandle subscriber;
    if (cuptiSubscribe(&subscriber, on_call, nullptr) != CUPTI_SUCCESS ||
        cuptiEnableDomain(1, subscriber, CUPTI_CB_DOMAIN_DRIVER_API) != CUPTI_SUCCESS) {
        std::fprintf(stderr, "CUPTI cannot be used: nothing is counted\n");
        return 0;
    }
    std::atexit(report);
    return 1;
}
