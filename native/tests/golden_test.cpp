// Small random models with exact logits: every supported row within its bound, every other one refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "gguf/gguf.h"
#include "model/backends.h"
#include "model/builder.h"
#include "support/expected.h"
#include "support/test_data.h"

namespace reprise::test {
namespace {

/// What a row is: its name in the index, its architecture in the file and the tensor types there.
struct RowFile {
    std::string architecture;
    std::set<std::string> unsupported_types;

    explicit RowFile(const GoldenRow& row) {
        const auto file = GgufFile::open(row.model, true);
        architecture = std::string(file->get_string("general.architecture").value());
        for (const Tensor& tensor : file->tensors()) {
            const TypeTraits* type = find_type(tensor.type_number);
            if (type == nullptr || !type->supported)
                unsupported_types.insert(reprise_tensor_type_name(tensor.type_number));
        }
    }
};

bool is_known(const std::string& architecture) {
    return std::ranges::any_of(architectures(), [&](const Architecture& known) { return architecture == known.name; });
}

/// The file's architecture and types are implemented.
bool is_supported(const GoldenRow& row) {
    const RowFile file(row);
    return is_known(file.architecture) && file.unsupported_types.empty();
}

/// And on the device.
bool runs_on(const GoldenRow& row, reprise_device device) {
    return device == REPRISE_DEVICE_CPU || cuda_refusal(*build_plan(*GgufFile::open(row.model, true))).empty();
}

std::vector<GoldenRow> supported_rows(const std::string& folder, reprise_device device) {
    std::vector<GoldenRow> rows = read_golden_rows(folder);
    std::erase_if(rows, [&](const GoldenRow& row) { return !is_supported(row) || !runs_on(row, device); });
    return rows;
}

const char* mode_name(reprise_score_mode mode) {
    return mode == REPRISE_SCORE_BATCH ? "batch" : mode == REPRISE_SCORE_STEP ? "step" : "graph";
}

/// Logits after each of the row's tokens, [tokens][n_vocab]. rounds: how often the tokens are fed, one round behind the
/// other; what comes behind changes nothing but the size of the batch.
std::vector<float> all_logits(const LoadedModel& model, const GoldenRow& row, reprise_score_mode mode,
                              size_t rounds = 1) {
    const OpenSession session = model.open(session_options(static_cast<int32_t>(row.tokens.size() * rounds)));
    Ids tokens;
    for (size_t round = 0; round < rounds; ++round) tokens.insert(tokens.end(), row.tokens.begin(), row.tokens.end());
    return session.score(tokens, mode);
}

std::vector<float> at_positions(const std::vector<float>& all, const GoldenRow& row) {
    std::vector<float> stored;
    for (const size_t position : row.positions) {
        const auto from = all.begin() + static_cast<std::ptrdiff_t>(position * row.n_vocab);
        stored.insert(stored.end(), from, from + static_cast<std::ptrdiff_t>(row.n_vocab));
    }
    return stored;
}

/// Models with experts: of two that are about equally good another may be chosen, which is another result.
bool has_experts(const GoldenRow& row) {
    const auto plan = build_plan(*GgufFile::open(row.model, true));
    return std::ranges::any_of(plan->steps, [](const Step& step) {
        const auto* of_rows = std::get_if<RowStep>(&step);
        return of_rows != nullptr && std::holds_alternative<RouteOp>(of_rows->op);
    });
}

double median(std::vector<double> all) {
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    std::ranges::nth_element(all, middle);
    return *middle;
}

/// The bounds: with fast arithmetic 1.1 times the mean error of another engine's quantised activations; of models with
/// experts twice its median, and no position that is another result altogether.
void expect_rows_within_bounds(const std::string& folder, reprise_device device, bool exact) {
    std::vector<reprise_score_mode> modes = {REPRISE_SCORE_BATCH, REPRISE_SCORE_STEP};
    if (device == REPRISE_DEVICE_CUDA) modes.push_back(REPRISE_SCORE_GRAPH);
    std::printf("%-14s %-8s %-6s %10s %10s %9s\n", "architecture", "types", "mode", "KL", "bound", "max abs");
    const std::vector<GoldenRow> rows = supported_rows(folder, device);
    EXPECT_TRUE(device == REPRISE_DEVICE_CUDA || !rows.empty());
    for (const GoldenRow& row : rows) {
        const std::vector<float> reference = row.exact_logits();
        const LoadedModel model(row.model, model_options(device, exact));
        const bool may_flip = !exact && has_experts(row);
        const double bound = exact      ? 1e-7
                             : may_flip ? 2 * std::max(row.peer_median_kl, 1e-6)
                                        : 1.1 * std::max(row.peer_kl, 1e-6);
        const auto expect_within = [&](const char* mode, const std::vector<float>& all) {
            const std::vector<float> logits = at_positions(all, row);
            const std::vector<double> all_kl = divergences(reference, logits, row.n_vocab);
            const double kl = may_flip ? median(all_kl) : mean_kl(reference, logits, row.n_vocab);
            std::printf("%-14s %-8s %-6s %10.3e %10.3e %9.2e\n", row.architecture.c_str(), row.quantisation.c_str(),
                        mode, kl, bound, max_abs_difference(reference, logits));
            EXPECT_LE(kl, bound) << row.model << ", " << mode;
            if (may_flip) {
                EXPECT_LE(*std::ranges::max_element(all_kl), 1) << row.model << ", " << mode;
            }
        };
        for (const reprise_score_mode mode : modes) expect_within(mode_name(mode), all_logits(model, row, mode));
        // Many tokens take other products than few.
        if (device == REPRISE_DEVICE_CUDA) expect_within("batch2", all_logits(model, row, REPRISE_SCORE_BATCH, 2));
    }
}

TEST(EveryIsaGolden, RowsAreWithinTheirBounds) {
    NEEDS_ISA();
    TEST_DATA_OR_SKIP(folder, "golden");
    expect_rows_within_bounds(folder, REPRISE_DEVICE_CPU, false);
}

TEST(EveryIsaGolden, RowsOfTheSecondSetAreWithinTheirBounds) {
    NEEDS_ISA();
    TEST_DATA_OR_SKIP(folder, "golden2");
    expect_rows_within_bounds(folder, REPRISE_DEVICE_CPU, false);
}

TEST(Golden, RowsAreWithinTheirBoundsInExactArithmeticOnTheCpu) {
    TEST_DATA_OR_SKIP(folder, "golden");
    expect_rows_within_bounds(folder, REPRISE_DEVICE_CPU, true);
}

TEST(Golden, RowsOfTheSecondSetAreWithinTheirBoundsInExactArithmeticOnTheCpu) {
    TEST_DATA_OR_SKIP(folder, "golden2");
    expect_rows_within_bounds(folder, REPRISE_DEVICE_CPU, true);
}

TEST(Golden, RowsAreWithinTheirBoundsOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "golden");
    expect_rows_within_bounds(folder, REPRISE_DEVICE_CUDA, false);
}

TEST(Golden, RowsOfTheSecondSetAreWithinTheirBoundsOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "golden2");
    expect_rows_within_bounds(folder, REPRISE_DEVICE_CUDA, false);
}

TEST(Golden, RowsAreWithinTheirBoundsInExactArithmeticOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "golden");
    expect_rows_within_bounds(folder, REPRISE_DEVICE_CUDA, true);
}

TEST(Golden, RowsOfTheSecondSetAreWithinTheirBoundsInExactArithmeticOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "golden2");
    expect_rows_within_bounds(folder, REPRISE_DEVICE_CUDA, true);
}

TEST(Golden, GraphLogitsEqualEagerOnesToTheLastBit) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "golden");
    for (const GoldenRow& row : supported_rows(folder, REPRISE_DEVICE_CUDA)) {
        for (const bool exact : {false, true}) {
            const LoadedModel model(row.model, model_options(REPRISE_DEVICE_CUDA, exact));
            EXPECT_EQ(all_logits(model, row, REPRISE_SCORE_STEP), all_logits(model, row, REPRISE_SCORE_GRAPH))
                << row.model << (exact ? ", exact" : "");
        }
    }
}

void expect_batch_and_step_agree(const std::string& folder, reprise_device device) {
    const std::vector<GoldenRow> rows = supported_rows(folder, device);
    const auto row = std::ranges::find(rows, "F32", &GoldenRow::quantisation);
    ASSERT_NE(rows.end(), row);
    const LoadedModel model(row->model, model_options(device));
    EXPECT_LE(
        max_abs_difference(all_logits(model, *row, REPRISE_SCORE_BATCH), all_logits(model, *row, REPRISE_SCORE_STEP)),
        1e-3f);
}

TEST(EveryIsaGolden, BatchAndStepAgreeInFloat32) {
    NEEDS_ISA();
    TEST_DATA_OR_SKIP(folder, "golden");
    expect_batch_and_step_agree(folder, REPRISE_DEVICE_CPU);
}

TEST(Golden, BatchAndStepAgreeInFloat32OnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "golden");
    expect_batch_and_step_agree(folder, REPRISE_DEVICE_CUDA);
}

/// Rounding K and V to 8 bits in blocks of 32 is what fast arithmetic does to every activation where weights are Q8_0:
/// alone, with float32 weights, it may cost no more than a row of Q8_0 is allowed.
void expect_eight_bit_cache_within_bounds(const std::string& folder, reprise_device device) {
    const std::vector<GoldenRow> rows = supported_rows(folder, device);
    const auto row = std::ranges::find(rows, "F32", &GoldenRow::quantisation);
    ASSERT_NE(rows.end(), row);
    const auto rounded = std::ranges::find_if(
        rows, [&](const GoldenRow& r) { return r.quantisation == "Q8_0" && r.architecture == row->architecture; });
    ASSERT_NE(rows.end(), rounded);
    const LoadedModel model(row->model, model_options(device));
    const std::vector<float> reference = row->exact_logits();
    for (const reprise_score_mode mode : {REPRISE_SCORE_BATCH, REPRISE_SCORE_STEP}) {
        reprise_session_options options = session_options(static_cast<int32_t>(row->tokens.size()));
        const auto kl = [&](reprise_kv_type kv_type) {
            options.kv_type = kv_type;
            return mean_kl(reference, at_positions(model.open(options).score(row->tokens, mode), *row), row->n_vocab);
        };
        const double half = kl(REPRISE_KV_F16), eight_bits = kl(REPRISE_KV_Q8_0), bound = 1.1 * rounded->peer_kl;
        std::printf("%-6s KL %.3e with F16, %.3e with Q8_0, bound %.3e\n", mode_name(mode), half, eight_bits, bound);
        EXPECT_LE(eight_bits, bound);
        EXPECT_GT(eight_bits, half);
    }
}

TEST(EveryIsaGolden, AnEightBitCacheCostsLessThanEightBitActivations) {
    NEEDS_ISA();
    TEST_DATA_OR_SKIP(folder, "golden");
    expect_eight_bit_cache_within_bounds(folder, REPRISE_DEVICE_CPU);
}

TEST(Golden, AnEightBitCacheCostsLessThanEightBitActivationsOnCuda) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "golden");
    expect_eight_bit_cache_within_bounds(folder, REPRISE_DEVICE_CUDA);
}

bool names_one_of(const std::string& message, const std::set<std::string>& names) {
    return std::ranges::any_of(names, [&](const std::string& name) { return message.find(name) != std::string::npos; });
}

TEST(Golden, OtherRowsAreRefusedByName) {
    TEST_DATA_OR_SKIP(folder, "golden");
    size_t refused = 0;
    for (const GoldenRow& row : read_golden_rows(folder)) {
        if (is_supported(row)) continue;
        SCOPED_TRACE(row.model);
        const RowFile file(row);
        reprise_handle gguf, model = 1;
        ok(reprise_gguf_open(row.model.c_str(), 1, &gguf));
        EXPECT_EQ(REPRISE_UNSUPPORTED_MODEL, reprise_model_load(gguf, nullptr, &model));
        ok(reprise_gguf_close(gguf));
        EXPECT_EQ(0u, model);
        const std::string message = last_error();
        std::printf("%s %s: %s\n", row.architecture.c_str(), row.quantisation.c_str(), message.c_str());
        if (!is_known(file.architecture)) {
            EXPECT_TRUE(names_one_of(message, {"'" + file.architecture + "'"})) << message;
            for (const Architecture& architecture : architectures()) {
                EXPECT_TRUE(names_one_of(message, {architecture.name})) << message;
            }
        } else {
            EXPECT_TRUE(names_one_of(message, file.unsupported_types)) << message;
            EXPECT_TRUE(names_one_of(message, {"supported are F32"})) << message;
        }
        ++refused;
    }
    std::printf("%zu rows are refused\n", refused);
}

TEST(Golden, RowsThatRunOnTheCpuAloneAreRefusedOnCudaByName) {
    NEEDS_DEVICE(REPRISE_DEVICE_CUDA);
    TEST_DATA_OR_SKIP(folder, "golden");
    for (const GoldenRow& row : read_golden_rows(folder)) {
        if (!is_supported(row) || runs_on(row, REPRISE_DEVICE_CUDA)) continue;
        SCOPED_TRACE(row.model);
        reprise_handle gguf, model = 1;
        ok(reprise_gguf_open(row.model.c_str(), 1, &gguf));
        const reprise_model_options options = model_options(REPRISE_DEVICE_CUDA, false);
        EXPECT_EQ(REPRISE_UNSUPPORTED_MODEL, reprise_model_load(gguf, &options, &model));
        ok(reprise_gguf_close(gguf));
        EXPECT_TRUE(names_one_of(last_error(), {"CPU backend only"})) << last_error();
    }
}

}  // namespace
}  // namespace reprise::test
