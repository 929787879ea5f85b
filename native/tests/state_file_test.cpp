// The file of a saved session: what is refused and how, what is written and when.
#include "session/state_file.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <map>

#include "session/engine.h"
#include "support/allocation_counter.h"
#include "support/state_bytes.h"
#include "support/state_mutator.h"
#include "support/tiny_session.h"
#include "synth/random_rows.h"

namespace reprise::test {
namespace {

class StateFile : public ::testing::Test {
  protected:
    static LoadedModel load(const TempDir& dir, uint64_t seed = 1, bool exact = false, const char* types = "Q4_K_M") {
        const ModelSpec spec = tiny_spec();
        return {write_tiny_model(dir, spec, named_types(types, spec), seed, "model" + std::to_string(seed)),
                model_options(REPRISE_DEVICE_CPU, exact, 1)};
    }
    StateFile() : model_(load(models_)), session_(model_.open(session_options(100, 16))) {
        session_.evaluate(some_ids(40));
        session_.save(path());
        bytes_ = dir_.read("session");
    }
    std::string path() const { return dir_.file("session"); }

    reprise_status restore(const std::string& path, const reprise_session_options* options = nullptr) const {
        reprise_handle session = 1;
        const reprise_status status = reprise_session_restore(model_.handle(), path.c_str(), 0, options, &session);
        if (status == REPRISE_OK) {
            ok(reprise_session_close(session));
        } else {
            EXPECT_EQ(0u, session);
        }
        return status;
    }
    reprise_status restore(const std::vector<uint8_t>& bytes) const { return restore(dir_.write("changed", bytes)); }
    void expect_refused(const std::vector<uint8_t>& bytes, std::initializer_list<const char*> parts,
                        reprise_status status = REPRISE_SESSION_FORMAT) const {
        expect_status(status, restore(bytes), parts);
    }
    /// A header that says something else, with the right hashes.
    template <class T>
    std::vector<uint8_t> with(size_t field, T value) const {
        std::vector<uint8_t> bytes = bytes_;
        set_state_field(bytes, field, value);
        reseal(bytes);
        return bytes;
    }

    TempDir models_, dir_;
    LoadedModel model_;
    OpenSession session_;
    std::vector<uint8_t> bytes_;
};

TEST_F(StateFile, IsAsDescribed) {
    // Header, history, logits; 2 layers, k and v, 2 heads of 64 in F16; hash.
    const size_t kv = 2 * 2 * 40 * 2 * 64 * 2;
    ASSERT_EQ(128u + 40 * 4 + 512 * 4 + kv + 8, bytes_.size());
    EXPECT_EQ("RPRSTATE", std::string(bytes_.begin(), bytes_.begin() + 8));
    EXPECT_EQ(1u, state_field<uint32_t>(bytes_, state::FORMAT));
    EXPECT_EQ(2u, state_field<uint32_t>(bytes_, state::FLAGS));
    EXPECT_EQ(bytes_.size(), state_field<uint64_t>(bytes_, state::FILE_BYTES));
    EXPECT_STREQ("llama", reinterpret_cast<const char*>(&bytes_[state::ARCHITECTURE]));
    EXPECT_EQ(512u, state_field<uint32_t>(bytes_, state::N_VOCAB));
    EXPECT_EQ(1u, state_field<uint32_t>(bytes_, state::KV_TYPE));
    EXPECT_EQ(100u, state_field<uint32_t>(bytes_, state::CONTEXT_LENGTH));
    EXPECT_EQ(16u, state_field<uint32_t>(bytes_, state::PREFILL_CHUNK));
    EXPECT_EQ(40u, state_field<uint32_t>(bytes_, state::N_TOKENS));
    EXPECT_EQ(40u, state_field<uint32_t>(bytes_, state::N_EVALUATED));
    const Ids ids = some_ids(40);
    EXPECT_EQ(0, std::memcmp(&bytes_[state::HISTORY], ids.data(), 160));
    const std::vector<float> logits = session_.logits();
    EXPECT_EQ(0, std::memcmp(&bytes_[state::HISTORY + 160], logits.data(), 2048));
    std::vector<uint8_t> sealed = bytes_;
    reseal(sealed);
    EXPECT_EQ(bytes_, sealed);
}

// ---- what is refused ----

TEST_F(StateFile, OfNoSessionIsRefused) {
    expect_refused({}, {"changed", "no saved session", "empty"});
    expect_refused({'x'}, {"no saved session"});
    std::vector<uint8_t> bytes = bytes_;
    bytes[3] ^= 0x20;
    expect_refused(bytes, {"no saved session"});
    expect_status(REPRISE_SESSION_FORMAT, restore(models_.file("model1")), {"model1", "no saved session"});
}

TEST_F(StateFile, ThatCannotBeReadIsAnIoError) {
    expect_status(REPRISE_IO, restore(dir_.file("nothing")), {"nothing", "No such file"});
    expect_status(REPRISE_IO, restore(dir_.file("")), {"directory"});
    expect_status(REPRISE_IO, restore("/dev/zero"), {"/dev/zero", "regular file"});
    ASSERT_EQ(0, ::mkfifo(dir_.file("pipe").c_str(), 0600));
    expect_status(REPRISE_IO, restore(dir_.file("pipe")), {"regular file"});
}

TEST_F(StateFile, CutAnywhereIsRefused) {
    RandomBits random(1);
    for (size_t n = 1; n < bytes_.size(); n += n < 300 ? 1 : 1 + random.below(400))
        expect_refused({bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(n)}, {"truncated"});
    expect_refused({bytes_.begin(), bytes_.end() - 1}, {"truncated"});
}

TEST_F(StateFile, WithMoreBehindItIsRefused) {
    std::vector<uint8_t> bytes = bytes_;
    bytes.push_back(0);
    expect_refused(bytes, {"damaged", "behind its end"});
}

TEST_F(StateFile, WithAFlippedBitIsRefused) {
    RandomBits random(2);
    for (size_t at = 0; at < bytes_.size(); at += at < 300 ? 1 : 1 + random.below(100)) {
        std::vector<uint8_t> bytes = bytes_;
        bytes[at] ^= static_cast<uint8_t>(1 << random.below(8));
        const reprise_status status = restore(bytes);
        EXPECT_EQ(REPRISE_SESSION_FORMAT, status) << "byte " << at;
        if (at >= state::FLAGS && at < state::HISTORY)
            expect_status(REPRISE_SESSION_FORMAT, status, {"damaged", "header"});
        if (at >= state::HISTORY) expect_status(REPRISE_SESSION_FORMAT, status, {"damaged"});
    }
}

TEST_F(StateFile, OfANewerVersionIsRefused) {
    for (const uint32_t format : {2u, 77u, ~0u})
        expect_refused(with(state::FORMAT, format), {"format version", "newer", "up to 1"});
    expect_refused(with(state::FORMAT, 0u), {"damaged"});
}

TEST_F(StateFile, WhoseNumbersContradictEachOtherIsRefused) {
    expect_refused(with(state::FLAGS, 4u), {"no meaning"});
    expect_refused(with(state::UNUSED, 1u), {"no meaning"});
    expect_refused(with(state::FLAGS, 0u), {"size"});  // no logits
    expect_refused(with(state::OTHER_POSITION_BYTES, 8u), {"size"});
    expect_refused(with(state::N_STATE_VALUES, uint64_t{1}), {"size"});
    expect_refused(with(state::N_STATE_VALUES, ~uint64_t{0}), {"size"});
    // As much as the dimensions say, in other words.
    expect_refused(with(state::OTHER_POSITION_BYTES, 1024u), {"other dimensions"});
    expect_refused(with(state::FILE_BYTES, uint64_t{1} << 60), {"size"});
    expect_refused(with(state::KV_TYPE, 12u), {"KV cache"});
    expect_refused(with(state::KV_TYPE, ~0u), {"KV cache"});
    expect_refused(with(state::N_TOKENS, 39u), {"evaluated"});
    expect_refused(with(state::N_TOKENS, 101u), {"more tokens than its context"});
    expect_refused(with(state::N_EVALUATED, 39u), {"logits"});
    expect_refused(with(state::N_EVALUATED, 41u), {"evaluated"});
    expect_refused(with(state::CONTEXT_LENGTH, 0u), {"context"});
    expect_refused(with(state::CONTEXT_LENGTH, 1u << 31), {"context"});
    expect_refused(with(state::PREFILL_CHUNK, ~0u), {"chunks"});
    expect_refused(with(state::CONTEXT_LENGTH, 257u), {"context", "longer than the model's"});
    expect_refused(with(state::N_LAYERS, ~0u), {"dimensions"});
    std::vector<uint8_t> other_shape = with(state::N_LAYERS, 1u);  // as large as two layers
    set_state_field(other_shape, state::N_KV_HEADS, 4u);
    reseal(other_shape);
    expect_refused(other_shape, {"other dimensions"});
    for (const int32_t id : {-1, 512, INT32_MAX, INT32_MIN})
        expect_refused(with(state::HISTORY + 4 * 17, id), {"token", "vocabulary"});
}

/// Of a size that the file would need to have.
TEST_F(StateFile, OfInventedSizeCostsNoMemory) {
    std::vector<uint8_t> bytes = bytes_;
    for (const uint32_t n : {255u, 1u << 20, 1u << 30, ~0u >> 1}) {
        set_state_field(bytes, state::CONTEXT_LENGTH, n);
        set_state_field(bytes, state::N_TOKENS, n);
        set_state_field(bytes, state::N_EVALUATED, n);
        const uint64_t size = 128 + uint64_t{n} * 4 + 2048 + uint64_t{n} * 1024 + 8;
        set_state_field(bytes, state::FILE_BYTES, size);
        reseal(bytes);
        const std::string path = dir_.write("changed", bytes);
        reset_peak();
        const size_t before = allocated_bytes();
        expect_status(REPRISE_SESSION_FORMAT, restore(path), {"truncated", std::to_string(size).c_str()});
        EXPECT_LE(peak_allocated_bytes() - before, 10000u);
        // Even if the file is as long as its header says.
        std::filesystem::resize_file(path, size);
        EXPECT_EQ(REPRISE_SESSION_FORMAT, restore(path));
        EXPECT_LE(peak_allocated_bytes() - before, 1000000u);
    }
}

TEST_F(StateFile, OfAnotherModelIsRefused) {
    const LoadedModel other_weights = load(models_, 2);
    reprise_handle session = 1;
    expect_status(REPRISE_SESSION_MISMATCH,
                  reprise_session_restore(other_weights.handle(), path().c_str(), 0, nullptr, &session),
                  {"another model", "'llama'", "same shape", "weights"});
    EXPECT_EQ(0u, session);
    ModelSpec spec = tiny_spec("qwen3");
    spec.n_layers = 3;
    const LoadedModel other(write_tiny_model(models_, spec, uniform_types(TensorType::F16)),
                            model_options(REPRISE_DEVICE_CPU));
    expect_status(REPRISE_SESSION_MISMATCH,
                  reprise_session_restore(other.handle(), path().c_str(), 0, nullptr, &session),
                  {"another model", "'llama' with 2 layers", "'qwen3' with 3 layers"});
    const LoadedModel same = load(models_);
    ok(reprise_session_restore(same.handle(), path().c_str(), 0, nullptr, &session));
    ok(reprise_session_close(session));
}

TEST_F(StateFile, OfTheOtherArithmeticIsRefused) {
    const LoadedModel exact = load(models_, 1, true);
    reprise_session_options options = session_options();
    options.kv_type = REPRISE_KV_F32;
    reprise_handle session;
    model_.open(options).save(path());
    expect_status(REPRISE_SESSION_MISMATCH,
                  reprise_session_restore(exact.handle(), path().c_str(), 0, nullptr, &session),
                  {"fast arithmetic", "without exact"});
    exact.open().save(path());
    expect_status(REPRISE_SESSION_MISMATCH, restore(path()), {"exact arithmetic", "with exact"});
    // Which keeps float32 whatever is asked for.
    options.kv_type = REPRISE_KV_Q8_0;
    EXPECT_EQ(0, exact.restore(path(), options).position());
}

TEST_F(StateFile, ChangedInFiveThousandWaysIsRestoredOrRefused) {
    std::vector<std::vector<uint8_t>> sound = {bytes_};
    session_.generate({}, 3);
    session_.save(path());
    sound.push_back(dir_.read("session"));
    session_.save(path(), 0);
    sound.push_back(dir_.read("session"));
    reprise_session_options options = session_options(50, 16);
    options.kv_type = REPRISE_KV_Q8_0;
    const OpenSession quantised = model_.open(options);
    quantised.evaluate(some_ids(3));
    quantised.save(path());
    sound.push_back(dir_.read("session"));

    StateMutator mutator(3);
    std::map<int, int> by_status;
    for (int i = 0; i < 5000; ++i) {
        const std::vector<uint8_t>& original = sound[static_cast<size_t>(i) % sound.size()];
        std::vector<uint8_t> file = original;
        const bool sealed = mutator.mutate(file);
        dir_.write("changed", file);
        reset_peak();
        const size_t before = allocated_bytes();
        reprise_handle session = 0;
        const reprise_status status =
            reprise_session_restore(model_.handle(), dir_.file("changed").c_str(), 0, nullptr, &session);
        // A session of the longest context takes that.
        ASSERT_LE(peak_allocated_bytes() - before, 300000u) << "file " << i;
        ++by_status[status];
        ASSERT_TRUE(status == REPRISE_OK || status == REPRISE_SESSION_FORMAT || status == REPRISE_SESSION_MISMATCH)
            << "file " << i << ": " << last_error();
        if (status != REPRISE_OK) continue;
        ASSERT_TRUE(sealed || file == original) << "file " << i << ": damage went unnoticed";
        const int32_t id = 1;
        const reprise_status going_on = reprise_session_evaluate(session, &id, 1);
        ASSERT_TRUE(going_on == REPRISE_OK || going_on == REPRISE_CONTEXT_OVERFLOW) << last_error();
        ok(reprise_session_close(session));
    }
    for (const auto& [status, count] : by_status) std::printf("  %-18s %6d\n", reprise_status_name(status), count);
    EXPECT_GT(by_status[REPRISE_OK], 100);
    EXPECT_GT(by_status[REPRISE_SESSION_FORMAT], 2500);
}

// ---- options ----

TEST_F(StateFile, GivesTheOptionsThatAreNotChosen) {
    const auto context_length = [](const OpenSession& session) {
        int32_t n = 0;
        ok(reprise_session_context_length(session.handle(), &n));
        return n;
    };
    EXPECT_EQ(100, context_length(model_.restore(path())));
    EXPECT_EQ(40, context_length(model_.restore(path(), session_options(40))));
    EXPECT_EQ(256, context_length(model_.restore(path(), session_options(256))));
    reprise_session_options options = session_options(39);
    expect_status(REPRISE_INVALID_ARGUMENT, restore(path(), &options), {"context_length is 39", "40 tokens"});
    options = session_options(257);
    expect_status(REPRISE_INVALID_ARGUMENT, restore(path(), &options), {"context_length", "257"});
    options = session_options();
    options.kv_type = REPRISE_KV_F16;
    EXPECT_EQ(REPRISE_OK, restore(path(), &options));
    for (const reprise_kv_type other : {REPRISE_KV_F32, REPRISE_KV_Q8_0}) {
        options.kv_type = other;
        expect_status(REPRISE_INVALID_ARGUMENT, restore(path(), &options), {"kv_type", "F16"});
    }
    options.kv_type = -2;
    expect_status(REPRISE_INVALID_ARGUMENT, restore(path(), &options), {"kv_type", "-2"});
    const std::vector<float> logits = session_.logits();
    for (const int32_t length : {40, 256})
        EXPECT_EQ(logits, model_.restore(path(), session_options(length)).logits()) << length;
}

// ---- writing ----

TEST_F(StateFile, IsForItsOwnerAlone) {
    struct stat status;
    ASSERT_EQ(0, ::stat(path().c_str(), &status));
    EXPECT_EQ(0600u, status.st_mode & 07777);
    ASSERT_EQ(0, ::chmod(path().c_str(), 0644));
    session_.save(path());
    ASSERT_EQ(0, ::stat(path().c_str(), &status));
    EXPECT_EQ(0600u, status.st_mode & 07777);
}

TEST_F(StateFile, TakesThePlaceOfAnother) {
    session_.generate({}, 5);
    session_.save(path());
    EXPECT_EQ(session_.history(), model_.restore(path()).history());
    const std::string longest = dir_.file(std::string(255, 'x'));
    session_.save(longest);
    EXPECT_EQ(session_.history(), model_.restore(longest).history());
}

TEST_F(StateFile, ThatCannotBeWrittenIsAnIoErrorAndLeavesNothing) {
    const auto expect_io = [&](const std::string& path, const char* part) {
        expect_status(REPRISE_IO, reprise_session_save(session_.handle(), -1, path.c_str(), nullptr, 0),
                      {path.c_str(), part});
    };
    expect_io(dir_.file("no such folder/session"), "No such file");
    expect_io(path() + "/session", "Not a directory");
    expect_io(dir_.file(std::string(256, 'x')), "too long");
    expect_io(dir_.file("."), "regular file");
    expect_io(dir_.file("folder/"), "regular file");
    expect_io("", "regular file");
    ASSERT_EQ(0, ::mkfifo(dir_.file("pipe").c_str(), 0600));
    expect_io(dir_.file("pipe"), "regular file");
    size_t entries = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir_.file("."))) ++entries;
    EXPECT_EQ(2u, entries);
    EXPECT_EQ(bytes_, dir_.read("session"));
}

TEST_F(StateFile, BeginsWithWhatTheCallerPutsInFrontOfIt) {
    const std::vector<uint8_t> preface = {'M', 'i', 'n', 'e', 0, 255};
    ok(reprise_session_save(session_.handle(), -1, path().c_str(), preface.data(), preface.size()));
    std::vector<uint8_t> expected = preface;
    expected.insert(expected.end(), bytes_.begin(), bytes_.end());
    EXPECT_EQ(expected, dir_.read("session"));
    const auto restore_behind = [&](uint64_t offset) {
        reprise_handle session = 0;
        const reprise_status status =
            reprise_session_restore(model_.handle(), path().c_str(), offset, nullptr, &session);
        if (session != 0) ok(reprise_session_close(session));
        return status;
    };
    EXPECT_EQ(REPRISE_OK, restore_behind(preface.size()));
    expect_status(REPRISE_SESSION_FORMAT, restore_behind(0), {"no saved session"});
    expect_status(REPRISE_SESSION_FORMAT, restore_behind(preface.size() - 1), {"no saved session"});
    for (const uint64_t beyond : {uint64_t{expected.size()}, uint64_t{1} << 63, ~uint64_t{0}})
        expect_status(REPRISE_SESSION_FORMAT, restore_behind(beyond), {"empty"});
    dir_.write("session", {expected.data(), expected.size() - 1});
    expect_status(REPRISE_SESSION_FORMAT, restore_behind(preface.size()), {"truncated"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_save(session_.handle(), -1, path().c_str(), nullptr, 1),
                  {"preface"});
}

TEST_F(StateFile, ReplacesWhatALinkLeadsTo) {
    std::filesystem::create_directory(dir_.file("elsewhere"));
    std::filesystem::rename(path(), dir_.file("elsewhere/session"));
    std::filesystem::create_symlink("elsewhere/session", path());
    session_.generate({}, 5);
    session_.save(path());
    EXPECT_TRUE(std::filesystem::is_symlink(path()));
    EXPECT_EQ(45, model_.restore(dir_.file("elsewhere/session")).position());
    std::filesystem::remove(dir_.file("elsewhere/session"));
    session_.save(path());
    EXPECT_EQ(45, model_.restore(path()).position());
}

TEST_F(StateFile, ThatFindsTheDiskFullLeavesTheOldOne) {
    ASSERT_NE(SIG_ERR, std::signal(SIGXFSZ, SIG_IGN));
    rlimit limit;
    ASSERT_EQ(0, ::getrlimit(RLIMIT_FSIZE, &limit));
    const rlim_t hard = limit.rlim_max;
    session_.generate({}, 5);
    for (const rlim_t room : {rlim_t{0}, rlim_t{100}, rlim_t{5000}, rlim_t{bytes_.size()}}) {
        limit.rlim_cur = room;
        ASSERT_EQ(0, ::setrlimit(RLIMIT_FSIZE, &limit));
        const reprise_status status = reprise_session_save(session_.handle(), -1, path().c_str(), nullptr, 0);
        limit.rlim_cur = hard;
        ASSERT_EQ(0, ::setrlimit(RLIMIT_FSIZE, &limit));
        expect_status(REPRISE_IO, status, {"cannot write", "session", "too large"});
        EXPECT_EQ(bytes_, dir_.read("session"));
        size_t entries = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir_.file("."))) ++entries;
        EXPECT_EQ(1u, entries);
    }
    session_.save(path());
    EXPECT_EQ(45, model_.restore(path()).position());
}

TEST_F(StateFile, NeedsNoSecondCopyOfTheCache) {
    ModelSpec spec = tiny_spec();
    spec.context_length = 8192;
    const LoadedModel model(write_tiny_model(models_, spec, uniform_types(TensorType::Q8_0), 1, "long"),
                            model_options(REPRISE_DEVICE_CPU));
    const OpenSession session = model.open(session_options(8192));
    session.evaluate(some_ids(8000));
    const size_t before = allocated_bytes();
    reset_peak();
    session.save(path());
    const size_t piece = KV_PIECE * 2 * 64 * 2;
    EXPECT_LE(peak_allocated_bytes() - before, piece + 10000);
    const OpenSession restored = model.restore(path());
    EXPECT_EQ(session.logits(), restored.logits());
    EXPECT_GE(std::filesystem::file_size(path()), 120 * piece);
}

}  // namespace
}  // namespace reprise::test
