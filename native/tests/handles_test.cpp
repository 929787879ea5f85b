// Handles that are null, stale, closed, foreign or invented, and null pointers: an error code each, never a crash.
#include <cstring>
#include <functional>
#include <thread>

#include "api/registry.h"
#include "support/expect_error.h"
#include "support/tiny_session.h"

namespace reprise::test {
namespace {

enum Kind { GGUF, MODEL, SESSION };

struct Call {
    const char* name;
    Kind kind;
    std::function<reprise_status(reprise_handle)> run;  // every other argument is right
};

/// saved: a file of a session, which is written again.
std::vector<Call> calls(const std::string& saved) {
    static reprise_gguf_info gguf_info;
    static reprise_tensor_info tensor_info;
    static reprise_model_info model_info;
    static reprise_memory memory;
    static reprise_statistics statistics;
    static reprise_handle out;
    static reprise_token token;
    static const uint8_t* data;
    static uint64_t size;
    static int32_t number;
    static size_t count;
    static const int32_t ids[2] = {1, 2};
    static float logits[2 * 512];
    static const reprise_sampling sampling = greedy();
    return {
        {"gguf_get_info", GGUF, [](reprise_handle h) { return reprise_gguf_get_info(h, &gguf_info); }},
        {"gguf_metadata", GGUF, [](reprise_handle h) { return reprise_gguf_metadata(h, &data, &size); }},
        {"gguf_tensor", GGUF, [](reprise_handle h) { return reprise_gguf_tensor(h, 0, &tensor_info); }},
        {"gguf_memory", GGUF, [](reprise_handle h) { return reprise_gguf_memory(h, nullptr, nullptr, &memory); }},
        {"model_load", GGUF,
         [](reprise_handle h) {
             const reprise_model_options options = model_options(REPRISE_DEVICE_CPU, false, 1);
             const reprise_status status = reprise_model_load(h, &options, &out);
             if (status == REPRISE_OK) reprise_model_close(out);
             return status;
         }},
        {"model_get_info", MODEL, [](reprise_handle h) { return reprise_model_get_info(h, &model_info); }},
        {"session_open", MODEL,
         [](reprise_handle h) {
             const reprise_status status = reprise_session_open(h, nullptr, &out);
             if (status == REPRISE_OK) reprise_session_close(out);
             return status;
         }},
        {"session_restore", MODEL,
         [=](reprise_handle h) {
             const reprise_status status = reprise_session_restore(h, saved.c_str(), 0, nullptr, &out);
             if (status == REPRISE_OK) reprise_session_close(out);
             return status;
         }},
        {"sample", MODEL,
         [](reprise_handle h) {
             return reprise_sample(h, logits, 512, nullptr, 0, nullptr, &sampling, 0, &token, nullptr);
         }},
        {"session_position", SESSION, [](reprise_handle h) { return reprise_session_position(h, &number); }},
        {"session_context_length", SESSION,
         [](reprise_handle h) { return reprise_session_context_length(h, &number); }},
        {"session_history", SESSION, [](reprise_handle h) { return reprise_session_history(h, nullptr, 0, &count); }},
        {"session_evaluate", SESSION, [](reprise_handle h) { return reprise_session_evaluate(h, ids, 2); }},
        {"session_logits", SESSION, [](reprise_handle h) { return reprise_session_logits(h, logits, 512); }},
        {"session_score", SESSION,
         [](reprise_handle h) { return reprise_session_score(h, ids, 2, REPRISE_SCORE_BATCH, logits); }},
        {"session_generate", SESSION,
         [](reprise_handle h) { return reprise_session_generate(h, ids, 2, nullptr, 0, ids, 2); }},
        {"session_next", SESSION, [](reprise_handle h) { return reprise_session_next(h, &token, 1, &count, &number); }},
        {"session_top", SESSION, [](reprise_handle h) { return reprise_session_top(h, &token, 1, &count); }},
        {"session_complete", SESSION, [](reprise_handle h) { return reprise_session_complete(h, &number); }},
        {"session_end", SESSION, [](reprise_handle h) { return reprise_session_end(h); }},
        {"session_statistics", SESSION, [](reprise_handle h) { return reprise_session_statistics(h, &statistics); }},
        {"session_cancel", SESSION, [](reprise_handle h) { return reprise_session_cancel(h); }},
        {"session_fork", SESSION,
         [](reprise_handle h) {
             const reprise_status status = reprise_session_fork(h, -1, &out);
             if (status == REPRISE_OK) reprise_session_close(out);
             return status;
         }},
        {"session_save", SESSION,
         [=](reprise_handle h) { return reprise_session_save(h, -1, saved.c_str(), nullptr, 0); }},
        {"session_rewind", SESSION, [](reprise_handle h) { return reprise_session_rewind(h, 0); }},
        // Last: they invalidate the handle.
        {"session_close", SESSION, [](reprise_handle h) { return reprise_session_close(h); }},
        {"model_close", MODEL, [](reprise_handle h) { return reprise_model_close(h); }},
        {"gguf_close", GGUF, [](reprise_handle h) { return reprise_gguf_close(h); }},
    };
}

class Handles : public ::testing::Test {
  protected:
    void SetUp() override {
        ok(reprise_gguf_open(write_tiny_model(dir_, tiny_spec(), uniform_types(TensorType::Q8_0)).c_str(), 1,
                             &handles_[GGUF]));
        const reprise_model_options options = model_options(REPRISE_DEVICE_CPU);
        ok(reprise_model_load(handles_[GGUF], &options, &handles_[MODEL]));
        ok(reprise_session_open(handles_[MODEL], nullptr, &handles_[SESSION]));
        ok(reprise_session_save(handles_[SESSION], -1, dir_.file("session").c_str(), nullptr, 0));
    }
    void TearDown() override {
        reprise_session_close(handles_[SESSION]);
        reprise_model_close(handles_[MODEL]);
        reprise_gguf_close(handles_[GGUF]);
    }
    std::vector<Call> calls() const { return test::calls(dir_.file("session")); }
    TempDir dir_;
    reprise_handle handles_[3] = {};
};

constexpr const char* kKindNames[] = {"file", "model", "session"};

TEST_F(Handles, OpenOnesAreTaken) {
    for (const Call& call : calls())
        EXPECT_EQ(REPRISE_OK, call.run(handles_[call.kind])) << call.name << ": " << last_error();
}

TEST_F(Handles, NullIsRefused) {
    for (const Call& call : calls()) {
        SCOPED_TRACE(call.name);
        expect_status(REPRISE_INVALID_HANDLE, call.run(0), {kKindNames[call.kind], "null"});
    }
}

TEST_F(Handles, ForeignOnesAreNamed) {
    for (const Call& call : calls()) {
        SCOPED_TRACE(call.name);
        for (const Kind kind : {GGUF, MODEL, SESSION}) {
            if (kind == call.kind) continue;
            expect_status(REPRISE_INVALID_HANDLE, call.run(handles_[kind]), {kKindNames[kind], kKindNames[call.kind]});
        }
    }
}

TEST_F(Handles, ClosedOnesStayClosedWhenTheirPlaceIsReused) {
    reprise_handle closed[3];
    std::copy(std::begin(handles_), std::end(handles_), closed);
    TearDown();
    for (int round = 0; round < 3; ++round) {
        for (const Call& call : calls()) {
            SCOPED_TRACE(call.name);
            expect_status(REPRISE_INVALID_HANDLE, call.run(closed[call.kind]), {kKindNames[call.kind], "closed"});
        }
        SetUp();  // takes the freed places
        for (const Kind kind : {GGUF, MODEL, SESSION}) EXPECT_NE(closed[kind], handles_[kind]);
        if (round < 2) TearDown();
    }
}

TEST_F(Handles, InventedOnesAreRefused) {
    std::vector<reprise_handle> invented = {1, 0xffffffff, 0x100000000, ~reprise_handle{0}, 0xdeadbeefdeadbeef};
    for (const reprise_handle real : handles_) {
        for (int bit = 0; bit < 64; ++bit) invented.push_back(real ^ reprise_handle{1} << bit);
        invented.push_back(real & 0xffffffff00000000);  // slot 0 less one
        invented.push_back(real | 0xffffffff);
    }
    for (const Call& call : calls()) {
        for (const reprise_handle handle : invented) {
            // A flipped bit may lead to another open object of this test; that handle is real then.
            if (handle == handles_[call.kind]) continue;
            ASSERT_EQ(REPRISE_INVALID_HANDLE, call.run(handle)) << call.name << ", handle 0x" << std::hex << handle;
        }
    }
}

TEST_F(Handles, NullPointersAreInvalidArguments) {
    const reprise_handle gguf = handles_[GGUF], model = handles_[MODEL], session = handles_[SESSION];
    const int32_t ids[1] = {1};
    float logits[512] = {};
    const uint8_t* data;
    uint64_t size;
    size_t count;
    int32_t finish;
    reprise_handle out;
    reprise_token token;
    reprise_sampling sampling = greedy();
    const auto expect_null = [](const char* argument, reprise_status status) {
        SCOPED_TRACE(argument);
        expect_status(REPRISE_INVALID_ARGUMENT, status, {argument, "null"});
    };
    expect_null("length", reprise_describe(nullptr, 0, nullptr));
    expect_null("path", reprise_gguf_open(nullptr, 1, &out));
    EXPECT_EQ(0u, out);
    expect_null("gguf", reprise_gguf_open("/nowhere", 1, nullptr));
    expect_null("info", reprise_gguf_get_info(gguf, nullptr));
    expect_null("data", reprise_gguf_metadata(gguf, nullptr, &size));
    expect_null("size", reprise_gguf_metadata(gguf, &data, nullptr));
    expect_null("info", reprise_gguf_tensor(gguf, 0, nullptr));
    expect_null("memory", reprise_gguf_memory(gguf, nullptr, nullptr, nullptr));
    expect_null("model", reprise_model_load(gguf, nullptr, nullptr));
    expect_null("info", reprise_model_get_info(model, nullptr));
    expect_null("session", reprise_session_open(model, nullptr, nullptr));
    expect_null("path", reprise_session_restore(model, nullptr, 0, nullptr, &out));
    EXPECT_EQ(0u, out);
    expect_null("session", reprise_session_restore(model, dir_.file("session").c_str(), 0, nullptr, nullptr));
    expect_null("logits", reprise_sample(model, nullptr, 512, nullptr, 0, nullptr, &sampling, 0, &token, nullptr));
    expect_null("sampling", reprise_sample(model, logits, 512, nullptr, 0, nullptr, nullptr, 0, &token, nullptr));
    expect_null("token", reprise_sample(model, logits, 512, nullptr, 0, nullptr, &sampling, 0, nullptr, nullptr));
    expect_null("history", reprise_sample(model, logits, 512, nullptr, 1, nullptr, &sampling, 0, &token, nullptr));
    expect_null("position", reprise_session_position(session, nullptr));
    expect_null("context_length", reprise_session_context_length(session, nullptr));
    expect_null("count", reprise_session_history(session, nullptr, 0, nullptr));
    expect_null("ids", reprise_session_history(session, nullptr, 1, &count));
    expect_null("ids", reprise_session_evaluate(session, nullptr, 1));
    expect_null("logits", reprise_session_logits(session, nullptr, 512));
    expect_null("ids", reprise_session_score(session, nullptr, 1, REPRISE_SCORE_BATCH, logits));
    expect_null("ids", reprise_session_generate(session, nullptr, 1, nullptr, 0, nullptr, 0));
    expect_null("end_ids", reprise_session_generate(session, ids, 1, nullptr, 0, nullptr, 1));
    expect_null("tokens", reprise_session_next(session, nullptr, 1, &count, &finish));
    expect_null("count", reprise_session_next(session, &token, 1, nullptr, &finish));
    expect_null("finish", reprise_session_next(session, &token, 1, &count, nullptr));
    expect_null("fork", reprise_session_fork(session, -1, nullptr));
    expect_null("path", reprise_session_save(session, -1, nullptr, nullptr, 0));
    expect_null("count", reprise_session_top(session, &token, 1, nullptr));
    expect_null("complete", reprise_session_complete(session, nullptr));
    expect_null("statistics", reprise_session_statistics(session, nullptr));
    reprise_model_options_default(nullptr);
    reprise_session_options_default(nullptr);
    reprise_sampling_default(nullptr);
    int32_t position = -1;
    ok(reprise_session_position(session, &position));
    EXPECT_EQ(0, position);
}

TEST_F(Handles, ArgumentsOutsideTheirRangeAreNamed) {
    const reprise_handle gguf = handles_[GGUF], model = handles_[MODEL], session = handles_[SESSION];
    reprise_tensor_info tensor;
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_gguf_tensor(gguf, UINT64_MAX, &tensor), {"18446744073709551615"});
    std::vector<float> logits(513);
    reprise_token token;
    const reprise_sampling sampling = greedy();
    expect_status(REPRISE_INVALID_ARGUMENT,
                  reprise_sample(model, logits.data(), 513, nullptr, 0, nullptr, &sampling, 0, &token, nullptr),
                  {"513", "512"});
    expect_status(REPRISE_INVALID_ARGUMENT,
                  reprise_sample(model, logits.data(), 512, nullptr, 0, nullptr, &sampling, -1, &token, nullptr),
                  {"position"});
    const int32_t id = 1;
    ok(reprise_session_evaluate(session, &id, 1));
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_logits(session, logits.data(), 511), {"511", "512"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_session_score(session, &id, 1, 3, logits.data()), {"mode 3"});
    const auto expect_refused = [&](const char* field, int32_t reprise_model_options::* member, int32_t value) {
        reprise_model_options options = model_options(REPRISE_DEVICE_CPU);
        options.*member = value;
        reprise_handle out = 1;
        expect_status(REPRISE_INVALID_ARGUMENT, reprise_model_load(gguf, &options, &out), {field});
        EXPECT_EQ(0u, out);
    };
    expect_refused("device", &reprise_model_options::device, 3);
    expect_refused("device_index", &reprise_model_options::device_index, -1);
    expect_refused("threads", &reprise_model_options::threads, -1);
    expect_refused("threads", &reprise_model_options::threads, 100000);
    expect_refused("exact", &reprise_model_options::exact, 2);
}

TEST_F(Handles, CudaIsRefusedWithAReasonOrUsed) {
    const reprise_model_options cuda = model_options(REPRISE_DEVICE_CUDA), either = model_options(REPRISE_DEVICE_AUTO);
    const std::string reason = why_unusable(REPRISE_DEVICE_CUDA);
    reprise_handle model = 1;
    if (!reason.empty()) {
        expect_status(REPRISE_DEVICE_UNAVAILABLE, reprise_model_load(handles_[GGUF], &cuda, &model), {reason.c_str()});
        EXPECT_EQ(0u, model);
    }
    static std::string log;
    log.clear();
    ok(reprise_set_log_callback(
        [](void* user, int32_t, const char* message) { *static_cast<std::string*>(user) += message; }, &log));
    ok(reprise_model_load(handles_[GGUF], &either, &model));
    ok(reprise_set_log_callback(nullptr, nullptr));
    reprise_model_info info;
    ok(reprise_model_get_info(model, &info));
    ok(reprise_model_close(model));
    EXPECT_EQ(reason.empty() ? REPRISE_DEVICE_CUDA : REPRISE_DEVICE_CPU, info.device);
    EXPECT_NE(std::string::npos, log.find(reason)) << log;
}

TEST_F(Handles, AFileMayBeClosedBeforeItsModel) {
    ok(reprise_gguf_close(handles_[GGUF]));
    const int32_t id = 1;
    ok(reprise_session_generate(handles_[SESSION], &id, 1, nullptr, 3, nullptr, 0));
}

TEST(Registry, UsesNoPlaceWhoseGenerationsAreUsedUp) {
    Registry registry;
    const auto object = std::make_shared<int>(7);
    const reprise_handle first = registry.add(Registry::Kind::GGUF, object);
    reprise_handle handle = first;
    // All 2^24 - 1 generations of one place.
    for (uint32_t generation = 1; generation < (1u << 24) - 1; ++generation) {
        registry.remove<int>(handle, Registry::Kind::GGUF);
        handle = registry.add(Registry::Kind::GGUF, object);
        if (static_cast<uint32_t>(handle) != static_cast<uint32_t>(first)) FAIL() << "another place at " << generation;
    }
    EXPECT_EQ(object, registry.get<int>(handle, Registry::Kind::GGUF));
    registry.remove<int>(handle, Registry::Kind::GGUF);
    const reprise_handle elsewhere = registry.add(Registry::Kind::GGUF, object);
    EXPECT_NE(static_cast<uint32_t>(first), static_cast<uint32_t>(elsewhere));
    for (const reprise_handle closed : {first, handle}) {
        expect_error(REPRISE_INVALID_HANDLE, {"closed"}, [&] { registry.get<int>(closed, Registry::Kind::GGUF); });
    }
}

TEST(LastError, IsOfThisThreadsLastFailedCall) {
    std::thread([] {
        EXPECT_EQ(0u, reprise_last_error(nullptr, 0));
        EXPECT_EQ(REPRISE_INVALID_HANDLE, reprise_model_close(0));
        const std::string message = last_error();
        EXPECT_NE(std::string::npos, message.find("model"));
        std::thread([] { EXPECT_EQ("", last_error()); }).join();
        size_t length;
        EXPECT_EQ(REPRISE_OK, reprise_describe(nullptr, 0, &length));
        EXPECT_EQ(message, last_error());  // a call that succeeds leaves it
        EXPECT_EQ(REPRISE_INVALID_HANDLE, reprise_session_close(0));
        EXPECT_NE(message, last_error());
    }).join();
}

TEST(LastError, KeepsTheBeginningOfAVeryLongMessage) {
    std::string path;
    while (path.size() < 20000) path += "/é";
    reprise_handle file = 0;
    EXPECT_EQ(REPRISE_IO, reprise_gguf_open(path.c_str(), 0, &file));
    const std::string message = last_error();
    EXPECT_GT(message.size(), 8192u - 4);
    EXPECT_LE(message.size(), 8192u);
    EXPECT_NE(std::string::npos, message.find("cannot open '/é/é"));
    EXPECT_NE('\xc3', message.back()) << "half a character";
}

TEST(LastError, IsCutToTheRoomGiven) {
    EXPECT_EQ(REPRISE_INVALID_HANDLE, reprise_model_close(0));
    const std::string message = last_error();
    char buffer[8];
    std::memset(buffer, 'x', sizeof buffer);
    EXPECT_EQ(message.size(), reprise_last_error(buffer, 5));
    EXPECT_EQ(message.substr(0, 4), std::string(buffer));
    EXPECT_EQ('x', buffer[5]);
    EXPECT_EQ(message.size(), reprise_last_error(buffer, 1));
    EXPECT_EQ('\0', buffer[0]);
    EXPECT_EQ(message.size(), reprise_last_error(nullptr, 100));
}

TEST(Library, DescribesItself) {
    EXPECT_EQ(REPRISE_ABI_VERSION, reprise_abi_version());
    size_t length = 0;
    ok(reprise_describe(nullptr, 0, &length));
    std::string text(length + 1, '\0');
    ok(reprise_describe(text.data(), text.size(), &length));
    text.pop_back();
    EXPECT_EQ(length, text.size());
    for (const char* part :
         {"\"version\": ", "\"cpu\": {\"isa\": ", "\"threads\": ", "\"cuda\": {\"compiled\": ", "\"available\": "}) {
        EXPECT_NE(std::string::npos, text.find(part)) << text;
    }
    EXPECT_STREQ("OK", reprise_status_name(0));
    EXPECT_STREQ("INTERNAL", reprise_status_name(13));
    EXPECT_STREQ("SESSION_FORMAT", reprise_status_name(REPRISE_SESSION_FORMAT));
    EXPECT_STREQ("SESSION_MISMATCH", reprise_status_name(REPRISE_SESSION_MISMATCH));
    EXPECT_STREQ("NAN_LOGITS", reprise_status_name(REPRISE_NAN_LOGITS));
    EXPECT_STREQ("UNKNOWN", reprise_status_name(REPRISE_NAN_LOGITS + 1));
    EXPECT_STREQ("Q4_K", reprise_tensor_type_name(12));
    EXPECT_EQ(nullptr, reprise_tensor_type_name(-1));
}

}  // namespace
}  // namespace reprise::test
