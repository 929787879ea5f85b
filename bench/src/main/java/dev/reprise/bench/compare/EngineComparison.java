package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.JsonNode;
import dev.reprise.bench.compare.Results.EngineTest;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Prefill, decode and decode at depth by each engine's own benchmark program, without text or sampling: every program
 * is started twice a round, in turns, and warms up; for five prefills, of which the median counts, and for one decode
 * of each kind.
 */
final class EngineComparison {
    /** A benchmark program. */
    private interface Engine {
        void measure(EngineComparison into) throws IOException;
    }

    /** A prompt takes milliseconds, which a device that wakes up takes twice. */
    private static final String PREFILLS = "5";

    private static final Pattern TEST = Pattern.compile("(pp|tg)(\\d+)(?: @ d(\\d+))?");

    private final Path model;
    private final int prefill;
    private final int decode;
    private final List<Integer> depths;
    private final int threads;
    private final Map<String, Engine> engines = new LinkedHashMap<>();
    private final Map<String, EngineTest> tests = new LinkedHashMap<>();

    private long bytesPerToken;
    private double readBandwidth;
    private String device = "";

    /**
     * @param prefill tokens of a prompt
     * @param decode tokens to decode
     * @param depths tokens in the context before decoding; the first is 0
     */
    EngineComparison(Path model, int prefill, int decode, List<Integer> depths, int threads) {
        this.model = model;
        this.prefill = prefill;
        this.decode = decode;
        this.depths = depths;
        this.threads = threads;
    }

    void addReprise(String name, Path program) {
        engines.put(name, into -> into.repriseBench(name, program));
    }

    /** {@code environment} comes on top of this process's. */
    void addLlama(String name, Path program, Map<String, String> environment) {
        engines.put(name, into -> into.llamaBench(name, program, environment));
    }

    /** Every engine once. */
    void round(Failures failures) {
        for (String name : List.copyOf(engines.keySet())) {
            try {
                engines.get(name).measure(this);
            } catch (IOException e) {
                failures.add(name, e);
                engines.remove(name);
            }
        }
    }

    List<EngineTest> tests() {
        return List.copyOf(tests.values());
    }

    /** Weight bytes that a token reads; 0 before {@code reprise-bench} has run. */
    long bytesPerToken() {
        return bytesPerToken;
    }

    /** Of the device, in bytes per second; 0 if {@code reprise-bench} did not measure it. */
    double readBandwidth() {
        return readBandwidth;
    }

    /** "cpu" or "cuda"; empty before {@code reprise-bench} has run. */
    String device() {
        return device;
    }

    private void repriseBench(String name, Path program) throws IOException {
        repriseBench(name, program, prefill, 0, List.of(0), PREFILLS);
        repriseBench(name, program, 0, decode, depths, "1");
    }

    private void repriseBench(
            String name, Path program, int prompt, int generated, List<Integer> atDepths, String repetitions)
            throws IOException {
        List<String> command = List.of(program.toString(), "-m", model.toString(), "-p", Integer.toString(prompt),
                "-n", Integer.toString(generated), "-d", joined(atDepths), "-r", repetitions,
                "--threads", Integer.toString(threads), "--bench-equivalent", "-o", "json");
        JsonNode result = Http.JSON.readTree(Programs.run(command, Map.of()));
        bytesPerToken = result.path("bytes_per_token").asLong();
        readBandwidth = result.path("read_bandwidth").asDouble();
        device = result.path("device").asText();
        for (JsonNode test : result.path("tests")) {
            Matcher matcher = TEST.matcher(test.path("test").asText());
            if (!matcher.matches()) {
                throw new IOException(program + ": unknown test " + test.path("test"));
            }
            int depth = matcher.group(3) == null ? 0 : Integer.parseInt(matcher.group(3));
            add(name, matcher.group(1).equals("tg"), Integer.parseInt(matcher.group(2)), depth,
                    test.path("tokens_per_second").asDouble());
        }
    }

    private void llamaBench(String name, Path program, Map<String, String> environment) throws IOException {
        llamaBench(name, program, environment, prefill, 0, List.of(0), PREFILLS);
        llamaBench(name, program, environment, 0, decode, depths, "1");
    }

    private void llamaBench(
            String name, Path program, Map<String, String> environment, int prompt, int decoded, List<Integer> atDepths,
            String repetitions) throws IOException {
        List<String> command = List.of(program.toString(), "-m", model.toString(), "-p", Integer.toString(prompt),
                "-n", Integer.toString(decoded), "-d", joined(atDepths), "-r", repetitions,
                "-t", Integer.toString(threads), "-ngl", "99", "-fa", "1", "-o", "json");
        for (JsonNode test : Http.JSON.readTree(Programs.run(command, environment))) {
            int generated = test.path("n_gen").asInt();
            boolean isDecode = generated > 0;
            add(name, isDecode, isDecode ? generated : test.path("n_prompt").asInt(), test.path("n_depth").asInt(),
                    median(test));
        }
    }

    /** As {@code reprise-bench} has it; {@code avg_ts} is the mean. */
    private static double median(JsonNode test) throws IOException {
        double[] rates = new double[test.path("samples_ts").size()];
        for (int i = 0; i < rates.length; i++) {
            rates[i] = test.path("samples_ts").get(i).asDouble();
        }
        if (rates.length == 0) {
            throw new IOException(
                    "llama-bench gives no samples_ts, the rate of every repetition; a newer one does: " + test);
        }
        Arrays.sort(rates);
        return rates[rates.length / 2];
    }

    private void add(String engine, boolean isDecode, int tokens, int depth, double tokensPerSecond) {
        EngineTest fresh = new EngineTest(engine, isDecode, tokens, depth, new ArrayList<>());
        tests.computeIfAbsent(engine + " " + fresh.label(), key -> fresh).samples().add(tokensPerSecond);
    }

    private static String joined(List<Integer> numbers) {
        return String.join(",", numbers.stream().map(String::valueOf).toList());
    }
}
