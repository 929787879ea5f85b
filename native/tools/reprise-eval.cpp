// reprise-eval: feeds token ids to a model and writes the logits after each, or prints the perplexity of the ids.
// Goes through reprise.h alone, so what it measures is what every user of the library gets.
#include <getopt.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "reprise.h"
#include "tool.h"

namespace {

using tool::check;
using tool::die;

constexpr char USAGE[] =
    "Usage: reprise-eval MODEL --tokens IDS.i32 (--logits OUT.f32 | --perplexity WINDOW) [options]\n"
    "\n"
    "Feeds the token ids (little-endian int32) from position 0 and writes float32 logits, one row of vocabulary size\n"
    "per position; or prints the perplexity of the ids in consecutive windows, each from an empty context, the last\n"
    "partial window dropped and the first token of each window not scored.\n"
    "\n"
    "  --tokens FILE        the ids\n"
    "  --logits FILE        where the logits go\n"
    "  --perplexity WINDOW  print the perplexity over windows of this many tokens\n"
    "  --device NAME        auto, cpu or cuda (default: auto)\n"
    "  --mode MODE          batch: prefill; step: one eager decode step per token; graph: one replay of the decode\n"
    "                       graph per token, its ids taken from a queue on the device (default: batch)\n"
    "  --exact              reference arithmetic: weights, activations and KV in float32; slow\n"
    "  --kv TYPE            the KV cache: f16, f32 or q8_0 (default: f16)\n"
    "  --unfused            decode on CUDA with the kernels that the fused ones are tested against\n"
    "  --threads N          CPU threads (default: all the process may use)\n"
    "  --help               this text\n";

struct Arguments {
    std::string model, tokens, logits;
    long window = 0;
    int32_t mode = REPRISE_SCORE_BATCH;
    reprise_model_options model_options;
    reprise_session_options session_options;
};

Arguments parse(int argc, char** argv) {
    Arguments a;
    reprise_model_options_default(&a.model_options);
    reprise_session_options_default(&a.session_options);
    enum { TOKENS = 1000, LOGITS, PERPLEXITY, DEVICE, MODE, EXACT, KV, UNFUSED, THREADS, HELP };
    const option options[] = {{"tokens", 1, nullptr, TOKENS}, {"logits", 1, nullptr, LOGITS}, {"perplexity", 1, nullptr, PERPLEXITY},
                              {"device", 1, nullptr, DEVICE}, {"mode", 1, nullptr, MODE},     {"exact", 0, nullptr, EXACT},
                              {"kv", 1, nullptr, KV},         {"unfused", 0, nullptr, UNFUSED}, {"threads", 1, nullptr, THREADS}, {"help", 0, nullptr, HELP},
                              {nullptr, 0, nullptr, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
        switch (c) {
            case TOKENS: a.tokens = optarg; break;
            case LOGITS: a.logits = optarg; break;
            case PERPLEXITY: a.window = tool::number("--perplexity", optarg, 2, 1 << 24); break;
            case DEVICE: a.model_options.device = tool::choice("--device", optarg, {"auto", "cpu", "cuda"}); break;
            case MODE: a.mode = tool::choice("--mode", optarg, {"batch", "step", "graph"}); break;
            case EXACT: a.model_options.exact = 1; break;
            case KV: a.session_options.kv_type = tool::choice("--kv", optarg, {"f16", "f32", "q8_0"}); break;
            case UNFUSED: a.session_options.unfused = 1; break;
            case THREADS: a.model_options.threads = static_cast<int32_t>(tool::number("--threads", optarg, 1, 1024)); break;
            case HELP: std::fputs(USAGE, stdout); std::exit(0);
            default: die("%s", USAGE);
        }
    }
    if (argc - optind != 1) die("exactly one model file is wanted\n%s", USAGE);
    a.model = argv[optind];
    if (a.tokens.empty()) die("--tokens is missing\n%s", USAGE);
    if (a.logits.empty() == (a.window == 0)) die("one of --logits and --perplexity is wanted\n%s", USAGE);
    return a;
}

std::vector<int32_t> read_ids(const std::string& path) {
    tool::File file(path, "rb");
    std::vector<int32_t> ids;
    int32_t buffer[4096];
    size_t n;
    while ((n = std::fread(buffer, 1, sizeof buffer, file.get())) > 0) {
        if (n % sizeof(int32_t) != 0) die("%s: the size is not a multiple of 4 bytes", path.c_str());
        ids.insert(ids.end(), buffer, buffer + n / sizeof(int32_t));
    }
    if (ids.empty()) die("%s: no token ids", path.c_str());
    return ids;
}

/// -log p(target) under softmax(logits), in double.
double negative_log_likelihood(const float* logits, size_t n_vocab, int32_t target) {
    const double max = *std::max_element(logits, logits + n_vocab);
    double sum = 0;
    for (size_t i = 0; i < n_vocab; ++i) sum += std::exp(logits[i] - max);
    return std::log(sum) + max - logits[target];
}

class Evaluation {
  public:
    Evaluation(const Arguments& arguments, uint32_t context_length) : mode_(arguments.mode) {
        reprise_handle gguf;
        check(reprise_gguf_open(arguments.model.c_str(), 1, &gguf));
        check(reprise_model_load(gguf, &arguments.model_options, &model_));
        check(reprise_gguf_close(gguf));
        reprise_model_info info;
        check(reprise_model_get_info(model_, &info));
        n_vocab_ = static_cast<size_t>(info.n_vocab);
        reprise_session_options options = arguments.session_options;
        options.context_length = static_cast<int32_t>(context_length);
        check(reprise_session_open(model_, &options, &session_));
    }
    ~Evaluation() { reprise_model_close(model_); }

    size_t n_vocab() const { return n_vocab_; }
    void restart() { check(reprise_session_rewind(session_, 0)); }

    /// Feeds ids and gives sink(index, row) the logits after each.
    template <class Sink>
    void feed(const int32_t* ids, size_t n, Sink sink) {
        constexpr size_t PIECE = 512;
        rows_.resize(std::min(PIECE, n) * n_vocab_);
        for (size_t done = 0; done < n; done += PIECE) {
            const size_t piece = std::min(PIECE, n - done);
            check(reprise_session_score(session_, ids + done, piece, mode_, rows_.data()));
            for (size_t i = 0; i < piece; ++i) sink(done + i, rows_.data() + i * n_vocab_);
        }
    }

  private:
    int32_t mode_;
    reprise_handle model_ = 0, session_ = 0;
    size_t n_vocab_ = 0;
    std::vector<float> rows_;
};

void write_logits(const Arguments& arguments, const std::vector<int32_t>& ids) {
    Evaluation evaluation(arguments, static_cast<uint32_t>(ids.size()));
    tool::File out(arguments.logits, "wb");
    evaluation.feed(ids.data(), ids.size(), [&](size_t, const float* row) {
        if (std::fwrite(row, sizeof(float), evaluation.n_vocab(), out.get()) != evaluation.n_vocab()) die("%s: cannot write: %s", arguments.logits.c_str(), std::strerror(errno));
    });
    out.close();
}

void print_perplexity(const Arguments& arguments, const std::vector<int32_t>& ids) {
    const size_t window = static_cast<size_t>(arguments.window);
    if (ids.size() < window) die("%zu tokens do not fill one window of %zu", ids.size(), window);
    Evaluation evaluation(arguments, static_cast<uint32_t>(window));
    double total = 0;
    size_t n_scored = 0;
    for (size_t start = 0; start + window <= ids.size(); start += window) {
        evaluation.restart();
        evaluation.feed(ids.data() + start, window, [&](size_t i, const float* row) {
            if (i + 1 == window) return;
            total += negative_log_likelihood(row, evaluation.n_vocab(), ids[start + i + 1]);
            ++n_scored;
        });
    }
    std::printf("perplexity %.4f over %zu tokens in %zu windows of %zu\n", std::exp(total / static_cast<double>(n_scored)), n_scored, ids.size() / window, window);
}

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments = parse(argc, argv);
    const std::vector<int32_t> ids = read_ids(arguments.tokens);
    if (arguments.window != 0) {
        print_perplexity(arguments, ids);
    } else {
        write_logits(arguments, ids);
    }
    return 0;
}
