#include "support/gguf_seeds.h"

#include "support/tiny_model.h"

namespace reprise::test {

static ModelSpec small_spec(const std::string& architecture) {
    ModelSpec spec = tiny_spec(architecture);
    spec.n_layers = 1;
    spec.n_embd = 32;
    spec.n_ff = 64;
    spec.n_heads = 2;
    spec.n_kv_heads = 1;
    spec.head_dim = 16;
    spec.n_vocab = 300;
    spec.context_length = 64;
    spec.vocabulary.n_regular = 297;
    spec.vocabulary.specials = {{297, "<|endoftext|>"}, {298, "<|im_start|>"}, {299, "<|im_end|>"}};
    spec.vocabulary.bos = 297;
    spec.vocabulary.eos = 299;
    return spec;
}

std::vector<std::vector<uint8_t>> gguf_seeds() {
    std::vector<std::vector<uint8_t>> seeds;
    ModelSpec llama = small_spec("llama");
    llama.rope_factors = llama3_rope_factors(llama.head_dim, llama.rope_freq_base, 8);
    seeds.push_back(tiny_model_bytes(llama, uniform_types(TensorType::F32), 1));
    llama.vocabulary = sentence_piece_vocabulary(llama.n_vocab);
    llama.tied_output = false;
    seeds.push_back(tiny_model_bytes(llama, uniform_types(TensorType::Q8_0), 2));
    seeds.push_back(tiny_model_bytes(small_spec("qwen2"), uniform_types(TensorType::Q4_1), 3));
    seeds.push_back(tiny_model_bytes(small_spec("qwen3"), uniform_types(TensorType::F16), 4));

    GgufWriter metadata(2, 64);  // no model: every metadata type, a version 2 header, another alignment
    metadata.set("u8", EncodedValue::uint8(1));
    metadata.set("i16", EncodedValue::int16(-2));
    metadata.set("u64", EncodedValue::uint64(3));
    metadata.set("f64", EncodedValue::float64(4));
    metadata.set("bool", EncodedValue::boolean(true));
    const EncodedValue words = EncodedValue::strings(std::vector<std::string>{"one", "", "three"});
    const EncodedValue numbers = EncodedValue::int32s(std::vector<int32_t>{1, 2, 3});
    metadata.set("nested", EncodedValue::array(ValueType::ARRAY, std::vector<EncodedValue>{words, numbers}));
    metadata.add_tensor("t", TensorType::BF16, std::vector<uint64_t>{3, 2, 2, 1}, std::vector<float>(12, 1.0f));
    seeds.push_back(metadata.bytes());
    return seeds;
}

}  // namespace reprise::test
