// Split models: NAME-00001-of-00003.gguf and its siblings, which repeat split.no and split.count.
#pragma once

#include <string>

#include "gguf/gguf.h"

namespace reprise {

struct Split {
    std::string stem;  // of part_name(); empty for a single file
    size_t n_parts = 1;
};

/// What first is a part of. Fails where it is not the first part or where its name does not tell those of the others.
Split check_first_part(const GgufFile& first);
/// Fails unless part is number index (from 0) of n_parts and belongs to first.
void check_part(const GgufFile& first, const GgufFile& part, size_t index, size_t n_parts);
/// Fails unless the merged file holds as many tensors as split.tensors.count says.
void check_total(const GgufFile& merged);
/// "stem-00002-of-00003.gguf" for index 1 of 3.
std::string part_name(const std::string& stem, size_t index, size_t n_parts);

}  // namespace reprise
