// One row, fused: five kernels a layer, each of which streams its weights while its predecessor still runs.
//
//   embed                                              -> x
//   fused_project        norm, q k v, bias             -> qkv    two where their types have no kernel in common
//   attention_fused      q/k norm, RoPE, KV scatter, attention -> attention
//   fused_project        output projection, residual   -> x
//   fused_gated_...      norm, gate, up, activation    -> gated
//   fused_project        down, residual                -> x
//   fused_project        final norm, output head       -> logits
//
// Many rows: the same, but a launch quantises the input of products first. Unfused, as prompts are: so does a launch
// that writes the forms the products read, and RoPE has one of its own.
#include "cuda/lower.h"

#include <algorithm>

#include "core/error.h"
#include "cuda/attention.h"
#include "cuda/fused_project.h"
#include "cuda/kv_layout.h"
#include "cuda/rows/many.h"
#include "cuda/weights.h"

namespace reprise::cuda {

namespace {

constexpr const char* NO_FUSED_KERNEL = "no fused kernel takes its type, or rows as long as its";
constexpr const char* NO_GATED_KERNEL = "no fused kernel takes its type beside that of ffn_up, or rows as long as its";
constexpr const char* NO_READER_OF_BF16 = "what its fused kernel hands on in 16 bits, ffn_down's does not read";
constexpr const char* NO_KERNEL_OF_MANY_ROWS = "no kernel of many rows takes its type: kernels of one row do each";

// What quantise_rows() leaves of a row's block: RowsChunk of rows/mma.cuh.
constexpr uint32_t BLOCK_COLUMNS = 256, ROW_CHUNK_BYTES = 292;

constexpr uint64_t aligned(uint64_t bytes) { return (bytes + 15) / 16 * 16; }  // of rows that vector loads read

class Lowering {
  public:
    enum class Kind { STEP, PREFILL, HEAD };

    Lowering(const Plan& plan, const Target& target, Kind kind, uint32_t rows)
        : plan_(plan),
          h_(plan.hparams),
          target_(target),
          kind_(kind),
          many_(kind == Kind::STEP && rows > 1),
          fused_(kind == Kind::STEP && target.fused) {
        if (many_ && (std::ranges::find(rows::ROW_BUCKETS, rows) == std::end(rows::ROW_BUCKETS) || !fused_))
            fail(REPRISE_INTERNAL, "there is no program of %u rows", rows);
        program_.rows = rows;
        for (const auto& w : plan.weights) matrices_.push_back(matrix_shape(*w, target.exact));
    }

    CudaProgram run() {
        x_ = floats("x", h_.n_embd);
        show(x_, "x", h_.n_embd);
        if (kind_ == Kind::HEAD) {
            lower(std::get<OutputHeadStep>(plan_.steps.back()));
        } else {
            for (step_ = 0; step_ < plan_.steps.size(); ++step_)
                std::visit([&](const auto& s) { lower(s); }, plan_.steps[step_]);
        }
        give_slots();
        fetch_ahead();
        return std::move(program_);
    }

  private:
    /// The output of the feed-forward's first half.
    enum class Gated { PRODUCTS, BF16, F32 };

    const DeviceMatrix& matrix(const Weight* weight) const { return matrices_[weight->id]; }
    uint32_t qkv_width() const { return h_.q_dim() + 2 * h_.kv_dim(); }
    bool is_step() const { return kind_ != Kind::PREFILL; }

    // ---- values ----

    /// A value at least that large: launches that do not overlap share it.
    ValueId value(const std::string& name, Extent extent, uint64_t row_bytes, bool is_float = false) {
        for (ValueId id = 0; id < program_.values.size(); ++id) {
            StepValue& known = program_.values[id];
            if (known.name != name) continue;
            known.row_bytes = std::max(known.row_bytes, row_bytes);
            return id;
        }
        program_.values.push_back({name, extent, row_bytes, is_float});
        return static_cast<ValueId>(program_.values.size() - 1);
    }
    /// What a trace shows under a name: width values of a row from a column on.
    void show(ValueId of, const char* name, uint64_t width, uint64_t column = 0, bool is_bf16 = false) {
        const auto is_shown = [&](const TracedValue& shown) { return shown.value.name == name; };
        if (std::ranges::any_of(program_.traced, is_shown)) return;
        const Extent extent = program_.values[of].extent;
        program_.traced.push_back(
            {of, column * (is_bf16 ? 2 : sizeof(float)), is_bf16, {name, extent, width * sizeof(float), true}});
    }
    ValueId floats(const char* name, uint64_t width, Extent extent = Extent::ROW) {
        return value(name, extent, width * sizeof(float), true);
    }

    /// Values for the forms of an input that the unfused products of the weights read. Those of one row apart from a
    /// chunk's: the logits of its rows are computed one by one.
    FormValues forms_for(std::initializer_list<const Weight*> weights) {
        FormValues forms;
        const std::string of = is_step() ? "input " : "inputs ";
        for (const Weight* weight : weights) {
            const DeviceMatrix& m = matrix(weight);
            switch (is_step() ? matvec_input(m.type) : matmul_input(m.type)) {
                case InputForm::F32:
                    forms.f32 = value(of + "f32", Extent::ROW, aligned(m.cols * sizeof(float)));
                    break;
                case InputForm::INT8:
                    forms.int8 = value(of + "int8", Extent::ROW, int8_row_bytes(m.cols));
                    break;
                case InputForm::HALF:
                    forms.half = value(of + "half", Extent::ROW, half_row_values(m.cols) * sizeof(uint16_t));
                    forms.half_scale = value(of + "half scale", Extent::ROW, sizeof(float));
                    break;
            }
        }
        return forms;
    }
    static std::vector<ValueId> ids(const FormValues& forms) {
        std::vector<ValueId> result;
        for (const auto& id : {forms.f32, forms.int8, forms.half, forms.half_scale}) {
            if (id.has_value()) result.push_back(*id);
        }
        return result;
    }

    // ---- launches ----

    CudaLaunch launch(Kernel kernel, CudaKernel by) const {
        CudaLaunch result(kernel, by, layer_);
        result.by_row = many_;
        return result;
    }
    CudaLaunch& add(CudaLaunch launch) {
        program_.launches.push_back(std::move(launch));
        return program_.launches.back();
    }

    /// What a launch of products is, however it is computed.
    struct Products {
        Kernel kernel;
        ValueId input;
        const Weight* norm;  // of the input; or null
        ValueId output;
        std::vector<Product> parts;
        std::vector<uint32_t> columns;

        Products of(std::span<const size_t> which) const {
            Products result = {kernel, input, norm, output, {}, {}};
            for (const size_t i : which) {
                result.parts.push_back(parts[i]);
                result.columns.push_back(columns[i]);
            }
            return result;
        }
    };
    std::vector<MatvecPart> matvec_parts(const Products& products) const {
        std::vector<MatvecPart> parts;
        for (const Product& product : products.parts) parts.push_back({&matrix(product.weight), nullptr});
        return parts;
    }
    CudaLaunch& add_products(CudaKernel by, const Products& products, ValueId input) {
        CudaLaunch result = launch(products.kernel, by);
        result.reads = {input};
        if (products.kernel == Kernel::ADD_PRODUCT) result.reads.push_back(products.output);
        result.writes = {products.output};
        result.products = products.parts;
        for (Product& product : result.products) product.input = input;
        result.columns = products.columns;
        return add(std::move(result));
    }

    /// Products of an input that forms already holds.
    CudaLaunch& multiply(const Products& products, const FormValues& forms) {
        CudaLaunch& result =
            add_products(is_step() ? CudaKernel::MATVEC : CudaKernel::MATMUL, products, ids(forms).front());
        result.forms = forms;
        for (Product& product : result.products) {
            const DeviceMatrix& m = matrix(product.weight);
            switch (is_step() ? matvec_input(m.type) : matmul_input(m.type)) {
                case InputForm::F32:
                    product.input = *forms.f32;
                    break;
                case InputForm::INT8:
                    product.input = *forms.int8;
                    break;
                case InputForm::HALF:
                    product.input = *forms.half;
                    break;
            }
        }
        result.reads = ids(forms);
        if (products.kernel == Kernel::ADD_PRODUCT) result.reads.push_back(products.output);
        if (is_step()) {
            result.n_kernels = matvec_launches(matvec_parts(products));
        } else {
            size_t scratch = 0;
            for (const Product& product : products.parts)
                scratch = std::max(scratch, matmul_scratch_bytes(matrix(product.weight)));
            result.scratch = {value("matmul scratch", Extent::STEP, scratch)};
        }
        return result;
    }

    FormValues prepare(CudaKernel by, ValueId input, const Weight* norm, std::span<const Product> products) {
        FormValues forms;
        for (const Product& product : products) {
            const FormValues more = forms_for({product.weight});
            if (more.f32) forms.f32 = more.f32;
            if (more.int8) forms.int8 = more.int8;
            if (more.half) forms.half = more.half, forms.half_scale = more.half_scale;
        }
        write_forms(by, input, norm, forms);
        return forms;
    }
    void write_forms(CudaKernel by, ValueId input, const Weight* norm, const FormValues& forms) {
        CudaLaunch result = launch(Kernel::PREPARE, by);
        result.reads = {input};
        result.norm = norm;
        result.forms = forms;
        result.writes = ids(forms);
        add(std::move(result));
    }

    CudaLaunch& unfused(const Products& products) {
        return multiply(products, prepare(CudaKernel::PREPARE, products.input, products.norm, products.parts));
    }

    bool is_bf16(ValueId input) const { return gated_ == Gated::BF16 && input == gated_value_; }
    /// How many of the first products a fused kernel takes together; 0: not even the first.
    size_t together(std::span<const MatvecPart> parts, ValueId input) const {
        const size_t n = fused_together(parts);
        if (n == 0 || !target_.fits(parts.first(n))) return 0;
        return is_bf16(input) && !takes_bf16(*parts[0].matrix) ? 0 : n;
    }

    /// Products that fall apart into launches as their types go together. What no fused kernel takes goes last.
    void fused(const Products& products) {
        const std::vector<MatvecPart> parts = matvec_parts(products);
        std::vector<size_t> rest;
        std::vector<std::vector<size_t>> groups;
        for (size_t i = 0; i < parts.size();) {
            size_t n = together(std::span(parts).subspan(i), products.input);
            if (n == 0) rest.push_back(i++);
            if (n > 0) groups.emplace_back();
            for (; n > 0; --n) groups.back().push_back(i++);
        }
        bool is_quantised = false;
        for (const std::vector<size_t>& group : groups) fused_group(products.of(group), is_quantised);
        if (!rest.empty()) unfused(products.of(rest)).fallback = NO_FUSED_KERNEL;
    }
    void fused_group(const Products& products, bool& is_quantised) {
        if (many_ && target_.many_can(matvec_parts(products))) {
            if (!is_quantised) quantise(products.input, products.norm, products.parts[0].weight->cols);
            is_quantised = true;
            CudaLaunch& result = add_products(CudaKernel::PROJECT_ROWS, products, chunks_);
            result.by_row = false;
            if (products.norm != nullptr) result.reads.push_back(squares_);
            return;
        }
        CudaLaunch& result = add_products(CudaKernel::FUSED_PROJECT, products, products.input);
        result.norm = products.norm;
        result.prepares = true;
        if (many_) result.fallback = NO_KERNEL_OF_MANY_ROWS;
    }

    /// Rows in 8 bits for kernels of many rows.
    void quantise(ValueId input, const Weight* norm, uint64_t cols) {
        CudaLaunch result = launch(Kernel::PREPARE, CudaKernel::QUANTISE_ROWS);
        const uint64_t blocks = (cols + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
        chunks_ = value("chunks", Extent::ROW, blocks * ROW_CHUNK_BYTES);
        squares_ = value("squares", Extent::ROW, blocks * sizeof(float));
        result.by_row = false;
        result.n_cols = static_cast<uint32_t>(cols);
        result.reads = {input};
        result.writes = {chunks_};
        if (norm != nullptr) result.writes.push_back(squares_);
        result.norm = norm;
        add(std::move(result));
    }

    // ---- steps ----

    void lower(const EmbedStep& step) {
        CudaLaunch result = launch(Kernel::EMBED, CudaKernel::EMBED);
        result.by_row = false;
        result.writes = {x_};
        result.table = step.table;
        add(std::move(result));
    }

    void lower(const QkvStep& step) {
        layer_ = step.layer;
        qkv_ = floats("qkv", qkv_width());
        show(qkv_, "q", h_.q_dim());
        show(qkv_, "k", h_.kv_dim(), h_.q_dim());
        show(qkv_, "v", h_.kv_dim(), h_.q_dim() + h_.kv_dim());
        const Products products = {Kernel::PRODUCTS,
                                   x_,
                                   step.norm,
                                   qkv_,
                                   {{step.q, step.q_bias, 0}, {step.k, step.k_bias, 0}, {step.v, step.v_bias, 0}},
                                   {0, h_.q_dim(), h_.q_dim() + h_.kv_dim()}};
        if (fused_) {
            fused(products);
        } else {
            unfused(products);
        }
        rope_ = launch(Kernel::ROTATE_AND_STORE, CudaKernel::ROPE_KV);
        rope_.q_norm = step.q_norm;
        rope_.k_norm = step.k_norm;
        if (fused_) return;
        rope_.reads = rope_.writes = {qkv_};
        add(rope_);
    }

    void lower(const AttentionStep& step) {
        CudaLaunch result = launch(Kernel::ATTENTION, CudaKernel::FUSED_ATTENTION);
        result.scale = step.scale;
        result.reads = {qkv_};
        attention_ = floats("attention", h_.q_dim());
        show(attention_, "attention", h_.q_dim());
        attended_ = {};
        if (fused_) {
            result.q_norm = rope_.q_norm;
            result.k_norm = rope_.k_norm;
        } else if (is_step()) {
            result.by = CudaKernel::ATTENTION_DECODE;
        } else {
            // A float32 model's prefill and steps agree to 1e-3.
            const bool is_f32 = std::ranges::any_of(
                plan_.weights, [](const auto& w) { return w->rows > 1 && w->type == TensorType::F32; });
            result.by = is_f32 ? CudaKernel::ATTENTION_BY_ROW : CudaKernel::ATTENTION_PREFILL;
        }
        if (is_step()) {
            result.scratch = {value("attention parts", Extent::ROW,
                                    aligned(attention_parts(h_.n_heads, h_.head_dim) * sizeof(float))),
                              value("attention arrivals", Extent::ROW,
                                    aligned(attention_counters(h_.n_heads, h_.n_kv_heads) * sizeof(uint32_t)))};
        } else if (target_.kv_type == TensorType::Q8_0) {
            const uint64_t bytes = kv_rows(target_.capacity) * h_.kv_dim() * sizeof(uint16_t);
            result.scratch = {value("keys in float16", Extent::STEP, bytes),
                              value("values in float16", Extent::STEP, bytes)};
        }
        const auto* output = following<ProjectResidualStep>(1);
        if (result.by == CudaKernel::ATTENTION_DECODE && output != nullptr &&
            output->input == ProjectInput::ATTENTION && h_.head_dim % 32 == 0) {
            // The heads go straight to the form that the output projection reads.
            const FormValues forms = forms_for({output->weight});
            if (!forms.f32) attended_ = forms;
        }
        result.forms = attended_;
        result.writes = attended_.int8 ? ids(attended_) : std::vector<ValueId>{attention_};
        add(std::move(result));
    }

    void lower(const ProjectResidualStep& step) {
        const bool from_attention = step.input == ProjectInput::ATTENTION;
        Products products = {Kernel::ADD_PRODUCT,
                             from_attention ? attention_ : gated_value_,
                             nullptr,
                             x_,
                             {{step.weight, step.bias, 0}},
                             {0}};
        if (!from_attention && gated_ == Gated::PRODUCTS) {
            const bool is_fused = fused_ && can_fuse(step.weight);
            FormValues forms;
            if (is_fused) {
                forms.f32 = floats("gated f32", h_.n_ff);
                write_forms(CudaKernel::SWIGLU, gated_value_, nullptr, forms);
                products.input = *forms.f32;
            } else {
                forms = prepare(CudaKernel::SWIGLU, gated_value_, nullptr, products.parts);
                CudaLaunch& result = multiply(products, forms);
                if (fused_) result.fallback = NO_FUSED_KERNEL;
                return;
            }
        } else if (from_attention && attended_.int8) {
            multiply(products, attended_);
            return;
        }
        if (fused_) {
            fused(products);
        } else {
            unfused(products);
        }
    }

    void lower(const GatedFeedForwardStep& step) {
        const DeviceMatrix &gate = matrix(step.gate), &up = matrix(step.up);
        const bool has_kernel = fused_ && can_fuse_gated(gate, up) && target_.gated_fits(gate, up);
        const auto* down = following<ProjectResidualStep>(1);
        const bool is_read =
            !writes_bf16(gate) || (down != nullptr && takes_bf16(matrix(down->weight)) && can_fuse(down->weight));
        if (!has_kernel || !is_read) {
            gated_ = Gated::PRODUCTS;
            gated_value_ = floats("gate up", 2 * uint64_t{h_.n_ff});
            show(gated_value_, "gate without activation", h_.n_ff);
            show(gated_value_, "up", h_.n_ff, h_.n_ff);
            CudaLaunch& result = unfused({Kernel::PRODUCTS,
                                          x_,
                                          step.norm,
                                          gated_value_,
                                          {{step.gate, nullptr, 0}, {step.up, nullptr, 0}},
                                          {0, h_.n_ff}});
            if (fused_) result.fallback = has_kernel ? NO_READER_OF_BF16 : NO_GATED_KERNEL;
            return;
        }
        gated_ = writes_bf16(gate) ? Gated::BF16 : Gated::F32;
        gated_value_ = gated_ == Gated::F32 ? floats("gated f32", h_.n_ff)
                                            : value("gated bf16", Extent::ROW, aligned(h_.n_ff * sizeof(uint16_t)));
        show(gated_value_, "gate", h_.n_ff, 0, gated_ == Gated::BF16);
        CudaLaunch result = launch(Kernel::GATED_PRODUCTS, CudaKernel::FUSED_GATED);
        result.writes = {gated_value_};
        if (many_ && gated_ == Gated::BF16 && target_.many_can_gate(gate, up)) {
            quantise(x_, step.norm, step.gate->cols);
            result.by = CudaKernel::GATED_ROWS;
            result.by_row = false;
            result.reads = {chunks_, squares_};
        } else {
            result.reads = {x_};
            result.norm = step.norm;
            result.prepares = true;
            if (many_) result.fallback = NO_KERNEL_OF_MANY_ROWS;
        }
        result.products = {{step.gate, nullptr, result.reads[0]}, {step.up, nullptr, result.reads[0]}};
        result.columns = {0, 0};
        add(std::move(result));
    }

    void lower(const OutputHeadStep& step) {
        if (kind_ == Kind::PREFILL) return;  // lower_head(), of the rows whose logits are wanted
        const ValueId logits = floats("logits", h_.n_vocab, Extent::LOGIT_ROW);
        show(logits, "logits", h_.n_vocab);
        const Products products = {Kernel::LOGITS, x_, step.norm, logits, {{step.weight, nullptr, 0}}, {0}};
        if (fused_) {
            fused(products);
        } else {
            unfused(products);
        }
    }

    /// Of the steps of words.h there is none: such a plan is refused when its model is opened.
    template <class Word>
    void lower(const Word&) {
        fail(REPRISE_INTERNAL, "a step has no launches on CUDA");
    }

    bool can_fuse(const Weight* weight) const {
        const MatvecPart part = {&matrix(weight), nullptr};
        return fused_together({&part, 1}) > 0 && target_.fits({&part, 1});
    }

    /// The step n behind the present one, if it is of that kind.
    template <class S>
    const S* following(size_t n) const {
        return step_ + n < plan_.steps.size() ? std::get_if<S>(&plan_.steps[step_ + n]) : nullptr;
    }

    // ---- what follows from the list ----

    void give_slots() {
        SlotTurns turns;
        for (CudaLaunch& launch : program_.launches) {
            if (!takes_slot(launch.by)) continue;
            launch.slot = turns.next();
            for (uint32_t row = 1; launch.by_row && row < program_.rows; ++row) turns.next();
        }
    }

    /// Attention fetches some of the gated feed-forward's weights behind the output projection, and that some of the
    /// down projection's behind the gated feed-forward.
    void fetch_ahead() {
        std::vector<CudaLaunch>& list = program_.launches;
        for (size_t i = 0; i + 2 < list.size(); ++i) {
            const auto is = [&](size_t at, Kernel kernel, CudaKernel by) {
                return list[at].kernel == kernel && list[at].by == by && !list[at].by_row;
            };
            const CudaLaunch &between = list[i + 1], &target = list[i + 2];
            if (is(i, Kernel::ATTENTION, CudaKernel::FUSED_ATTENTION)) {
                if (!is(i + 1, Kernel::ADD_PRODUCT, CudaKernel::FUSED_PROJECT) ||
                    !is(i + 2, Kernel::GATED_PRODUCTS, CudaKernel::FUSED_GATED))
                    continue;
                list[i].ahead = {target.products[0].weight, target.products[1].weight, device_bytes_of(between)};
            } else if (is(i, Kernel::ADD_PRODUCT, CudaKernel::FUSED_PROJECT)) {
                if (!is(i + 1, Kernel::GATED_PRODUCTS, CudaKernel::FUSED_GATED) ||
                    !is(i + 2, Kernel::ADD_PRODUCT, CudaKernel::FUSED_PROJECT))
                    continue;
                list[i].ahead = {target.products[0].weight, nullptr, device_bytes_of(between)};
            }
        }
    }
    size_t device_bytes_of(const CudaLaunch& launch) const {
        size_t bytes = 0;
        for (const Product& product : launch.products) bytes += matrix(product.weight).n_bytes;
        return bytes;
    }

    const Plan& plan_;
    const HyperParams& h_;
    const Target& target_;
    const Kind kind_;
    const bool many_, fused_;
    std::vector<DeviceMatrix> matrices_;  // by weight id; without data
    CudaProgram program_;
    size_t step_ = 0;
    uint32_t layer_ = 0;
    ValueId x_ = 0, qkv_ = 0, attention_ = 0, gated_value_ = 0, chunks_ = 0, squares_ = 0;
    CudaLaunch rope_{Kernel::ROTATE_AND_STORE, CudaKernel::ROPE_KV, 0};  // of the present layer
    FormValues attended_;  // the form of the output projection's input that attention has written
    Gated gated_ = Gated::PRODUCTS;
};

bool fits_all(std::span<const MatvecPart>) { return true; }
bool gated_fits_all(const DeviceMatrix&, const DeviceMatrix&) { return true; }
bool many_can_none(std::span<const MatvecPart>) { return false; }
bool many_can_gate_none(const DeviceMatrix&, const DeviceMatrix&) { return false; }

}  // namespace

// Weights lie in a layout that the kernels of many rows do not read.
Target Target::current(bool exact, bool fused, TensorType kv_type, uint32_t capacity) {
    return {exact, fused, kv_type, capacity, fits_device, gated_fits_device, many_can_none, many_can_gate_none};
}

Target Target::any(bool exact, bool fused, TensorType kv_type, uint32_t capacity) {
    return {exact, fused, kv_type, capacity, fits_all, gated_fits_all, many_can_none, many_can_gate_none};
}

CudaProgram lower(const Plan& plan, const Target& target, uint32_t rows) {
    return Lowering(plan, target, Lowering::Kind::STEP, rows).run();
}

CudaProgram lower_prefill(const Plan& plan, const Target& target, uint32_t rows) {
    return Lowering(plan, target, Lowering::Kind::PREFILL, rows).run();
}

CudaProgram lower_head(const Plan& plan, const Target& target) {
    return Lowering(plan, target, Lowering::Kind::HEAD, 1).run();
}

}  // namespace reprise::cuda
