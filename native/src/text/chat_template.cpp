#include "text/chat_template.h"

#include <cstring>

#include "core/big_stack.h"
#include "text/ffi.h"

namespace reprise::text {

namespace {

class RustRendering : public Rendering {
  public:
    std::span<const uint8_t> text() const override { return text_.bytes(); }
    std::span<const uint64_t> origins() const override { return origins_; }
    Buffer text_;
    std::vector<uint64_t> origins_;
};

class RustTemplate : public ChatTemplate {
  public:
    RustTemplate(std::span<const uint8_t> source, const Texts& special) {
        run_on_big_stack(text_template_stack_bytes(0), [&] {
            call(text_template_open, bytes_of(source), bytes_of(special.bytes), special.offsets.data(),
                 special.offsets.empty() ? 0 : special.offsets.size() - 1, &template_);
        });
    }
    ~RustTemplate() override { close(text_template_close, template_); }
    std::shared_ptr<Rendering> render(std::span<const uint8_t> variables, int64_t now) const override {
        auto rendering = std::make_shared<RustRendering>();
        Buffer origins;
        run_on_big_stack(text_template_stack_bytes(variables.size()), [&] {
            call(text_template_render, static_cast<const text_template*>(template_), bytes_of(variables), now,
                 rendering->text_.out(), origins.out());
        });
        if (!origins.bytes().empty()) {
            rendering->origins_.resize(origins.bytes().size() / sizeof(uint64_t));
            std::memcpy(rendering->origins_.data(), origins.bytes().data(), origins.bytes().size());
        }
        return rendering;
    }

  private:
    text_template* template_ = nullptr;
};

}  // namespace

std::shared_ptr<ChatTemplate> ChatTemplate::open(std::span<const uint8_t> source, const Texts& special) {
    return std::make_shared<RustTemplate>(source, special);
}

}  // namespace reprise::text
