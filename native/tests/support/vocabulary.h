// A small vocabulary for constraints, through the C interface.
#pragma once

#include <string>
#include <vector>

#include "support/library.h"

namespace reprise::test {

/// The 256 bytes, some longer tokens, and special tokens, of which the first ends a text.
class Vocabulary {
  public:
    explicit Vocabulary(const std::vector<std::string>& longer = {},
                        const std::vector<std::string>& special = {"<|end|>", "<|tool|>", "[INST]"}) {
        for (int byte = 0; byte < 256; ++byte) tokens_.emplace_back(1, static_cast<char>(byte));
        tokens_.insert(tokens_.end(), longer.begin(), longer.end());
        end_ = static_cast<int32_t>(tokens_.size());
        tokens_.insert(tokens_.end(), special.begin(), special.end());
        std::string bytes;
        std::vector<uint64_t> offsets{0};
        std::vector<uint8_t> flags;
        for (size_t id = 0; id < tokens_.size(); ++id) {
            bytes += tokens_[id];
            offsets.push_back(bytes.size());
            flags.push_back(id < static_cast<size_t>(end_) ? 0 : REPRISE_TOKEN_SPECIAL);
        }
        ok(reprise_vocabulary_open(reinterpret_cast<const uint8_t*>(bytes.data()), offsets.data(), flags.data(),
                                   n_vocab(), &end_, 1, &handle_));
    }
    Vocabulary(const Vocabulary&) = delete;
    Vocabulary& operator=(const Vocabulary&) = delete;
    ~Vocabulary() { reprise_vocabulary_close(handle_); }

    reprise_handle handle() const { return handle_; }
    int32_t n_vocab() const { return static_cast<int32_t>(tokens_.size()); }
    int32_t end() const { return end_; }
    const std::string& token(int32_t id) const { return tokens_[static_cast<size_t>(id)]; }
    size_t n_words() const { return (tokens_.size() + 31) / 32; }

  private:
    std::vector<std::string> tokens_;
    int32_t end_ = 0;
    reprise_handle handle_ = 0;
};

inline bool in_mask(const std::vector<uint32_t>& mask, int32_t id) {
    return (mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0;
}

/// A constraint, closed at the end.
class OpenConstraint {
  public:
    OpenConstraint(const Vocabulary& vocabulary, reprise_constraint_kind kind, const std::string& source,
                   bool json_whitespace = false)
        : vocabulary_(vocabulary) {
        reprise_constraint_options options;
        reprise_constraint_options_default(&options);
        options.json_whitespace = json_whitespace ? 1 : 0;
        status_ = reprise_constraint_open(vocabulary.handle(), kind, reinterpret_cast<const uint8_t*>(source.data()),
                                          source.size(), &options, &handle_);
    }
    OpenConstraint(const OpenConstraint&) = delete;
    OpenConstraint& operator=(const OpenConstraint&) = delete;
    ~OpenConstraint() { reprise_constraint_close(handle_); }

    reprise_status status() const { return status_; }
    reprise_handle handle() const { return handle_; }

    struct Walk {
        size_t n_allowed;
        int32_t state;
        std::vector<uint32_t> mask;
    };
    Walk walk(const Ids& ids) const {
        Walk walk{0, 0, std::vector<uint32_t>(vocabulary_.n_words())};
        ok(reprise_constraint_check(handle_, ids.data(), ids.size(), &walk.n_allowed, &walk.state, walk.mask.data(),
                                    walk.mask.size()));
        return walk;
    }
    /// Whether the constraint allows the text, byte by byte, and an end after it.
    bool accepts(const std::string& text) const {
        Ids ids;
        for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
        const Walk end = walk(ids);
        return end.n_allowed == ids.size() && end.state != REPRISE_CONSTRAINT_INCOMPLETE;
    }

  private:
    const Vocabulary& vocabulary_;
    reprise_handle handle_ = 0;
    reprise_status status_;
};

}  // namespace reprise::test
