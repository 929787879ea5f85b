package dev.reprise.bench;

import dev.reprise.Model;
import dev.reprise.ModelFile;
import dev.reprise.Tokenizer;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/** What it takes to open a GGUF file, in milliseconds, file in the page cache. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(2)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class GgufOpenBenchmark {
    private Path file;

    @Setup
    public void find() {
        file = BenchModel.file();
    }

    /** Header, metadata and tensor table, checked. */
    @Benchmark
    public Object header() {
        try (ModelFile gguf = ModelFile.open(file)) {
            return gguf.metadata();
        }
    }

    /** The same and the tokenizer that the metadata describes. */
    @Benchmark
    public Tokenizer headerAndTokenizer() {
        try (ModelFile gguf = ModelFile.open(file)) {
            return Tokenizer.of(gguf.metadata());
        }
    }

    /** The whole model, ready to open sessions. */
    @Benchmark
    public long model() {
        try (Model model = Model.load(file, BenchModel.options())) {
            return model.info().parameterCount();
        }
    }
}
