package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What ends a generation. */
class EndTokenTest {
    private static final int FIRST = 256;

    private static int[] ends(TestVocabulary vocabulary) {
        return EndTokens.toArray(vocabulary.tokenizer().endTokens());
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<|end|>", "<|return|>",
                "<|call|>",
        "<｜end▁of▁sentence｜>"
    })
    void knowsWhatNobodyWritesWhateverItsType(String end) {
        for (TokenType type : List.of(TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.CONTROL)) {
            assertIsEnd(end, type);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"</s>", "<end_of_turn>", "<EOT>", "<end_of_utterance>"})
    void knowsOtherEndsByTheirType(String end) {
        assertIsEnd(end, TokenType.USER_DEFINED);
        assertIsEnd(end, TokenType.CONTROL);
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").token(end, TokenType.NORMAL)
                .token("<|endoftext|>", TokenType.CONTROL).set("eos_token_id", FIRST + 1L).tokenizer();
        assertFalse(tokenizer.isEndOfGeneration(FIRST));
        assertTrue(tokenizer.isEndOfGeneration(FIRST + 1));
        assertEquals(TokenType.NORMAL, tokenizer.tokenType(FIRST));
        assertEquals(end, tokenizer.newStreamDecoder().append(FIRST));
        assertArrayEquals(new int[] {FIRST}, tokenizer.encode(end, false, true), "as published vocabularies ask for");
        assertEquals(end.length(), tokenizer.encode(end).length);
    }

    private static void assertIsEnd(String end, TokenType type) {
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").token(end, type).tokenizer();
        assertEquals(TokenType.CONTROL, tokenizer.tokenType(FIRST));
        assertTrue(tokenizer.isEndOfGeneration(FIRST));
        assertFalse(tokenizer.isEndOfGeneration('a'));
        assertArrayEquals(new int[] {FIRST}, tokenizer.encode(end, false, true));
        assertTrue(Arrays.stream(tokenizer.encode(end)).noneMatch(id -> id == FIRST),
                "user text does not end the turn");
    }

    @Test
    void takesEveryEndThatTheKeysName() {
        for (String key : List.of("eos_token_id", "eot_token_id", "eom_token_id", "eog_token_id")) {
            assertArrayEquals(new int[] {7}, ends(TestVocabulary.byteLevel("gpt-2").set(key, 7L)), key);
            for (Object array : new Object[] {new int[] {9, 7}, new byte[] {7, 9}, new float[] {9, 7}}) {
                assertArrayEquals(new int[] {7, 9}, ends(TestVocabulary.byteLevel("gpt-2").set(key + "s", array)), key);
                assertArrayEquals(new int[] {7, 9}, ends(TestVocabulary.byteLevel("gpt-2").set(key, array)), key);
            }
        }
        TestVocabulary all =
                TestVocabulary.byteLevel("gpt-2").set("eos_token_id", 1L).set("eos_token_ids", new int[] {1, 2})
                .set("eot_token_id", 3L).set("eom_token_id", 4L);
        assertArrayEquals(new int[] {1, 2, 3, 4}, ends(all));
        assertEquals(1, all.tokenizer().eosToken().orElseThrow());
        assertEquals(9, TestVocabulary.byteLevel("gpt-2").set("eos_token_id", new int[] {9, 7}).tokenizer()
                .eosToken().orElseThrow());
    }

    @Test
    void takesTheEndsOfAGenerationConfiguration() {
        for (String key : List.of(
                "general.generation_config", "general.generation_config_json", "tokenizer.generation_config.json",
                "generation_config")) {
            assertArrayEquals(new int[] {5, 6}, ends(TestVocabulary.byteLevel("gpt-2")
                    .setFull(key, "{\"do_sample\": true, \"eos_token_id\": [6, 5], \"pad_token_id\": 4}")), key);
            assertArrayEquals(new int[] {6, 8}, ends(TestVocabulary.byteLevel("gpt-2").set("eos_token_id", 8L)
                    .setFull(key, "{\"eos_token_id\": 6}")), key);
            assertArrayEquals(new int[] {8}, ends(TestVocabulary.byteLevel("gpt-2").set("eos_token_id", 8L)
                    .setFull(key, "{\"eos_token_id\": null}")), key);
        }
        assertArrayEquals(new int[] {5, 6}, ends(TestVocabulary.byteLevel("gpt-2")
                .setFull("general.generation_config.eos_token_id", new int[] {5, 6})));
    }

    @Test
    void whatIsNoEndIsNamedInAWarningAndStopsNothing() {
        try (LogRecorder log = new LogRecorder()) {
            for (String key : List.of("eos_token_id", "eot_token_id", "eos_token_ids")) {
                for (Object value
                        : new Object[] {-1, 256, 0xFFFFFFFFL, "x", true, 1.5f, List.of("</s>"), new int[] {-1}}) {
                    assertArrayEquals(new int[] {}, ends(TestVocabulary.byteLevel("gpt-2").set(key, value)), key);
                    List<String> warnings = log.takeWarnings();
                    assertEquals(1, warnings.size(), key + ": " + warnings);
                    assertTrue(warnings.get(0).contains("tokenizer.ggml." + key), warnings.get(0));
                }
            }
            for (Object value : new Object[] {"{", "[1]", "", 5, "{\"eos_token_id\": \"x\"}", List.of("a")}) {
                assertArrayEquals(new int[] {7}, ends(TestVocabulary.byteLevel("gpt-2").set("eos_token_id", 7L)
                        .setFull("general.generation_config", value)));
                List<String> warnings = log.takeWarnings();
                assertEquals(1, warnings.size(), value + ": " + warnings);
                assertTrue(warnings.get(0).contains("general.generation_config"), warnings.get(0));
            }
            assertArrayEquals(new int[] {}, ends(TestVocabulary.byteLevel("gpt-2").set("eos_token_ids", List.of())));
            assertEquals(List.of(), log.takeWarnings());
        }
    }

    @Test
    void sentencePieceEndsAtTwoUnlessTheFileNamesAnother() {
        assertArrayEquals(new int[] {2}, ends(TestVocabulary.sentencePiece("a")));
        TestVocabulary other = TestVocabulary.sentencePiece("a").set("eos_token_id", 259L);
        assertArrayEquals(new int[] {2, 259}, ends(other), "</s> is a control token");
        other.types.set(2, TokenType.NORMAL.ordinal() + 1);
        assertArrayEquals(new int[] {259}, ends(other));
    }

    @Test
    void goesOnBehindAHarmonyMessage() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2").token("<|return|>", TokenType.CONTROL)
                .token("<|call|>", TokenType.CONTROL).token("<|end|>", TokenType.CONTROL);
        assertArrayEquals(new int[] {FIRST, FIRST + 1}, ends(vocabulary.set("eos_token_id", (long) FIRST)));
        assertArrayEquals(
                new int[] {FIRST, FIRST + 1, FIRST + 2}, ends(vocabulary.set("eos_token_id", FIRST + 2L)));
    }

    /** The ids of a file without a tokenizer name ends too. */
    @Test
    void endsAtTheIdsOfAFileWithoutTokenizer(@TempDir Path directory) {
        int[] all = new int[FIRST + 3];
        Arrays.setAll(all, i -> i);
        TestVocabulary vocabulary = TinyModel.byteVocabulary().set("model", null).set("eos_token_ids", all);
        try (Model model = Model.load(TinyModel.write(directory, TinyModel.bytes(vocabulary)));
                Session session = model.newSession()) {
            Generation result = session.complete(new int[] {1, 2, 3}, GenerationOptions.defaults());
            assertEquals(FinishReason.END, result.finishReason());
            assertEquals(1, result.tokens().size());
        }
    }

    /** Random text, cut into what ends a generation and what does not, by the type of the token alone. */
    @Test
    void aGenerationEndsAtAnEndThatTheFileNamesAndDoesNotShowIt(@TempDir Path directory) {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2");
        int[] ends = new int[32];
        for (int i = 0; i < 32; i++) {
            ends[i] = FIRST + i;
            vocabulary.token("[end" + i + "]", i % 2 == 0 ? TokenType.NORMAL : TokenType.CONTROL);
        }
        vocabulary.set("eos_token_ids", ends);
        GenerationOptions flat = GenerationOptions.builder()
                .sampling(Sampling.builder().temperature(5).topK(0).topP(1).minP(0).seed(3).build()).build();
        try (Model model = Model.load(TinyModel.write(directory, TinyModel.bytes(vocabulary)));
                Session session = model.newSession()) {
            for (int round = 0; round < 20; round++) {
                session.reset();
                Generation result = session.complete(new int[] {65 + round}, flat);
                int[] ids = result.ids();
                int last = ids[ids.length - 1];
                assertEquals(result.finishReason() == FinishReason.END, last >= FIRST);
                assertTrue(Arrays.stream(ids, 0, ids.length - 1).allMatch(id -> id < FIRST));
                assertFalse(result.text().contains("[end"), result.text());
                session.reset();
                Generation shown = session.complete(
                        new int[] {65 + round}, flat.toBuilder().showSpecialTokens(true).build());
                assertArrayEquals(ids, shown.ids());
                assertEquals(last >= FIRST, shown.text().endsWith("[end" + (last - FIRST) + "]"), shown.text());
            }
        }
    }
}
