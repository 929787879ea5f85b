// Templates through the C interface.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "support/library.h"

namespace reprise::test {

struct Rendered {
    std::string text;
    std::vector<std::pair<size_t, size_t>> origins;
};

/// An open template, closed at the end.
class ChatTemplate {
  public:
    explicit ChatTemplate(const std::string& source, const std::vector<std::string>& special = {}) {
        std::string blob;
        std::vector<uint64_t> offsets{0};
        for (const std::string& text : special) {
            blob += text;
            offsets.push_back(blob.size());
        }
        status_ =
            reprise_template_open(bytes(source), source.size(), bytes(blob), offsets.data(), special.size(), &handle_);
    }
    ChatTemplate(const ChatTemplate&) = delete;
    ChatTemplate& operator=(const ChatTemplate&) = delete;
    ~ChatTemplate() { reprise_template_close(handle_); }

    reprise_status status() const { return status_; }
    reprise_handle handle() const { return handle_; }

    /// On anything but REPRISE_OK `rendered` is as before.
    reprise_status render(const std::string& variables, Rendered& rendered, int64_t now = 0) const {
        reprise_handle handle = 0;
        const reprise_status status =
            reprise_template_render(handle_, bytes(variables), variables.size(), &now, &handle);
        if (status != REPRISE_OK) return status;
        const uint8_t* text = nullptr;
        const uint64_t* ranges = nullptr;
        uint64_t n = 0;
        uint64_t n_ranges = 0;
        ok(reprise_rendering_text(handle, &text, &n));
        ok(reprise_rendering_origins(handle, &ranges, &n_ranges));
        rendered = {};
        rendered.text.assign(reinterpret_cast<const char*>(text), n);
        for (size_t i = 0; i < n_ranges; ++i) rendered.origins.emplace_back(ranges[2 * i], ranges[2 * i + 1]);
        ok(reprise_rendering_close(handle));
        return REPRISE_OK;
    }

  private:
    static const uint8_t* bytes(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }
    reprise_handle handle_ = 0;
    reprise_status status_;
};

}  // namespace reprise::test
