// Helpers for arch/*.cpp: hyper-parameters and claimed, shape-checked tensors.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/model_keys.h"
#include "model/plan.h"

namespace reprise {

/// One supported architecture. arch/registry.cpp lists them.
struct Architecture {
    const char* name;  // general.architecture
    void (*build)(class PlanBuilder& builder);
};
/// The files under arch/ each define one; this table is the only other place to edit when one is added.
std::span<const Architecture> architectures();

class PlanBuilder {
  public:
    explicit PlanBuilder(const GgufFile& file);
    Plan& plan() { return *plan_; }
    HyperParams& hparams() { return plan_->hparams; }

    /// The hyper-parameters. finish() refuses what may change the arithmetic and was not read.
    ModelKeys& keys() { return keys_; }

    /// Reads what every transformer decoder in this project shares: sizes, heads, epsilon, context, vocabulary.
    void read_common();
    /// Reads rope.* and, if the file has it, the tensor rope_freqs.weight (frequency factors).
    void read_rope(RopeStyle style);

    // ---- tensors ----
    const Weight* matrix(const std::string& name, uint64_t rows, uint64_t cols);
    const Weight* vector(const std::string& name, uint64_t n);           // F32
    const Weight* optional_vector(const std::string& name, uint64_t n);  // null if absent
    bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

    template <class S>
    void add(S step) {
        plan_->steps.emplace_back(step);
    }

    /// token_embd.weight at the start; output_norm.weight and output.weight (or the tied table) at the end.
    void add_embedding();
    void add_output_head();
    /// The layer of the llama family: see arch/llama.cpp for which options each architecture sets.
    struct LayerOptions {
        bool qkv_bias = false;       // attn_{q,k,v}.bias must be there
        bool optional_bias = false;  // attn_{q,k,v,output}.bias may be there
        bool qk_norm = false;        // attn_{q,k}_norm.weight must be there
    };
    void add_llama_layer(uint32_t layer, const LayerOptions& options);

    /// Checks that everything in the file that says what to compute was used, keys and tensors, and hands the plan
    /// over.
    std::unique_ptr<Plan> finish();

  private:
    const Weight* claim(const std::string& name, uint64_t rows, uint64_t cols);
    /// What linear scaling divides the frequencies by.
    double rope_scaling_factor();
    const GgufFile& file_;
    ModelKeys keys_;
    std::unique_ptr<Plan> plan_;
    std::unordered_map<std::string, const Weight*> claimed_;
};

}  // namespace reprise
