package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.JsonNode;
import dev.reprise.bench.compare.Results.SequencesTest;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Several sequences that decode at the same time, by each engine's own benchmark program: tokens per second of all of
 * them together, without text or sampling.
 */
final class SequencesComparison {
    /** A benchmark program. */
    private interface Engine {
        void measure() throws IOException;
    }

    private final Path model;
    private final int prompt;
    private final int decode;
    private final List<Integer> sequences;
    private final int threads;
    private final Map<String, Engine> engines = new LinkedHashMap<>();
    private final Map<String, SequencesTest> tests = new LinkedHashMap<>();

    /**
     * @param prompt tokens in front of each sequence
     * @param decode tokens that each of them decodes
     * @param sequences how many at the same time, a test each
     */
    SequencesComparison(Path model, int prompt, int decode, List<Integer> sequences, int threads) {
        this.model = model;
        this.prompt = prompt;
        this.decode = decode;
        this.sequences = sequences;
        this.threads = threads;
    }

    void addReprise(String name, Path program) {
        engines.put(name, () -> repriseBench(name, program));
    }

    /** {@code environment} comes on top of this process's. */
    void addLlama(String name, Path program, Map<String, String> environment) {
        engines.put(name, () -> llamaBatchedBench(name, program, environment));
    }

    /** Every engine once. */
    void round(Failures failures) {
        for (String name : List.copyOf(engines.keySet())) {
            try {
                engines.get(name).measure();
            } catch (IOException e) {
                failures.add(name + ", sequences", e);
                engines.remove(name);
            }
        }
    }

    List<SequencesTest> tests() {
        return List.copyOf(tests.values());
    }

    private void repriseBench(String name, Path program) throws IOException {
        List<String> command = List.of(program.toString(), "-m", model.toString(), "--sequences", joined(),
                "--prompt-tokens", Integer.toString(prompt), "-n", Integer.toString(decode), "-r", "1",
                "--threads", Integer.toString(threads), "-o", "json");
        for (JsonNode test : Http.JSON.readTree(Programs.run(command, Map.of())).path("tests")) {
            add(name, test.path("sequences").asInt(), test.path("tokens_per_second").asDouble());
        }
    }

    private void llamaBatchedBench(String name, Path program, Map<String, String> environment) throws IOException {
        int most = sequences.stream().mapToInt(Integer::intValue).max().orElse(1);
        List<String> command = List.of(program.toString(), "-m", model.toString(),
                "-c", Integer.toString(most * (prompt + decode)), "-npp", Integer.toString(prompt),
                "-ntg", Integer.toString(decode), "-npl", joined(), "-t", Integer.toString(threads),
                "-ngl", "99", "-fa", "on", "--output-format", "jsonl");
        for (String line : Programs.run(command, environment).lines().toList()) {
            if (line.startsWith("{")) {
                JsonNode test = Http.JSON.readTree(line);
                add(name, test.path("pl").asInt(), test.path("speed_tg").asDouble());
            }
        }
    }

    private void add(String engine, int n, double tokensPerSecond) throws IOException {
        if (!sequences.contains(n) || tokensPerSecond <= 0) {
            throw new IOException("an unknown result: " + tokensPerSecond + " tokens/s of " + n + " sequences");
        }
        SequencesTest fresh = new SequencesTest(engine, n, prompt, decode, new ArrayList<>());
        tests.computeIfAbsent(engine + " " + n, key -> fresh).samples().add(tokensPerSecond);
    }

    private String joined() {
        return String.join(",", sequences.stream().map(String::valueOf).toList());
    }
}
