// reprise.h, the parts about chat templates and constraints.
#include <ctime>

#include "api/guard.h"
#include "api/registry.h"
#include "text/chat_template.h"
#include "text/constraint.h"

using namespace reprise;

namespace {

using Kind = Registry::Kind;

template <class T>
std::span<T> items(T* data, size_t n, const char* name) {
    if (n == 0) return {};
    return {&checked(data, name), n};
}

/// n pieces of a blob, whose offsets are checked: ascending, within what a pointer can reach.
text::Texts texts(const uint8_t* data, const uint64_t* offsets, size_t n, const char* name) {
    if (n == 0) return {};
    checked(offsets, "offsets");
    for (size_t i = 0; i < n; ++i) {
        if (offsets[i] > offsets[i + 1] || offsets[i + 1] > PTRDIFF_MAX) {
            fail(REPRISE_INVALID_ARGUMENT, "argument %s: offsets %zu and %zu do not ascend", name, i, i + 1);
        }
    }
    return {items(data, offsets[n], name), {offsets, n + 1}};
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

std::shared_ptr<const text::CompiledConstraint> constraint_of(reprise_handle handle) {
    return Registry::instance().get<const text::CompiledConstraint>(handle, Kind::CONSTRAINT);
}

}  // namespace

reprise_status reprise_template_open(const uint8_t* source, size_t n, const uint8_t* special,
                                     const uint64_t* special_offsets, size_t n_special, reprise_handle* chat_template) {
    return guarded([&] {
        checked(chat_template, "chat_template") = 0;
        *chat_template = Registry::instance().add(
            Kind::TEMPLATE, text::ChatTemplate::open(items(source, n, "source"),
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
            Kind::RENDERING, opened->render(items(variables, n, "variables"), now != nullptr ? *now : local_time()));
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

reprise_status reprise_vocabulary_open(const uint8_t* bytes, const uint64_t* offsets, const uint8_t* flags,
                                       int32_t n_vocab, const int32_t* end_ids, size_t n_end_ids,
                                       reprise_handle* vocabulary) {
    return guarded([&] {
        checked(vocabulary, "vocabulary") = 0;
        if (n_vocab < 1) fail(REPRISE_INVALID_ARGUMENT, "n_vocab is %d, at least 1 is wanted", n_vocab);
        const auto n = static_cast<size_t>(n_vocab);
        const text::Texts tokens = texts(bytes, offsets, n, "bytes");
        *vocabulary = Registry::instance().add(
            Kind::VOCABULARY, text::Vocabulary::open({tokens.bytes, tokens.offsets, items(flags, n, "flags"),
                                                      items(end_ids, n_end_ids, "end_ids")}));
    });
}

reprise_status reprise_vocabulary_close(reprise_handle vocabulary) {
    return guarded([&] { Registry::instance().remove<text::Vocabulary>(vocabulary, Kind::VOCABULARY); });
}

void reprise_constraint_options_default(reprise_constraint_options* options) {
    if (options != nullptr) *options = {};
}

reprise_status reprise_constraint_open(reprise_handle vocabulary, int32_t kind, const uint8_t* source, size_t n,
                                       const reprise_constraint_options* options, reprise_handle* constraint) {
    return guarded([&] {
        const auto opened = Registry::instance().get<const text::Vocabulary>(vocabulary, Kind::VOCABULARY);
        checked(constraint, "constraint") = 0;
        *constraint = Registry::instance().add(
            Kind::CONSTRAINT, opened->compile(kind, items(source, n, "source"),
                                              options != nullptr ? *options : reprise_constraint_options{}));
    });
}

reprise_status reprise_constraint_close(reprise_handle constraint) {
    return guarded([&] { Registry::instance().remove<text::CompiledConstraint>(constraint, Kind::CONSTRAINT); });
}

reprise_status reprise_constraint_check(reprise_handle constraint, const int32_t* ids, size_t n, size_t* n_allowed,
                                        int32_t* state, uint32_t* mask, size_t n_words) {
    return guarded([&] {
        const auto compiled = constraint_of(constraint);
        checked(n_allowed, "n_allowed");
        checked(state, "state");
        const auto walk = compiled->walk(items(ids, n, "ids"), {mask, mask != nullptr ? n_words : 0});
        *n_allowed = walk.n_allowed;
        *state = walk.state;
    });
}

std::unique_ptr<Constraint> reprise::make_constraint(reprise_handle constraint) {
    return constraint_of(constraint)->matcher();
}
