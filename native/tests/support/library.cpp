#include "support/library.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

#include "session/engine.h"

namespace reprise::test {

std::string last_error() {
    std::string message(reprise_last_error(nullptr, 0) + 1, '\0');
    reprise_last_error(message.data(), message.size());
    message.pop_back();
    return message;
}

void ok(reprise_status status) {
    if (status != REPRISE_OK) throw std::runtime_error(std::string(reprise_status_name(status)) + ": " + last_error());
}

void expect_status(reprise_status expected, reprise_status actual, std::initializer_list<const char*> parts) {
    EXPECT_STREQ(reprise_status_name(expected), reprise_status_name(actual))
        << (actual != REPRISE_OK ? last_error() : "");
    if (actual == REPRISE_OK) return;
    const std::string message = last_error();
    for (const char* part : parts) {
        EXPECT_NE(std::string::npos, message.find(part)) << "no \"" << part << "\" in: " << message;
    }
}

std::string why_unusable(reprise_device device) {
    return device == REPRISE_DEVICE_CUDA ? cuda_unavailable_reason(0) : "";
}

std::string why_isa_unusable() {
    const char* wanted = std::getenv("REPRISE_CPU_ISA");
    for (const cpu::IsaEntry& set : cpu::instruction_sets()) {
        if (wanted != nullptr && std::string(wanted) == set.kernels->name && !set.available) {
            return std::string("this machine lacks ") + wanted;
        }
    }
    return "";
}

const char* device_name(reprise_device device) { return device == REPRISE_DEVICE_CUDA ? "Cuda" : "Cpu"; }

reprise_model_options model_options(reprise_device device, bool exact, int32_t threads) {
    reprise_model_options options;
    reprise_model_options_default(&options);
    options.device = device;
    options.exact = exact ? 1 : 0;
    options.threads = threads;
    return options;
}

reprise_session_options session_options(int32_t context_length, int32_t prefill_chunk) {
    reprise_session_options options;
    reprise_session_options_default(&options);
    options.context_length = context_length;
    options.prefill_chunk = prefill_chunk;
    options.prefix_sharing = 0;
    return options;
}

reprise_sampling greedy() {
    reprise_sampling sampling;
    reprise_sampling_default(&sampling);
    return sampling;
}

namespace {

size_t n_vocab_of(reprise_handle model) {
    reprise_model_info info;
    ok(reprise_model_get_info(model, &info));
    return static_cast<size_t>(info.n_vocab);
}

}  // namespace

OpenSession::OpenSession(reprise_handle model, const reprise_session_options& options) : n_vocab_(n_vocab_of(model)) {
    ok(reprise_session_open(model, &options, &handle_));
}

OpenSession::OpenSession(reprise_handle model, const std::string& path, const reprise_session_options& options)
    : n_vocab_(n_vocab_of(model)) {
    ok(reprise_session_restore(model, path.c_str(), 0, &options, &handle_));
}

OpenSession OpenSession::fork(int32_t position) const {
    reprise_handle handle = 0;
    ok(reprise_session_fork(handle_, position, &handle));
    return {handle, n_vocab_};
}

OpenSession::~OpenSession() {
    if (handle_ != 0) reprise_session_close(handle_);
}

int32_t OpenSession::position() const {
    int32_t position = -1;
    ok(reprise_session_position(handle_, &position));
    return position;
}

Ids OpenSession::history() const {
    size_t n = 0;
    ok(reprise_session_history(handle_, nullptr, 0, &n));
    Ids ids(n);
    ok(reprise_session_history(handle_, ids.data(), n, &n));
    return ids;
}

std::vector<float> OpenSession::logits() const {
    std::vector<float> values(n_vocab_);
    ok(reprise_session_logits(handle_, values.data(), values.size()));
    return values;
}

std::vector<float> OpenSession::score(const Ids& ids, reprise_score_mode mode) const {
    std::vector<float> rows(ids.size() * n_vocab_);
    ok(reprise_session_score(handle_, ids.data(), ids.size(), mode, rows.data()));
    return rows;
}

void OpenSession::start(const Ids& ids, int32_t max_tokens, const reprise_sampling& sampling,
                        const Ids& end_ids) const {
    ok(reprise_session_generate(handle_, ids.data(), ids.size(), &sampling, max_tokens, end_ids.data(),
                                end_ids.size()));
}

Generated OpenSession::take(size_t at_most) const {
    Generated generated;
    while (generated.finish == REPRISE_FINISH_NONE && generated.ids.size() < at_most) {
        reprise_token tokens[8];
        size_t n = 0;
        ok(reprise_session_next(handle_, tokens, std::min(std::size(tokens), at_most - generated.ids.size()), &n,
                                &generated.finish));
        for (size_t i = 0; i < n; ++i) {
            generated.ids.push_back(tokens[i].id);
            generated.logprobs.push_back(tokens[i].logprob);
        }
    }
    return generated;
}

Generated OpenSession::generate(const Ids& ids, int32_t max_tokens, const reprise_sampling& sampling,
                                const Ids& end_ids) const {
    start(ids, max_tokens, sampling, end_ids);
    return take();
}

reprise_statistics OpenSession::statistics() const {
    reprise_statistics statistics;
    ok(reprise_session_statistics(handle_, &statistics));
    return statistics;
}

LoadedModel::LoadedModel(const std::string& path, const reprise_model_options& options) {
    reprise_handle gguf;
    ok(reprise_gguf_open(path.c_str(), 1, &gguf));
    const reprise_status status = reprise_model_load(gguf, &options, &handle_);
    reprise_gguf_close(gguf);
    ok(status);
}

LoadedModel::~LoadedModel() {
    if (handle_ != 0) reprise_model_close(handle_);
}

reprise_model_info LoadedModel::info() const {
    reprise_model_info info;
    ok(reprise_model_get_info(handle_, &info));
    return info;
}

int32_t argmax(const float* values, size_t n) {
    return static_cast<int32_t>(std::max_element(values, values + n) - values);
}

float max_abs_difference(const std::vector<float>& a, const std::vector<float>& b) {
    float most = a.size() == b.size() ? 0.0f : std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) most = std::max(most, std::fabs(a[i] - b[i]));
    return most;
}

double relative_difference(const std::vector<float>& actual, const std::vector<float>& expected) {
    double squares = 0, norm = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        squares += (double{actual.at(i)} - expected[i]) * (double{actual.at(i)} - expected[i]);
        norm += double{expected[i]} * expected[i];
    }
    return std::sqrt(squares / norm);
}

}  // namespace reprise::test
