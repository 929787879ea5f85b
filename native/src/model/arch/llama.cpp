// Llama 1 to 3, SmolLM2, TinyLlama, Mistral 7B and others published under the same name.
// Touvron et al., https://arxiv.org/abs/2302.13971; Grattafiori et al., https://arxiv.org/abs/2407.21783
#include "model/builder.h"

namespace reprise {

void build_llama(PlanBuilder& builder) {
    builder.read_common();
    builder.read_rope(RopeStyle::ADJACENT);
    builder.add_embedding();
    for (uint32_t layer = 0; layer < builder.hparams().n_layers; ++layer) {
        builder.add_llama_layer(layer, {.optional_bias = true});
    }
    builder.add_output_head();
}

}  // namespace reprise
