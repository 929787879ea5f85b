#include "support/state_mutator.h"

#include "support/state_bytes.h"

namespace reprise::test {

namespace {

constexpr uint32_t ODD[] = {0,   1,   2,    7,     8,       16,      31,         32,         33,  64,
                            255, 256, 4096, 65536, 1 << 20, 1 << 24, 0x7fffffff, 0x80000000, ~0u, ~1u};

}  // namespace

bool StateMutator::mutate(std::vector<uint8_t>& file) {
    if (file.size() <= state::HISTORY || random_.below(2) == 0) {
        change_blindly(file);
        return false;
    }
    switch (random_.below(4)) {
        case 0:
            change_numbers(file);
            break;
        case 1:
            change_length(file);
            break;
        case 2:
            change_contents(file);
            break;
        default:
            invent_tokens(file);
    }
    reseal(file);
    return true;
}

void StateMutator::scramble(std::vector<uint8_t>& file, size_t at) {
    for (uint64_t n = 1 + random_.below(16); n > 0 && at < file.size(); --n, ++at)
        file[at] = static_cast<uint8_t>(random_.below(256));
}

void StateMutator::change_blindly(std::vector<uint8_t>& file) {
    const size_t n = file.size(), header = std::min<size_t>(n, state::HISTORY);
    const size_t at = n == 0 ? 0 : random_.below(random_.below(2) == 0 ? header : n);
    switch (random_.below(4)) {
        case 0:
            if (n > 0) file[at] ^= static_cast<uint8_t>(1 << random_.below(8));
            break;
        case 1:
            scramble(file, at);
            break;
        case 2:
            file.resize(at);
            break;
        default:
            file.resize(n + 1 + random_.below(2000));
    }
}

void StateMutator::change_numbers(std::vector<uint8_t>& file) {
    for (uint64_t n = 1 + random_.below(2); n > 0; --n) {
        const size_t at = state::NUMBERS[random_.below(std::size(state::NUMBERS))];
        const uint32_t old = state_field<uint32_t>(file, at);
        const uint32_t choices[] = {old + 1, old - 1, old ^ 1u << random_.below(32),
                                    ODD[random_.below(std::size(ODD))]};
        set_state_field(file, at, choices[random_.below(std::size(choices))]);
    }
    // Mostly one that only looks inside notices.
    if (random_.below(4) > 0) set_state_field(file, state::FORMAT, uint32_t{1});
}

void StateMutator::change_length(std::vector<uint8_t>& file) {
    file.resize(state::HISTORY + 1 + random_.below(2 * file.size()));
    set_state_field(file, state::FILE_BYTES, uint64_t{file.size()});
}

void StateMutator::change_contents(std::vector<uint8_t>& file) {
    scramble(file, state::HISTORY + random_.below(random_.below(2) == 0 ? 16 : file.size() - state::HISTORY));
}

void StateMutator::invent_tokens(std::vector<uint8_t>& file) {
    const uint64_t held = state_field<uint32_t>(file, state::N_EVALUATED);
    const uint64_t size = state_field<uint64_t>(file, state::FILE_BYTES);
    const uint32_t n = static_cast<uint32_t>(1 + random_.below(uint64_t{1} << (1 + random_.below(32))));
    set_state_field(file, state::CONTEXT_LENGTH, n);
    set_state_field(file, state::N_TOKENS, n);
    set_state_field(file, state::N_EVALUATED, held == 0 ? 0 : n);
    set_state_field(file, state::FILE_BYTES, held == 0 ? size + n * 4 : size / held * n);
}

}  // namespace reprise::test
