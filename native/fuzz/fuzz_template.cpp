// Chat templates against anything: a source, a NUL and the JSON of the variables. The texts of special tokens are
// fixed.
#include <cstdlib>
#include <string_view>

#include "reprise.h"

static void need(bool condition) {
    if (!condition) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static constexpr std::string_view special = "<|im_end|><s></think>[INST]";
    static constexpr uint64_t offsets[] = {0, 10, 13, 21, 27};
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const size_t nul = input.find('\0');
    const std::string_view source = input.substr(0, nul);
    const std::string_view json = nul == std::string_view::npos ? "{}" : input.substr(nul + 1);
    const auto bytes = [](std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); };

    reprise_handle chat_template = 0;
    reprise_status status =
        reprise_template_open(bytes(source), source.size(), bytes(special), offsets, 4, &chat_template);
    need(status == REPRISE_OK || status == REPRISE_TEMPLATE || status == REPRISE_INVALID_ARGUMENT);
    if (status != REPRISE_OK) return 0;
    const int64_t now = 1'785'024'000;
    reprise_handle rendering = 0;
    status = reprise_template_render(chat_template, bytes(json), json.size(), &now, &rendering);
    need(status == REPRISE_OK || status == REPRISE_TEMPLATE || status == REPRISE_INVALID_ARGUMENT);
    if (status == REPRISE_OK) {
        const uint8_t* text = nullptr;
        const uint64_t* ranges = nullptr;
        uint64_t n = 0;
        uint64_t n_ranges = 0;
        need(reprise_rendering_text(rendering, &text, &n) == REPRISE_OK);
        need(reprise_rendering_origins(rendering, &ranges, &n_ranges) == REPRISE_OK);
        uint64_t last = 0;
        for (uint64_t i = 0; i < n_ranges; ++i) {
            need(last <= ranges[2 * i] && ranges[2 * i] < ranges[2 * i + 1] && ranges[2 * i + 1] <= n);
            last = ranges[2 * i + 1];
        }
        need(reprise_rendering_close(rendering) == REPRISE_OK);
    }
    need(reprise_template_close(chat_template) == REPRISE_OK);
    return 0;
}
