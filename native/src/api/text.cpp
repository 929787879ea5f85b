// reprise.h, the part about chat templates.
#include <ctime>

#include "api/guard.h"
#include "api/registry.h"
#include "text/chat_template.h"

using namespace reprise;

namespace {

using Kind = Registry::Kind;

std::span<const uint8_t> bytes(const uint8_t* data, size_t n, const char* name) {
    if (n == 0) return {};
    return {&checked(data, name), n};
}

/// Texts whose offsets are checked: ascending, within what a pointer can reach.
text::Texts texts(const uint8_t* data, const uint64_t* offsets, size_t n, const char* name) {
    if (n == 0) return {};
    checked(offsets, name);
    for (size_t i = 0; i < n; ++i) {
        if (offsets[i] > offsets[i + 1] || offsets[i + 1] > PTRDIFF_MAX) {
            fail(REPRISE_INVALID_ARGUMENT, "argument %s: offsets %zu and %zu do not ascend", name, i, i + 1);
        }
    }
    return {bytes(data, offsets[n], name), {offsets, n + 1}};
}

/// Seconds of local time since 1970: what a clock on the wall shows, as if it were UTC's.
int64_t local_time() {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    return static_cast<int64_t>(now) + local.tm_gmtoff;
}

std::shared_ptr<const text::Rendering> rendering_of(reprise_handle handle) {
    return Registry::instance().get<const text::Rendering>(handle, Kind::RENDERING);
}

}  // namespace

reprise_status reprise_template_open(const uint8_t* source, size_t n, const uint8_t* special,
                                     const uint64_t* special_offsets, size_t n_special, reprise_handle* chat_template) {
    return guarded([&] {
        checked(chat_template, "chat_template") = 0;
        *chat_template = Registry::instance().add(
            Kind::TEMPLATE, text::ChatTemplate::open(bytes(source, n, "source"),
                                                     texts(special, special_offsets, n_special, "special")));
    });
}

reprise_status reprise_template_close(reprise_handle chat_template) {
    return guarded([&] { Registry::instance().remove<text::ChatTemplate>(chat_template, Kind::TEMPLATE); });
}

reprise_status reprise_template_render(reprise_handle chat_template, const uint8_t* variables, size_t n,
                                       const int64_t* now, reprise_handle* rendering) {
    return guarded([&] {
        const auto opened = Registry::instance().get<const text::ChatTemplate>(chat_template, Kind::TEMPLATE);
        checked(rendering, "rendering") = 0;
        *rendering = Registry::instance().add(
            Kind::RENDERING, opened->render(bytes(variables, n, "variables"), now != nullptr ? *now : local_time()));
    });
}

reprise_status reprise_rendering_close(reprise_handle rendering) {
    return guarded([&] { Registry::instance().remove<text::Rendering>(rendering, Kind::RENDERING); });
}

reprise_status reprise_rendering_text(reprise_handle rendering, const uint8_t** text, uint64_t* n) {
    return guarded([&] {
        const auto rendered = rendering_of(rendering);
        checked(text, "text") = rendered->text().data();
        checked(n, "n") = rendered->text().size();
    });
}

reprise_status reprise_rendering_origins(reprise_handle rendering, const uint64_t** ranges, uint64_t* n_ranges) {
    return guarded([&] {
        const auto rendered = rendering_of(rendering);
        checked(ranges, "ranges") = rendered->origins().data();
        checked(n_ranges, "n_ranges") = rendered->origins().size() / 2;
    });
}
