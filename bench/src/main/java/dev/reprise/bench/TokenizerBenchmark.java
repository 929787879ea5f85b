package dev.reprise.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.reprise.ModelFile;
import dev.reprise.Tokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Text to ids and back, one thread: read the rows {@code :megabytes}, 10^6 bytes of UTF-8 per second. The vocabulary is
 * that of the model, which needs no weights here. The texts are those below {@code REPRISE_TESTDATA}, else two small
 * bundled ones.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(2)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class TokenizerBenchmark {
    /** Text that went through. */
    @AuxCounters
    @State(Scope.Thread)
    public static class Volume {
        public double megabytes;
    }

    /** English prose; or a mix of scripts, program text, numbers and emoji. */
    public enum Text {
        ENGLISH,
        MIXED
    }

    @Param
    public Text text;

    private Tokenizer tokenizer;
    private String input;
    private int[] ids;
    private double megabytes;

    @Setup
    public void open() throws IOException {
        try (ModelFile file = ModelFile.open(BenchModel.file())) {
            tokenizer = Tokenizer.of(file.metadata());
        }
        input = read(text);
        ids = tokenizer.encode(input);
        megabytes = input.getBytes(StandardCharsets.UTF_8).length * 1e-6;
    }

    private static String read(Text text) throws IOException {
        String testData = System.getenv("REPRISE_TESTDATA");
        if (testData == null) {
            String name = text == Text.ENGLISH ? "english.txt" : "mixed.txt";
            try (InputStream in = TokenizerBenchmark.class.getResourceAsStream(name)) {
                return new String(in.readAllBytes(), StandardCharsets.UTF_8);
            }
        }
        if (text == Text.ENGLISH) {
            return Files.readString(Path.of(testData, "models", "text.txt"));
        }
        StringBuilder all = new StringBuilder();
        for (JsonNode row : new JsonMapper().readTree(Path.of(testData, "tokenizer", "gpt-2.json").toFile())) {
            all.append(row.get("text").textValue()).append('\n');
        }
        return all.toString();
    }

    @Benchmark
    public int[] encode(Volume volume) {
        volume.megabytes += megabytes;
        return tokenizer.encode(input);
    }

    @Benchmark
    public String decode(Volume volume) {
        volume.megabytes += megabytes;
        return tokenizer.decode(ids);
    }
}
