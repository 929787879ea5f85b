// reprise-mutants DIR [COUNT [SEED]]: writes small well-formed GGUF files (seed-N.gguf, a corpus to fuzz from) and
// COUNT mutants of them (mutant-NNNNN.gguf, one or two mutations each) for tests that are not written in C++.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/error.h"
#include "support/gguf_seeds.h"
#include "support/mutator.h"

namespace {

using Bytes = std::vector<uint8_t>;

void write(const std::filesystem::path& path, const Bytes& bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!out.flush()) reprise::fail(REPRISE_IO, "cannot write %s", path.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2 || argc > 4) {
        std::fprintf(stderr, "usage: reprise-mutants DIR [COUNT [SEED]]\n");
        return 2;
    }
    try {
        const std::filesystem::path dir = argv[1];
        const int count = argc > 2 ? std::atoi(argv[2]) : 0;
        const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
        std::filesystem::create_directories(dir);
        const std::vector<Bytes> seeds = reprise::test::gguf_seeds();
        for (size_t i = 0; i < seeds.size(); ++i) write(dir / reprise::format("seed-%zu.gguf", i), seeds[i]);
        reprise::test::Mutator mutator(seed);
        reprise::RandomBits random(seed + 1);
        for (int i = 0; i < count; ++i) {
            Bytes file = seeds[random.below(seeds.size())];
            for (uint64_t n = 1 + random.below(2); n > 0; --n) mutator.mutate(file);
            write(dir / reprise::format("mutant-%05d.gguf", i), file);
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "reprise-mutants: %s\n", error.what());
        return 1;
    }
    return 0;
}
