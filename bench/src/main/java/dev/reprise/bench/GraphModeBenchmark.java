package dev.reprise.bench;

import dev.reprise.GenerationOptions;
import dev.reprise.GraphMode;
import dev.reprise.Model;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.SessionOptions;
import java.util.concurrent.TimeUnit;
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
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Decode steps replayed as one graph against the same kernels launched one by one: read the rows {@code :perToken}. The
 * CPU has no graphs, both are then the same.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
public class GraphModeBenchmark {
    @Param({"GRAPH", "EAGER"})
    public GraphMode mode;

    private final GenerationOptions options = GenerationOptions.builder()
            .maxTokens(GenerateBenchmark.TOKENS)
            .sampling(Sampling.greedy())
            .build();
    private int[] prompt;
    private Model model;
    private Session session;

    @Setup
    public void open() {
        model = Model.load(BenchModel.file(), BenchModel.options());
        session = model.newSession(SessionOptions.builder().graphMode(mode).build());
        prompt = model.tokenizer().encode(GenerateBenchmark.PROMPT);
    }

    @TearDown
    public void close() {
        model.close();
    }

    @Benchmark
    public String decode(GenerateBenchmark.Delivered delivered) {
        session.reset();
        var generation = session.complete(prompt, options);
        delivered.perToken += generation.tokens().size();
        return generation.text();
    }
}
