// The GGUF reader against anything. Inputs are changed half by libFuzzer, half by what knows the format.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "core/error.h"
#include "gguf/gguf.h"
#include "support/mutator.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

volatile unsigned sink;  // keeps the reads

static void need(bool condition) {
    if (!condition) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    try {
        const auto file = reprise::GgufFile::parse({data, size}, "input");
        unsigned sum = 0;
        for (const uint8_t byte : file->metadata()) sum += byte;
        for (const reprise::Tensor& tensor : file->tensors()) {
            for (const uint8_t byte : tensor.data) sum += byte;
            need(file->find_tensor(tensor.name) == &tensor);
        }
        sink = sum;
        need(file->tensor_bytes() <= size && file->file_bytes() == size);
        for (const auto& [key, value] : file->keys()) {
            need(!value.to_string().empty() && value.to_string().size() < 512);
            value.all_numbers([](double number) { return number == 0; });
        }
        // Look-ups of every kind, under a key that is there as well as under those that the reader itself uses.
        for (const char* key :
             {"general.architecture", "general.alignment", "tokenizer.ggml.tokens", "llama.block_count"}) {
            const auto try_look_up = [&](auto look_up) {
                try {
                    look_up();
                } catch (const reprise::Error& error) {
                    need(error.status() == REPRISE_MODEL_FORMAT);
                }
            };
            try_look_up([&] { file->get_uint(key); });
            try_look_up([&] { file->get_float(key); });
            try_look_up([&] { file->get_bool(key); });
            try_look_up([&] { file->get_string(key); });
            try_look_up([&] { file->get_numbers(key, 1024); });
            try_look_up([&] { file->array_length(key); });
        }
    } catch (const reprise::Error& error) {
        need(error.status() == REPRISE_MODEL_FORMAT);
    }
    return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    if (seed % 2 == 0 || size == 0) return LLVMFuzzerMutate(data, size, max_size);
    std::vector<uint8_t> file(data, data + size);
    reprise::test::Mutator(seed).mutate(file);
    const size_t n = std::min(file.size(), max_size);
    std::copy_n(file.begin(), n, data);
    return n;
}
