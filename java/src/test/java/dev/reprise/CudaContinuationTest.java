package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.reprise.StoryModel.Continuation;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Decoding by captured graphs says what exact arithmetic says, in two sessions on two threads at once. */
class CudaContinuationTest {
    /** Rounded activations may flip a choice closer than this. */
    private static final double SURE = 0.6;

    private static final int THREADS = 2;

    @BeforeAll
    static void needsADevice() {
        Backend backend = Backend.describe();
        assumeTrue(backend.cudaAvailable(), () -> "skipped: no CUDA device: " + backend.cudaReason());
    }

    @Test
    void storyModelFollowsTheExpectedTokensInGraphs() throws Exception {
        checkOnTwoThreads(StoryModel.PATH, StoryModel.continuations(), 0.96);
    }

    @Test
    void smolLmFollowsTheExpectedTokensInGraphs() throws Exception {
        List<Continuation> expected = Continuation.parse(Files.readString(TestData.path("models/expected.json")));
        checkOnTwoThreads(TestData.path("models/SmolLM2-135M-Instruct-Q4_1.gguf"), expected, 0.97);
    }

    private static void checkOnTwoThreads(Path path, List<Continuation> expected, double share) throws Exception {
        ExecutorService executor = Executors.newFixedThreadPool(THREADS);
        try (Model model = Model.load(path, ModelOptions.builder().device(Device.CUDA).build())) {
            assertEquals(Device.CUDA, model.info().device());
            CyclicBarrier together = new CyclicBarrier(THREADS);
            List<Future<?>> checks = new ArrayList<>();
            for (int i = 0; i < THREADS; i++) {
                checks.add(executor.submit(() -> {
                    together.await(1, TimeUnit.MINUTES);
                    checkSession(model, expected, share);
                    return null;
                }));
            }
            for (Future<?> check : checks) {
                check.get(5, TimeUnit.MINUTES);
            }
        } finally {
            executor.shutdownNow();
        }
    }

    private static void checkSession(Model model, List<Continuation> expected, double share) {
        int positions = 0;
        int flips = 0;
        SessionOptions graphs = SessionOptions.builder().graphMode(GraphMode.GRAPH).build();
        try (Session session = model.newSession(graphs)) {
            for (Continuation continuation : expected) {
                session.reset();
                positions += continuation.ids().length;
                flips += follow(session, continuation);
            }
            SessionStatistics statistics = session.statistics();
            System.out.printf(
                    "%s: %d of %d positions agree, %d graph replays, %d eager steps%n",
                    Thread.currentThread().getName(), positions - flips, positions,
                    statistics.graphReplays(), statistics.eagerSteps());
            assertTrue(statistics.graphReplays() > 0, statistics.toString());
            assertEquals(1, statistics.eagerSteps(), statistics.toString());
            assertEquals(0, statistics.captureFailures(), statistics.toString());
        }
        assertTrue(positions - flips >= share * positions, flips + " of " + positions + " positions differ");
    }

    /** Generates; where a close choice flips, takes the expected token instead and goes on. Returns how many did. */
    private static int follow(Session session, Continuation continuation) {
        int[] ids = continuation.ids();
        int flips = 0;
        int[] prompt = continuation.promptIds();
        int done = 0;
        while (done < ids.length) {
            GenerationOptions greedy = GenerationOptions.builder()
                    .maxTokens(ids.length - done)
                    .sampling(Sampling.greedy())
                    .build();
            int[] generated = session.complete(prompt, greedy).ids();
            int agreeing = Arrays.mismatch(generated, 0, generated.length, ids, done, ids.length);
            if (agreeing < 0) {
                break;
            }
            int at = done + agreeing;
            assertTrue(agreeing < generated.length, () -> "ended before token " + at + " after: " + continuation);
            assertTrue(
                    continuation.margins()[at] <= SURE && at >= continuation.stable(),
                    () -> "token " + at + " after: " + continuation + " is " + generated[agreeing]);
            flips++;
            done = at + 1;
            session.rewind(continuation.promptIds().length + at);
            prompt = new int[] {ids[at]};
        }
        return flips;
    }
}
