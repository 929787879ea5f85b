#include "support/reference_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace reprise::test {

namespace {

using Vector = std::vector<double>;

class Reference {
  public:
    Reference(const GgufFile& file, const ModelSpec& spec, const ReferenceRules& rules)
        : file_(file), spec_(spec), rules_(rules), keys_(spec.n_layers), values_(spec.n_layers) {}

    /// The logits after the next token.
    Vector feed(int32_t id) {
        const Vector table = weights("token_embd.weight");
        const auto row = table.begin() + static_cast<ptrdiff_t>(id) * spec_.n_embd;
        Vector x(row, row + spec_.n_embd);
        for (uint32_t layer = 0; layer < spec_.n_layers; ++layer) {
            const std::string prefix = "blk." + std::to_string(layer) + ".";
            add(x, times(prefix + "attn_output.weight", attend(layer, prefix, x)));
            const Vector h = norm(x, prefix + "ffn_norm.weight");
            const Vector gate = times(prefix + "ffn_gate.weight", h);
            Vector up = times(prefix + "ffn_up.weight", h);
            for (size_t i = 0; i < up.size(); ++i) up[i] *= gate[i] / (1 + std::exp(-gate[i]));
            add(x, times(prefix + "ffn_down.weight", up));
        }
        ++position_;
        return times(spec_.tied_output ? "token_embd.weight" : "output.weight", norm(x, "output_norm.weight"));
    }

  private:
    Vector weights(const std::string& name) const {
        const Tensor* tensor = file_.find_tensor(name);
        if (tensor == nullptr || tensor->type_number != static_cast<int32_t>(TensorType::F32))
            throw std::runtime_error("no F32 tensor " + name);
        std::vector<float> values(tensor->n_elements);
        std::memcpy(values.data(), tensor->data.data(), tensor->n_bytes);
        return {values.begin(), values.end()};
    }

    Vector times(const std::string& name, const Vector& x) const {
        const Vector matrix = weights(name);
        Vector y(matrix.size() / x.size());
        for (size_t r = 0; r < y.size(); ++r) {
            for (size_t i = 0; i < x.size(); ++i) y[r] += matrix[r * x.size() + i] * x[i];
        }
        return y;
    }

    /// RMSNorm of each run of as many values as the weights have.
    Vector norm(Vector x, const std::string& name) const {
        const Vector weight = weights(name);
        for (size_t first = 0; first < x.size(); first += weight.size()) {
            double sum = 0;
            for (size_t i = 0; i < weight.size(); ++i) sum += x[first + i] * x[first + i];
            const double root = std::sqrt(sum / static_cast<double>(weight.size()) + spec_.rms_eps);
            for (size_t i = 0; i < weight.size(); ++i) x[first + i] *= weight[i] / root;
        }
        return x;
    }

    static void add(Vector& x, const Vector& y) {
        for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
    }

    /// q, k or v of all heads, before rotation.
    Vector project(const std::string& name, const Vector& h, bool may_have_norm) const {
        Vector y = times(name + ".weight", h);
        if (spec_.qkv_bias) add(y, weights(name + ".bias"));
        return may_have_norm && spec_.qk_norm ? norm(y, name + "_norm.weight") : y;
    }

    void rotate(Vector& heads) const {
        const uint32_t half = rules_.n_rot / 2;
        for (size_t first = 0; first < heads.size(); first += spec_.head_dim) {
            for (uint32_t i = 0; i < half; ++i) {
                const bool adjacent = rules_.style == RopeStyle::ADJACENT;
                double &a = heads[first + (adjacent ? 2 * i : i)],
                       &b = heads[first + (adjacent ? 2 * i + 1 : i + half)];
                const double angle =
                    position_ / rules_.rope_divisor * std::pow(spec_.rope_freq_base, -2.0 * i / rules_.n_rot);
                const double turned = a * std::cos(angle) - b * std::sin(angle);
                b = rules_.rope_magnitude * (a * std::sin(angle) + b * std::cos(angle));
                a = rules_.rope_magnitude * turned;
            }
        }
    }

    Vector attend(uint32_t layer, const std::string& prefix, const Vector& x) {
        const Vector h = norm(x, prefix + "attn_norm.weight");
        Vector q = project(prefix + "attn_q", h, true), k = project(prefix + "attn_k", h, true);
        rotate(q);
        rotate(k);
        keys_[layer].push_back(k);
        values_[layer].push_back(project(prefix + "attn_v", h, false));
        const size_t dim = spec_.head_dim;
        Vector out(q.size());
        for (uint32_t head = 0; head < spec_.n_heads; ++head) {
            const size_t kv = head / (spec_.n_heads / spec_.n_kv_heads) * dim;
            Vector scores;
            for (const Vector& key : keys_[layer]) {
                double dot = 0;
                for (size_t i = 0; i < dim; ++i) dot += q[head * dim + i] * key[kv + i];
                scores.push_back(dot * rules_.attention_scale);
            }
            const double max = *std::max_element(scores.begin(), scores.end());
            double total = 0;
            for (double& score : scores) total += score = std::exp(score - max);
            for (size_t t = 0; t < scores.size(); ++t) {
                for (size_t i = 0; i < dim; ++i) out[head * dim + i] += scores[t] / total * values_[layer][t][kv + i];
            }
        }
        return out;
    }

    const GgufFile& file_;
    const ModelSpec& spec_;
    const ReferenceRules& rules_;
    std::vector<std::vector<Vector>> keys_, values_;  // [layer][position]
    double position_ = 0;
};

}  // namespace

ReferenceRules usual_rules(const ModelSpec& spec) {
    ReferenceRules rules;
    rules.style = spec.architecture == "llama" ? RopeStyle::ADJACENT : RopeStyle::HALVES;
    rules.n_rot = spec.head_dim;
    rules.attention_scale = 1 / std::sqrt(static_cast<double>(spec.head_dim));
    return rules;
}

std::vector<double> reference_logits(const GgufFile& file, const ModelSpec& spec, const ReferenceRules& rules,
                                     const std::vector<int32_t>& ids) {
    Reference reference(file, spec, rules);
    std::vector<double> all;
    for (const int32_t id : ids) {
        const Vector logits = reference.feed(id);
        all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
}

}  // namespace reprise::test
