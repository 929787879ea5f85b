package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.JsonNode;
import dev.reprise.Device;
import dev.reprise.FinishReason;
import dev.reprise.Generation;
import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.ModelOptions;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.SessionOptions;
import dev.reprise.Token;
import dev.reprise.TokenStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Function;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Tokens per second of {@link Session#generate} beside {@code reprise-bench -p 0}, and what a token costs in Java. Both
 * continue the same token greedily in an empty context, and both count from the first token to the n-th behind it.
 */
@Command(
        name = "JavaSpeed",
        description = "Tokens per second of Session.generate, text included, beside reprise-bench on the same file.",
        sortOptions = false,
        mixinStandardHelpOptions = true)
final class JavaSpeed implements Callable<Integer> {
    /** Prompts to try until one is continued for long enough. */
    private static final int MAX_PROMPTS = 100;

    @Option(names = "--model", required = true, paramLabel = "M.gguf",
            description = "The model; may be given several times.")
    private List<Path> models;

    @Option(names = "--tool", paramLabel = "PATH", description = "reprise-bench (default: on PATH).")
    private Path tool;

    @Option(names = "--device", paramLabel = "NAME", defaultValue = "auto",
            description = "auto, cpu or cuda (default: ${DEFAULT-VALUE}).")
    private Device device;

    @Option(names = "-n", paramLabel = "N", defaultValue = "256",
            description = "Tokens behind the first one (default: ${DEFAULT-VALUE}).")
    private int count;

    @Option(names = "-r", paramLabel = "R", defaultValue = "5", description = "Rounds (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(names = "--warmup", paramLabel = "SECONDS", defaultValue = "20",
            description = "For the JVM to compile what it runs (default: ${DEFAULT-VALUE}).")
    private double warmup;

    private final PrintStream table;
    private final PrintStream log;

    private JavaSpeed(PrintStream table, PrintStream log) {
        this.table = table;
        this.log = log;
    }

    public static void main(String[] args) {
        System.exit(run(new PrintStream(System.out, true, StandardCharsets.UTF_8), System.err, args));
    }

    /** Prints the table to one stream and progress to the other; returns the exit status. */
    static int run(PrintStream table, PrintStream log, String... args) {
        CommandLine line = new CommandLine(new JavaSpeed(table, log)).setCaseInsensitiveEnumValuesAllowed(true);
        line.setExecutionExceptionHandler((e, commandLine, parsed) -> {
            log.println("JavaSpeed: " + (e.getMessage() == null ? e : e.getMessage()));
            return CommandLine.ExitCode.SOFTWARE;
        });
        return line.execute(args);
    }

    @Override
    public Integer call() throws IOException {
        if (rounds < 1 || count < 1) {
            throw new IllegalArgumentException("-r and -n must be at least 1");
        }
        Optional<Path> program = program();
        if (program.isEmpty()) {
            log.println("reprise-bench: NOT FOUND, left out");
        }
        table.println("| model | on | reprise-bench, tokens/s | lowest - highest | Java, tokens/s | lowest - highest "
                + "| of reprise-bench | same tokens | outside the native call, us/token | with the glue, us/token |");
        table.println("|---|---|---|---|---|---|---|---|---|---|");
        for (Path model : models) {
            JsonNode peer = program.isEmpty() ? null : repriseBench(program.get(), model);
            table.println(row(model, peer, java(model)));
        }
        return 0;
    }

    private String row(Path model, JsonNode peer, Measured java) {
        Samples rates = java.samples(Round::tokensPerSecond);
        String beside = "| | | ";
        String share = "| | ";
        if (peer != null) {
            double rate = peer.path("tokens_per_second").asDouble();
            boolean same = peer.path("token_hash").asText().equals(hash(java.rounds().get(0).generation()));
            String verdict = java.prompt().first() ? same ? "yes" : "**no**" : "other prompt";
            beside = format("| %.1f | %.1f - %.1f ", rate,
                    peer.path("lowest").asDouble(), peer.path("highest").asDouble());
            share = format("| %.1f %% | %s ", rates.median() / rate * 100, verdict);
        }
        return format("| %s | %s ", model.getFileName(), lowerCase(java.device())) + beside
                + format("| %.1f | %.1f - %.1f ", rates.median(), rates.lowest(), rates.highest()) + share
                + format("| %.2f | %.2f |", java.samples(Round::outsideMicros).median(),
                        java.samples(Round::withGlueMicros).median());
    }

    private static String lowerCase(Device device) {
        return device.name().toLowerCase(Locale.ROOT);
    }

    private static String format(String format, Object... values) {
        return String.format(Locale.ROOT, format, values);
    }

    // ---- reprise-bench ---------------------------------------------------------------------------------------------

    private Optional<Path> program() {
        String own = System.getProperty("reprise.bench.tool");
        if (tool != null) {
            return Optional.of(tool);
        }
        return own != null && Files.exists(Path.of(own)) ? Optional.of(Path.of(own)) : Programs.onPath("reprise-bench");
    }

    private JsonNode repriseBench(Path program, Path model) throws IOException {
        log.println(model.getFileName() + ": reprise-bench");
        List<String> command = List.of(program.toString(), "-m", model.toString(), "-p", "0", "-n",
                Integer.toString(count), "-r", Integer.toString(rounds), "--device", lowerCase(device), "-o", "json");
        return Http.JSON.readTree(Programs.run(command, Map.of())).path("tests").path(0);
    }

    // ---- Java ------------------------------------------------------------------------------------------------------

    /**
     * @param tokensPerSecond from the first token to the last, at the caller
     * @param outsideMicros between these two without the time within native calls, per token
     * @param withGlueMicros for all tokens, without the time that the native library counts itself, per token
     */
    private record Round(Generation generation, double tokensPerSecond, double outsideMicros, double withGlueMicros) {}

    /** @param first whether {@code reprise-bench} begins with it too */
    private record Prompt(int id, boolean first) {}

    private record Measured(Device device, Prompt prompt, List<Round> rounds) {
        Samples samples(Function<Round, Double> what) {
            return new Samples(rounds.stream().map(what).toList());
        }
    }

    private Measured java(Path file) {
        ModelOptions options = ModelOptions.builder().device(device).build();
        SessionOptions sessionOptions = SessionOptions.builder().contextLength(count + 2).build();  // reprise-bench's
        try (Model model = Model.load(file, options); Session session = model.newSession(sessionOptions)) {
            Prompt prompt = promptThatGoesOn(session, model.info().vocabularySize());
            log.println(file.getFileName() + ": Java, behind token " + prompt.id());
            long warm = System.nanoTime() + (long) (warmup * 1e9);
            while (System.nanoTime() < warm) {
                generate(session, prompt.id());
            }
            List<Round> measured = new ArrayList<>();
            for (int i = 0; i < rounds; i++) {
                measured.add(generate(session, prompt.id()));
            }
            return new Measured(model.info().device(), prompt, measured);
        }
    }

    /** A token behind which no end token comes too early: the first that reprise-bench draws, or one of the next. */
    private Prompt promptThatGoesOn(Session session, int vocabularySize) {
        long state = 1;
        for (int i = 0; i < MAX_PROMPTS; i++) {
            // As random_ids() of native/tools/tool.cpp.
            state = state * 6364136223846793005L + 1442695040888963407L;
            Prompt prompt = new Prompt((int) ((state >>> 33) % vocabularySize), i == 0);
            Generation generation = generate(session, prompt.id()).generation();
            if (generation.finishReason() == FinishReason.MAX_TOKENS && generation.tokens().size() == count + 1) {
                return prompt;
            }
        }
        throw new IllegalStateException("the model ends its text before " + (count + 1) + " tokens behind each of "
                + MAX_PROMPTS + " prompts: ask for fewer with -n");
    }

    private Round generate(Session session, int prompt) {
        GenerationOptions options =
                GenerationOptions.builder().maxTokens(count + 1).sampling(Sampling.greedy()).build();
        session.reset();
        TokenStream stream = session.generate(new int[] {prompt}, options);
        long nativeBefore = session.statistics().decodeTime().toNanos();
        StringBuilder text = new StringBuilder();
        Iterator<Token> tokens = stream.iterator();
        long start = System.nanoTime();
        boolean more = appendNext(tokens, text);
        long first = System.nanoTime();
        while (more) {
            more = appendNext(tokens, text);
        }
        long end = System.nanoTime();
        long nativeNanos = session.statistics().decodeTime().toNanos() - nativeBefore;
        Generation generation = stream.result();
        if (!generation.text().contentEquals(text)) {
            throw new IllegalStateException("the pieces of the text are not the text");
        }
        // Its rate counts the time within native calls behind the first token, and nothing else.
        double callNanos = count * 1e9 / generation.decodeTokensPerSecond();
        return new Round(generation, count * 1e9 / (end - first), (end - first - callNanos) * 1e-3 / count,
                (end - start - nativeNanos) * 1e-3 / (count + 1));
    }

    /**
     * What a caller does with a token, in a method of its own: the JVM compiles that after some hundred tokens, the
     * loop around it only after tens of thousands, and until then interprets its body from memory that the model's
     * weights have pushed out of every cache.
     *
     * @return whether there was one
     */
    private static boolean appendNext(Iterator<Token> tokens, StringBuilder text) {
        if (!tokens.hasNext()) {
            return false;
        }
        text.append(tokens.next().text());
        return true;
    }

    /** FNV-1a of the ids, as {@code reprise-bench} prints it. */
    private static String hash(Generation generation) {
        long hash = 0xcbf29ce484222325L;
        for (int id : generation.ids()) {
            for (int b = 0; b < 4; b++) {
                hash = (hash ^ (id >> (8 * b) & 255)) * 0x100000001b3L;
            }
        }
        return format("%016x", hash);
    }
}
