#include "model/builder.h"

namespace reprise {

void build_bailingmoe2(PlanBuilder& builder);
void build_cohere2(PlanBuilder& builder);
void build_command_r(PlanBuilder& builder);
void build_deepseek2(PlanBuilder& builder);
void build_ernie4_5(PlanBuilder& builder);
void build_ernie4_5_moe(PlanBuilder& builder);
void build_exaone(PlanBuilder& builder);
void build_exaone4(PlanBuilder& builder);
void build_falcon(PlanBuilder& builder);
void build_falcon_h1(PlanBuilder& builder);
void build_gemma(PlanBuilder& builder);
void build_gemma2(PlanBuilder& builder);
void build_gemma3(PlanBuilder& builder);
void build_gemma4(PlanBuilder& builder);
void build_glm4(PlanBuilder& builder);
void build_glm4moe(PlanBuilder& builder);
void build_gpt2(PlanBuilder& builder);
void build_gpt_oss(PlanBuilder& builder);
void build_gptneox(PlanBuilder& builder);
void build_granite(PlanBuilder& builder);
void build_granite_hybrid(PlanBuilder& builder);
void build_hunyuan_dense(PlanBuilder& builder);
void build_hunyuan_moe(PlanBuilder& builder);
void build_lfm2(PlanBuilder& builder);
void build_lfm2moe(PlanBuilder& builder);
void build_llama(PlanBuilder& builder);
void build_llama4(PlanBuilder& builder);
void build_minimax_m2(PlanBuilder& builder);
void build_mistral3(PlanBuilder& builder);
void build_nemotron_h(PlanBuilder& builder);
void build_olmo2(PlanBuilder& builder);
void build_olmoe(PlanBuilder& builder);
void build_phi3(PlanBuilder& builder);
void build_phimoe(PlanBuilder& builder);
void build_qwen(PlanBuilder& builder);
void build_qwen2(PlanBuilder& builder);
void build_qwen2moe(PlanBuilder& builder);
void build_qwen3(PlanBuilder& builder);
void build_qwen35(PlanBuilder& builder);
void build_qwen35moe(PlanBuilder& builder);
void build_qwen3moe(PlanBuilder& builder);
void build_qwen3next(PlanBuilder& builder);
void build_seed_oss(PlanBuilder& builder);
void build_smollm3(PlanBuilder& builder);
void build_stablelm(PlanBuilder& builder);
void build_starcoder2(PlanBuilder& builder);

std::span<const Architecture> architectures() {
    static constexpr Architecture table[] = {
        {"bailingmoe2", build_bailingmoe2},
        {"cohere2", build_cohere2},
        {"command-r", build_command_r},
        {"deepseek2", build_deepseek2},
        {"ernie4_5", build_ernie4_5},
        {"ernie4_5-moe", build_ernie4_5_moe},
        {"exaone", build_exaone},
        {"exaone4", build_exaone4},
        {"falcon", build_falcon},
        {"falcon-h1", build_falcon_h1},
        {"gemma", build_gemma},
        {"gemma2", build_gemma2},
        {"gemma3", build_gemma3},
        {"gemma4", build_gemma4},
        {"glm4", build_glm4},
        {"glm4moe", build_glm4moe},
        {"gpt-oss", build_gpt_oss},
        {"gpt2", build_gpt2},
        {"gptneox", build_gptneox},
        {"granite", build_granite},
        {"granitehybrid", build_granite_hybrid},
        {"granitemoe", build_granite},
        {"hunyuan-dense", build_hunyuan_dense},
        {"hunyuan-moe", build_hunyuan_moe},
        {"lfm2", build_lfm2},
        {"lfm2moe", build_lfm2moe},
        {"llama", build_llama},
        {"llama4", build_llama4},
        {"minimax-m2", build_minimax_m2},
        {"mistral3", build_mistral3},
        {"mistral4", build_deepseek2},
        {"nemotron_h", build_nemotron_h},
        {"nemotron_h_moe", build_nemotron_h},
        {"olmo2", build_olmo2},
        {"olmoe", build_olmoe},
        {"phi3", build_phi3},
        {"phimoe", build_phimoe},
        {"qwen", build_qwen},
        {"qwen2", build_qwen2},
        {"qwen2moe", build_qwen2moe},
        {"qwen2vl", build_qwen2},
        {"qwen3", build_qwen3},
        {"qwen35", build_qwen35},
        {"qwen35moe", build_qwen35moe},
        {"qwen3moe", build_qwen3moe},
        {"qwen3next", build_qwen3next},
        {"qwen3vl", build_qwen3},
        {"qwen3vlmoe", build_qwen3moe},
        {"seed_oss", build_seed_oss},
        {"smollm3", build_smollm3},
        {"stablelm", build_stablelm},
        {"starcoder2", build_starcoder2},
    };
    return table;
}

}  // namespace reprise
