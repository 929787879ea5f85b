// reprise-synth: a GGUF file of a published model's exact shapes, with random weights and a made-up vocabulary, so that
// a machine without downloads can measure.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "core/error.h"
#include "synth/presets.h"

namespace {

using namespace reprise;

constexpr const char* kUsage =
    "usage: reprise-synth --preset NAME -o FILE [--type TYPE] [--seed N] [--threads N]\n"
    "       reprise-synth --list\n"
    "\n"
    "Writes a GGUF file with the shapes, hyper-parameters and vocabulary size of a published model and random "
    "weights:\n"
    "it runs at the model's speed and says nothing sensible.\n"
    "\n"
    "  --preset NAME   which model; --list shows them\n"
    "  --type TYPE     tensor types as published files mix them (default Q4_K_M): %s\n"
    "  --seed N        of the weights (default 1); the same seed gives the same file\n"
    "  --threads N     threads that make weights (default: all)\n"
    "  -o FILE         the file to write\n";

struct Options {
    std::string preset, output, type = "Q4_K_M";
    uint64_t seed = 1;
    unsigned threads = std::thread::hardware_concurrency();
    bool list = false, help = false;
};

uint64_t parse_number(const char* option, const char* text) {
    char* end = nullptr;
    const unsigned long long value = std::strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0') {
        fail(REPRISE_INVALID_ARGUMENT, "%s needs a number, not '%s'", option, text);
    }
    return value;
}

Options parse_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        const auto value = [&]() -> const char* {
            if (++i == argc) fail(REPRISE_INVALID_ARGUMENT, "%s needs a value", option.c_str());
            return argv[i];
        };
        if (option == "--preset") {
            options.preset = value();
        } else if (option == "-o" || option == "--output") {
            options.output = value();
        } else if (option == "--type") {
            options.type = value();
        } else if (option == "--seed") {
            options.seed = parse_number("--seed", value());
        } else if (option == "--threads") {
            const uint64_t threads = parse_number("--threads", value());
            if (threads < 1 || threads > 1024) fail(REPRISE_INVALID_ARGUMENT, "--threads takes 1 to 1024");
            options.threads = static_cast<unsigned>(threads);
        } else if (option == "--list") {
            options.list = true;
        } else if (option == "-h" || option == "--help") {
            options.help = true;
        } else {
            fail(REPRISE_INVALID_ARGUMENT, "unknown option '%s'; see --help", option.c_str());
        }
    }
    return options;
}

void list_presets() {
    std::printf("%-14s %-8s %6s %6s %6s %6s %8s %8s %8s\n", "preset", "arch", "layers", "width", "ff", "heads",
                "kv heads", "head", "vocab");
    for (const std::string& name : preset_names()) {
        const ModelSpec spec = preset(name);
        std::printf("%-14s %-8s %6u %6u %6u %6u %8u %8u %8u\n", name.c_str(), spec.architecture.c_str(), spec.n_layers,
                    spec.n_embd, spec.n_ff, spec.n_heads, spec.n_kv_heads, spec.head_dim, spec.n_vocab);
    }
}

void write_model(const Options& options) {
    if (options.preset.empty()) fail(REPRISE_INVALID_ARGUMENT, "--preset is missing; --list shows what there is");
    if (options.output.empty()) fail(REPRISE_INVALID_ARGUMENT, "-o FILE is missing");
    const auto start = std::chrono::steady_clock::now();
    const ModelSpec spec = preset(options.preset);
    const GgufWriter writer = random_model(spec, named_types(options.type, spec), options.seed);
    writer.write(options.output, options.threads);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double bytes = static_cast<double>(writer.tensor_bytes());
    std::fprintf(stderr, "%s: %s as %s, %.2f GB of weights in %.1f s (%.0f MB/s)\n", options.output.c_str(),
                 options.preset.c_str(), options.type.c_str(), bytes / 1e9, seconds, bytes / 1e6 / seconds);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Options options = parse_options(argc, argv);
        if (options.help) {
            std::printf(kUsage, type_names().c_str());
        } else if (options.list) {
            list_presets();
        } else {
            write_model(options);
        }
        return 0;
    } catch (const Error& error) {
        std::fprintf(stderr, "reprise-synth: %s\n", error.what());
        return error.status() == REPRISE_INVALID_ARGUMENT ? 2 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "reprise-synth: %s\n", error.what());
        return 1;
    }
}
