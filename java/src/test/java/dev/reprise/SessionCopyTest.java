package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Forks and saved sessions go on as the session itself does, and evaluate nothing for it. */
class SessionCopyTest {
    private static final GenerationOptions GREEDY =
            GenerationOptions.builder().maxTokens(12).sampling(Sampling.greedy()).build();
    private static final GenerationOptions DRAWN = GenerationOptions.builder()
            .maxTokens(12)
            .sampling(Sampling.builder()
                    .temperature(1)
                    .topP(0.95)
                    .repeatPenalty(1.2)
                    .presencePenalty(0.1)
                    .seed(7)
                    .build())
            .logprobs(true)
            .build();

    private static Model model;

    @TempDir
    Path directory;

    @BeforeAll
    static void load() {
        model = StoryModel.load();
    }

    @AfterAll
    static void close() {
        model.close();
    }

    private Path file() {
        return directory.resolve("session");
    }

    /** What a session says while it goes on. */
    private record Trace(List<Token> drawn, List<Token> greedy, List<Float> logits) {
        static Trace of(Session session) {
            List<Token> drawn = session.complete("", DRAWN).tokens();
            List<Token> greedy = session.complete(" But then", GREEDY).tokens();
            session.rewind(session.position() - 3);
            float[] logits = session.logits();
            Float[] boxed = new Float[logits.length];
            for (int i = 0; i < logits.length; i++) {
                boxed[i] = logits[i];
            }
            return new Trace(drawn, greedy, List.of(boxed));
        }
    }

    private static void assertNothingEvaluated(Session copy) {
        assertEquals(0, copy.statistics().prefillTokens());
        assertEquals(0, copy.statistics().generatedTokens());
    }

    @Test
    void aForkGoesOnAsTheSession() {
        try (Session session = model.newSession()) {
            session.complete("Once upon a time", DRAWN);
            try (Session fork = session.fork();
                    Session forkOfFork = fork.fork()) {
                assertArrayEquals(session.history(), fork.history());
                assertNothingEvaluated(fork);
                assertNothingEvaluated(forkOfFork);
                Trace expected = Trace.of(session);
                assertEquals(expected, Trace.of(fork));
                assertEquals(expected, Trace.of(forkOfFork));
            }
        }
    }

    @Test
    void aForkOutlivesTheSession() {
        Session session = model.newSession();
        session.evaluate("Once upon a time", false);
        try (Session fork = session.fork()) {
            Trace expected = Trace.of(session);
            session.close();
            assertEquals(expected, Trace.of(fork));
            assertThrows(IllegalStateException.class, session::fork);
        }
    }

    @Test
    void aRestoredSessionGoesOnAsTheSession() {
        for (KvType kvType : KvType.values()) {
            SessionOptions options = SessionOptions.builder().kvType(kvType).contextLength(100).build();
            try (Session session = model.newSession(options)) {
                session.complete("Once upon a time", DRAWN);
                session.save(file());
                try (Model again = StoryModel.load();
                        Session restored = again.restore(file())) {
                    assertArrayEquals(session.history(), restored.history());
                    assertEquals(100, restored.contextLength());
                    assertEquals(session.statistics().kvBytes(), restored.statistics().kvBytes());
                    assertNothingEvaluated(restored);
                    assertEquals(Trace.of(session), Trace.of(restored));
                }
            }
        }
    }

    @Test
    void anEmptySessionCanBeCopied() {
        try (Session session = model.newSession()) {
            session.save(file());
            try (Session fork = session.fork();
                    Session restored = model.restore(file())) {
                int[] expected = session.complete("Once", GREEDY).ids();
                assertArrayEquals(expected, fork.complete("Once", GREEDY).ids());
                assertArrayEquals(expected, restored.complete("Once", GREEDY).ids());
            }
        }
    }

    @Test
    void copiesOfARunningGenerationHaveTheTokensTaken() {
        int[] whole;
        try (Session same = model.newSession()) {
            whole = same.complete("Once upon a time", DRAWN).ids();
        }
        try (Session session = model.newSession();
                Session ended = model.newSession()) {
            Iterator<Token> tokens = session.generate("Once upon a time", DRAWN).iterator();
            int taken = 0;
            for (int next : new int[] {0, 1, 5, 11}) {
                for (; taken < next; taken++) {
                    assertEquals(whole[taken], tokens.next().id());
                }
                ended.reset();
                TokenStream stream = ended.generate("Once upon a time", DRAWN);
                stream.stream().limit(next).forEach(token -> {});
                stream.close();
                session.save(file());
                try (Session fork = session.fork();
                        Session restored = model.restore(file())) {
                    assertArrayEquals(ended.history(), fork.history());
                    Trace expected = Trace.of(ended);
                    assertEquals(expected, Trace.of(fork), next + " tokens taken");
                    assertEquals(expected, Trace.of(restored), next + " tokens taken");
                }
            }
            assertEquals(whole[taken], tokens.next().id());
            assertFalse(tokens.hasNext());
        }
    }

    /** The last token of an answer is evaluated with what follows it. */
    @Test
    void aConversationEvaluatesEachTokenOnceHoweverItIsCopied() {
        GenerationOptions answer = GREEDY.toBuilder().maxTokens(5).build();
        Session session = model.newSession();
        for (int turn = 0; turn < 10; turn++) {
            int before = session.position();
            long evaluated = session.statistics().prefillTokens();
            Generation generation = session.complete(" Then she said", answer);
            int prompt = session.position() - before - generation.ids().length;
            assertEquals(prompt + (turn > 0 ? 1 : 0), session.statistics().prefillTokens() - evaluated);
            Session copy;
            if (turn % 3 == 0) {
                copy = session.fork();
            } else if (turn % 3 == 1) {
                session.save(file());
                copy = model.restore(file());
            } else {
                continue;
            }
            session.close();
            session = copy;
        }
        session.close();
    }

    @Test
    void optionsThatAreNotChosenAreAsSaved() {
        SessionOptions eightBits = SessionOptions.builder().kvType(KvType.Q8_0).contextLength(50).build();
        try (Session session = model.newSession(eightBits)) {
            session.evaluate(new int[20]);
            session.save(file());
        }
        try (Session longer = model.restore(file(), SessionOptions.builder().contextLength(300).build());
                Session shortest = model.restore(file(), SessionOptions.builder().contextLength(20).build())) {
            assertEquals(300, longer.contextLength());
            assertArrayEquals(shortest.logits(), longer.logits());
            assertEquals(eightBitBytes(300), longer.statistics().kvBytes());
        }
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> model.restore(file(), SessionOptions.builder().kvType(KvType.F16).build()));
        assertTrue(e.getMessage().contains("F16") && e.getMessage().contains("Q8_0"), e.getMessage());
        e = assertThrows(
                IllegalArgumentException.class,
                () -> model.restore(file(), SessionOptions.builder().contextLength(19).build()));
        assertTrue(e.getMessage().contains("19") && e.getMessage().contains("20"), e.getMessage());
        assertThrows(
                IllegalArgumentException.class,
                () -> model.restore(file(), SessionOptions.builder().contextLength(385).build()));
        assertThrows(NullPointerException.class, () -> model.restore(file(), null));
    }

    private static long eightBitBytes(int contextLength) {
        try (Session session = model.newSession(
                SessionOptions.builder().kvType(KvType.Q8_0).contextLength(contextLength).build())) {
            return session.statistics().kvBytes();
        }
    }

    @Test
    void filesThatAreNoSessionOrDamagedAreRefused() throws IOException {
        try (Session session = model.newSession()) {
            session.evaluate("Once upon a time", false);
            session.save(file());
        }
        byte[] sound = Files.readAllBytes(file());
        byte[] flipped = sound.clone();
        flipped[sound.length / 2] ^= 4;
        byte[] newer = sound.clone();
        newer[8] = 2;
        assertRefused(new byte[0], "empty");
        assertRefused("Once upon a time".getBytes(StandardCharsets.UTF_8), "no saved session");
        assertRefused(Arrays.copyOf(sound, sound.length - 1), "truncated");
        assertRefused(flipped, "damaged");
        assertRefused(newer, "newer");
        SessionFormatException e =
                assertThrows(SessionFormatException.class, () -> model.restore(StoryModel.PATH));
        assertEquals(ErrorCode.SESSION_FORMAT, e.code());
        assertThrows(UncheckedIOException.class, () -> model.restore(directory.resolve("nothing")));
        assertThrows(UncheckedIOException.class, () -> model.restore(directory));
    }

    private void assertRefused(byte[] bytes, String why) throws IOException {
        Path changed = Files.write(directory.resolve("changed"), bytes);
        SessionFormatException e = assertThrows(SessionFormatException.class, () -> model.restore(changed));
        assertTrue(e.getMessage().contains(why), e.getMessage());
        assertTrue(e.getMessage().contains(changed.toString()), e.getMessage());
    }

    @Test
    void sessionsOfAnotherModelOrArithmeticAreRefused() {
        try (Session session = model.newSession()) {
            session.evaluate("Once upon a time", false);
            session.save(file());
        }
        Path path = TinyModel.write(directory, TinyModel.bytes(TinyModel.byteVocabulary()));
        try (Model other = Model.load(path);
                Model exact = Model.load(StoryModel.PATH, ModelOptions.builder().exact(true).build())) {
            SessionMismatchException e =
                    assertThrows(SessionMismatchException.class, () -> other.restore(file()));
            assertEquals(ErrorCode.SESSION_MISMATCH, e.code());
            assertTrue(e.getMessage().contains("another model"), e.getMessage());
            e = assertThrows(SessionMismatchException.class, () -> exact.restore(file()));
            assertTrue(e.getMessage().contains("arithmetic"), e.getMessage());
        }
    }

    @Test
    void aFileIsReplacedWholeOrNotAtAll() throws IOException {
        Path file = directory.resolve("Gespr\u00e4ch \u4f60\u597d");
        try (Session session = model.newSession()) {
            session.evaluate("Once", false);
            session.save(file);
            session.evaluate(" upon a time", false);
            session.save(file);
            assertEquals(PosixFilePermissions.fromString("rw-------"), Files.getPosixFilePermissions(file));
            assertThrows(UncheckedIOException.class, () -> session.save(directory));
            UncheckedIOException e = assertThrows(
                    UncheckedIOException.class, () -> session.save(directory.resolve("none").resolve("session")));
            assertTrue(e.getMessage().contains("none"), e.getMessage());
            try (Session restored = model.restore(file)) {
                assertArrayEquals(session.history(), restored.history());
            }
        }
        try (Stream<Path> files = Files.list(directory)) {
            assertEquals(List.of(file), files.toList());
        }
    }

    @Test
    void closedObjectsRefuse() {
        Model closing = StoryModel.load();
        Session session = closing.newSession();
        session.save(file());
        Session fork = session.fork();
        session.close();
        assertThrows(IllegalStateException.class, session::fork);
        assertThrows(IllegalStateException.class, () -> session.save(file()));
        assertEquals(0, fork.position());
        closing.close();
        assertThrows(IllegalStateException.class, fork::position);
        assertThrows(IllegalStateException.class, fork::fork);
        assertThrows(IllegalStateException.class, () -> closing.restore(file()));
        fork.close();
    }

    @Test
    void anotherThreadInTheSessionIsNoticed() throws InterruptedException {
        try (Session session = model.newSession()) {
            session.evaluate("Once", false);
            Thread inside = new Thread(() -> {
                session.enter();
                try {
                    Thread.sleep(Long.MAX_VALUE);
                } catch (InterruptedException e) {
                    session.leave();
                }
            });
            inside.start();
            while (inside.getState() != Thread.State.TIMED_WAITING) {
                Thread.onSpinWait();
            }
            assertThrows(IllegalStateException.class, session::fork);
            assertThrows(IllegalStateException.class, () -> session.save(file()));
            inside.interrupt();
            inside.join();
            assertFalse(Files.exists(file()));
            session.fork().close();
        }
    }
}
