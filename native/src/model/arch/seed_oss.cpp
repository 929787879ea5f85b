// Seed-OSS: Qwen2 with another name for a norm. https://huggingface.co/ByteDance-Seed
#include "model/layers.h"

namespace reprise {

void build_seed_oss(PlanBuilder& builder) {
    builder.read_common();
    builder.read_rope(RopeStyle::HALVES);
    builder.add_embedding();
    for (uint32_t layer = 0; layer < builder.hparams().n_layers; ++layer)
        builder.add_llama_layer(layer, {.optional_bias = true, .ffn_norm = "post_attention_norm.weight"});
    builder.add_output_head();
}

}  // namespace reprise
