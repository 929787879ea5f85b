// Constraints against anything: a digit for the kind and the source, on a small vocabulary. What opens is walked along
// tokens that its masks allow.
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/error.h"
#include "reprise.h"
#include "session/constraint.h"

static void need(bool condition, const std::string& what) {
    if (condition) return;
    std::fprintf(stderr, "fuzz_constraint: %s\n", what.c_str());
    std::abort();
}

static std::string last_error() {
    char message[1000];
    reprise_last_error(message, sizeof message);
    return message;
}

static constexpr int32_t N_VOCAB = 262;
static constexpr int32_t END = 260;

static reprise_handle open_vocabulary() {
    std::string bytes;
    std::vector<uint64_t> offsets{0};
    std::vector<uint8_t> flags(N_VOCAB, 0);
    for (int id = 0; id < N_VOCAB; ++id) {
        static const char* const longer[] = {"{\"", "true", "aa", "\":", "<|end|>", "<|tool|>"};
        bytes += id < 256 ? std::string(1, static_cast<char>(id)) : longer[id - 256];
        offsets.push_back(bytes.size());
    }
    flags[END] = flags[END + 1] = REPRISE_TOKEN_SPECIAL;
    reprise_handle vocabulary = 0;
    need(reprise_vocabulary_open(reinterpret_cast<const uint8_t*>(bytes.data()), offsets.data(), flags.data(), N_VOCAB,
                                 &END, 1, &vocabulary) == REPRISE_OK,
         "the vocabulary is refused");
    return vocabulary;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const reprise_handle vocabulary = open_vocabulary();
    if (size == 0) return 0;
    reprise_handle constraint = 0;
    const reprise_status status =
        reprise_constraint_open(vocabulary, data[0] % 4, data + 1, size - 1, nullptr, &constraint);
    need(status == REPRISE_OK || status == REPRISE_INVALID_ARGUMENT || status == REPRISE_UNSUPPORTED, last_error());
    if (status != REPRISE_OK) return 0;
    try {
        const auto matcher = reprise::make_constraint(constraint);
        uint32_t mask[(N_VOCAB + 31) / 32];
        uint32_t hash = static_cast<uint32_t>(size);
        for (int step = 0; step < 30; ++step) {
            matcher->mask(mask);
            std::vector<int32_t> allowed;
            for (int32_t id = 0; id < N_VOCAB; ++id) {
                if (mask[id / 32] >> (id % 32) & 1) allowed.push_back(id);
            }
            need(!allowed.empty(), "no token may come and nothing says so");
            need(matcher->complete() == (mask[END / 32] >> (END % 32) & 1),
                 "step " + std::to_string(step) + ": complete and an end token that may come differ");
            hash = std::rotl(hash * 2654435761u + data[step % size], 13);
            const int32_t id = allowed[hash % allowed.size()];
            matcher->accept(id);
            if (id == END) break;
        }
    } catch (const reprise::Error& error) {
        need(error.status() == REPRISE_UNSUPPORTED || error.status() == REPRISE_INVALID_ARGUMENT, error.what());
    }
    need(reprise_constraint_close(constraint) == REPRISE_OK, "the constraint cannot be closed");
    return 0;
}
