// Qwen2 and Qwen2.5, the text of Qwen2-VL and Qwen2.5-VL too: biases on q, k and v. https://arxiv.org/abs/2407.10671
#include "model/builder.h"

namespace reprise {

void build_qwen2(PlanBuilder& builder) {
    builder.read_common();
    builder.read_rope(RopeStyle::HALVES);
    // Of pictures; all positions of text are the same in every section.
    builder.keys().has("rope.dimension_sections");
    builder.add_embedding();
    for (uint32_t layer = 0; layer < builder.hparams().n_layers; ++layer) {
        builder.add_llama_layer(layer, {.qkv_bias = true});
    }
    builder.add_output_head();
}

}  // namespace reprise
