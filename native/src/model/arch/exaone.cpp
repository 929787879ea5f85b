// EXAONE 3 and 3.5: Llama with halves of heads turned together. https://arxiv.org/abs/2412.04862
#include "model/layers.h"

namespace reprise {

void build_exaone(PlanBuilder& builder) {
    builder.read_common();
    builder.read_rope(RopeStyle::HALVES);
    builder.add_embedding();
    for (uint32_t layer = 0; layer < builder.hparams().n_layers; ++layer) builder.add_llama_layer(layer, {});
    builder.add_output_head();
}

}  // namespace reprise
