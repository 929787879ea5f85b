#include "cpu/lower.h"

#include <algorithm>

namespace reprise::cpu {

namespace {

class Lowering {
  public:
    Lowering(const Plan& plan, const Kernels& kernels, bool one_row)
        : plan_(plan), h_(plan.hparams), kernels_(kernels), one_row_(one_row) {}

    Program run() {
        x_ = floats("x", h_.n_embd);
        turns_ = floats("turns", plan_.rope.n_rot);
        q_ = floats("q", h_.q_dim());
        k_ = floats("k", h_.kv_dim());
        v_ = floats("v", h_.kv_dim());
        attention_ = floats("attention", h_.q_dim());
        gate_ = floats("gate", h_.n_ff);
        up_ = floats("up", h_.n_ff);
        projected_ = floats("projected", h_.n_embd);
        for (const Step& step : plan_.steps) std::visit([&](const auto& s) { lower(s); }, step);
        return std::move(program_);
    }

  private:
    ValueId add(const std::string& name, Extent extent, uint64_t row_bytes, bool is_float) {
        program_.values.push_back({name, extent, row_bytes, is_float});
        return static_cast<ValueId>(program_.values.size() - 1);
    }
    ValueId floats(const char* name, uint64_t width) { return add(name, Extent::ROW, width * sizeof(float), true); }

    /// A value at least that large: launches that do not overlap share it.
    ValueId scratch(const std::string& name, Extent extent, uint64_t row_bytes, bool is_float) {
        for (ValueId id = 0; id < program_.values.size(); ++id) {
            StepValue& value = program_.values[id];
            if (value.name != name) continue;
            value.row_bytes = std::max(value.row_bytes, row_bytes);
            return id;
        }
        return add(name, extent, row_bytes, is_float);
    }

    /// Products of one input, after norm unless that is null. Where there are many rows a launch of its own prepares
    /// the input, once for each type of weights.
    void products(Launch launch, ValueId input, const Weight* norm, std::vector<Product> products,
                  Extent extent = Extent::ROW) {
        Launch prepare(Kernel::PREPARE, launch.layer);
        prepare.reads = {input};
        prepare.norm = norm;
        const uint64_t n_cols = products.front().weight->cols;
        if (norm != nullptr) scratch("normed", Extent::THREAD, n_cols * sizeof(float), true);
        for (Product& product : products) {
            const TensorType type = product.weight->type;
            const auto known = std::ranges::find(prepare.forms, type);
            const auto i = static_cast<size_t>(known - prepare.forms.begin());
            if (known == prepare.forms.end()) {
                const Extent held = one_row_ ? Extent::THREAD : extent;
                const char* kind = one_row_ ? "own " : extent == Extent::ROW ? "input " : "input of logits ";
                prepare.writes.push_back(
                    scratch(kind + std::to_string(i), held, kernels_.activation_bytes(type, n_cols), false));
                prepare.forms.push_back(type);
            }
            product.input = one_row_ ? input : prepare.writes[i];
        }
        if (one_row_) {
            launch.norm = norm;
            launch.prepares = true;
            launch.forms = prepare.forms;
            launch.reads.push_back(input);
            launch.scratch = prepare.writes;
        } else {
            prepare.begins_layer = launch.begins_layer;
            launch.begins_layer = false;
            launch.reads.insert(launch.reads.end(), prepare.writes.begin(), prepare.writes.end());
            program_.launches.push_back(std::move(prepare));
        }
        launch.products = std::move(products);
        program_.launches.push_back(std::move(launch));
    }

    void lower(const EmbedStep& step) {
        Launch launch(Kernel::EMBED);
        launch.writes = {x_, turns_};
        launch.table = step.table;
        program_.launches.push_back(std::move(launch));
    }

    void lower(const QkvStep& step) {
        layer_ = step.layer;
        Launch project(Kernel::PRODUCTS, layer_);
        project.writes = {q_, k_, v_};
        project.begins_layer = true;
        products(std::move(project), x_, step.norm,
                 {{step.q, step.q_bias, 0}, {step.k, step.k_bias, 0}, {step.v, step.v_bias, 0}});
        Launch rotate(Kernel::ROTATE_AND_STORE, layer_);
        rotate.reads = {q_, k_, v_, turns_};
        rotate.writes = {q_, k_};
        rotate.q_norm = step.q_norm;
        rotate.k_norm = step.k_norm;
        program_.launches.push_back(std::move(rotate));
    }

    void lower(const AttentionStep& step) {
        Launch launch(Kernel::ATTENTION, step.layer);
        launch.reads = {q_};
        launch.writes = {attention_};
        launch.scale = step.scale;
        program_.launches.push_back(std::move(launch));
    }

    void lower(const ProjectResidualStep& step) {
        Launch launch(Kernel::ADD_PRODUCT, layer_);
        launch.writes = {x_, projected_};
        products(std::move(launch), step.input == ProjectInput::ATTENTION ? attention_ : gate_, nullptr,
                 {{step.weight, step.bias, 0}});
    }

    void lower(const GatedFeedForwardStep& step) {
        Launch launch(Kernel::GATED_PRODUCTS, layer_);
        launch.writes = {gate_, up_};
        products(std::move(launch), x_, step.norm, {{step.gate, nullptr, 0}, {step.up, nullptr, 0}});
    }

    void lower(const OutputHeadStep& step) {
        products(Launch(Kernel::LOGITS, layer_), x_, step.norm, {{step.weight, nullptr, 0}}, Extent::LOGIT_ROW);
    }

    const Plan& plan_;
    const HyperParams& h_;
    const Kernels& kernels_;
    const bool one_row_;
    Program program_;
    uint32_t layer_ = 0;
    ValueId x_ = 0, turns_ = 0, q_ = 0, k_ = 0, v_ = 0, attention_ = 0, gate_ = 0, up_ = 0, projected_ = 0;
};

}  // namespace

Program lower(const Plan& plan, const Kernels& kernels, uint32_t rows) {
    return Lowering(plan, kernels, rows == 1).run();
}

}  // namespace reprise::cpu
