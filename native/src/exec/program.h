// A plan lowered for a device: the list of launches that compute a step, each with what it reads, writes and which
// weights it takes. Buffers, the memory account, the bytes that a step reads and the trace follow from the list, so
// that nothing but lower() walks the plan.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/plan.h"

namespace reprise {

using ValueId = uint32_t;  // index into Program::values

/// What there is one row of a value for.
enum class Extent {
    ROW,        // every row of the step
    LOGIT_ROW,  // every row of the step whose logits are asked for
    THREAD,     // every thread that computes the step
    STEP,       // the step
};

/// What launches hand to one another.
struct StepValue {
    std::string name;
    Extent extent;
    uint64_t row_bytes;
    bool is_float;  // float32 values, rather than a form that only the backend's kernels read
    uint64_t width() const { return row_bytes / sizeof(float); }
};

enum class Kernel {
    EMBED,              // writes[0] = table[token]; writes[1] = cosines, then sines, of the angles that RoPE turns by
    PREPARE,            // writes[i] = norm(reads[0]) in the form that products with weights of type forms[i] read
    PRODUCTS,           // writes[i] = products[i]
    ROTATE_AND_STORE,   // q, k = reads[0], reads[1]: norm of every head, RoPE; k and v, reads[2], to the KV cache
    ATTENTION,          // writes[0] = softmax(scale q K^T) V over the positions up to the row's own
    ADD_PRODUCT,        // writes[0] += products[0], which is left in writes[1] without its bias
    GATED_PRODUCTS,     // writes[0] = silu(products[0]) * products[1], which is left in writes[1]
    LOGITS,             // products[0], scaled and capped, to where the step wants it
    ROWS,               // row_ops, in their order, of each row
    SELECTED_PRODUCTS,  // the SelectedLinearStep of word
    CONVOLVE,           // its ConvStep
    DELTA_NET,          // its DeltaNetStep
    SCAN,               // its ScanStep
};
const char* kernel_name(Kernel kernel);

/// W input + bias. Where a launch prepares its input itself, input is a value in float32, the same for all of its
/// products; else one that a PREPARE wrote.
struct Product {
    const Weight* weight;
    const Weight* bias;  // or null
    ValueId input;
};

struct Launch {
    explicit Launch(Kernel kernel, uint32_t layer = 0) : kernel(kernel), layer(layer) {}

    Kernel kernel;
    uint32_t layer;  // of the KV cache and of the trace
    std::vector<ValueId> reads, writes;
    std::vector<Product> products;
    std::vector<uint32_t> out_columns;  // of PRODUCTS: where in writes[i] products[i] begins; empty: at 0
    Pieces input;                       // what is prepared; value is a ValueId
    std::vector<RowOp> row_ops;         // of ROWS
    // What a launch of words.h does; of ATTENTION always.
    std::variant<std::monostate, AttendStep, SelectedLinearStep, ConvStep, DeltaNetStep, ScanStep> word;
    std::vector<TensorType> forms;  // of PREPARE, and of a launch that prepares its input itself
    std::vector<ValueId> scratch;   // of the latter: scratch[i] gets forms[i], a row for each thread
    const Weight* table = nullptr;  // of EMBED
    const Weight* norm = nullptr;   // of the input, before it is prepared; or null
    const Weight *q_norm = nullptr, *k_norm = nullptr;  // of ROTATE_AND_STORE; or null
    float scale = 0;                                    // of ATTENTION and LOGITS
    float cap = 0;                                      // of LOGITS; 0: none
    bool prepares = false;  // its input itself, every thread for itself: cheaper than a launch where there is one row
    bool precise = false;   // of products and what prepares them: inputs in two parts, the second what the first loses
    bool begins_layer = false;  // where a step may be given up

    /// All weights that it takes; those of EMBED by the row.
    std::vector<const Weight*> weights() const;
};

/// Bytes of weights that a step of n rows reads: everything once, of tables a row for each, of the matrices of a stack
/// at most as many as are chosen.
uint64_t weight_bytes(std::span<const Launch* const> launches, uint64_t n_rows);

/// Of a backend's launches, which may say more than Launch does.
template <class BackendLaunch>
struct ProgramOf {
    std::vector<StepValue> values;
    std::vector<BackendLaunch> launches;

    /// Of a step of n rows.
    uint64_t weight_bytes(uint64_t n_rows) const {
        std::vector<const Launch*> all;
        for (const BackendLaunch& launch : launches) all.push_back(&launch);
        return reprise::weight_bytes(all, n_rows);
    }
};
using Program = ProgramOf<Launch>;

/// How many rows of each extent there is room for.
struct Room {
    uint64_t rows, logit_rows, threads;
    uint64_t of(Extent extent) const;
    uint64_t bytes(const StepValue& value) const { return of(value.extent) * value.row_bytes; }
};

/// Bytes of buffers by the names of the values: values of one name share a buffer, those of other programs too.
using BufferBytes = std::map<std::string, uint64_t>;
void add_buffers(BufferBytes& buffers, std::span<const StepValue> values, const Room& room);
/// Of programs of one plan.
BufferBytes buffer_bytes(std::span<const Program* const> programs, const Room& room);

/// Sees the rows of a float value after the launch that wrote it.
using Trace = std::function<void(const Launch& launch, const StepValue& value, std::span<const float> rows)>;

}  // namespace reprise
