package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.io.TempDir;

@Timeout(300)
@EnabledForJreRange(min = JRE.JAVA_21, disabledReason = "virtual threads came with Java 21")
class VirtualThreadTest {
    private static final ModelOptions SLOW =
            ModelOptions.builder().device(Device.CPU).exact(true).threads(1).build();
    private static final int[] LONG_PROMPT = new int[8000];

    @TempDir
    Path directory;

    @BeforeAll
    static void fillPrompt() {
        Arrays.setAll(LONG_PROMPT, i -> i % 250);
    }

    private Path longContext() {
        return TinyModel.write(directory, TinyModel.bytesOfF32(TinyModel.byteVocabulary()));
    }

    private static Session longSession(Model model) {
        return model.newSession(SessionOptions.builder().contextLength(LONG_PROMPT.length + 64).build());
    }

    /** What the action threw on a virtual thread; null if nothing. */
    private static Throwable join(Thread thread, AtomicReference<Throwable> thrown) throws InterruptedException {
        thread.join();
        return thrown.get();
    }

    private static Thread start(AtomicReference<Throwable> thrown, Runnable action) {
        return VirtualThreads.start(() -> {
            try {
                action.run();
            } catch (Throwable e) {
                thrown.set(e);
            }
        });
    }

    private static Throwable thrownBy(Runnable action) throws InterruptedException {
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        return join(start(thrown, action), thrown);
    }

    @Test
    void otherVirtualThreadsGoOnWhileOneIsInALongCall() throws IOException, InterruptedException {
        ChildJvm.Result result = ChildJvm.run(
                List.of("-Djdk.virtualThreadScheduler.parallelism=1", "-Djdk.virtualThreadScheduler.maxPoolSize=1"),
                VirtualThreads.class, longContext().toString(), StoryModel.PATH.toString(),
                directory.resolve("saved").toString());
        assertEquals(0, result.exitCode(), result.out());
        List<String> lines = result.out().lines().toList();
        assertEquals(13, lines.size(), result.out());
        for (String line : lines) {
            String[] words = line.split(" ");
            int taken = Integer.parseInt(words[1]);
            int stoodStill = Integer.parseInt(words[2]);
            assertTrue(taken >= 200, () -> "too short to tell: " + result.out());
            assertTrue(
                    stoodStill < taken / 2,
                    () -> "milliseconds of a call and of standstill meanwhile:\n" + result.out());
        }
    }

    @Test
    void anInterruptCancelsAPromptAndStaysSet() throws InterruptedException {
        try (Model model = Model.load(longContext(), SLOW);
                Session session = longSession(model)) {
            AtomicBoolean stillInterrupted = new AtomicBoolean();
            for (Runnable call : List.<Runnable>of(
                    () -> session.evaluate(LONG_PROMPT),
                    () -> session.generate(LONG_PROMPT, GenerationOptions.defaults()),
                    () -> session.complete(LONG_PROMPT, GenerationOptions.defaults()))) {
                stillInterrupted.set(false);
                AtomicReference<Throwable> thrown = new AtomicReference<>();
                Thread thread = start(thrown, () -> {
                    try {
                        call.run();
                    } finally {
                        stillInterrupted.set(Thread.currentThread().isInterrupted());
                    }
                });
                Thread.sleep(100);
                thread.interrupt();
                assertInstanceOf(CancelledException.class, join(thread, thrown));
                assertTrue(stillInterrupted.get());
                assertEquals(0, session.position());
            }
            // The thread that was interrupted serves the next call.
            assertNull(thrownBy(() -> session.evaluate(new int[] {1, 2, 3})));
            assertArrayEquals(new int[] {1, 2, 3}, session.history());
        }
    }

    @Test
    void anInterruptCancelsALoadThatAListenerFollows() throws InterruptedException {
        Path file = longContext();
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        AtomicBoolean stillInterrupted = new AtomicBoolean();
        AtomicReference<Thread> caller = new AtomicReference<>();
        ModelOptions options = ModelOptions.builder().progress((done, total) -> caller.get().interrupt()).build();
        Thread thread = start(thrown, () -> {
            caller.set(Thread.currentThread());
            try {
                for (int i = 0; i < 100; i++) {
                    Model.load(file, options).close();
                }
            } finally {
                stillInterrupted.set(Thread.currentThread().isInterrupted());
            }
        });
        assertInstanceOf(CancelledException.class, join(thread, thrown));
        assertTrue(stillInterrupted.get());
    }

    @Test
    void failuresAreThoseOfPlatformThreads() throws InterruptedException {
        try (Model model = StoryModel.load();
                Session session = model.newSession()) {
            for (Runnable call : List.<Runnable>of(
                    () -> session.evaluate(new int[] {-1}),
                    () -> session.evaluate(new int[5000]),
                    () -> session.generate(new int[0], GenerationOptions.defaults()),
                    session::logits,
                    () -> session.rewind(7),
                    () -> Model.load(directory.resolve("none.gguf")),
                    () -> model.newSession(SessionOptions.builder().contextLength(1 << 29).build()))) {
                Throwable expected = null;
                try {
                    call.run();
                } catch (RuntimeException e) {
                    expected = e;
                }
                Throwable thrown = thrownBy(call);
                assertEquals(expected.getClass(), thrown.getClass());
                assertEquals(expected.getMessage(), thrown.getMessage());
                assertTrue(
                        Arrays.stream(thrown.getStackTrace())
                                .anyMatch(frame -> frame.getClassName().equals(VirtualThreadTest.class.getName())),
                        "the trace tells who called");
            }
        }
    }

    @Test
    void generationsAreThoseOfPlatformThreads() throws InterruptedException {
        GenerationOptions options = GenerationOptions.builder().sampling(Sampling.greedy()).maxTokens(40).build();
        try (Model model = StoryModel.load()) {
            AtomicReference<Generation> result = new AtomicReference<>();
            assertNull(thrownBy(() -> {
                try (Session session = model.newSession()) {
                    result.set(session.complete("Once upon a time", options));
                }
            }));
            try (Session session = model.newSession()) {
                assertArrayEquals(session.complete("Once upon a time", options).ids(), result.get().ids());
            }
        }
    }

    @Test
    void closingFromAnotherVirtualThreadEndsAPrompt() throws InterruptedException {
        try (Model model = Model.load(longContext(), SLOW)) {
            Session session = longSession(model);
            AtomicReference<Throwable> thrown = new AtomicReference<>();
            Thread thread = start(thrown, () -> session.evaluate(LONG_PROMPT));
            Thread.sleep(100);
            assertNull(thrownBy(session::close));
            assertInstanceOf(CancelledException.class, join(thread, thrown));
        }
    }

    @Test
    void noThreadIsLeftBehind() throws InterruptedException {
        assertNull(thrownBy(() -> StoryModel.load().close()));
        assertTrue(callThreads() > 0);
        for (int i = 0; i < 200 && callThreads() > 0; i++) {
            Thread.sleep(50);
        }
        assertEquals(0, callThreads());
    }

    private static long callThreads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("reprise-call")).count();
    }
}
