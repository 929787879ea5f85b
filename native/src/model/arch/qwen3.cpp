// Qwen3 (dense): every q and k head is normalised before RoPE. https://arxiv.org/abs/2505.09388
#include "model/builder.h"

namespace reprise {

void build_qwen3(PlanBuilder& builder) {
    builder.read_common();
    builder.read_rope(RopeStyle::HALVES);
    builder.add_embedding();
    for (uint32_t layer = 0; layer < builder.hparams().n_layers; ++layer) {
        builder.add_llama_layer(layer, {.qk_norm = true});
    }
    builder.add_output_head();
}

}  // namespace reprise
