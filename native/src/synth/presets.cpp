#include "synth/presets.h"

#include "core/error.h"

namespace reprise {

namespace {

enum class Family { LLAMA3, QWEN2, QWEN3, SMOLLM2 };

// From the config.json that each model was published with.
struct Preset {
    const char* name;
    Family family;
    uint32_t n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim, n_vocab, context_length;
    bool tied_output;
    float rope_factor;  // of Llama's scaling; 0: none
};

constexpr Preset kPresets[] = {
    {"smollm2-135m", Family::SMOLLM2, 30, 576, 1536, 9, 3, 64, 49152, 8192, true, 0},
    {"llama-3.2-1b", Family::LLAMA3, 16, 2048, 8192, 32, 8, 64, 128256, 131072, true, 32},
    {"llama-3.2-3b", Family::LLAMA3, 28, 3072, 8192, 24, 8, 128, 128256, 131072, true, 32},
    {"llama-3.1-8b", Family::LLAMA3, 32, 4096, 14336, 32, 8, 128, 128256, 131072, false, 8},
    {"qwen2.5-0.5b", Family::QWEN2, 24, 896, 4864, 14, 2, 64, 151936, 32768, true, 0},
    {"qwen2.5-1.5b", Family::QWEN2, 28, 1536, 8960, 12, 2, 128, 151936, 32768, true, 0},
    {"qwen2.5-3b", Family::QWEN2, 36, 2048, 11008, 16, 2, 128, 151936, 32768, true, 0},
    {"qwen2.5-7b", Family::QWEN2, 28, 3584, 18944, 28, 4, 128, 152064, 32768, false, 0},
    {"qwen3-0.6b", Family::QWEN3, 28, 1024, 3072, 16, 8, 128, 151936, 40960, true, 0},
    {"qwen3-1.7b", Family::QWEN3, 28, 2048, 6144, 16, 8, 128, 151936, 40960, true, 0},
    {"qwen3-4b", Family::QWEN3, 36, 2560, 9728, 32, 8, 128, 151936, 40960, true, 0},
    {"qwen3-8b", Family::QWEN3, 36, 4096, 12288, 32, 8, 128, 151936, 40960, false, 0},
};

void set_llama3(ModelSpec& spec, float rope_factor) {
    spec.architecture = "llama";
    spec.rms_eps = 1e-5f;
    spec.rope_freq_base = 500000;
    spec.rope_factors = llama3_rope_factors(spec.head_dim, spec.rope_freq_base, rope_factor);
    spec.vocabulary = {.pre = "llama-bpe",
                       .n_regular = 128000,
                       .specials = {{128000, "<|begin_of_text|>"},
                                    {128001, "<|end_of_text|>"},
                                    {128006, "<|start_header_id|>"},
                                    {128007, "<|end_header_id|>"},
                                    {128008, "<|eom_id|>"},
                                    {128009, "<|eot_id|>"}},
                       .bos = 128000,
                       .eos = 128009,
                       .add_bos = true};
}

void set_qwen(ModelSpec& spec, bool is_qwen3) {
    spec.architecture = is_qwen3 ? "qwen3" : "qwen2";
    spec.rms_eps = 1e-6f;
    spec.rope_freq_base = 1000000;
    spec.qkv_bias = !is_qwen3;
    spec.qk_norm = is_qwen3;
    spec.vocabulary = {.pre = "qwen2",
                       .n_regular = 151643,
                       .specials = {{151643, "<|endoftext|>"}, {151644, "<|im_start|>"}, {151645, "<|im_end|>"}},
                       .bos = 151643,
                       .eos = 151645,
                       .add_bos = false};
}

void set_smollm2(ModelSpec& spec) {
    spec.architecture = "llama";
    spec.rms_eps = 1e-5f;
    spec.rope_freq_base = 100000;
    spec.vocabulary = {.pre = "smollm",
                       .n_regular = 49149,
                       .specials = {{49149, "<|endoftext|>"}, {49150, "<|im_start|>"}, {49151, "<|im_end|>"}},
                       .bos = 49150,
                       .eos = 49151,
                       .add_bos = false};
}

}  // namespace

std::vector<std::string> preset_names() {
    std::vector<std::string> names;
    for (const Preset& preset : kPresets) names.emplace_back(preset.name);
    return names;
}

ModelSpec preset(const std::string& name) {
    for (const Preset& p : kPresets) {
        if (name != p.name) continue;
        ModelSpec spec;
        spec.name = name + " (random weights)";
        spec.n_layers = p.n_layers;
        spec.n_embd = p.n_embd;
        spec.n_ff = p.n_ff;
        spec.n_heads = p.n_heads;
        spec.n_kv_heads = p.n_kv_heads;
        spec.head_dim = p.head_dim;
        spec.n_vocab = p.n_vocab;
        spec.context_length = p.context_length;
        spec.tied_output = p.tied_output;
        switch (p.family) {
            case Family::LLAMA3:
                set_llama3(spec, p.rope_factor);
                break;
            case Family::QWEN2:
                set_qwen(spec, false);
                break;
            case Family::QWEN3:
                set_qwen(spec, true);
                break;
            case Family::SMOLLM2:
                set_smollm2(spec);
                break;
        }
        return spec;
    }
    std::string known;
    for (const Preset& p : kPresets) {
        if (!known.empty()) known += ", ";
        known += p.name;
    }
    fail(REPRISE_INVALID_ARGUMENT, "no preset '%s'; there are %s", name.c_str(), known.c_str());
}

}  // namespace reprise
