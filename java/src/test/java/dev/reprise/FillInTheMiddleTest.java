package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Prompts whose middle is to be filled in. */
class FillInTheMiddleTest {
    private static final int FIRST = 256;

    private static TestVocabulary vocabulary(TokenType type, String... texts) {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2");
        for (String text : texts) {
            vocabulary.token(text, type);
        }
        return vocabulary;
    }

    @Test
    void tokensAreThoseThatTheFileNames() {
        for (List<String> keys : List.of(
                List.of("fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id"),
                List.of("prefix_token_id", "suffix_token_id", "middle_token_id"))) {
            // Where a file names tokens, others that look like them are none.
            TestVocabulary vocabulary = vocabulary(TokenType.NORMAL, "P", "S", "M", "<|fim_prefix|>");
            for (int i = 0; i < 3; i++) {
                vocabulary.set(keys.get(i), FIRST + (long) i);
            }
            Tokenizer tokenizer = vocabulary.tokenizer();
            assertTrue(tokenizer.supportsFillInTheMiddle());
            assertArrayEquals(new int[] {FIRST, 'a', 'b', FIRST + 1, 'c', FIRST + 2},
                    tokenizer.encodeFillInTheMiddle("ab", "c"));
            assertArrayEquals(new int[] {FIRST, FIRST + 1, FIRST + 2}, tokenizer.encodeFillInTheMiddle("", ""));
            assertEquals(TokenType.CONTROL, tokenizer.tokenType(FIRST));
        }
    }

    @Test
    void tokensOfPublishedVocabulariesAreKnownAndTextIsNeverOne() {
        for (List<String> texts : List.of(
                List.of("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
                List.of("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
                List.of("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
                List.of("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
                List.of("<PRE>", "<SUF>", "<MID>"),
                List.of("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"))) {
            for (TokenType type : List.of(TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.CONTROL)) {
                Tokenizer tokenizer = vocabulary(type, texts.toArray(String[]::new)).tokenizer();
                int[] ids = tokenizer.encodeFillInTheMiddle("x" + texts.get(1), texts.get(2) + texts.get(0));
                assertEquals(1, count(ids, FIRST), texts + " " + type);
                assertEquals(1, count(ids, FIRST + 1), texts + " " + type);
                assertEquals(1, count(ids, FIRST + 2), texts + " " + type);
                assertEquals(FIRST + 2, ids[ids.length - 1]);
                assertEquals("x" + String.join("", texts.get(1), texts.get(1), texts.get(2), texts.get(0)),
                        tokenizer.decode(java.util.Arrays.copyOfRange(ids, 1, ids.length - 1)));
            }
        }
    }

    private static long count(int[] ids, int wanted) {
        return java.util.Arrays.stream(ids).filter(id -> id == wanted).count();
    }

    @Test
    void aSpaceInFrontOfTextIsThePrefixsAlone() {
        Tokenizer tokenizer = TestVocabulary.sentencePiece(" a", "a", "b", " b", "\u2581<PRE>", "\u2581<SUF>",
                "\u2581<MID>").tokenizer();
        assertArrayEquals(new int[] {263, 259, 264, 261, 265}, tokenizer.encodeFillInTheMiddle("a", "b"));
    }

    @Test
    void whatIsMissingIsNamed() {
        Tokenizer none = vocabulary(TokenType.CONTROL, "<|fim_prefix|>", "<|fim_middle|>").tokenizer();
        assertFalse(none.supportsFillInTheMiddle());
        String message = assertThrows(UnsupportedOperationException.class, () -> none.encodeFillInTheMiddle("a", "b"))
                .getMessage();
        assertTrue(message.contains("suffix (tokenizer.ggml.fim_suf_token_id)") && !message.contains("fim_pre"),
                message);
        assertThrows(IllegalStateException.class, () -> Prompt.fillInTheMiddle("a", "b").parseSpecialTokens());
    }

    @Test
    void aMiddleEndsAtPaddingAndOtherFiles(@TempDir Path directory) {
        TestVocabulary vocabulary = TinyModel.byteVocabulary();
        for (String text : List.of("<|bos|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>",
                "<|repo_name|>", "<|file_sep|>", "<pad2>")) {
            vocabulary.token(text, TokenType.CONTROL);
        }
        vocabulary.set("bos_token_id", (long) vocabulary.id("<|bos|>")).set("add_bos_token", true);
        vocabulary.set("fim_pad_token_id", (long) vocabulary.id("<pad2>"));
        try (Model model = Model.load(TinyModel.write(directory, TinyModel.bytes(vocabulary)))) {
            for (String end : List.of("<pad2>", "<|repo_name|>", "<|file_sep|>", "<|endoftext|>")) {
                Map<Integer, Float> bias = Map.of(vocabulary.id(end), 1000f);
                GenerationOptions options = GenerationOptions.builder()
                        .maxTokens(3)
                        .sampling(Sampling.greedy().toBuilder().logitBias(bias).build())
                        .build();
                try (Session session = model.newSession()) {
                    Generation middle = session.complete(Prompt.fillInTheMiddle("a", "b"), options);
                    assertEquals(FinishReason.END, middle.finishReason(), end);
                    assertEquals("", middle.text());
                    assertArrayEquals(
                            new int[] {vocabulary.id("<|bos|>"), vocabulary.id("<|fim_prefix|>"), 'a',
                                vocabulary.id("<|fim_suffix|>"), 'b', vocabulary.id("<|fim_middle|>"),
                                vocabulary.id(end)},
                            session.history());
                    // Other generations go on behind them.
                    FinishReason other = end.equals("<|endoftext|>") ? FinishReason.END : FinishReason.MAX_TOKENS;
                    assertEquals(other, session.complete(Prompt.text("a"), options).finishReason(), end);
                }
            }
        }
    }
}
