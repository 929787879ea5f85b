package dev.reprise.bench;

import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.SessionOptions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
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
 * Several sessions of one model that decode at the same time, a thread each: read the rows {@code :perToken}, the time
 * for a token of all of them together. Prompts differ; session i has the same one whatever the number. What {@code
 * reprise-bench --sequences} measures without Java.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
public class SequencesBenchmark {
    /** How many. */
    @Param({"1", "2", "4", "8", "16", "32", "64"})
    public int sequences;

    private final GenerationOptions options = GenerationOptions.builder()
            .maxTokens(GenerateBenchmark.TOKENS)
            .sampling(Sampling.greedy())
            .build();
    private final List<Callable<Integer>> generations = new ArrayList<>();
    private Model model;
    private ExecutorService threads;

    @Setup
    public void open() {
        model = Model.load(BenchModel.file(), BenchModel.options());
        threads = Executors.newFixedThreadPool(sequences);
        SessionOptions sessionOptions =
                SessionOptions.builder().contextLength(256).prefixSharing(false).build();
        int[] prompt = model.tokenizer().encode(GenerateBenchmark.PROMPT);
        for (int i = 0; i < sequences; i++) {
            Session session = model.newSession(sessionOptions);
            int[] own = prompt.clone();
            own[own.length - 1] = (own[own.length - 1] + i) % model.tokenizer().vocabularySize();
            generations.add(() -> {
                session.reset();
                return session.complete(own, options).tokens().size();
            });
        }
    }

    @TearDown
    public void close() {
        threads.shutdown();
        model.close();
    }

    @Benchmark
    public int decode(GenerateBenchmark.Delivered delivered) throws InterruptedException, ExecutionException {
        int tokens = 0;
        for (Future<Integer> generation : threads.invokeAll(generations)) {
            tokens += generation.get();
        }
        delivered.perToken += tokens;
        return tokens;
    }
}
