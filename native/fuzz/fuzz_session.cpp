// The reader of saved sessions against anything. Inputs are changed half by libFuzzer, half by what knows the format;
// three in four get the right hashes again, since nobody gets past those by chance.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "reprise.h"
#include "support/state_bytes.h"
#include "support/state_mutator.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

using namespace reprise::test;

namespace {

void need(bool condition) {
    if (!condition) std::abort();
}

/// A model of 32 tokens of context, and a session of it that takes less than the 4 KB that libFuzzer starts with.
struct Fixture {
    TempDir dir;
    reprise_handle model = 0;
    std::vector<uint8_t> sound;

    Fixture() {
        reprise::ModelSpec spec = tiny_spec();
        spec.context_length = 32;
        spec.n_layers = spec.n_kv_heads = 1;
        spec.n_vocab = 286;
        spec.vocabulary = sentence_piece_vocabulary(spec.n_vocab);
        const std::string path = write_tiny_model(dir, spec, reprise::uniform_types(reprise::TensorType::Q8_0));
        reprise_handle gguf = 0, session = 0;
        need(reprise_gguf_open(path.c_str(), 1, &gguf) == REPRISE_OK);
        reprise_model_options options;
        reprise_model_options_default(&options);
        options.device = REPRISE_DEVICE_CPU;
        options.threads = 1;
        need(reprise_model_load(gguf, &options, &model) == REPRISE_OK);
        need(reprise_gguf_close(gguf) == REPRISE_OK);
        need(reprise_session_open(model, nullptr, &session) == REPRISE_OK);
        const int32_t ids[] = {1, 2, 3};
        need(reprise_session_evaluate(session, ids, 3) == REPRISE_OK);
        need(reprise_session_save(session, -1, dir.file("session").c_str(), nullptr, 0) == REPRISE_OK);
        need(reprise_session_close(session) == REPRISE_OK);
        sound = dir.read("session");
    }
};

Fixture& fixture() {
    static Fixture fixture;
    return fixture;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const int file = memfd_create("session", MFD_CLOEXEC);
    need(file >= 0 && write(file, data, size) == static_cast<ssize_t>(size));
    reprise_handle session = 0;
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    const reprise_status status = reprise_session_restore(fixture().model, path.c_str(), 0, nullptr, &session);
    need(status == REPRISE_OK || status == REPRISE_SESSION_FORMAT || status == REPRISE_SESSION_MISMATCH);
    if (status == REPRISE_OK) {
        const int32_t id = 1;
        const reprise_status going_on = reprise_session_evaluate(session, &id, 1);
        need(going_on == REPRISE_OK || going_on == REPRISE_CONTEXT_OVERFLOW);
        need(reprise_session_close(session) == REPRISE_OK);
    }
    close(file);
    return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    std::vector<uint8_t> file(data, data + size);
    // The seeds are model files; from those nothing leads to a session.
    if (size < 8 || std::memcmp(data, fixture().sound.data(), 8) != 0) file = fixture().sound;
    if (seed % 2 == 0) {
        const size_t n = file.size();
        file.resize(std::max(n, max_size));
        file.resize(LLVMFuzzerMutate(file.data(), n, file.size()));
        reseal(file);
    } else {
        StateMutator(seed).mutate(file);
    }
    const size_t n = std::min(file.size(), max_size);
    std::copy_n(file.begin(), n, data);
    return n;
}
