// reprise-eval: feeds token ids to a model and writes the logits after each, or prints the perplexity of the ids.
// Goes through reprise.h alone, so what it measures is what every user of the library gets.
#include <getopt.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "compare_steps.h"
#include "reprise.h"
#include "tool.h"

namespace {

using tool::check;
using tool::die;

constexpr char USAGE[] =
    "Usage: reprise-eval MODEL (--tokens IDS.i32 | --random N) (--logits OUT.f32 | --perplexity WINDOW | --greedy N |\n"
    "                    --compare-steps) [options]\n"
    "\n"
    "Feeds the token ids (little-endian int32) from position 0 and writes float32 logits, one row of vocabulary size\n"
    "per position; or prints the perplexity of the ids in consecutive windows, each from an empty context, the last\n"
    "partial window dropped and the first token of each window not scored; or continues them with the likeliest "
    "tokens.\n"
    "Logits with a NaN or an infinity among them are an error that names the token they follow.\n"
    "\n"
    "  --tokens FILE        the ids\n"
    "  --random N           the N ids that reprise-bench feeds\n"
    "  --logits FILE        where the logits go\n"
    "  --perplexity WINDOW  print the perplexity over windows of this many tokens\n"
    "  --greedy N           continue by N tokens, each the largest of the logits on the host, and print their hash, "
    "which\n"
    "                       is that of reprise-bench -n N-1\n"
    "  --compare-steps      compare every value of the steps with that of the exact arithmetic on the CPU, print how "
    "far\n"
    "                       each kind is off, and exit with 2 naming the first that is off by more than the tolerance: "
    "the\n"
    "                       root mean square of the difference by that of the exact row\n"
    "  --tolerance X        (default: 0.25)\n"
    "  --prefill N          evaluate the first N ids as a prompt and write the logits after the others alone\n"
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
    long window = 0, n_random = 0, n_greedy = 0, n_prefill = 0;
    int32_t mode = REPRISE_SCORE_BATCH;
    bool compare_steps = false;
    double tolerance = 0.25;
    reprise_model_options model_options;
    reprise_session_options session_options;
};

Arguments parse(int argc, char** argv) {
    Arguments a;
    reprise_model_options_default(&a.model_options);
    reprise_session_options_default(&a.session_options);
    enum {
        TOKENS = 1000,
        RANDOM,
        LOGITS,
        PERPLEXITY,
        GREEDY,
        PREFILL,
        COMPARE_STEPS,
        TOLERANCE,
        DEVICE,
        MODE,
        EXACT,
        KV,
        UNFUSED,
        THREADS,
        HELP
    };
    const option options[] = {{"tokens", 1, nullptr, TOKENS},
                              {"logits", 1, nullptr, LOGITS},
                              {"perplexity", 1, nullptr, PERPLEXITY},
                              {"random", 1, nullptr, RANDOM},
                              {"greedy", 1, nullptr, GREEDY},
                              {"prefill", 1, nullptr, PREFILL},
                              {"device", 1, nullptr, DEVICE},
                              {"mode", 1, nullptr, MODE},
                              {"exact", 0, nullptr, EXACT},
                              {"kv", 1, nullptr, KV},
                              {"unfused", 0, nullptr, UNFUSED},
                              {"threads", 1, nullptr, THREADS},
                              {"help", 0, nullptr, HELP},
                              {"compare-steps", 0, nullptr, COMPARE_STEPS},
                              {"tolerance", 1, nullptr, TOLERANCE},
                              {nullptr, 0, nullptr, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
        switch (c) {
            case TOKENS:
                a.tokens = optarg;
                break;
            case RANDOM:
                a.n_random = tool::number("--random", optarg, 1, 1 << 24);
                break;
            case LOGITS:
                a.logits = optarg;
                break;
            case GREEDY:
                a.n_greedy = tool::number("--greedy", optarg, 1, 1 << 24);
                break;
            case PREFILL:
                a.n_prefill = tool::number("--prefill", optarg, 1, 1 << 24);
                break;
            case COMPARE_STEPS:
                a.compare_steps = true;
                break;
            case TOLERANCE:
                a.tolerance = tool::real("--tolerance", optarg, 0, 1e6);
                break;
            case PERPLEXITY:
                a.window = tool::number("--perplexity", optarg, 2, 1 << 24);
                break;
            case DEVICE:
                a.model_options.device = tool::choice("--device", optarg, {"auto", "cpu", "cuda"});
                break;
            case MODE:
                a.mode = tool::choice("--mode", optarg, {"batch", "step", "graph"});
                break;
            case EXACT:
                a.model_options.exact = 1;
                break;
            case KV:
                a.session_options.kv_type = tool::choice("--kv", optarg, {"f16", "f32", "q8_0"});
                break;
            case UNFUSED:
                a.session_options.unfused = 1;
                break;
            case THREADS:
                a.model_options.threads = static_cast<int32_t>(tool::number("--threads", optarg, 1, 1024));
                break;
            case HELP:
                std::fputs(USAGE, stdout);
                std::exit(0);
            default:
                die("%s", USAGE);
        }
    }
    if (argc - optind != 1) die("exactly one model file is wanted\n%s", USAGE);
    a.model = argv[optind];
    if (a.tokens.empty() == (a.n_random == 0)) die("one of --tokens and --random is wanted\n%s", USAGE);
    if (!a.logits.empty() + (a.window != 0) + (a.n_greedy != 0) + a.compare_steps != 1)
        die("one of --logits, --perplexity, --greedy and --compare-steps is wanted\n%s", USAGE);
    if (a.compare_steps && a.model_options.exact) die("--exact has nothing to be compared with by --compare-steps");
    if (a.n_prefill != 0 && a.logits.empty()) die("--prefill goes with --logits\n%s", USAGE);
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

/// Exits naming the first of the logits that is not finite. position: of the token they follow, among the ids and what
/// continues them.
void require_finite(const float* logits, size_t n_vocab, size_t position, int32_t id) {
    const auto is_bad = [](float logit) { return !std::isfinite(logit); };
    const float* bad = std::find_if(logits, logits + n_vocab, is_bad);
    if (bad == logits + n_vocab) return;
    die("the logits after the token at position %zu (id %d) are no numbers: that of id %td is %s, as %td of %zu are "
        "NaN or infinite; the model's weights are damaged, or its values exceed what the device computes with",
        position, id, bad - logits,
        std::isnan(*bad) ? "NaN"
        : *bad > 0       ? "infinity"
                         : "-infinity",
        std::count_if(bad, logits + n_vocab, is_bad), n_vocab);
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
    explicit Evaluation(const Arguments& arguments)
        : mode_(arguments.mode), session_options_(arguments.session_options) {
        reprise_handle gguf;
        check(reprise_gguf_open(arguments.model.c_str(), 1, &gguf));
        check(reprise_model_load(gguf, &arguments.model_options, &model_));
        check(reprise_gguf_close(gguf));
        reprise_model_info info;
        check(reprise_model_get_info(model_, &info));
        n_vocab_ = static_cast<size_t>(info.n_vocab);
    }
    ~Evaluation() { reprise_model_close(model_); }

    size_t n_vocab() const { return n_vocab_; }
    reprise_handle model() const { return model_; }
    void open(size_t context_length) {
        session_options_.context_length = static_cast<int32_t>(context_length);
        check(reprise_session_open(model_, &session_options_, &session_));
    }
    /// From an empty context on; the next token to be fed counts as the one at position.
    void restart(size_t position) {
        check(reprise_session_rewind(session_, 0));
        position_ = position;
    }
    /// The logits after the last of ids.
    std::vector<float> prefill(const int32_t* ids, size_t n) {
        check(reprise_session_evaluate(session_, ids, n));
        position_ += n;
        std::vector<float> row(n_vocab_);
        check(reprise_session_logits(session_, row.data(), row.size()));
        require_finite(row.data(), n_vocab_, position_ - 1, ids[n - 1]);
        return row;
    }

    /// Feeds ids and gives sink(index, row) the logits after each, all of them numbers.
    template <class Sink>
    void feed(const int32_t* ids, size_t n, Sink sink) {
        constexpr size_t PIECE = 512;
        rows_.resize(std::min(PIECE, n) * n_vocab_);
        for (size_t done = 0; done < n; done += PIECE) {
            const size_t piece = std::min(PIECE, n - done);
            check(reprise_session_score(session_, ids + done, piece, mode_, rows_.data()));
            for (size_t i = done; i < done + piece; ++i) {
                const float* row = rows_.data() + (i - done) * n_vocab_;
                require_finite(row, n_vocab_, position_++, ids[i]);
                sink(i, row);
            }
        }
    }

  private:
    int32_t mode_;
    reprise_session_options session_options_;
    reprise_handle model_ = 0, session_ = 0;
    size_t n_vocab_ = 0;
    size_t position_ = 0;  // of the next token
    std::vector<float> rows_;
};

void write_logits(const Arguments& arguments, Evaluation& evaluation, const std::vector<int32_t>& ids) {
    const auto prefill = static_cast<size_t>(arguments.n_prefill);
    if (prefill >= ids.size()) die("--prefill %zu leaves none of %zu ids", prefill, ids.size());
    evaluation.open(ids.size());
    tool::File out(arguments.logits, "wb");
    if (prefill > 0) evaluation.prefill(ids.data(), prefill);
    evaluation.feed(ids.data() + prefill, ids.size() - prefill, [&](size_t, const float* row) {
        if (std::fwrite(row, sizeof(float), evaluation.n_vocab(), out.get()) != evaluation.n_vocab())
            die("%s: cannot write: %s", arguments.logits.c_str(), std::strerror(errno));
    });
    out.close();
}

void print_greedy(const Arguments& arguments, Evaluation& evaluation, const std::vector<int32_t>& ids) {
    const auto n = static_cast<size_t>(arguments.n_greedy);
    evaluation.open(ids.size() + n);
    std::vector<float> logits = evaluation.prefill(ids.data(), ids.size());
    tool::TokenHash hash;
    for (size_t i = 0; i < n; ++i) {
        const auto token = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        hash.add(token);
        if (i + 1 < n)
            evaluation.feed(&token, 1,
                            [&](size_t, const float* row) { std::copy_n(row, logits.size(), logits.begin()); });
    }
    std::printf("greedy %016" PRIx64 " of %zu tokens\n", hash.value(), n);
}

void print_perplexity(const Arguments& arguments, Evaluation& evaluation, const std::vector<int32_t>& ids) {
    const size_t window = static_cast<size_t>(arguments.window);
    if (ids.size() < window) die("%zu tokens do not fill one window of %zu", ids.size(), window);
    evaluation.open(window);
    double total = 0;
    size_t n_scored = 0;
    for (size_t start = 0; start + window <= ids.size(); start += window) {
        evaluation.restart(start);
        evaluation.feed(ids.data() + start, window, [&](size_t i, const float* row) {
            if (i + 1 == window) return;
            total += negative_log_likelihood(row, evaluation.n_vocab(), ids[start + i + 1]);
            ++n_scored;
        });
    }
    const double perplexity = std::exp(total / static_cast<double>(n_scored));
    if (!std::isfinite(perplexity))
        die("the perplexity exceeds what a number can hold: -log p is %g in the mean over %zu tokens",
            total / static_cast<double>(n_scored), n_scored);
    std::printf("perplexity %.4f over %zu tokens in %zu windows of %zu\n", perplexity, n_scored, ids.size() / window,
                window);
}

bool compare_steps(const Arguments& arguments, const Evaluation& evaluation, const std::vector<int32_t>& ids) {
    Arguments exact = arguments;
    exact.model_options.device = REPRISE_DEVICE_CPU;
    exact.model_options.exact = 1;
    const Evaluation reference(exact);
    constexpr size_t ROWS = 16;  // whose values both fit into memory
    return tool::compare_steps(evaluation.model(), reference.model(), arguments.session_options, ids,
                               {arguments.tolerance, arguments.mode == REPRISE_SCORE_BATCH ? ROWS : 1});
}

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments = parse(argc, argv);
    std::vector<int32_t> ids;
    if (!arguments.tokens.empty()) ids = read_ids(arguments.tokens);  // first: a model takes longer to load
    Evaluation evaluation(arguments);
    if (arguments.n_random != 0)
        ids = tool::random_ids(static_cast<size_t>(arguments.n_random), static_cast<int32_t>(evaluation.n_vocab()));
    if (arguments.compare_steps) {
        return compare_steps(arguments, evaluation, ids) ? 0 : 2;
    } else if (arguments.window != 0) {
        print_perplexity(arguments, evaluation, ids);
    } else if (arguments.n_greedy != 0) {
        print_greedy(arguments, evaluation, ids);
    } else {
        write_logits(arguments, evaluation, ids);
    }
    return 0;
}
