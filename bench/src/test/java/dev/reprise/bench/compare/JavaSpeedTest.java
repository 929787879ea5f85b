package dev.reprise.bench.compare;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.bench.BenchModel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** That it measures and reports, not how fast anything is. */
class JavaSpeedTest {
    private static Path model;

    private final ByteArrayOutputStream table = new ByteArrayOutputStream();
    private final ByteArrayOutputStream log = new ByteArrayOutputStream();

    @BeforeAll
    static void unpackModel() {
        model = BenchModel.unpackStory();
    }

    private int measure(Path model, String... more) {
        List<String> arguments = new ArrayList<>(
                List.of("--model", model.toString(), "--device", "cpu", "-r", "2", "--warmup", "0"));
        arguments.addAll(List.of(more));
        return JavaSpeed.run(new PrintStream(table, true, StandardCharsets.UTF_8),
                new PrintStream(log, true, StandardCharsets.UTF_8), arguments.toArray(new String[0]));
    }

    private String log() {
        return log.toString(StandardCharsets.UTF_8);
    }

    private List<String> cells() {
        String[] lines = table.toString(StandardCharsets.UTF_8).split("\n");
        assertEquals(3, lines.length, () -> table.toString(StandardCharsets.UTF_8));
        List<String> cells = new ArrayList<>();
        for (String cell : lines[2].substring(2).split(" \\|")) {
            cells.add(cell.strip());
        }
        return cells;
    }

    @Test
    void standsBesideRepriseBenchWithTheSameTokens() {
        assertEquals(0, measure(model, "-n", "32"), log());

        List<String> cells = cells();
        assertEquals(10, cells.size(), cells.toString());
        assertEquals("cpu", cells.get(1));
        double tool = Double.parseDouble(cells.get(2));
        double java = Double.parseDouble(cells.get(4));
        assertEquals(java / tool * 100, Double.parseDouble(cells.get(6).replace(" %", "")), 0.1);
        assertEquals("yes", cells.get(7));
        assertTrue(Double.parseDouble(cells.get(8)) > 0, cells.toString());
        assertTrue(Double.parseDouble(cells.get(9)) > 0, cells.toString());
    }

    @Test
    void anEndTokenMakesItTakeAnotherPrompt(@TempDir Path folder) throws IOException {
        int first = 2006;  // what reprise-bench begins with in a vocabulary of 4096
        int third;
        try (Model story = Model.load(model); Session session = story.newSession()) {
            GenerationOptions three = GenerationOptions.builder().maxTokens(3).sampling(Sampling.greedy()).build();
            third = session.complete(new int[] {first}, three).ids()[2];
        }

        assertEquals(0, measure(withEndToken(third, folder.resolve("ends.gguf")), "-n", "8"), log());

        assertEquals("other prompt", cells().get(7));
        assertFalse(log().contains("behind token " + first), log());
    }

    private static Path withEndToken(int id, Path copy) throws IOException {
        String key = "tokenizer.ggml.eos_token_id";
        byte[] bytes = Files.readAllBytes(model);
        int at = new String(bytes, StandardCharsets.ISO_8859_1).indexOf(key) + key.length() + 4;  // behind the type
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(at, id);
        return Files.write(copy, bytes);
    }

    @Test
    void aProgramThatIsNotThereIsAnError() {
        assertEquals(1, measure(model, "-n", "8", "--tool", "/nowhere/reprise-bench"));
        assertTrue(log().contains("/nowhere/reprise-bench"), log());
    }

    @Test
    void whatItCannotMeasureIsRefused() {
        assertEquals(1, measure(model, "-n", "0"));
        assertTrue(log().contains("-n must be at least 1"), log());
        assertEquals(1, measure(model, "-n", "100000"));
        assertTrue(log().contains("context_length"), log());
        assertEquals(2, measure(model, "-n", "8", "--device", "gpu"));
    }
}
