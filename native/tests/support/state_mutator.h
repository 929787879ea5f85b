// Seeded changes of the files of saved sessions, half of them with hashes that are right again, so that what reads the
// file looks at them.
#pragma once

#include <cstdint>
#include <vector>

#include "synth/random_rows.h"

namespace reprise::test {

class StateMutator {
  public:
    explicit StateMutator(uint64_t seed) : random_(seed) {}
    /// Changes a file once; true if it is sealed again.
    bool mutate(std::vector<uint8_t>& file);

  private:
    void change_blindly(std::vector<uint8_t>& file);
    void change_numbers(std::vector<uint8_t>& file);
    void change_length(std::vector<uint8_t>& file);
    void change_contents(std::vector<uint8_t>& file);
    /// The number of tokens, with all that follows from it: the size too, though not that of the file.
    void invent_tokens(std::vector<uint8_t>& file);
    void scramble(std::vector<uint8_t>& file, size_t at);

    RandomBits random_;
};

}  // namespace reprise::test
