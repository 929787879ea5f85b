package dev.reprise.bench.compare;

import dev.reprise.Metadata;
import dev.reprise.ModelFile;
import dev.reprise.Tokenizer;
import dev.reprise.bench.compare.ApplicationComparison.Prompt;
import dev.reprise.bench.compare.Results.ModelRun;
import dev.reprise.bench.compare.Results.SequencesTest;
import dev.reprise.bench.compare.Results.TogetherRun;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code bench/compare.sh}. */
@Command(
        name = "bench/compare.sh",
        description = {
            "Compares Reprise with llama.cpp and Ollama on the same GGUF files and the same prompts.",
            "",
            "Peers are looked up in the arguments and on PATH; what is missing is named and left out. Writes "
                    + "results.md, results.json and plots (SVG and PNG) to the output folder and prints the tables. "
                    + "The exit status is 1 if something that was found failed.",
            ""
        },
        sortOptions = false,
        mixinStandardHelpOptions = true)
final class Compare implements Callable<Integer> {
    static final String REPRISE = "Reprise";
    private static final int MAX_CONTEXT = 4096;
    private static final int PREFILL = 512;
    private static final List<Integer> CPU_SEQUENCES = List.of(1, 2, 4, 8);
    private static final List<Integer> GPU_SEQUENCES = List.of(1, 2, 4, 8, 16, 32, 64);
    /** Tokens in front of each of several sequences, and tokens that each of them decodes. */
    private static final int OF_EACH = 128;
    /** Tokens of each of several requests at the same time. */
    private static final int TOGETHER_CONTEXT = 512;
    private static final List<Integer> CPU_DEPTHS = List.of(0, 512, 1024, 2048);
    private static final List<Integer> GPU_DEPTHS = List.of(0, 512, 4096, 16384);

    @Option(names = "--model", required = true, paramLabel = "M.gguf",
            description = "The model; may be given several times.")
    private List<Path> models;

    @Option(names = "--llama-bench", paramLabel = "PATH", description = "llama.cpp's llama-bench (default: on PATH).")
    private Path llamaBench;

    @Option(names = "--llama-batched-bench", paramLabel = "PATH",
            description = "llama.cpp's llama-batched-bench (default: on PATH).")
    private Path llamaBatchedBench;

    @Option(names = "--llama-server", paramLabel = "PATH", description = "llama.cpp's llama-server (default: on PATH).")
    private Path llamaServer;

    @Option(names = "--ollama", paramLabel = "URL|PATH",
            description = "A running Ollama, or the program, which is then started (default: on PATH).")
    private String ollama;

    @Option(names = "--prompts", paramLabel = "FILE", description = "Prompts, one a line (default: a few of its own).")
    private Path promptFile;

    @Option(names = "-n", paramLabel = "N", defaultValue = "256",
            description = "Tokens to generate (default: ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Option(names = "-r", paramLabel = "R", defaultValue = "5", description = "Rounds (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(names = "--out", paramLabel = "DIR", defaultValue = "build/compare",
            description = "Where results go (default: ${DEFAULT-VALUE}).")
    private Path out;

    private final PrintStream log;
    private final String[] arguments;
    private final Optional<Gpu> gpu = Gpu.find();
    private final int threads = Runtime.getRuntime().availableProcessors();
    private final Failures failures;

    private Compare(PrintStream log, String[] arguments) {
        this.log = log;
        this.arguments = arguments;
        failures = new Failures(log);
    }

    public static void main(String[] args) {
        PrintStream tables = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.exit(run(tables, System.err, args));
    }

    /** Prints tables to one stream and progress to the other; returns the exit status. */
    static int run(PrintStream tables, PrintStream log, String... args) {
        Compare compare = new Compare(log, args);
        CommandLine line = new CommandLine(compare);
        line.setExecutionExceptionHandler((e, commandLine, parsed) -> {
            log.println("bench/compare.sh: " + (e.getMessage() == null ? e : e.getMessage()));
            return CommandLine.ExitCode.SOFTWARE;
        });
        int status = line.execute(args);
        Path report = compare.out == null ? null : compare.out.resolve(Report.MARKDOWN);
        if (line.getExecutionResult() != null && report != null) {
            try {
                tables.print(Files.readString(report));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        return status;
    }

    @Override
    public Integer call() throws IOException {
        if (rounds < 1 || maxTokens < 2) {
            throw new IllegalArgumentException("-r must be at least 1 and -n at least 2");
        }
        Files.createDirectories(out);
        Peers peers = Peers.find(llamaBench, llamaBatchedBench, llamaServer, ollama, log);
        List<ModelRun> runs = new ArrayList<>();
        for (Path model : models) {
            runs.add(compare(model, peers));
        }
        String date = LocalDateTime.now().truncatedTo(ChronoUnit.SECONDS).toString();
        String commit = System.getProperty("reprise.bench.commit", "unknown");
        Results.Run run = new Results.Run(date, commit, command(), Machines.describe(threads, gpu), rounds, maxTokens,
                peers.described(failures.messages()), runs);
        Report.write(out, run, log);
        return failures.messages().isEmpty() ? 0 : 1;
    }

    /** As it was given, without the folders of the files, which say nothing about the result. */
    private String command() {
        List<String> words = new ArrayList<>(List.of("bench/compare.sh"));
        for (String argument : arguments) {
            words.add(argument.startsWith("http:") ? argument : argument.substring(argument.lastIndexOf('/') + 1));
        }
        return String.join(" ", words);
    }

    private ModelRun compare(Path model, Peers peers) throws IOException {
        log.println("== " + model.getFileName());
        try (ModelFile file = ModelFile.open(model)) {
            Metadata metadata = file.metadata();
            String architecture = metadata.string("general.architecture", "");
            int trained = (int) metadata.integer(architecture + ".context_length", MAX_CONTEXT);
            int context = Math.min(trained, MAX_CONTEXT);

            EngineComparison engine = engines(model, trained, peers);
            String best = bestLlama(engine);
            List<Prompt> prompts = Prompts.read(promptFile, Tokenizer.of(metadata), context, maxTokens, log);
            List<SequencesTest> sequences = sequences(model, trained, peers, best);
            ApplicationResults applications = applications(model, context, prompts, peers, best);

            List<TogetherRun> together = together(model, context, metadata, peers, environmentOf(best));

            String device = engine.device().isEmpty() ? "unknown" : engine.device();
            double bandwidth = engine.readBandwidth();
            if (device.equals("cpu")) {
                log.println("Measuring the memory's read bandwidth");
                bandwidth = MemoryBandwidth.measure(threads);
            }
            return new ModelRun(model.getFileName().toString(), file.fileBytes(), architecture, file.parameterCount(),
                    context, device, engine.bytesPerToken(), bandwidth, engine.tests(), sequences,
                    applications.agreement(), applications.runs(), together);
        }
    }

    // ---- engines ---------------------------------------------------------------------------------------------------

    private EngineComparison engines(Path model, int trained, Peers peers) {
        int decode = Math.min(maxTokens, Math.max(1, trained / 2));
        List<Integer> depths = (gpu.isPresent() ? GPU_DEPTHS : CPU_DEPTHS).stream()
                .filter(depth -> depth == 0 || depth + decode + 2 <= trained)
                .toList();
        EngineComparison engine = new EngineComparison(model, Math.min(PREFILL, trained), decode, depths, threads);
        peers.repriseBench().ifPresent(program -> engine.addReprise(REPRISE, program));
        for (LlamaVariant variant : variants()) {
            peers.llamaBench().ifPresent(program -> engine.addLlama(variant.name(), program, variant.environment()));
        }
        for (int round = 1; round <= rounds; round++) {
            log.println("Engines, round " + round + " of " + rounds);
            engine.round(failures);
        }
        return engine;
    }

    private List<Integer> sequenceNumbers() {
        return gpu.isPresent() ? GPU_SEQUENCES : CPU_SEQUENCES;
    }

    private List<SequencesTest> sequences(Path model, int trained, Peers peers, String bestLlama) {
        int ofEach = Math.min(OF_EACH, Math.min(maxTokens, trained / 2 - 1));
        SequencesComparison comparison = new SequencesComparison(model, ofEach, ofEach, sequenceNumbers(), threads);
        peers.repriseBench().ifPresent(program -> comparison.addReprise(REPRISE, program));
        peers.llamaBatchedBench().ifPresent(program ->
                comparison.addLlama(bestLlama, program, environmentOf(bestLlama)));
        for (int round = 1; round <= rounds; round++) {
            log.println("Sequences, round " + round + " of " + rounds);
            comparison.round(failures);
        }
        return comparison.tests();
    }

    private record LlamaVariant(String name, Map<String, String> environment) {}

    private List<LlamaVariant> variants() {
        LlamaVariant plain = new LlamaVariant("llama.cpp", Map.of());
        LlamaVariant optimised = new LlamaVariant("llama.cpp, GRAPH_OPT=1", Map.of("GGML_CUDA_GRAPH_OPT", "1"));
        return gpu.isPresent() ? List.of(plain, optimised) : List.of(plain);
    }

    /** The variant that decodes fastest; the plain one if none was measured. */
    private static String bestLlama(EngineComparison engine) {
        return engine.tests().stream()
                .filter(test -> test.decode() && test.depth() == 0 && !test.engine().equals(REPRISE))
                .max((a, b) -> Double.compare(new Samples(a.samples()).median(), new Samples(b.samples()).median()))
                .map(Results.EngineTest::engine)
                .orElse("llama.cpp");
    }

    // ---- applications ----------------------------------------------------------------------------------------------

    private record ApplicationResults(List<Results.Agreement> agreement, List<Results.ApplicationRun> runs) {}

    private ApplicationResults applications(
            Path model, int context, List<Prompt> prompts, Peers peers, String bestLlama) throws IOException {
        if (prompts.isEmpty()) {
            log.println("No prompt fits into the context of " + context + " tokens: no comparison of applications");
            return new ApplicationResults(List.of(), List.of());
        }
        Map<String, String> environment = environmentOf(bestLlama);
        try (ApplicationComparison comparison = new ApplicationComparison(prompts, gpu, failures)) {
            log.println("Starting the applications");
            comparison.add(REPRISE, () -> new JavaApplication(model, context, threads, logOf("reprise", model)));
            Path serverLog = logOf("llama-server", model);
            peers.llamaServer().ifPresent(program -> comparison.add(
                    "llama-server", () -> new LlamaServer(program, model, 1, context, threads, environment,
                            serverLog)));
            Path ollamaLog = logOf("ollama", model);
            peers.ollama().ifPresent(source ->
                    comparison.add("Ollama", () -> new Ollama(source.open(ollamaLog), model, context, threads)));
            log.println("Comparing their texts");
            List<Results.Agreement> agreement = comparison.agreement(REPRISE);
            for (int round = 1; round <= rounds; round++) {
                log.println("Applications, round " + round + " of " + rounds);
                comparison.round(round);
            }
            return new ApplicationResults(agreement, comparison.results());
        }
    }

    /** Several requests at the same time, to sessions in a Java program and to llama.cpp's server. */
    private List<TogetherRun> together(Path model, int context, Metadata metadata, Peers peers,
            Map<String, String> environment) throws IOException {
        int ofEach = Math.min(context, TOGETHER_CONTEXT);
        List<Prompt> prompts = Prompts.read(
                promptFile, Tokenizer.of(metadata), ofEach, Math.min(maxTokens, OF_EACH), log);
        if (prompts.isEmpty()) {
            return List.of();
        }
        int most = sequenceNumbers().stream().mapToInt(Integer::intValue).max().orElse(1);
        try (ApplicationComparison comparison = new ApplicationComparison(prompts, gpu, failures)) {
            comparison.add(REPRISE, () -> new JavaApplication(model, ofEach, threads, logOf("reprise-many", model)));
            Path serverLog = logOf("llama-server-many", model);
            peers.llamaServer().ifPresent(program -> comparison.add("llama-server",
                    () -> new LlamaServer(program, model, most, ofEach, threads, environment, serverLog)));
            for (int round = 1; round <= rounds; round++) {
                log.println("Applications with several requests at a time, round " + round + " of " + rounds);
                sequenceNumbers().forEach(comparison::together);
            }
            return comparison.togetherResults();
        }
    }

    private Map<String, String> environmentOf(String llama) {
        return variants().stream()
                .filter(variant -> variant.name().equals(llama))
                .findFirst()
                .map(LlamaVariant::environment)
                .orElse(Map.of());
    }

    /** One per model: a program is started anew for each. */
    private Path logOf(String program, Path model) {
        return out.resolve(program + "-" + model.getFileName() + ".log");
    }
}
