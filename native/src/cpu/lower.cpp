#include "cpu/lower.h"

#include <algorithm>

namespace reprise::cpu {

namespace {

class Lowering {
  public:
    Lowering(const Plan& plan, const Kernels& kernels, bool one_row)
        : plan_(plan), h_(plan.hparams), kernels_(kernels), one_row_(one_row) {}

    Program run() {
        // Values that the plan names have the same numbers here.
        for (const PlanValue& value : plan_.values) floats(value.name.c_str(), value.width);
        x_ = 0;
        for (const Step& step : plan_.steps) {
            const auto* row = std::get_if<RowStep>(&step);
            has_rows_ |= row != nullptr;
            has_router_ |= row != nullptr && std::holds_alternative<RouteOp>(row->op);
        }
        if (!has_rows_) add_values();
        for (const Step& step : plan_.steps) std::visit([&](const auto& s) { lower(s); }, step);
        return std::move(program_);
    }

  private:
    /// Of the steps of the llama family.
    void add_values() {
        turns_ = floats("turns", plan_.rope.n_rot);
        q_ = floats("q", h_.q_dim());
        k_ = floats("k", h_.kv_dim());
        v_ = floats("v", h_.kv_dim());
        attention_ = floats("attention", h_.q_dim());
        gate_ = floats("gate", h_.n_ff);
        up_ = floats("up", h_.n_ff);
        projected_ = floats("projected", h_.n_embd);
    }

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

    Pieces whole(ValueId id) const {
        const auto width = static_cast<uint32_t>(program_.values[id].width());
        return {id, 0, 1, width, width};
    }

    /// Products of one input, after norm unless that is null. Where there are many rows a launch of its own prepares
    /// the input, once for each type of weights.
    void products(Launch launch, const Pieces& input, const Weight* norm, std::vector<Product> products,
                  Extent extent = Extent::ROW) {
        Launch prepare(Kernel::PREPARE, launch.layer);
        prepare.reads = {input.value};
        prepare.input = launch.input = input;
        prepare.precise = launch.precise;
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
                prepare.writes.push_back(scratch(kind + std::to_string(i), held,
                                                 (launch.precise ? 2 : 1) * kernels_.activation_bytes(type, n_cols),
                                                 false));
                prepare.forms.push_back(type);
            }
            product.input = one_row_ ? input.value : prepare.writes[i];
        }
        if (one_row_) {
            launch.norm = norm;
            launch.prepares = true;
            launch.forms = prepare.forms;
            launch.reads.push_back(input.value);
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
        launch.writes = {x_};
        if (!has_rows_) launch.writes.push_back(turns_);
        launch.table = step.table;
        program_.launches.push_back(std::move(launch));
    }

    void lower(const QkvStep& step) {
        layer_ = step.layer;
        Launch project(Kernel::PRODUCTS, layer_);
        project.writes = {q_, k_, v_};
        project.begins_layer = true;
        products(std::move(project), whole(x_), step.norm,
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
        const Pieces q = whole(q_).split(h_.n_heads), out = whole(attention_).split(h_.n_heads);
        launch.word = AttendStep{step.layer, step.layer, q, out, step.scale, 0, 0, 0, nullptr};
        program_.launches.push_back(std::move(launch));
    }

    void lower(const ProjectResidualStep& step) {
        Launch launch(Kernel::ADD_PRODUCT, layer_);
        launch.writes = {x_, projected_};
        products(std::move(launch), whole(step.input == ProjectInput::ATTENTION ? attention_ : gate_), nullptr,
                 {{step.weight, step.bias, 0}});
    }

    void lower(const GatedFeedForwardStep& step) {
        Launch launch(Kernel::GATED_PRODUCTS, layer_);
        launch.writes = {gate_, up_};
        products(std::move(launch), whole(x_), step.norm, {{step.gate, nullptr, 0}, {step.up, nullptr, 0}});
    }

    void lower(const OutputHeadStep& step) {
        Launch launch(Kernel::LOGITS, layer_);
        launch.scale = step.scale;
        launch.cap = step.cap;
        products(std::move(launch), whole(step.input), step.norm, {{step.weight, step.bias, 0}}, Extent::LOGIT_ROW);
    }

    // ---- the words of words.h ----

    /// Operations on rows that follow one another are one launch: none reads what another row left.
    void lower(const RowStep& step) {
        if (program_.launches.empty() || program_.launches.back().kernel != Kernel::ROWS ||
            program_.launches.back().layer != step.layer) {
            Launch launch(Kernel::ROWS, step.layer);
            launch.begins_layer = step.layer != layer_;
            program_.launches.push_back(std::move(launch));
        }
        layer_ = step.layer;
        Launch& launch = program_.launches.back();
        launch.row_ops.push_back(step.op);
        const auto read = [&](const Pieces& pieces) { add_once(launch.reads, pieces.value); };
        const auto write = [&](const Pieces& pieces) { add_once(launch.writes, pieces.value); };
        std::visit(
            [&]<class Op>(const Op& op) {
                if constexpr (std::is_same_v<Op, NormOp> || std::is_same_v<Op, ScaleOp>) read(op.in), write(op.out);
                if constexpr (std::is_same_v<Op, AngleOp>) write(op.out);
                if constexpr (std::is_same_v<Op, RotateOp>) read(op.angles), read(op.pieces), write(op.pieces);
                if constexpr (std::is_same_v<Op, TemperatureOp>) read(op.pieces), write(op.pieces);
                if constexpr (std::is_same_v<Op, ActivateOp>) {
                    read(op.gate), write(op.out);
                    if (op.has_up) read(op.up);
                }
                if constexpr (std::is_same_v<Op, AddOp>) read(op.a), read(op.b), write(op.out);
                if constexpr (std::is_same_v<Op, LookupOp>) write(op.out);
                if constexpr (std::is_same_v<Op, StoreKvOp>) {
                    read(op.keys);
                    if (h_.kv[op.kv].value_dim != 0) read(op.values);
                }
                if constexpr (std::is_same_v<Op, RouteOp>) read(op.logits), write(op.chosen), write(op.weights);
                if constexpr (std::is_same_v<Op, CombineOp>) {
                    read(op.in), write(op.out);
                    if (op.weights.width != 0) read(op.weights);
                }
            },
            step.op);
    }
    static void add_once(std::vector<ValueId>& ids, ValueId id) {
        if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
    }

    void lower(const LinearStep& step) {
        Launch launch(Kernel::PRODUCTS, step.layer);
        launch.precise = has_router_ && kernels_.prepare_rest != nullptr;
        std::vector<Product> parts;
        for (const LinearStep::Part& part : step.parts) {
            parts.push_back({part.weight, part.bias, 0});
            launch.writes.push_back(part.out.value);
            launch.out_columns.push_back(part.out.offset);
        }
        products(std::move(launch), step.in, nullptr, std::move(parts));
    }

    void lower(const SelectedLinearStep& step) {
        const TensorType type = step.weight->type;
        Launch prepare(Kernel::PREPARE, step.layer);
        prepare.reads = {step.in.value};
        prepare.input = step.in;
        prepare.forms = {type};
        prepare.writes = {
            scratch("input of chosen", Extent::ROW, step.in.n * kernels_.activation_bytes(type, step.in.width), false)};
        Launch launch(Kernel::SELECTED_PRODUCTS, step.layer);
        launch.reads = prepare.writes;
        if (step.is_chosen) launch.reads.push_back(step.chosen.value);
        launch.writes = {step.out.value};
        launch.word = step;
        program_.launches.push_back(std::move(prepare));
        program_.launches.push_back(std::move(launch));
    }

    template <class Word>
    void add_word(Kernel kernel, const Word& word, std::initializer_list<ValueId> reads) {
        Launch launch(kernel, word.layer);
        launch.reads = reads;
        launch.writes = {word.out.value};
        launch.word = word;
        program_.launches.push_back(std::move(launch));
    }
    void lower(const AttendStep& step) { add_word(Kernel::ATTENTION, step, {step.q.value}); }
    void lower(const ConvStep& step) { add_word(Kernel::CONVOLVE, step, {step.in.value}); }
    void lower(const DeltaNetStep& step) {
        add_word(Kernel::DELTA_NET, step,
                 {step.q.value, step.k.value, step.v.value, step.decay.value, step.beta.value});
    }
    void lower(const ScanStep& step) {
        add_word(Kernel::SCAN, step, {step.x.value, step.b.value, step.c.value, step.dt.value});
    }

    const Plan& plan_;
    const HyperParams& h_;
    const Kernels& kernels_;
    const bool one_row_;
    Program program_;
    uint32_t layer_ = 0;
    bool has_rows_ = false;  // the plan uses the words of words.h
    // What 8 bits lose of the inputs of attention decides which experts are chosen where two are close, and another
    // expert is another result altogether.
    bool has_router_ = false;
    ValueId x_ = 0, turns_ = 0, q_ = 0, k_ = 0, v_ = 0, attention_ = 0, gate_ = 0, up_ = 0, projected_ = 0;
};

}  // namespace

Program lower(const Plan& plan, const Kernels& kernels, uint32_t rows) {
    return Lowering(plan, kernels, rows == 1).run();
}

}  // namespace reprise::cpu
