package dev.reprise.bench.compare;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.Token;
import dev.reprise.bench.BenchModel;
import dev.reprise.bench.compare.Results.Agreement;
import dev.reprise.bench.compare.Results.ApplicationRun;
import dev.reprise.bench.compare.Results.EngineTest;
import dev.reprise.bench.compare.Results.ModelRun;
import dev.reprise.bench.compare.Results.SequencesTest;
import dev.reprise.bench.compare.Results.TogetherRun;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The whole comparison with stand-ins for the peers: that it finds, asks, checks and reports, not how fast anything is.
 */
class CompareTest {
    private static Path model;

    @TempDir
    private Path folder;
    private final ByteArrayOutputStream tables = new ByteArrayOutputStream();
    private final ByteArrayOutputStream log = new ByteArrayOutputStream();

    @BeforeAll
    static void unpackModel() {
        model = BenchModel.unpackStory();
    }

    /** With two short prompts, 8 tokens and the model of the command line. */
    private int compare(String... more) throws IOException {
        Path prompts = Files.writeString(folder.resolve("prompts.txt"), "Once upon a time\nOne day, a small robot\n");
        List<String> arguments = new ArrayList<>(List.of("--model", model.toString(),
                "--prompts", prompts.toString(), "-n", "8", "--out", folder.resolve("out").toString()));
        arguments.addAll(List.of(more));
        return Compare.run(stream(tables), stream(log), arguments.toArray(new String[0]));
    }

    private static PrintStream stream(ByteArrayOutputStream bytes) {
        return new PrintStream(bytes, true, StandardCharsets.UTF_8);
    }

    private String log() {
        return log.toString(StandardCharsets.UTF_8);
    }

    private String tables() {
        return tables.toString(StandardCharsets.UTF_8);
    }

    private ModelRun results() throws IOException {
        Path json = folder.resolve("out").resolve(Report.JSON);
        return Http.JSON.readValue(json.toFile(), Results.Run.class).models().get(0);
    }

    private static Set<String> names(List<ApplicationRun> applications) {
        return applications.stream().map(ApplicationRun::name).collect(Collectors.toSet());
    }

    private Path script(String name, String... lines) throws IOException {
        Path file = folder.resolve(name);
        Files.writeString(file, "#!/bin/sh\n" + String.join("\n", lines) + "\n");
        assertTrue(file.toFile().setExecutable(true));
        return file;
    }

    private static List<String> byReprise(Model model, String prompt, int tokens) {
        GenerationOptions greedy = GenerationOptions.builder().maxTokens(tokens).sampling(Sampling.greedy()).build();
        try (Session session = model.newSession()) {
            return session.complete(prompt, greedy).tokens().stream().map(Token::text).toList();
        }
    }

    @Test
    void withoutPeersItSaysSoAndMeasuresReprise() throws IOException {
        assertEquals(0, compare("-r", "1"), log());

        for (String peer : List.of("llama-bench", "llama-server", "Ollama")) {
            assertTrue(log().contains(peer + ": NOT FOUND"), log());
            assertTrue(tables().contains("- " + peer + ": **not found**"), tables());
        }
        ModelRun run = results();
        assertEquals(Set.of("Reprise"), names(run.applications()));
        assertEquals(2, run.applications().get(0).requests().size());
        assertTrue(run.bytesPerToken() > 1_000_000 && run.readBandwidth() > 1e8, tables());
        Set<String> tests = run.engine().stream().map(EngineTest::label).collect(Collectors.toSet());
        assertEquals(Set.of("pp384", "tg8"), tests);
        assertTrue(run.engine().stream().allMatch(test -> new Samples(test.samples()).lowest() > 0), tables());

        List<Integer> numbers = List.of(1, 2, 4, 8);
        assertEquals(numbers, run.sequences().stream().map(SequencesTest::sequences).toList());
        assertTrue(run.sequences().stream().allMatch(test -> test.tokens() == 8 && test.samples().get(0) > 0));
        assertEquals(numbers, run.together().stream().map(TogetherRun::requests).toList());
        assertTrue(run.together().stream().allMatch(each -> each.samples().get(0) > 0 && each.gapP99Millis() > 0));
        assertTrue(tables().contains("| 8 | Reprise | in-process |"), tables());
    }

    @Test
    void anOllamaThatSaysTheSameAgrees() throws IOException {
        try (Model reprise = Model.load(model);
                OllamaStandIn ollama = new OllamaStandIn((prompt, tokens) -> byReprise(reprise, prompt, tokens))) {
            assertEquals(0, compare("-r", "2", "--ollama", ollama.url()), log());

            ModelRun run = results();
            assertEquals(Set.of("Reprise", "Ollama"), names(run.applications()));
            assertTrue(run.agreement().stream().allMatch(Agreement::agrees), tables());
            assertFalse(tables().contains("differ"), tables());

            ApplicationRun measured = run.applications().get(1);
            assertEquals(OllamaStandIn.LOAD_NANOS * 1e-9, measured.loadSeconds(), 1e-9);
            assertEquals(4, measured.requests().size());
            Results.Reply reply = measured.requests().get(0).reply();
            assertEquals(20 * 1e9 / OllamaStandIn.PROMPT_NANOS, reply.prefillPerSecond(), 1e-6);
            assertEquals(1e9 / OllamaStandIn.TOKEN_NANOS, reply.decodePerSecond(), 1e-6);
            assertTrue(tables().contains("| Ollama | HTTP |"), tables());

            assertRequestsAreComparable(ollama.requests());
            assertEquals(Set.of(), ollama.models(), "the temporary model is deleted");
        }
    }

    private static void assertRequestsAreComparable(List<JsonNode> requests) {
        Set<String> prompts = new HashSet<>();
        for (JsonNode request : requests) {
            assertTrue(prompts.add(request.path("prompt").asText()), "a cache could answer " + request);
            assertTrue(request.path("raw").asBoolean());
            assertEquals(0, request.path("options").path("temperature").asDouble(-1));
            assertEquals(1, request.path("options").path("repeat_penalty").asDouble(-1));
            assertEquals(384, request.path("options").path("num_ctx").asInt());
        }
        assertEquals(1 + 2 + 2 * 2, requests.size(), "one to load, two texts to compare, two rounds");
    }

    @Test
    void otherTextsAreShownBeforeAnySpeed() throws IOException {
        try (OllamaStandIn ollama = new OllamaStandIn((prompt, tokens) -> List.of(" quite", " another", " text"))) {
            assertEquals(0, compare("-r", "1", "--ollama", ollama.url()), log());

            Agreement agreement = results().agreement().get(0);
            assertEquals(0, agreement.firstDifference());
            assertNotNull(agreement.margin());
            assertEquals(" quite another text", agreement.otherText());
            assertNotEquals("", agreement.repriseText());
            int shown = tables().indexOf("` quite another text`");
            assertTrue(shown > 0 && shown < tables().indexOf("| Ollama |"), tables());
            assertTrue(tables().contains("**The texts differ in 2 of 2 cases"), tables());
        }
    }

    @Test
    void llamaCppIsRunInTurns() throws IOException {
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        Path server = script("llama-server", "case $1 in --version) echo 'version: 7 (abc)' >&2; exit;; esac",
                "exec '" + java + "' -cp '" + System.getProperty("java.class.path") + "' "
                        + LlamaServerStandIn.class.getName() + " \"$@\"");
        Path bench = script("llama-bench", "case $1 in --version) echo 'version: 7 (abc)'; exit;; esac",
                "case \"$*\" in *' -n 0 '*)"
                        + " echo '[{\"n_prompt\":384,\"n_gen\":0,\"n_depth\":0,\"samples_ts\":[99,100.5,200]}]';;",
                "*) echo '[{\"n_prompt\":0,\"n_gen\":8,\"n_depth\":0,\"samples_ts\":[50.5]}]';; esac");

        Path batched = script("llama-batched-bench", "case $1 in --version) echo 'version: 7 (abc)'; exit;; esac",
                "case \"$*\" in *' -npl 1,2,4,8 '*) ;; *) exit 3;; esac", "echo 'main: n_kv_max = 128'",
                "for n in 1 2 4 8; do echo '{\"pp\": 8, \"tg\": 8, \"pl\": '$n', \"speed_tg\": '$n'0.5}'; done");

        int status = compare("-r", "2", "--llama-bench", bench.toString(), "--llama-server", server.toString(),
                "--llama-batched-bench", batched.toString());

        assertEquals(0, status, log());

        assertTrue(tables().contains("- llama-server: 7 (abc)"), tables());
        EngineTest decode = results().engine().stream()
                .filter(test -> test.engine().equals("llama.cpp") && test.decode())
                .findFirst()
                .orElseThrow();
        assertEquals(List.of(50.5, 50.5), decode.samples());
        SequencesTest eight = results().sequences().stream()
                .filter(test -> test.engine().equals("llama.cpp") && test.sequences() == 8)
                .findFirst()
                .orElseThrow();
        assertEquals(List.of(80.5, 80.5), eight.samples());
        List<TogetherRun> together = results().together();
        assertEquals(Set.of("Reprise", "llama-server"),
                together.stream().map(TogetherRun::name).collect(Collectors.toSet()));
        assertTrue(together.stream().allMatch(each -> each.samples().size() == 2), tables());
        ApplicationRun measured = results().applications().get(1);
        assertEquals("llama-server", measured.name());
        assertEquals(300, measured.requests().get(0).reply().decodePerSecond());
        assertEquals(3, measured.requests().get(0).reply().tokens());
    }

    /** A machine whose nvidia-smi names a GPU, of which ever more memory is in use. */
    @Test
    void onAGpuLlamaCppRunsWithBothOfItsGraphSettings() throws IOException {
        Path calls = folder.resolve("calls");
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        Path tools = Files.createDirectory(folder.resolve("tools"));
        Files.move(script("nvidia-smi", "case $1 in *memory.used*) echo x >> '" + folder.resolve("asked") + "'",
                "  echo $((100 * $(wc -l < '" + folder.resolve("asked") + "')));;",
                "  *name*) echo Card;; *) echo 1.2;; esac"), tools.resolve("nvidia-smi"));
        Path bench = script("llama-bench", "case $1 in --version) echo 'version: 7 (abc)'; exit;; esac",
                "echo \"bench ${GGML_CUDA_GRAPH_OPT:-0} $*\" >> '" + calls + "'",
                "echo \"[{\\\"n_prompt\\\":0,\\\"n_gen\\\":8,\\\"n_depth\\\":0,"
                        + "\\\"samples_ts\\\":[$((50 + 10 * ${GGML_CUDA_GRAPH_OPT:-0}))]}]\"");
        Path server = script("llama-server", "case $1 in --version) echo 'version: 7 (abc)'; exit;; esac",
                "echo \"server ${GGML_CUDA_GRAPH_OPT:-0} $*\" >> '" + calls + "'",
                "exec '" + java + "' -cp '" + System.getProperty("java.class.path") + "' "
                        + LlamaServerStandIn.class.getName() + " \"$@\"");

        String path = System.setProperty("reprise.bench.path", tools.toString());
        try {
            int status = compare("-r", "2", "--llama-bench", bench.toString(), "--llama-server", server.toString());
            assertEquals(0, status, log());
        } finally {
            System.setProperty("reprise.bench.path", path);
        }

        List<String> lines = Files.readAllLines(calls);
        List<String> order = lines.stream()
                .map(line -> line.substring(0, line.indexOf(' ', line.indexOf(' ') + 1)))
                .toList();
        List<String> round = List.of("bench 0", "bench 0", "bench 1", "bench 1");  // prefill, decode
        List<String> expected = Stream.of(round, round, List.of("server 1", "server 1")).flatMap(List::stream).toList();
        assertEquals(expected, order, "in turns; the server by the faster, with one slot and many");
        assertTrue(lines.stream().limit(8).allMatch(line -> line.contains("-ngl 99 -fa 1")), lines.toString());
        assertTrue(tables().contains("| tg8 | llama.cpp, GRAPH_OPT=1 | 60.0 "), tables());
        assertTrue(tables().contains("Card, driver 1.2"), tables());
        assertTrue(results().applications().get(0).deviceBytes() > 0, "device memory is told");
    }

    @Test
    void anAnswerThatBreaksOffIsNamedAndItsPeerGoesOn() throws IOException {
        try (OllamaStandIn ollama = new OllamaStandIn((prompt, tokens) -> List.of(" some", " text")).breakingOff(4)) {
            assertEquals(1, compare("-r", "2", "--ollama", ollama.url()), log());

            assertTrue(tables().contains("- Ollama, an answer: **failed: the answer ends too early"), tables());
            ApplicationRun measured = results().applications().get(1);
            assertEquals("Ollama", measured.name());
            assertEquals(3, measured.requests().size(), "one of two prompts in two rounds is missing");
        }
    }

    @Test
    void aFirstAnswerThatBreaksOffLeavesNobodyOut() throws IOException {
        try (OllamaStandIn ollama = new OllamaStandIn((prompt, tokens) -> List.of(" some", " text")).breakingOff(1)) {
            assertEquals(1, compare("-r", "1", "--ollama", ollama.url()), log());

            assertEquals(2, results().applications().get(1).requests().size(), tables());
        }
    }

    @Test
    void aPeerThatFailsIsNamedAndLeftOut() throws IOException {
        Path broken = script("llama-bench", "case $1 in --version) echo 'version: 7'; exit;; esac",
                "echo no such layer >&2", "exit 3");

        assertEquals(1, compare("-r", "1", "--llama-bench", broken.toString()), log());

        assertTrue(log().contains("FAILED: llama.cpp: ") && log().contains("no such layer"), log());
        assertTrue(tables().contains("- llama.cpp: **failed: "), tables());
        assertEquals(Set.of("Reprise"), names(results().applications()));
    }

    @Test
    void aBenchmarkWithoutSingleRatesIsNamedAndLeftOut() throws IOException {
        Path bench = script("llama-bench", "case $1 in --version) echo 'version: 7'; exit;; esac",
                "echo '[{\"n_prompt\":384,\"n_gen\":0,\"n_depth\":0,\"avg_ts\":100.5}]'");

        assertEquals(1, compare("-r", "1", "--llama-bench", bench.toString()), log());

        assertTrue(log().contains("FAILED: llama.cpp: llama-bench gives no samples_ts"), log());
    }

    @Test
    void aPeerThatIsNamedMustBeThere() throws IOException {
        assertNotEquals(0, compare("-r", "1", "--llama-server", folder.resolve("nowhere").toString()));
        assertTrue(log().contains("nowhere is not a program"), log());

        assertNotEquals(0, compare("-r", "1", "--ollama", "http://127.0.0.1:1"));
        assertTrue(log().contains("nobody answers at http://127.0.0.1:1"), log());
    }

    @Test
    void plotsAreWrittenAsSvgAndPng() throws IOException {
        Optional<String> obstacle = Report.obstacleToDrawing();
        assumeTrue(obstacle.isEmpty(), () -> "no plots on this machine: " + obstacle.get());
        assertEquals(0, compare("-r", "1"), log());

        for (String plot : List.of("decode", "sequences", "latency")) {
            assertTrue(ImageIO.read(folder.resolve("out").resolve(plot + ".png").toFile()).getWidth() > 900);
            String svg = Files.readString(folder.resolve("out").resolve(plot + ".svg"));
            assertTrue(svg.contains("<svg") && svg.strip().endsWith("</svg>"), plot);
        }
    }

    @Test
    void runsComeTogetherInOneReport() throws IOException {
        assertEquals(0, compare("-r", "1"), log());
        String run = folder.resolve("out").toString();
        Path both = folder.resolve("both");

        Report.main(new String[] {both.toString(), run, run});

        assertEquals(2, Http.JSON.readTree(both.resolve(Report.JSON).toFile()).path("models").size());
        String title = "## " + model.getFileName();
        assertEquals(3, Files.readString(both.resolve(Report.MARKDOWN)).split(title, -1).length);
    }

    @Test
    void theFirstDifferenceIsThePieceThatTheOtherTextLacks() {
        List<String> pieces = List.of(" a", " b", "", " c");
        assertEquals(-1, ApplicationComparison.firstDifference(pieces, " a b c"));
        assertEquals(-1, ApplicationComparison.firstDifference(List.of(" a", "\uFFFD"), " a"));
        assertEquals(1, ApplicationComparison.firstDifference(pieces, " a x c"));
        assertEquals(3, ApplicationComparison.firstDifference(pieces, " a b"));
        assertEquals(4, ApplicationComparison.firstDifference(pieces, " a b c d"));
    }
}
