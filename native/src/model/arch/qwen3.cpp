// Qwen3 (dense), the text of Qwen3-VL too: every q and k head is normalised before RoPE.
// https://arxiv.org/abs/2505.09388
#include "model/builder.h"

namespace reprise {

void build_qwen3(PlanBuilder& builder) {
    builder.read_common();
    builder.read_rope(RopeStyle::HALVES);
    // Of pictures: all positions of text are the same in every section, and text adds nothing to the first layers.
    builder.keys().has("rope.dimension_sections");
    builder.keys().has("n_deepstack_layers");
    builder.add_embedding();
    for (uint32_t layer = 0; layer < builder.hparams().n_layers; ++layer) {
        builder.add_llama_layer(layer, {.qk_norm = true});
    }
    builder.add_output_head();
}

}  // namespace reprise
