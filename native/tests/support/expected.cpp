#include "support/expected.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>

namespace reprise::test {

namespace {

nlohmann::json read_json(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot open " + path);
    return nlohmann::json::parse(file);
}

/// log(sum(exp(row)))
double log_sum_exp(const float* row, size_t n) {
    const double max = *std::max_element(row, row + n);
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += std::exp(row[i] - max);
    return max + std::log(sum);
}

}  // namespace

std::vector<float> GoldenRow::exact_logits() const {
    std::vector<float> values(positions.size() * n_vocab);
    const auto n_bytes = static_cast<std::streamsize>(values.size() * sizeof(float));
    std::ifstream file(logits, std::ios::binary);
    file.read(reinterpret_cast<char*>(values.data()), n_bytes);
    if (file.gcount() != n_bytes || file.peek() != EOF) {
        throw std::runtime_error(logits + " does not hold " + std::to_string(values.size()) + " floats");
    }
    return values;
}

std::vector<GoldenRow> read_golden_rows(const std::string& folder) {
    std::vector<GoldenRow> rows;
    for (const auto& entry : read_json(folder + "/index.json")) {
        if (!entry.contains("logits")) continue;  // of an embedding model
        GoldenRow row;
        row.model = folder + "/" + entry.at("model").get<std::string>();
        row.logits = folder + "/" + entry.at("logits").get<std::string>();
        row.architecture = entry.at("architecture");
        row.quantisation = entry.at("quantisation");
        row.tokens = entry.at("tokens").get<Ids>();
        row.positions = entry.at("positions").get<std::vector<size_t>>();
        row.n_vocab = entry.at("vocab");
        const auto& peer = entry.at("llamacpp_cpu");
        row.peer_kl = std::max(peer.at("kld").get<double>(), peer.at("kld_positions_mean").get<double>());
        row.peer_median_kl = peer.at("kld_positions_median").get<double>();
        rows.push_back(std::move(row));
    }
    return rows;
}

std::vector<Continuation> read_continuations(const std::string& path) {
    std::vector<Continuation> continuations;
    for (const auto& entry : read_json(path)) {
        continuations.push_back({entry.at("prompt"), entry.at("prompt_ids").get<Ids>(), entry.at("ids").get<Ids>(),
                                 entry.at("margins").get<std::vector<float>>(), entry.at("stable")});
    }
    return continuations;
}

std::vector<double> divergences(const std::vector<float>& exact, const std::vector<float>& actual, size_t n_vocab) {
    if (exact.size() != actual.size() || exact.size() % n_vocab != 0)
        throw std::runtime_error("logits differ in shape");
    std::vector<double> all;
    for (size_t row = 0; row < exact.size(); row += n_vocab) {
        double total = 0;
        const double exact_norm = log_sum_exp(&exact[row], n_vocab), actual_norm = log_sum_exp(&actual[row], n_vocab);
        for (size_t i = row; i < row + n_vocab; ++i) {
            const double log_p = exact[i] - exact_norm;
            total += std::exp(log_p) * (log_p - (actual[i] - actual_norm));
        }
        all.push_back(total);
    }
    return all;
}

double mean_kl(const std::vector<float>& exact, const std::vector<float>& actual, size_t n_vocab) {
    const std::vector<double> all = divergences(exact, actual, n_vocab);
    return std::accumulate(all.begin(), all.end(), 0.0) / static_cast<double>(all.size());
}

}  // namespace reprise::test
