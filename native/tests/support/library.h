// The library as its users see it: reprise.h with errors as exceptions and handles that close themselves.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "reprise.h"

namespace reprise::test {

using Ids = std::vector<int32_t>;

/// The message of this thread's last failed call.
std::string last_error();
/// Throws what the library says if a call failed.
void ok(reprise_status status);
/// Adds a test failure unless the call came to expected with a message that has every part.
void expect_status(reprise_status expected, reprise_status actual, std::initializer_list<const char*> parts = {});

/// "" if the device can be used, else why not.
std::string why_unusable(reprise_device device);
/// "" unless REPRISE_CPU_ISA names an instruction set that this machine lacks.
std::string why_isa_unusable();
const char* device_name(reprise_device device);

reprise_model_options model_options(reprise_device device, bool exact = false, int32_t threads = 0);
/// Without prefix_sharing: what a test compares is to be computed.
reprise_session_options session_options(int32_t context_length = 0, int32_t prefill_chunk = 0);
reprise_sampling greedy();

struct Generated {
    Ids ids;
    std::vector<float> logprobs;
    int32_t finish = REPRISE_FINISH_NONE;
};

class OpenSession {
  public:
    OpenSession(reprise_handle model, const reprise_session_options& options);
    /// What save() wrote.
    OpenSession(reprise_handle model, const std::string& path, const reprise_session_options& options);
    OpenSession(OpenSession&& other) noexcept : handle_(other.handle_), n_vocab_(other.n_vocab_) { other.handle_ = 0; }
    ~OpenSession();
    reprise_handle handle() const { return handle_; }

    OpenSession fork(int32_t position = -1) const;
    void save(const std::string& path, int32_t position = -1) const {
        ok(reprise_session_save(handle_, position, path.c_str(), nullptr, 0));
    }

    int32_t position() const;
    Ids history() const;
    void rewind(int32_t position) const { ok(reprise_session_rewind(handle_, position)); }
    void evaluate(const Ids& ids) const { ok(reprise_session_evaluate(handle_, ids.data(), ids.size())); }
    std::vector<float> logits() const;
    /// [ids.size()][n_vocab]
    std::vector<float> score(const Ids& ids, reprise_score_mode mode) const;
    void start(const Ids& ids, int32_t max_tokens = 0, const reprise_sampling& sampling = greedy(),
               const Ids& end_ids = {}) const;
    /// What reprise_session_next() delivers until the generation ends, or until it has delivered at_most tokens.
    Generated take(size_t at_most = std::numeric_limits<size_t>::max()) const;
    /// start() and take().
    Generated generate(const Ids& ids, int32_t max_tokens = 0, const reprise_sampling& sampling = greedy(),
                       const Ids& end_ids = {}) const;
    reprise_statistics statistics() const;

  private:
    OpenSession(reprise_handle session, size_t n_vocab) : handle_(session), n_vocab_(n_vocab) {}
    reprise_handle handle_ = 0;
    size_t n_vocab_ = 0;
};

class LoadedModel {
  public:
    LoadedModel(const std::string& path, const reprise_model_options& options);
    LoadedModel(LoadedModel&& other) noexcept : handle_(other.handle_) { other.handle_ = 0; }
    ~LoadedModel();
    reprise_handle handle() const { return handle_; }

    reprise_model_info info() const;
    OpenSession open(const reprise_session_options& options = session_options()) const { return {handle_, options}; }
    OpenSession restore(const std::string& path, const reprise_session_options& options = session_options()) const {
        return {handle_, path, options};
    }

  private:
    reprise_handle handle_ = 0;
};

/// Index of the largest of n values, the first among equals.
int32_t argmax(const float* values, size_t n);
/// Infinite if they differ in length.
float max_abs_difference(const std::vector<float>& a, const std::vector<float>& b);
/// Root mean square of the difference over that of expected, of vectors of one length.
double relative_difference(const std::vector<float>& actual, const std::vector<float>& expected);

}  // namespace reprise::test

/// Skips the test where a device cannot be used, saying why.
#define NEEDS_DEVICE(device) \
    if (const std::string why_not = ::reprise::test::why_unusable(device); !why_not.empty()) GTEST_SKIP() << why_not

/// Skips the test where the instruction set that REPRISE_CPU_ISA asks for is missing; prints which one is used.
#define NEEDS_ISA()                                                                                                 \
    if (const std::string why_not = ::reprise::test::why_isa_unusable(); !why_not.empty()) GTEST_SKIP() << why_not; \
    std::cout << "instruction set " << ::reprise::cpu::kernels().name << "\n"
