#include "support/tiny_model.h"

namespace reprise::test {

ModelSpec tiny_spec(const std::string& architecture) {
    ModelSpec spec;
    spec.architecture = architecture;
    spec.name = "tiny " + architecture;
    spec.n_layers = 2;
    spec.n_embd = 256;
    spec.n_ff = 512;
    spec.n_heads = 4;
    spec.n_kv_heads = 2;
    spec.head_dim = architecture == "qwen3" ? 128 : 64;
    spec.n_vocab = 512;
    spec.context_length = 256;
    spec.qkv_bias = architecture == "qwen2";
    spec.qk_norm = architecture == "qwen3";
    spec.vocabulary.n_regular = 509;
    spec.vocabulary.specials = {{509, "<|endoftext|>"}, {510, "<|im_start|>"}, {511, "<|im_end|>"}};
    spec.vocabulary.bos = 509;
    spec.vocabulary.eos = 511;
    spec.vocabulary.add_bos = true;
    return spec;
}

VocabularySpec sentence_piece_vocabulary(uint32_t n_vocab) {
    VocabularySpec vocabulary;
    vocabulary.kind = VocabularyKind::SENTENCE_PIECE;
    vocabulary.pre = "default";
    vocabulary.n_regular = n_vocab;
    vocabulary.bos = 1;
    vocabulary.eos = 2;
    vocabulary.add_bos = true;
    return vocabulary;
}

std::vector<uint8_t> tiny_model_bytes(const ModelSpec& spec, const TypeMix& types, uint64_t seed) {
    return random_model(spec, types, seed).bytes();
}

std::string write_tiny_model(const TempDir& dir, const ModelSpec& spec, const TypeMix& types, uint64_t seed,
                             const std::string& name) {
    const std::string path = dir.file(name);
    random_model(spec, types, seed).write(path);
    return path;
}

}  // namespace reprise::test
