package dev.reprise.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Collection;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/** Runs every JMH benchmark for a moment: that they work, not how fast anything is. */
class BenchmarksTest {
    private static final Set<String> BENCHMARKS = Set.of(
            "NativeCallBenchmark.glue", "NativeCallBenchmark.sessionPosition",
            "GenerateBenchmark.generate", "GenerateBenchmark.nativeLoop",
            "GraphModeBenchmark.decode", "SequencesBenchmark.decode",
            "GgufOpenBenchmark.header", "GgufOpenBenchmark.headerAndTokenizer", "GgufOpenBenchmark.model",
            "TokenizerBenchmark.encode", "TokenizerBenchmark.decode");

    @Test
    void everyBenchmarkRunsAndHasAResult() throws RunnerException {
        Collection<RunResult> results = new Runner(new OptionsBuilder()
                        .include("dev\\.reprise\\.bench\\..*")
                        .forks(0)
                        .warmupIterations(0)
                        .measurementIterations(1)
                        .measurementTime(TimeValue.milliseconds(100))
                        .shouldFailOnError(true)
                        .verbosity(VerboseMode.SILENT)
                        .build())
                .run();

        assertEquals(BENCHMARKS, results.stream().map(BenchmarksTest::name).collect(Collectors.toSet()));
        for (RunResult result : results) {
            double score = result.getPrimaryResult().getScore();
            assertTrue(score > 0 && Double.isFinite(score), name(result) + " scored " + score);
        }
    }

    private static String name(RunResult result) {
        return result.getParams().getBenchmark().replace("dev.reprise.bench.", "");
    }
}
