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
    /// The same for models in the words of words.h: without heads' sizes, which the architecture reads, and with the
    /// epsilon of the norms that it has. Layers that only predict further tokens are skipped and left out of n_layers.
    void read_sizes(NormKind norm);
    /// Reads rope.* and, if the file has it, the tensor rope_freqs.weight (frequency factors).
    void read_rope(RopeStyle style);
    struct RopeOptions {
        RopeStyle style = RopeStyle::HALVES;
        uint32_t n_rot = 0;                       // unless the key says otherwise
        const char* base_key = "rope.freq_base";  // null: the base is given
        const char* n_rot_key = "rope.dimension_count";
        double base = 10000;              // unless the key says otherwise
        bool scaled = true;               // by rope.scaling.*
        bool has_factors = true;          // rope_freqs.weight counts
        bool unscaled_magnitude = false;  // YaRN leaves cosines and sines as they are
        bool by_context = false;          // rope_factors_short.weight and _long may be there
    };
    Rope make_rope(const RopeOptions& options);

    // ---- tensors ----
    const Weight* matrix(const std::string& name, uint64_t rows, uint64_t cols);
    const Weight* vector(const std::string& name, uint64_t n);           // F32
    const Weight* optional_vector(const std::string& name, uint64_t n);  // null if absent
    /// n matrices of the same shape, as experts have; rows are those of all.
    const Weight* matrices(const std::string& name, uint64_t n, uint64_t rows, uint64_t cols);
    const Weight* table(const std::string& name, uint64_t rows, uint64_t cols);  // F32, read by no product
    /// A layer of the KV cache.
    uint32_t add_kv(const KvSpec& spec);
    /// A recurrent state.
    uint32_t add_state(uint64_t n_values);
    bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

    /// Of a tensor's second dimension; 0 if it is absent.
    uint64_t rows_of(const std::string& name) const {
        const Tensor* tensor = file_.find_tensor(name);
        return tensor == nullptr ? 0 : tensor->dims[1];
    }

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
        const char* ffn_norm = "ffn_norm.weight";
    };
    void add_llama_layer(uint32_t layer, const LayerOptions& options);

    /// Checks that everything in the file that says what to compute was used, keys and tensors, and hands the plan
    /// over.
    std::unique_ptr<Plan> finish();

  private:
    const Weight* claim(const std::string& name, uint64_t rows, uint64_t cols, uint64_t n = 1);
    /// What scaling divides the frequencies by.
    double rope_scaling_factor(const std::string& type);
    std::vector<double> frequency_factors(const char* name, uint32_t n);
    const GgufFile& file_;
    ModelKeys keys_;
    std::unique_ptr<Plan> plan_;
    std::unordered_map<std::string, const Weight*> claimed_;
    uint32_t n_blocks_ = 0;
};

}  // namespace reprise
