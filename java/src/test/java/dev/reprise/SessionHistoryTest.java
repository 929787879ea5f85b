package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Iterator;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SessionHistoryTest {
    private static final GenerationOptions GREEDY =
            GenerationOptions.builder().maxTokens(24).sampling(Sampling.greedy()).build();

    private static Model model;

    /** In exact arithmetic, so that prompts evaluated in other pieces do not flip a close choice. */
    @BeforeAll
    static void load() {
        model = Model.load(StoryModel.PATH, ModelOptions.builder().exact(true).build());
    }

    @AfterAll
    static void close() {
        model.close();
    }

    @Test
    void generatingAfterARewindEqualsAFreshSession() {
        try (Session used = model.newSession();
                Session fresh = model.newSession()) {
            used.complete("One day, a small robot", GREEDY);
            int[] history = used.history();
            for (int position : new int[] {history.length - 1, 12, 7, 3, 1}) {
                used.rewind(position);
                int[] after = used.complete(" was sad.", GREEDY).ids();

                fresh.reset();
                fresh.evaluate(Arrays.copyOf(history, position));
                assertArrayEquals(fresh.complete(" was sad.", GREEDY).ids(), after, "rewound to " + position);
            }
        }
    }

    @Test
    void aResetSessionEqualsAFreshOne() {
        try (Session used = model.newSession();
                Session fresh = model.newSession()) {
            used.complete("Lily was sad.", GREEDY);
            used.reset();
            assertEquals(0, used.position());
            assertArrayEquals(
                    fresh.complete("Once upon a time", GREEDY).ids(), used.complete("Once upon a time", GREEDY).ids());
        }
    }

    @Test
    void evaluatingInPiecesEqualsEvaluatingAtOnce() {
        int[] ids = model.tokenizer().encode("Once upon a time there was a small robot who lived in a house.");
        try (Session pieces = model.newSession();
                Session atOnce = model.newSession()) {
            pieces.evaluate(Arrays.copyOf(ids, 3));
            pieces.evaluate(Arrays.copyOfRange(ids, 3, 4));
            pieces.evaluate(Arrays.copyOfRange(ids, 4, ids.length));
            atOnce.evaluate(ids);

            assertArrayEquals(ids, pieces.history());
            assertArrayEquals(atOnce.complete("", GREEDY).ids(), pieces.complete("", GREEDY).ids());
        }
    }

    @Test
    void logitsAreThoseOfTheNextToken() {
        try (Session session = model.newSession()) {
            session.evaluate("Once upon a time", false);
            float[] logits = session.logits();
            assertEquals(model.info().vocabularySize(), logits.length);
            int best = 0;
            for (int id = 0; id < logits.length; id++) {
                best = logits[id] > logits[best] ? id : best;
            }
            assertEquals(best, session.complete("", GREEDY).ids()[0]);
        }
    }

    @Test
    void logitsEndAGenerationBehindTheTokensTaken() {
        try (Session session = model.newSession();
                Session fresh = model.newSession()) {
            Iterator<Token> tokens = session.generate("Once upon a time", GREEDY).iterator();
            tokens.next();
            tokens.next();
            float[] logits = session.logits();

            fresh.evaluate(session.history());
            assertArrayEquals(fresh.logits(), logits, 1e-3f);
            assertEquals(7, session.position());
        }
    }

    @Test
    void positionAndHistoryGrowWithTheTokensTaken() {
        try (Session session = model.newSession()) {
            TokenStream stream = session.generate("Once upon a time", GREEDY);
            int before = 5;
            for (Token token : stream) {
                before++;
                assertEquals(before, session.position());
                int[] history = session.history();
                assertEquals(before, history.length);
                assertEquals(token.id(), history[before - 1]);
            }
        }
    }

    @Test
    void impossibleRewindsAreRefused() {
        try (Session session = model.newSession()) {
            session.evaluate(new int[] {5, 6, 7});
            assertThrows(IllegalArgumentException.class, () -> session.rewind(4));
            assertThrows(IllegalArgumentException.class, () -> session.rewind(-1));
            assertEquals(3, session.position());
            session.rewind(3);
            assertEquals(3, session.position());
        }
    }

    @Test
    void logitsOfAnEmptySessionAreRefused() {
        try (Session session = model.newSession()) {
            assertThrows(IllegalArgumentException.class, session::logits);
        }
    }

    @Test
    void aPromptThatDoesNotFitLeavesTheHistoryAsItWas() {
        try (Session session = model.newSession(SessionOptions.builder().contextLength(10).build())) {
            session.evaluate(new int[] {5, 6, 7});
            ContextOverflowException e =
                    assertThrows(ContextOverflowException.class, () -> session.evaluate(new int[8]));
            assertEquals(ErrorCode.CONTEXT_OVERFLOW, e.code());
            assertTrue(e.getMessage().contains("10"), e.getMessage());
            assertArrayEquals(new int[] {5, 6, 7}, session.history());
            session.evaluate(new int[7]);
            assertEquals(10, session.position());
        }
    }

    @Test
    void contextLengthDefaultsToTheModelsUpTo4096() {
        try (Session session = model.newSession()) {
            assertEquals(384, session.contextLength());
        }
        assertThrows(
                IllegalArgumentException.class,
                () -> model.newSession(SessionOptions.builder().contextLength(385).build()));
    }

    @Test
    void everyKvTypeGivesTheSameText() {
        StoryModel.Continuation expected = StoryModel.continuations().get(0);
        int[] stable = Arrays.copyOf(expected.ids(), expected.stable());
        GenerationOptions options = GREEDY.toBuilder().maxTokens(stable.length).build();
        try (Model fast = StoryModel.load();
                Session half = fast.newSession();
                Session single = fast.newSession(SessionOptions.builder().kvType(KvType.F32).build());
                Session eightBits = fast.newSession(SessionOptions.builder().kvType(KvType.Q8_0).build())) {
            assertArrayEquals(stable, half.complete(expected.promptIds(), options).ids());
            assertArrayEquals(stable, single.complete(expected.promptIds(), options).ids());
            assertArrayEquals(stable, eightBits.complete(expected.promptIds(), options).ids());
            assertEquals(2 * half.statistics().kvBytes(), single.statistics().kvBytes());
            assertEquals(34 * half.statistics().kvBytes(), 64 * eightBits.statistics().kvBytes());
            half.rewind(1);
            eightBits.rewind(1);
            int[] ids = Arrays.copyOfRange(expected.promptIds(), 1, expected.promptIds().length);
            half.evaluate(ids);
            eightBits.evaluate(ids);
            assertFalse(Arrays.equals(half.logits(), eightBits.logits()), "the type has an effect");
        }
    }

    @Test
    void aKvTypeOfBlocksNeedsHeadsOfWholeBlocks(@TempDir Path directory) {
        SessionOptions eightBits = SessionOptions.builder().kvType(KvType.Q8_0).build();
        Path path = TinyModel.write(directory, TinyModel.bytesOfNarrowHeads(TinyModel.byteVocabulary()));
        try (Model narrow = Model.load(path);
                ModelFile file = ModelFile.open(path)) {
            IllegalArgumentException e =
                    assertThrows(IllegalArgumentException.class, () -> narrow.newSession(eightBits));
            for (String part : new String[] {"kv_type", "Q8_0", "head_dim is 16", "F16 or F32"}) {
                assertTrue(e.getMessage().contains(part), e.getMessage());
            }
            assertThrows(
                    IllegalArgumentException.class, () -> file.memoryNeeds(ModelOptions.defaults(), eightBits));
            try (Session session = narrow.newSession()) {
                assertEquals(16, narrow.info().headDim());
                assertEquals(5, session.complete(new int[] {7}, GREEDY.toBuilder().maxTokens(5).build()).ids().length);
            }
        }
    }

    @Test
    void sessionsOfOneModelDoNotDisturbEachOther() {
        try (Session one = model.newSession();
                Session other = model.newSession()) {
            int[] alone = one.complete("Once upon a time", GREEDY).ids();
            one.reset();
            Iterator<Token> first = one.generate("Once upon a time", GREEDY).iterator();
            Iterator<Token> second = other.generate("Lily was sad.", GREEDY).iterator();
            for (int id : alone) {
                assertEquals(id, first.next().id());
                second.next();
            }
        }
    }

    @Test
    void statisticsCountPromptAndTokens() {
        try (Session session = model.newSession()) {
            session.complete("Once upon a time", GREEDY);
            SessionStatistics statistics = session.statistics();
            assertEquals(5, statistics.prefillTokens());
            assertEquals(24, statistics.generatedTokens());
            assertEquals(1, statistics.tokensFromPrefill());
            assertTrue(statistics.decodeTime().toNanos() > 0);
            assertTrue(statistics.kvBytes() > 0);
        }
    }

    /** What a SentencePiece tokenizer puts before a text goes before the first one alone. */
    @Test
    void appendedTextIsTheTextThatFollows(@TempDir Path directory) {
        TestVocabulary vocabulary = TestVocabulary.sentencePiece(
                "he", "ll", "llo", "hello", " hello", " w", "or", "ld", "world", " world", " ", "h", "e", "l", "o",
                        "w", "r", "d");
        try (Model pieces = Model.load(TinyModel.write(directory, TinyModel.bytes(vocabulary)));
                Session session = pieces.newSession()) {
            GenerationOptions one = GREEDY.toBuilder().maxTokens(1).build();
            for (boolean special : new boolean[] {false, true}) {
                session.evaluate("hello wor", special);
                session.evaluate("ld", special);
                assertEquals("<s>hello world", pieces.tokenizer().decode(session.history()));
                assertEquals(vocabulary.id("ld"), session.history()[session.position() - 1]);

                session.rewind(session.position() - 1);
                int before = session.position();
                session.complete("ld", one.toBuilder().parseSpecialTokens(special).build());
                assertEquals(vocabulary.id("ld"), session.history()[before]);

                session.rewind(before);
                session.generate("ld", one.toBuilder().parseSpecialTokens(special).build()).close();
                assertEquals(vocabulary.id("ld"), session.history()[before]);

                session.reset();
                session.evaluate("hello", special);
                assertArrayEquals(new int[] {1, vocabulary.id("\u2581hello")}, session.history());
                session.reset();
            }
        }
    }
}
