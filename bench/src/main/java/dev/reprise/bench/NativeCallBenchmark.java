package dev.reprise.bench;

import dev.reprise.Model;
import dev.reprise.Session;
import dev.reprise.natives.loader.NativeLibrary;
import dev.reprise.natives.reprise;
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
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** What one call from Java to the native library costs, in nanoseconds. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(2)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class NativeCallBenchmark {
    private Model model;
    private Session session;

    @Setup
    public void open() {
        NativeLibrary.load();
        model = Model.load(BenchModel.file(), BenchModel.options());
        session = model.newSession();
    }

    @TearDown
    public void close() {
        model.close();
    }

    /** The generated glue alone: a function that returns a constant. */
    @Benchmark
    public int glue() {
        return reprise.reprise_abi_version();
    }

    /** A call of the public API: lock, glue, handle lookup, status check. */
    @Benchmark
    public int sessionPosition() {
        return session.position();
    }
}
