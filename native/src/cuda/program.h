// A plan lowered for a CUDA device: exec/program.h's launches, each with the kernels that compute it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cuda/slot.h"
#include "exec/program.h"

namespace reprise::cuda {

/// What computes a launch: Launch::kernel says what, this how.
enum class CudaKernel {
    EMBED,              // embed_rows(); of a row for each of many sequences embed_step_rows()
    PREPARE,            // prepare(), or rms_norm() where there is a norm: writes forms
    SWIGLU,             // swiglu(): writes forms
    MATVEC,             // matvec()
    MATMUL,             // matmul()
    ROPE_KV,            // rope_kv()
    ATTENTION_DECODE,   // attention_decode()
    ATTENTION_PREFILL,  // attention_prefill()
    ATTENTION_BY_ROW,   // attention_prefill_by_row()
    FUSED_PROJECT,      // fused_project()
    FUSED_GATED,        // fused_gated_feed_forward()
    FUSED_ATTENTION,    // attention_fused(): ROPE_KV and ATTENTION_DECODE in one
    QUANTISE_ROWS,      // rows::quantise_rows(): writes chunks, and squares where there is a norm
    PROJECT_ROWS,       // rows::project_rows()
    GATED_ROWS,         // rows::gated_rows()
};
const char* kernel_name(CudaKernel kernel);

/// Whether its shared memory takes turns with that of its neighbours (slot.h).
bool takes_slot(CudaKernel kernel);

/// The values that hold an input in the forms of linear.h (Activations).
struct FormValues {
    std::optional<ValueId> f32, int8, half, half_scale;
};

/// Weights that a launch brings into the L2 for one to come: of FUSED_GATED its two matrices, of FUSED_PROJECT one.
struct FetchAhead {
    const Weight *first = nullptr, *second = nullptr;  // second null: of FUSED_PROJECT; both: nothing is fetched
    size_t bytes_between = 0;                          // that the kernels before that one read
};

/// Of PRODUCTS, ADD_PRODUCT and LOGITS all products go to writes[0], side by side; ADD_PRODUCT adds to it. scratch:
/// memory that only this launch uses; of ATTENTION what AttentionScratch names, of MATMUL its own.
struct CudaLaunch : Launch {
    CudaLaunch(Kernel kernel, CudaKernel by, uint32_t layer) : Launch(kernel, layer), by(by) {}

    CudaKernel by;
    FormValues forms;               // that PREPARE, SWIGLU and ATTENTION_DECODE write, and MATVEC and MATMUL read
    std::vector<uint32_t> columns;  // of writes[0], where the output of each product begins
    uint32_t n_cols = 0;            // of QUANTISE_ROWS
    bool by_row = false;            // of a step of many rows: kernels of one row, launched for each
    uint32_t n_kernels = 1;         // that the launch is, for each row where by_row; not known of MATMUL
    Slot slot = Slot::LARGE;        // of the first, where it takes one
    FetchAhead ahead;
    std::string fallback;  // why a slower kernel than the step's usual one computes it; empty: none does
};

/// What a trace shows of a value: rows of floats, or of bfloat16 that it makes floats of.
struct TracedValue {
    ValueId of;
    uint64_t offset;  // in a row, bytes
    bool is_bf16;
    StepValue value;  // its name is that of the CPU's program where both have it
};

struct CudaProgram : ProgramOf<CudaLaunch> {
    uint32_t rows = 1;  // that a step has, or of a prompt's chunk may have
    std::vector<TracedValue> traced;

    /// Kernels of a step.
    uint32_t n_kernels() const;
    /// Launches that fell back.
    uint32_t n_fallbacks() const;
    /// A sentence for each reason that launches fell back for, which names the first matrix.
    std::vector<std::string> fallbacks() const;
};

}  // namespace reprise::cuda
