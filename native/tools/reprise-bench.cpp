// reprise-bench: tokens per second of prefill and decode, and what share of the memory bandwidth that is.
// Goes through reprise.h alone, but for the bandwidth ceiling, for the file's vocabulary and for the constraint of
// --constrained US, which no handle stands for: it costs what is asked for and allows every token, so that the tokens
// must be those of the free generation.
#include <getopt.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "api/session_object.h"
#include "core/error.h"
#include "cuda/bandwidth.h"
#include "reprise.h"
#include "sequences.h"
#include "session/session.h"
#include "tool.h"
#include "vocabulary.h"

namespace {

using tool::check;
using tool::die;

constexpr char USAGE[] =
    "Usage: reprise-bench -m MODEL [options]\n"
    "\n"
    "Measures prefill (pp) and decode (tg) of one model. Prompts are random ids; decode is greedy, its depth is "
    "really\n"
    "prefilled, and output head and sampling run in every step. One repetition more than asked for warms up.\n"
    "\n"
    "  -m FILE             the model\n"
    "  -p N[,N...]         prompt lengths to prefill (default: 512); 0: none\n"
    "  -n N                tokens to decode (default: 256); 0: none\n"
    "  -d N[,N...]         tokens in the context before decoding (default: 0)\n"
    "  -r N                repetitions (default: 5)\n"
    "  --graph MODE        auto, eager or graph (default: auto)\n"
    "  --device NAME       auto, cpu or cuda (default: auto)\n"
    "  --kv TYPE           the KV cache: f16, f32 or q8_0 (default: f16)\n"
    "  --threads N         CPU threads (default: all the process may use)\n"
    "  --bench-equivalent  decode as llama-bench does: random ids are fed, and all logits are copied to the host, "
    "which\n"
    "                      waits for them after every token\n"
    "  --sequences N[,N..] instead: tokens per second of N sequences that decode at the same time, a thread each\n"
    "  --prompt-tokens N   in front of each of those (default: 128)\n"
    "  --constrained WHAT  decode once more under a constraint: json, lines of JSON as a schema wants them, in the "
    "model's\n"
    "                      own vocabulary; or a number, the microseconds that a mask which allows every token takes\n"
    "                      of the host's time\n"
    "  -o FORMAT           md or json (default: md)\n"
    "  --help              this text\n";

/// Microseconds may be asked for, so that what a slower mask would cost can be seen; JSON is what a program wants.
enum class Constrained { NOT, JSON, SYNTHETIC };

/// JSON without an end: a line may always follow, and the end token is banned. Strings are bounded, since random
/// weights would go on with one for ever.
constexpr char LINES_OF_JSON[] = R"(start: item ("\n" item)*
item: %json {
  "x-guidance": {"whitespace_flexible": false},
  "type": "object", "additionalProperties": false, "required": ["id", "name", "kind", "tags", "position"],
  "properties": {
    "id": {"type": "integer", "minimum": 0, "maximum": 99999},
    "name": {"type": "string", "minLength": 1, "maxLength": 40},
    "kind": {"enum": ["road", "river", "railway", null]},
    "tags": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string", "maxLength": 12}},
    "position": {"type": "object", "additionalProperties": false, "required": ["x", "y"], "properties": {
      "x": {"type": "number", "minimum": -180, "maximum": 180}, "y": {"type": "boolean"}}}}}
)";

struct Arguments {
    std::string model;
    std::vector<long> prompts = {512}, depths = {0}, sequences;
    long n_decode = 256, repetitions = 5, prompt_tokens = 128;
    Constrained constrained = Constrained::NOT;
    long mask_us = 0;  // of SYNTHETIC
    bool bench_equivalent = false, json = false;
    reprise_model_options model_options;
    reprise_session_options session_options;
};

std::vector<long> numbers(const char* option, const std::string& text, long max, long min = 0) {
    std::vector<long> result;
    for (size_t begin = 0; begin <= text.size();) {
        const size_t end = std::min(text.find(',', begin), text.size());
        result.push_back(tool::number(option, text.substr(begin, end - begin).c_str(), min, max));
        begin = end + 1;
    }
    return result;
}

Arguments parse(int argc, char** argv) {
    constexpr long MAX_TOKENS = 1 << 20;
    Arguments a;
    reprise_model_options_default(&a.model_options);
    reprise_session_options_default(&a.session_options);
    a.session_options.prefix_sharing = 0;  // what repetitions evaluate is the same
    enum { GRAPH = 1000, DEVICE, KV, THREADS, BENCH_EQUIVALENT, SEQUENCES, PROMPT_TOKENS, CONSTRAINED, HELP };
    const option options[] = {{"graph", 1, nullptr, GRAPH},
                              {"device", 1, nullptr, DEVICE},
                              {"kv", 1, nullptr, KV},
                              {"threads", 1, nullptr, THREADS},
                              {"help", 0, nullptr, HELP},
                              {"bench-equivalent", 0, nullptr, BENCH_EQUIVALENT},
                              {"sequences", 1, nullptr, SEQUENCES},
                              {"prompt-tokens", 1, nullptr, PROMPT_TOKENS},
                              {"constrained", 1, nullptr, CONSTRAINED},
                              {nullptr, 0, nullptr, 0}};
    for (int c; (c = getopt_long(argc, argv, "m:p:n:d:r:o:", options, nullptr)) != -1;) {
        switch (c) {
            case 'm':
                a.model = optarg;
                break;
            case 'p':
                a.prompts = numbers("-p", optarg, MAX_TOKENS);
                break;
            case 'n':
                a.n_decode = tool::number("-n", optarg, 0, MAX_TOKENS);
                break;
            case 'd':
                a.depths = numbers("-d", optarg, MAX_TOKENS);
                break;
            case 'r':
                a.repetitions = tool::number("-r", optarg, 1, 1000);
                break;
            case 'o':
                a.json = tool::choice("-o", optarg, {"md", "json"}) == 1;
                break;
            case GRAPH:
                a.session_options.graph_mode = tool::choice("--graph", optarg, {"auto", "eager", "graph"});
                break;
            case DEVICE:
                a.model_options.device = tool::choice("--device", optarg, {"auto", "cpu", "cuda"});
                break;
            case KV:
                a.session_options.kv_type = tool::choice("--kv", optarg, {"f16", "f32", "q8_0"});
                break;
            case THREADS:
                a.model_options.threads = static_cast<int32_t>(tool::number("--threads", optarg, 1, 1024));
                break;
            case BENCH_EQUIVALENT:
                a.bench_equivalent = true;
                break;
            case SEQUENCES:
                a.sequences = numbers("--sequences", optarg, 1024, 1);
                break;
            case PROMPT_TOKENS:
                a.prompt_tokens = tool::number("--prompt-tokens", optarg, 1, MAX_TOKENS);
                break;
            case CONSTRAINED:
                a.constrained = std::string("json") == optarg ? Constrained::JSON : Constrained::SYNTHETIC;
                if (a.constrained == Constrained::SYNTHETIC)
                    a.mask_us = tool::number("--constrained", optarg, 0, 1000000);
                break;
            case HELP:
                std::fputs(USAGE, stdout);
                std::exit(0);
            default:
                die("%s", USAGE);
        }
    }
    if (a.model.empty() || argc != optind) die("-m names the model\n%s", USAGE);
    if (a.constrained != Constrained::NOT && a.bench_equivalent)
        die("--bench-equivalent draws nothing that --constrained could constrain");
    if (!a.sequences.empty()) {
        if (a.n_decode == 0) die("-n 0: sequences that decode no token take no time to measure");
        a.prompts.clear();
        a.depths.clear();
    }
    return a;
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Allows every token, and takes its time.
class Synthetic : public reprise::Constraint {
  public:
    Synthetic(long mask_us, int32_t n_vocab) : seconds_(static_cast<double>(mask_us) * 1e-6), n_vocab_(n_vocab) {}
    void mask(std::span<uint32_t> mask) override {
        const double start = seconds();
        std::ranges::fill(mask, ~0u);
        if (n_vocab_ % 32 != 0) mask.back() = (1u << n_vocab_ % 32) - 1;
        while (seconds() - start < seconds_) __builtin_ia32_pause();
    }
    void accept(int32_t) override {}
    bool complete() const override { return false; }
    std::unique_ptr<Constraint> clone() const override { return std::make_unique<Synthetic>(*this); }

  private:
    const double seconds_;
    const int32_t n_vocab_;
};

/// One line of the result.
struct Row {
    std::string test;           // "pp512", "tg256", "tg256 @ d4096"
    std::vector<double> rates;  // tokens per second, sorted
    bool is_decode = false;
    uint64_t token_hash = 0;  // FNV-1a of the drawn ids; 0: none were drawn
    double submit_us = 0;     // host time spent launching, per token
    uint64_t kernels = 0;     // per token
    double median() const { return rates[rates.size() / 2]; }
};

class Bench {
  public:
    explicit Bench(const Arguments& arguments) : arguments_(arguments) {
        reprise_handle gguf;
        check(reprise_gguf_open(arguments.model.c_str(), 1, &gguf));
        check(reprise_model_load(gguf, &arguments.model_options, &model_));
        check(reprise_gguf_close(gguf));
        check(reprise_model_get_info(model_, &info_));
        long longest = 1;
        for (const long p : arguments.prompts) longest = std::max(longest, p);
        for (const long d : arguments.depths) longest = std::max(longest, d + arguments.n_decode + 2);
        reprise_session_options options = arguments.session_options;
        options.context_length = static_cast<int32_t>(longest);
        check(reprise_session_open(model_, &options, &session_));
        ids_ = tool::random_ids(static_cast<size_t>(longest), info_.n_vocab);
    }
    ~Bench() {
        if (constraint_ != 0) reprise_constraint_close(constraint_);
        reprise_model_close(model_);
    }

    const reprise_model_info& info() const { return info_; }

    tool::SequencesResult sequences(long n) {
        return tool::measure_sequences(model_, arguments_.session_options, static_cast<size_t>(n),
                                       static_cast<size_t>(arguments_.prompt_tokens),
                                       static_cast<size_t>(arguments_.n_decode), arguments_.repetitions);
    }

    Row prefill(long n) {
        Row row;
        row.test = "pp" + std::to_string(n);
        for (long r = 0; r <= arguments_.repetitions; ++r) {
            check(reprise_session_rewind(session_, 0));
            const double start = seconds();
            check(reprise_session_evaluate(session_, ids_.data(), static_cast<size_t>(n)));
            if (r > 0) row.rates.push_back(static_cast<double>(n) / (seconds() - start));
        }
        std::sort(row.rates.begin(), row.rates.end());
        return row;
    }

    Row decode(long n, long depth, Constrained constrained) {
        Row row;
        row.is_decode = true;
        row.test = "tg" + std::to_string(n) + (depth > 0 ? " @ d" + std::to_string(depth) : "");
        if (constrained == Constrained::JSON) row.test += ", constrained to JSON";
        if (constrained == Constrained::SYNTHETIC)
            row.test += ", constrained, " + std::to_string(arguments_.mask_us) + " us";
        // The last token in front is evaluated in every repetition, so that all of them start from the same bits.
        const auto last = static_cast<size_t>(std::max(depth, 1L)) - 1;
        check(reprise_session_rewind(session_, 0));
        check(reprise_session_evaluate(session_, ids_.data(), last));
        for (long r = 0; r <= arguments_.repetitions; ++r) {
            check(reprise_session_rewind(session_, static_cast<int32_t>(last)));
            check(reprise_session_evaluate(session_, &ids_[last], 1));
            const reprise_statistics before = statistics();
            const double elapsed = arguments_.bench_equivalent ? feed(n) : generate(n, constrained, row, r == 0);
            if (r == 0) continue;
            const reprise_statistics after = statistics();
            row.rates.push_back(static_cast<double>(n) / elapsed);
            row.submit_us = static_cast<double>(after.submit_ns - before.submit_ns) * 1e-3 / static_cast<double>(n);
            row.kernels = after.kernels_per_token;
        }
        std::sort(row.rates.begin(), row.rates.end());
        return row;
    }

  private:
    reprise_statistics statistics() const {
        reprise_statistics s;
        check(reprise_session_statistics(session_, &s));
        return s;
    }

    /// Seconds from the first token, which comes from the prompt's logits, to the n-th behind it.
    double generate(long n, Constrained constrained, Row& row, bool is_first) {
        if (constrained == Constrained::SYNTHETIC) {
            start_synthetic(n);
        } else {
            reprise_sampling sampling;
            reprise_sampling_default(&sampling);
            if (constrained == Constrained::JSON) constrain(sampling);
            check(reprise_session_generate(session_, nullptr, 0, &sampling, static_cast<int32_t>(n) + 1, nullptr, 0));
        }
        tool::TokenHash hash;
        double start = 0;
        long delivered = 0;
        int32_t finish = REPRISE_FINISH_NONE;
        while (finish == REPRISE_FINISH_NONE) {
            reprise_token token;
            size_t count = 0;
            check(reprise_session_next(session_, &token, 1, &count, &finish));
            if (count == 0) break;
            if (delivered++ == 0) start = seconds();
            hash.add(token.id);
        }
        const double elapsed = seconds() - start;
        if (delivered != n + 1) die("%ld tokens came where %ld were asked for", delivered, n + 1);
        if (!is_first && hash.value() != row.token_hash) die("greedy decoding gave other tokens in another repetition");
        row.token_hash = hash.value();
        return elapsed;
    }

    /// What sampling points to stays as long as this.
    void constrain(reprise_sampling& sampling) {
        if (constraint_ == 0) {
            const tool::Vocabulary vocabulary = tool::open_vocabulary(arguments_.model, info_.n_vocab);
            check(reprise_constraint_open(vocabulary.handle, REPRISE_CONSTRAINT_LARK,
                                          reinterpret_cast<const uint8_t*>(LINES_OF_JSON), sizeof LINES_OF_JSON - 1,
                                          nullptr, &constraint_));
            check(reprise_vocabulary_close(vocabulary.handle));
            for (const int32_t id : vocabulary.end_ids) bans_.push_back({id, -INFINITY});
        }
        sampling.constraint = constraint_;
        sampling.logit_bias = bans_.data();
        sampling.n_logit_bias = bans_.size();
    }

    void start_synthetic(long n) {
        try {
            const auto session = reprise::session_of(session_);
            const auto lock = session->session.enter();
            reprise_sampling greedy;
            reprise_sampling_default(&greedy);
            session->session.generate({}, greedy, static_cast<uint32_t>(n) + 1, {},
                                      std::make_unique<Synthetic>(arguments_.mask_us, info_.n_vocab));
        } catch (const reprise::Error& error) {
            die("%s", error.what());
        }
    }

    /// Seconds to feed n ids one by one, all logits copied to the host after each.
    double feed(long n) {
        const double start = seconds();
        check(reprise_session_score(session_, ids_.data(), static_cast<size_t>(n), REPRISE_SCORE_GRAPH, nullptr));
        return seconds() - start;
    }

    const Arguments& arguments_;
    reprise_handle model_ = 0, session_ = 0;
    reprise_model_info info_;
    std::vector<int32_t> ids_;
    reprise_handle constraint_ = 0;  // JSON's, once it is asked for
    std::vector<reprise_logit_bias> bans_;
};

struct Report {
    const Arguments& arguments;
    const reprise_model_info& info;
    double ceiling;  // bytes per second; 0: not measured
    std::vector<Row> rows;
    std::vector<tool::SequencesResult> sequences;

    std::string name() const { return arguments.model.substr(arguments.model.find_last_of('/') + 1); }
    const char* device() const { return info.device == REPRISE_DEVICE_CUDA ? "cuda" : "cpu"; }
    const char* mode() const {
        static const char* const names[] = {"auto", "eager", "graph"};
        return arguments.bench_equivalent ? "bench-equivalent" : names[arguments.session_options.graph_mode];
    }
    /// Of weights alone: the KV cache comes on top.
    double bytes_per_second(const Row& row) const { return row.median() * static_cast<double>(info.bytes_per_token); }
};

void print_sequences_markdown(const Report& report) {
    std::printf("%s on %s, %ld tokens each behind %ld\n\n", report.name().c_str(), report.device(),
                report.arguments.n_decode, report.arguments.prompt_tokens);
    std::printf(
        "| sequences | tokens/s | lowest - highest | us between tokens, p50 | p99 | steps |\n"
        "|---|---|---|---|---|---|\n");
    for (const tool::SequencesResult& r : report.sequences) {
        std::printf("| %zu | %.1f | %.1f - %.1f | %.0f | %.0f | %" PRIu64 " |\n", r.sequences,
                    r.rates[r.rates.size() / 2], r.rates.front(), r.rates.back(), r.p50_us, r.p99_us, r.steps);
    }
}

void print_markdown(const Report& report) {
    std::printf("%s on %s, %s, %.1f MB of weights per token", report.name().c_str(), report.device(), report.mode(),
                static_cast<double>(report.info.bytes_per_token) * 1e-6);
    if (report.ceiling > 0) std::printf(", read bandwidth %.0f GB/s", report.ceiling * 1e-9);
    std::printf(
        "\n\n| test | tokens/s | lowest - highest | weights GB/s | %% of bandwidth | submit us/token | kernels/token | "
        "tokens |\n"
        "|---|---|---|---|---|---|---|---|\n");
    for (const Row& row : report.rows) {
        std::printf("| %s | %.1f | %.1f - %.1f | ", row.test.c_str(), row.median(), row.rates.front(),
                    row.rates.back());
        if (!row.is_decode) {
            std::printf("| | | | |\n");
            continue;
        }
        std::printf("%.1f | ", report.bytes_per_second(row) * 1e-9);
        if (report.ceiling > 0) std::printf("%.1f", report.bytes_per_second(row) / report.ceiling * 100);
        std::printf(" | %.1f | %" PRIu64 " | ", row.submit_us, row.kernels);
        if (row.token_hash != 0) std::printf("%016" PRIx64, row.token_hash);
        std::printf(" |\n");
    }
}

void print_json(const Report& report) {
    std::printf("{\"model\": \"%s\", \"device\": \"%s\", \"mode\": \"%s\", \"bytes_per_token\": %" PRIu64
                ", \"read_bandwidth\": %.4g, \"tests\": [",
                report.name().c_str(), report.device(), report.mode(), report.info.bytes_per_token, report.ceiling);
    for (size_t i = 0; i < report.rows.size(); ++i) {
        const Row& row = report.rows[i];
        std::printf("%s\n  {\"test\": \"%s\", \"tokens_per_second\": %.2f, \"lowest\": %.2f, \"highest\": %.2f",
                    i == 0 ? "" : ",", row.test.c_str(), row.median(), row.rates.front(), row.rates.back());
        if (row.is_decode) {
            std::printf(
                ", \"weight_bytes_per_second\": %.4g, \"submit_us_per_token\": %.2f, \"kernels_per_token\": %" PRIu64,
                report.bytes_per_second(row), row.submit_us, row.kernels);
            if (report.ceiling > 0)
                std::printf(", \"share_of_bandwidth\": %.4f", report.bytes_per_second(row) / report.ceiling);
            if (row.token_hash != 0) std::printf(", \"token_hash\": \"%016" PRIx64 "\"", row.token_hash);
        }
        std::printf("}");
    }
    for (size_t i = 0; i < report.sequences.size(); ++i) {
        const tool::SequencesResult& r = report.sequences[i];
        std::printf(
            "%s\n  {\"test\": \"sequences%zu\", \"sequences\": %zu, \"tokens_per_second\": %.2f, "
            "\"lowest\": %.2f, \"highest\": %.2f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"steps\": %" PRIu64
            ", \"hashes\": [",
            i == 0 ? "" : ",", r.sequences, r.sequences, r.rates[r.rates.size() / 2], r.rates.front(), r.rates.back(),
            r.p50_us, r.p99_us, r.steps);
        for (size_t j = 0; j < r.token_hashes.size(); ++j)
            std::printf("%s\"%016" PRIx64 "\"", j == 0 ? "" : ", ", r.token_hashes[j]);
        std::printf("]}");
    }
    std::printf("]}\n");
}

double read_bandwidth(const reprise_model_info& info) {
    if (info.device != REPRISE_DEVICE_CUDA) return 0;
    try {
        return reprise::measure_read_bandwidth(info.device_index);
    } catch (const reprise::Error& error) {
        die("%s", error.what());
    }
}

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments = parse(argc, argv);
    Bench bench(arguments);
    Report report = {arguments, bench.info(), read_bandwidth(bench.info()), {}, {}};
    for (const long p : arguments.prompts) {
        if (p > 0) report.rows.push_back(bench.prefill(p));
    }
    for (const long d : arguments.depths) {
        if (arguments.n_decode == 0) continue;
        report.rows.push_back(bench.decode(arguments.n_decode, d, Constrained::NOT));
        if (arguments.constrained == Constrained::NOT) continue;
        report.rows.push_back(bench.decode(arguments.n_decode, d, arguments.constrained));
        const size_t n = report.rows.size();
        if (arguments.constrained == Constrained::SYNTHETIC &&
            report.rows[n - 1].token_hash != report.rows[n - 2].token_hash)
            die("under a constraint that allows every token other tokens came");
    }
    for (const long n : arguments.sequences) report.sequences.push_back(bench.sequences(n));
    if (arguments.json) {
        print_json(report);
    } else if (!arguments.sequences.empty()) {
        print_sequences_markdown(report);
    } else {
        print_markdown(report);
    }
    return 0;
}
