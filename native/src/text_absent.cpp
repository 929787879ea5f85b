// Stands in for text/ in a library built without the Rust crate in native/text.
#include "core/error.h"
#include "text/chat_template.h"
#include "text/constraint.h"

namespace reprise::text {

namespace {

[[noreturn]] void absent() {
    fail(REPRISE_UNSUPPORTED,
         "this Reprise library was built without templates and constraints: build it with cargo 1.87 or later "
         "(REPRISE_TEXT=ON)");
}

}  // namespace

std::shared_ptr<ChatTemplate> ChatTemplate::open(std::span<const uint8_t>, const Texts&) { absent(); }
std::shared_ptr<Vocabulary> Vocabulary::open(const Tokens&) { absent(); }

}  // namespace reprise::text
