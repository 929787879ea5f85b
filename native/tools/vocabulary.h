// A model file's tokens, as constraints need them.
#pragma once

#include <string>
#include <vector>

#include "reprise.h"

namespace tool {

struct Vocabulary {
    reprise_handle handle;
    std::vector<int32_t> end_ids;
};

/// Of byte-level and SentencePiece vocabularies with n_vocab rows of output; exits where the file has no other or none.
Vocabulary open_vocabulary(const std::string& path, int32_t n_vocab);

}  // namespace tool
