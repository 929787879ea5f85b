#include "text/constraint.h"

#include "core/big_stack.h"
#include "text/ffi.h"

namespace reprise::text {

namespace {

/// Compiling recurses with the nesting of schemas and expressions, within limits of the crate's that this holds.
constexpr size_t STACK_BYTES = 64 << 20;

class RustMatcher : public Constraint {
  public:
    /// Takes the matcher over.
    explicit RustMatcher(text_matcher* matcher) : matcher_(matcher) {}
    ~RustMatcher() override { close(text_matcher_close, matcher_); }
    RustMatcher(const RustMatcher&) = delete;
    RustMatcher& operator=(const RustMatcher&) = delete;

    void mask(std::span<uint32_t> mask) override { call(text_matcher_mask, matcher_, mask.data(), mask.size()); }
    void accept(int32_t token) override {
        if (!try_accept(token)) fail(REPRISE_INVALID_ARGUMENT, "the constraint does not allow token %d", token);
    }
    bool complete() const override { return state() != REPRISE_CONSTRAINT_INCOMPLETE; }
    std::unique_ptr<Constraint> clone() const override {
        text_matcher* copy = nullptr;
        call(text_matcher_clone, static_cast<const text_matcher*>(matcher_), &copy);
        return std::make_unique<RustMatcher>(copy);
    }

    bool try_accept(int32_t token) {
        bool accepted = false;
        call(text_matcher_accept, matcher_, token, &accepted);
        return accepted;
    }
    reprise_constraint_state state() const {
        bool complete = false;
        bool ended = false;
        call(text_matcher_state, matcher_, &complete, &ended);
        return ended      ? REPRISE_CONSTRAINT_ENDED
               : complete ? REPRISE_CONSTRAINT_COMPLETE
                          : REPRISE_CONSTRAINT_INCOMPLETE;
    }

  private:
    text_matcher* matcher_;
};

class RustConstraint : public CompiledConstraint {
  public:
    explicit RustConstraint(text_constraint* constraint) : constraint_(constraint) {}
    ~RustConstraint() override { close(text_constraint_close, constraint_); }
    RustConstraint(const RustConstraint&) = delete;
    RustConstraint& operator=(const RustConstraint&) = delete;

    std::unique_ptr<Constraint> matcher() const override { return open(); }
    Walk walk(std::span<const int32_t> ids, std::span<uint32_t> mask) const override {
        const auto matcher = open();
        size_t n = 0;
        while (n < ids.size() && matcher->try_accept(ids[n])) ++n;
        if (!mask.empty()) matcher->mask(mask);
        return {n, matcher->state()};
    }

  private:
    std::unique_ptr<RustMatcher> open() const {
        text_matcher* matcher = nullptr;
        call(text_matcher_open, static_cast<const text_constraint*>(constraint_), &matcher);
        return std::make_unique<RustMatcher>(matcher);
    }
    text_constraint* constraint_;
};

class RustVocabulary : public Vocabulary {
  public:
    explicit RustVocabulary(const Tokens& tokens) {
        call(text_vocabulary_open, bytes_of(tokens.bytes), tokens.offsets.data(), tokens.flags.data(),
             tokens.flags.size(), tokens.end_ids.data(), tokens.end_ids.size(), &vocabulary_);
    }
    ~RustVocabulary() override { close(text_vocabulary_close, vocabulary_); }
    RustVocabulary(const RustVocabulary&) = delete;
    RustVocabulary& operator=(const RustVocabulary&) = delete;

    std::shared_ptr<CompiledConstraint> compile(int32_t kind, std::span<const uint8_t> source,
                                                const reprise_constraint_options& options) const override {
        text_constraint* constraint = nullptr;
        run_on_big_stack(STACK_BYTES, [&] {
            call(text_constraint_open, vocabulary_, kind, bytes_of(source), options.json_whitespace != 0, &constraint);
        });
        return std::make_shared<RustConstraint>(constraint);
    }

  private:
    const text_vocabulary* vocabulary_ = nullptr;
};

}  // namespace

std::shared_ptr<Vocabulary> Vocabulary::open(const Tokens& tokens) { return std::make_shared<RustVocabulary>(tokens); }

}  // namespace reprise::text
