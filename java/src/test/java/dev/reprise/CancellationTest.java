package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class CancellationTest {
    private static final GenerationOptions LONG = GenerationOptions.builder().sampling(Sampling.greedy()).build();
    /** Takes the tiny model a second or more in exact arithmetic, since attention grows with the square. */
    private static final int[] LONG_PROMPT = new int[8000];

    private static Model tiny;
    private static Model slow;
    private static Model fast;
    private static Duration wholePrompt;

    @BeforeAll
    static void load(@TempDir Path directory) {
        Arrays.setAll(LONG_PROMPT, i -> i % 250);
        Path file = TinyModel.write(directory, TinyModel.bytesOfF32(TinyModel.byteVocabulary()));
        tiny = Model.load(file, ModelOptions.builder().device(Device.CPU).exact(true).threads(1).build());
        slow = StoryModel.loadSlow();
        fast = StoryModel.load();
        try (Session session = longSession()) {
            session.evaluate(LONG_PROMPT);
            wholePrompt = session.statistics().prefillTime();
        }
    }

    @AfterAll
    static void close() {
        tiny.close();
        slow.close();
        fast.close();
    }

    private static Session longSession() {
        // What is evaluated again is to take as long again.
        return tiny.newSession(SessionOptions.builder()
                .contextLength(LONG_PROMPT.length + 64)
                .prefixSharing(false)
                .build());
    }

    /** What a call in another thread threw; null if nothing. */
    private static final class Background {
        private final AtomicReference<Throwable> thrown = new AtomicReference<>();
        private final Thread thread;

        Background(Runnable action) {
            thread = new Thread(() -> {
                try {
                    action.run();
                } catch (Throwable e) {
                    thrown.set(e);
                }
            });
            thread.setDaemon(true);
            thread.start();
        }

        Throwable join() throws InterruptedException {
            thread.join();
            return thrown.get();
        }
    }

    /** Lets a prompt in another thread get under way. */
    private static void letItRun() throws InterruptedException {
        Thread.sleep(wholePrompt.toMillis() / 4);
    }

    private static void assertQuick(long startNanos) {
        Duration taken = Duration.ofNanos(System.nanoTime() - startNanos);
        assertTrue(taken.compareTo(wholePrompt.multipliedBy(3).dividedBy(4)) < 0, taken + " of " + wholePrompt);
    }

    @Test
    void cancelDuringPrefillThrowsAndLeavesTheHistoryAsItWas() throws InterruptedException {
        try (Session session = longSession()) {
            session.evaluate(new int[] {1, 2, 3});
            long start = System.nanoTime();
            Background prefill = new Background(() -> session.generate(LONG_PROMPT, LONG));
            letItRun();
            session.cancel();

            assertInstanceOf(CancelledException.class, prefill.join());
            assertQuick(start);
            assertArrayEquals(new int[] {1, 2, 3}, session.history());
            assertEquals(2, session.complete("", LONG.toBuilder().maxTokens(2).build()).tokens().size());
        }
    }

    @Test
    void cancelDuringEvaluateThrowsToo() throws InterruptedException {
        try (Session session = longSession()) {
            Background evaluation = new Background(() -> session.evaluate(LONG_PROMPT));
            letItRun();
            session.cancel();

            assertInstanceOf(CancelledException.class, evaluation.join());
            assertEquals(0, session.position());
        }
    }

    @Test
    void cancelDuringDecodeEndsTheStream() {
        try (Session session = fast.newSession()) {
            TokenStream stream = session.generate("Once upon a time", LONG);
            int count = 0;
            for (Token token : stream) {
                if (++count == 5) {
                    session.cancel();
                }
            }

            assertEquals(5, count);
            assertEquals(FinishReason.CANCELLED, stream.result().finishReason());
            assertEquals(10, session.position());
            assertEquals(3, session.complete("", LONG.toBuilder().maxTokens(3).build()).tokens().size());
        }
    }

    @Test
    void whatWasHeldBackForAStopStringBelongsToTheResult() {
        GenerationOptions options = GenerationOptions.builder()
                .sampling(Sampling.greedy())
                .stop(", there was a cow")
                .build();
        try (Session session = fast.newSession()) {
            TokenStream stream = session.generate("Once upon a time", options);
            Iterator<Token> tokens = stream.iterator();
            for (int i = 0; i < 3; i++) {
                assertEquals("", tokens.next().text());
            }
            stream.cancel();
            assertFalse(tokens.hasNext());
            assertEquals(FinishReason.CANCELLED, stream.result().finishReason());
            assertEquals(", there was", stream.result().text());
        }
    }

    /** As when the interrupt comes between the native call and the return from generate(). */
    @Test
    void anInterruptAtTheEndOfGenerateEndsTheGeneration() {
        try (Session session = fast.newSession()) {
            TokenStream stream = session.generate("Once upon a time", LONG);
            new CancelOnInterrupt(session).implCloseChannel();
            assertFalse(stream.iterator().hasNext());
            assertEquals(FinishReason.CANCELLED, stream.result().finishReason());
        }
    }

    @Test
    void theResultOfAnEndedGenerationCanBeReadWhileTheSessionIsInUse() throws InterruptedException {
        try (Session session = longSession()) {
            GenerationOptions two = GenerationOptions.builder().sampling(Sampling.greedy()).maxTokens(2).build();
            TokenStream ended = session.generate(new int[] {1, 2, 3}, two);
            ended.forEach(token -> {});
            CountDownLatch inside = new CountDownLatch(1);
            CountDownLatch read = new CountDownLatch(1);
            TokenStream other = session.generate(new int[] {4}, GenerationOptions.builder().maxTokens(1).build());
            Background user = new Background(() -> {
                session.enter();
                inside.countDown();
                try {
                    read.await();
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                } finally {
                    session.leave();
                }
            });
            try {
                inside.await();
                assertThrows(IllegalStateException.class, other::take);
                assertEquals(2, ended.result().tokens().size());
            } finally {
                read.countDown();  // closing the session waits for who is inside
            }
            assertNull(user.join());
        }
    }

    @Test
    void aParallelStreamTakesNoMoreThanItIsAskedFor() {
        try (Session session = fast.newSession()) {
            int before = session.generate("Once upon a time", LONG).stream().parallel().limit(5).toList().size();
            assertEquals(5, before);
            assertEquals(5 + 5, session.position());
        }
    }

    @Test
    void cancelFromAnotherThreadEndsABlockingCall() throws InterruptedException {
        for (int delay = 100;; delay *= 2) {
            try (Session session = slow.newSession()) {
                AtomicReference<Generation> result = new AtomicReference<>();
                Background call = new Background(() -> result.set(session.complete("Once upon a time", LONG)));
                Thread.sleep(delay);
                session.cancel();

                Throwable thrown = call.join();
                if (thrown instanceof CancelledException && delay < 10_000) {
                    continue;  // the prompt was still being evaluated
                }
                assertNull(thrown);
                assertEquals(FinishReason.CANCELLED, result.get().finishReason());
                assertEquals(result.get().promptTokens() + result.get().tokens().size(), session.position());
                return;
            }
        }
    }

    @Test
    void cancelWithNothingInProgressHasNoEffect() {
        try (Session session = fast.newSession()) {
            session.cancel();
            Generation result = session.complete("Once upon a time", LONG.toBuilder().maxTokens(3).build());
            session.cancel();
            assertEquals(FinishReason.MAX_TOKENS, result.finishReason());
            assertEquals(8, session.position());
        }
    }

    @Test
    void interruptDuringPrefillCancelsAndStaysSet() throws InterruptedException {
        try (Session session = longSession()) {
            CountDownLatch stillInterrupted = new CountDownLatch(1);
            long start = System.nanoTime();
            Background prefill = new Background(() -> {
                try {
                    session.generate(LONG_PROMPT, LONG);
                } finally {
                    if (Thread.currentThread().isInterrupted()) {
                        stillInterrupted.countDown();
                    }
                }
            });
            letItRun();
            prefill.thread.interrupt();

            assertInstanceOf(CancelledException.class, prefill.join());
            assertQuick(start);
            assertEquals(0, stillInterrupted.getCount());
            assertEquals(0, session.position());
        }
    }

    @Test
    void interruptDuringDecodeEndsTheStreamAndStaysSet() {
        try (Session session = fast.newSession()) {
            TokenStream stream = session.generate("Once upon a time", LONG);
            int count = 0;
            for (Token token : stream) {
                if (++count == 3) {
                    Thread.currentThread().interrupt();
                }
            }

            assertTrue(Thread.interrupted());
            assertEquals(3, count);
            assertEquals(FinishReason.CANCELLED, stream.result().finishReason());
            assertEquals(8, session.position());
        }
    }

    @Test
    void anInterruptedThreadDoesNotBegin() {
        try (Session session = fast.newSession()) {
            Thread.currentThread().interrupt();
            assertThrows(CancelledException.class, () -> session.generate("Once upon a time", LONG));
            assertTrue(Thread.interrupted());
            assertEquals(0, session.position());
        }
    }

    @Test
    void cancellingTheFutureCancelsTheGeneration() throws InterruptedException {
        try (Session session = longSession()) {
            long start = System.nanoTime();
            CompletableFuture<Generation> future = session.completeAsync(LONG_PROMPT, LONG);
            letItRun();
            assertTrue(future.cancel(true));

            assertThrows(CancellationException.class, future::join);
            awaitFree(session);
            assertQuick(start);
            assertEquals(0, session.position());
        }
    }

    @Test
    void aFutureThatTimesOutCancelsTheGeneration() throws InterruptedException {
        try (Session session = longSession()) {
            long start = System.nanoTime();
            CompletableFuture<Generation> future = session.completeAsync(LONG_PROMPT, LONG)
                    .orTimeout(wholePrompt.toMillis() / 4, TimeUnit.MILLISECONDS);

            ExecutionException e = assertThrows(ExecutionException.class, future::get);
            assertInstanceOf(TimeoutException.class, e.getCause());
            awaitFree(session);
            assertQuick(start);
        }
    }

    @Test
    void aFutureFailsWithTheExceptionOfTheCall() {
        try (Session session = fast.newSession()) {
            CompletableFuture<Generation> future = session.completeAsync(new int[500], LONG);
            ExecutionException e = assertThrows(ExecutionException.class, future::get);
            assertInstanceOf(ContextOverflowException.class, e.getCause());
        }
    }

    private static void awaitFree(Session session) throws InterruptedException {
        while (true) {
            try {
                session.position();
                return;
            } catch (IllegalStateException e) {
                Thread.sleep(1);
            }
        }
    }

    @Test
    void aSecondConcurrentCallIsRefused() throws InterruptedException {
        try (Session session = longSession()) {
            Background prefill = new Background(() -> session.evaluate(LONG_PROMPT));
            letItRun();
            List<Runnable> calls = List.of(
                    session::position, session::history, session::logits, session::reset, session::statistics,
                    () -> session.generate("x"), () -> session.complete("x"), () -> session.evaluate(new int[] {1}));
            for (Runnable call : calls) {
                IllegalStateException e = assertThrows(IllegalStateException.class, call::run);
                assertTrue(e.getMessage().contains("in use by another thread"), e.getMessage());
            }
            assertNull(prefill.join());
            assertEquals(LONG_PROMPT.length, session.position());
        }
    }

    @Test
    void manyThreadsOnOneSessionGetExceptionsAndNoDamage() throws InterruptedException {
        try (Session session = fast.newSession()) {
            GenerationOptions options = LONG.toBuilder().maxTokens(4).build();
            Background[] threads = new Background[4];
            for (int t = 0; t < threads.length; t++) {
                threads[t] = new Background(() -> {
                    for (int i = 0; i < 50; i++) {
                        try {
                            session.reset();
                            session.complete("Once upon a time", options);
                            session.generate("Once", options).iterator().next();
                        } catch (IllegalStateException e) {
                            // Another thread has the session.
                        }
                    }
                });
            }
            for (Background thread : threads) {
                assertNull(thread.join());
            }
            session.reset();
            assertEquals(", there was a", session.complete("Once upon a time", options).text());
        }
    }

    @Test
    void closeDuringPrefillThrowsInTheCall() throws InterruptedException {
        Session session = longSession();
        long start = System.nanoTime();
        Background prefill = new Background(() -> session.evaluate(LONG_PROMPT));
        letItRun();
        session.close();

        assertInstanceOf(CancelledException.class, prefill.join());
        assertQuick(start);
        assertThrows(IllegalStateException.class, session::position);
    }

    @Test
    void closeDuringDecodeThrowsInTheThreadThatTakesTokens() throws InterruptedException {
        Session session = slow.newSession();
        CountDownLatch decoding = new CountDownLatch(2);
        Background decode = new Background(
                () -> session.generate("Once upon a time", LONG).forEach(token -> decoding.countDown()));
        decoding.await();
        session.close();

        assertClosed(decode.join());
    }

    @Test
    void closingTheModelDuringDecodeThrowsInTheThreadThatTakesTokens() throws InterruptedException {
        Model model = StoryModel.loadSlow();
        Session session = model.newSession();
        CountDownLatch decoding = new CountDownLatch(2);
        Background decode = new Background(
                () -> session.generate("Once upon a time", LONG).forEach(token -> decoding.countDown()));
        decoding.await();
        model.close();

        assertClosed(decode.join());
        assertThrows(IllegalStateException.class, session::position);
        session.close();
    }

    @Test
    void closingTheModelDuringABlockingCallThrows() throws InterruptedException {
        Model model = StoryModel.loadSlow();
        Session session = model.newSession();
        Background call = new Background(() -> session.complete("Once upon a time", LONG));
        Thread.sleep(100);
        model.close();

        assertClosed(call.join());
    }

    private static void assertClosed(Throwable thrown) {
        assertTrue(thrown instanceof CancelledException || thrown instanceof IllegalStateException, "" + thrown);
    }

    @Test
    void closingAndCancellingRaceWithoutHarm() throws InterruptedException {
        for (int i = 0; i < 100; i++) {
            Session session = fast.newSession();
            Iterator<Token> tokens = session.generate("Once upon a time", LONG).iterator();
            Background taker = new Background(() -> {
                while (tokens.hasNext()) {
                    tokens.next();
                }
            });
            Background canceller = new Background(session::cancel);
            Background closer = new Background(session::close);
            session.close();
            assertNull(canceller.join());
            assertNull(closer.join());
            Throwable thrown = taker.join();
            assertTrue(thrown == null || thrown instanceof CancelledException
                    || thrown instanceof IllegalStateException, "" + thrown);
        }
    }
}
