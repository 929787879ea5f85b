package dev.reprise.bench;

import static dev.reprise.natives.reprise.REPRISE_FINISH_NONE;
import static dev.reprise.natives.reprise.REPRISE_OK;

import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.Token;
import dev.reprise.TokenStream;
import dev.reprise.natives.reprise;
import dev.reprise.natives.reprise_model_options;
import dev.reprise.natives.reprise_sampling;
import dev.reprise.natives.reprise_session_options;
import dev.reprise.natives.reprise_token;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.SizeTPointer;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.infra.Blackhole;

/**
 * What {@link Session#generate} costs above a loop over the C functions: read the rows {@code :perToken}, in
 * microseconds. Both decode {@value #TOKENS} tokens greedily behind the same prompt. The difference is small against
 * the noise of the decoding itself, so {@link #generate} also prints, after every iteration, the time per token that it
 * spent outside of the native calls.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(2)
@Warmup(iterations = 5, time = 2)
@Measurement(iterations = 5, time = 2)
public class GenerateBenchmark {
    static final int TOKENS = 64;
    static final String PROMPT = "Once upon a time, there was a little girl who";

    /** Tokens that were delivered. */
    @AuxCounters
    @State(Scope.Thread)
    public static class Delivered {
        public long perToken;
    }

    private final GenerationOptions options =
            GenerationOptions.builder().maxTokens(TOKENS).sampling(Sampling.greedy()).build();
    private int[] prompt;
    private Model model;
    private Session session;
    private NativeLoop loop;
    private long outsideNanos;
    private long outsideTokens;

    @Setup
    public void open() {
        Path file = BenchModel.file();
        model = Model.load(file, BenchModel.options());
        session = model.newSession();
        prompt = model.tokenizer().encode(PROMPT);
        loop = new NativeLoop(file, BenchModel.options().device().ordinal());  // in the order of reprise_device
    }

    @TearDown
    public void close() {
        model.close();
        loop.close();
    }

    @Setup(Level.Iteration)
    public void startCounting() {
        outsideNanos = 0;
        outsideTokens = 0;
    }

    @TearDown(Level.Iteration)
    public void printOutside() {
        if (outsideTokens > 0) {
            System.out.printf("[outside the native call: %.3f us/token] ", outsideNanos * 1e-3 / outsideTokens);
        }
    }

    @Benchmark
    public void generate(Delivered delivered, Blackhole sink) {
        session.reset();
        TokenStream stream = session.generate(prompt, options);
        long first = 0;
        int count = 0;
        for (Token token : stream) {
            sink.consume(token.text());
            if (count++ == 0) {
                first = System.nanoTime();
            }
        }
        long elapsed = System.nanoTime() - first;
        delivered.perToken += count;
        // Its rate counts the time within native calls behind the first token, and nothing else.
        double inside = (count - 1) * 1e9 / stream.result().decodeTokensPerSecond();
        outsideNanos += elapsed - Math.round(inside);
        outsideTokens += count - 1;
    }

    @Benchmark
    public void nativeLoop(Delivered delivered, Blackhole sink) {
        delivered.perToken += loop.run(prompt, TOKENS, sink);
    }

    /** The same through the generated glue, with nothing around it: no text, no options, no objects. */
    private static final class NativeLoop {
        private final long model;
        private final long session;
        private final reprise_sampling sampling = new reprise_sampling();
        private final reprise_token tokens = new reprise_token(32);
        private final SizeTPointer count = new SizeTPointer(1);
        private final IntPointer finish = new IntPointer(1);

        NativeLoop(Path file, int device) {
            long[] handle = new long[1];
            byte[] path = file.toString().getBytes(StandardCharsets.UTF_8);
            check(reprise.reprise_gguf_open(Arrays.copyOf(path, path.length + 1), 1, handle));
            long gguf = handle[0];
            try (reprise_model_options options = new reprise_model_options();
                    reprise_session_options sessionOptions = new reprise_session_options()) {
                reprise.reprise_model_options_default(options);
                check(reprise.reprise_model_load(gguf, options.device(device), handle));
                model = handle[0];
                check(reprise.reprise_gguf_close(gguf));
                reprise.reprise_session_options_default(sessionOptions);
                check(reprise.reprise_session_open(model, sessionOptions, handle));
                session = handle[0];
            }
            reprise.reprise_sampling_default(sampling);
            sampling.temperature(0);
        }

        int run(int[] prompt, int maxTokens, Blackhole sink) {
            check(reprise.reprise_session_rewind(session, 0));
            check(reprise.reprise_session_generate(session, prompt, prompt.length, sampling, maxTokens, new int[0], 0));
            int delivered = 0;
            do {
                check(reprise.reprise_session_next(session, tokens.position(0), 32, count, finish));
                int n = (int) count.get();
                for (int i = 0; i < n; i++) {
                    sink.consume(tokens.position(i).id());
                }
                delivered += n;
            } while (finish.get() == REPRISE_FINISH_NONE);
            return delivered;
        }

        void close() {
            check(reprise.reprise_model_close(model));
        }

        private static void check(int status) {
            if (status != REPRISE_OK) {
                byte[] message = new byte[1024];
                long length = reprise.reprise_last_error(message, message.length);
                throw new IllegalStateException(
                        new String(message, 0, (int) Math.min(length, message.length - 1), StandardCharsets.UTF_8));
            }
        }
    }
}
