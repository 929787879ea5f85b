// reprise-synth: a GGUF file of a published model's exact shapes, with random weights and a made-up vocabulary, so that
// a machine without downloads can measure.
#include <getopt.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <string>
#include <thread>

#include "synth/presets.h"
#include "tool.h"

namespace {

using namespace reprise;
using tool::die;

constexpr char USAGE[] =
    "Usage: reprise-synth --preset NAME -o FILE [--type TYPE] [--layers N] [--seed N] [--threads N]\n"
    "       reprise-synth --list\n"
    "\n"
    "Writes a GGUF file with the shapes, hyper-parameters and vocabulary size of a published model and random "
    "weights:\n"
    "it runs at the model's speed and says nothing sensible.\n"
    "\n"
    "  --preset NAME   which model\n"
    "  --list          the presets and their shapes\n"
    "  --type TYPE     tensor types as published files mix them (default: Q4_K_M), one of\n"
    "                  %s\n"
    "  --layers N      another number of layers than the model's\n"
    "  --seed N        of the weights (default: 1); the same seed gives the same file\n"
    "  --threads N     threads that make weights (default: all)\n"
    "  -o FILE         the file to write\n"
    "  --help          this text\n";

struct Arguments {
    std::string preset, output, type = "Q4_K_M";
    uint32_t layers = 0;  // 0: the model's
    uint64_t seed = 1;
    unsigned threads = std::max(1u, std::thread::hardware_concurrency());
    bool list = false;
};

Arguments parse(int argc, char** argv) {
    Arguments a;
    enum { PRESET = 1000, LIST, TYPE, LAYERS, SEED, THREADS, HELP };
    const option options[] = {{"preset", 1, nullptr, PRESET},   {"list", 0, nullptr, LIST}, {"type", 1, nullptr, TYPE},
                              {"layers", 1, nullptr, LAYERS},   {"seed", 1, nullptr, SEED}, {"output", 1, nullptr, 'o'},
                              {"threads", 1, nullptr, THREADS}, {"help", 0, nullptr, HELP}, {nullptr, 0, nullptr, 0}};
    for (int c; (c = getopt_long(argc, argv, "o:", options, nullptr)) != -1;) {
        switch (c) {
            case PRESET:
                a.preset = optarg;
                break;
            case LIST:
                a.list = true;
                break;
            case TYPE:
                a.type = optarg;
                break;
            case LAYERS:
                a.layers = static_cast<uint32_t>(tool::number("--layers", optarg, 1, 1024));
                break;
            case SEED:
                a.seed = static_cast<uint64_t>(tool::number("--seed", optarg, 0, std::numeric_limits<long>::max()));
                break;
            case THREADS:
                a.threads = static_cast<unsigned>(tool::number("--threads", optarg, 1, 1024));
                break;
            case 'o':
                a.output = optarg;
                break;
            case HELP:
                std::printf(USAGE, type_names().c_str());
                std::exit(0);
            default:
                die("see --help");
        }
    }
    if (optind != argc) die("what is '%s'? see --help", argv[optind]);
    if (!a.list && a.preset.empty()) die("--preset is missing; --list shows what there is");
    if (!a.list && a.output.empty()) die("-o FILE is missing");
    return a;
}

void list_presets() {
    std::printf("%-14s %-6s %6s %6s %6s %6s %8s %6s %7s %7s\n", "preset", "arch", "layers", "width", "ff", "heads",
                "kv heads", "head", "vocab", "output");
    for (const std::string& name : preset_names()) {
        const ModelSpec spec = preset(name);
        std::printf("%-14s %-6s %6u %6u %6u %6u %8u %6u %7u %7s\n", name.c_str(), spec.architecture.c_str(),
                    spec.n_layers, spec.n_embd, spec.n_ff, spec.n_heads, spec.n_kv_heads, spec.head_dim, spec.n_vocab,
                    spec.tied_output ? "tied" : "own");
    }
}

void write_model(const Arguments& a) {
    const auto start = std::chrono::steady_clock::now();
    ModelSpec spec = preset(a.preset);
    if (a.layers > 0) spec.n_layers = a.layers;
    const GgufWriter writer = random_model(spec, named_types(a.type, spec), a.seed);
    writer.write(a.output, a.threads);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double bytes = static_cast<double>(writer.tensor_bytes());
    std::fprintf(stderr, "%s: %s as %s, %.2f GB of weights in %.1f s (%.0f MB/s)\n", a.output.c_str(), a.preset.c_str(),
                 a.type.c_str(), bytes / 1e9, seconds, bytes / 1e6 / seconds);
}

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments = parse(argc, argv);
    try {
        if (arguments.list) {
            list_presets();
        } else {
            write_model(arguments);
        }
    } catch (const std::exception& error) {
        die("%s", error.what());
    }
    return 0;
}
