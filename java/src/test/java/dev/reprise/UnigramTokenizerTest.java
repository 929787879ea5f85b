package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.json.Json;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class UnigramTokenizerTest {
    /** Models of SentencePiece and what it makes of texts (data/unigram.py). */
    private static List<?> models() throws IOException {
        try (InputStream in = UnigramTokenizerTest.class.getResourceAsStream("/dev/reprise/unigram.json")) {
            return (List<?>) Json.parse(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        }
    }

    private static TestVocabulary vocabulary(Map<?, ?> model) {
        TestVocabulary vocabulary = new TestVocabulary();
        List<?> tokens = (List<?>) model.get("tokens");
        int[] types = TestData.ints(model.get("types"));
        List<?> scores = (List<?>) model.get("scores");
        for (int id = 0; id < types.length; id++) {
            TokenType type = TokenType.values()[types[id] - 1];
            vocabulary.token(tokens.get(id), type, ((Number) scores.get(id)).floatValue());
        }
        byte[] characters = Base64.getDecoder().decode((String) model.get("characters"));
        int[] numbers = new int[characters.length];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = characters[i];
        }
        return vocabulary
                .set("model", "t5")
                .set("precompiled_charsmap", numbers)
                .set("unknown_token_id", 0L)
                .set("eos_token_id", 2L)
                .set("bos_token_id", 1L)
                .set("add_space_prefix", model.get("space_prefix"))
                .set("remove_extra_whitespaces", model.get("merge_spaces"));
    }

    @Test
    void encodesAsSentencePieceDoes() throws IOException {
        int count = 0;
        for (Object one : models()) {
            Map<?, ?> model = (Map<?, ?>) one;
            Tokenizer tokenizer = vocabulary(model).tokenizer();
            for (Object two : (List<?>) model.get("texts")) {
                Map<?, ?> row = (Map<?, ?>) two;
                String text = (String) row.get("text");
                String where = "'" + text + "', spaces merged: " + model.get("merge_spaces");
                assertArrayEquals(TestData.ints(row.get("ids")), tokenizer.encode(text), where);
                count++;
            }
        }
        assertTrue(count > 50);
    }

    @Test
    void addsTheEndAloneUnlessTold() throws IOException {
        TestVocabulary vocabulary = vocabulary((Map<?, ?>) models().get(0));
        Tokenizer tokenizer = vocabulary.tokenizer();
        assertTrue(tokenizer.addsEos() && !tokenizer.addsBos());
        int[] plain = tokenizer.encode("the fox");
        int[] whole = tokenizer.encode("the fox", true, true);
        assertEquals(plain.length + 1, whole.length);
        assertEquals(2, whole[plain.length]);
        assertEquals("the fox", tokenizer.decode(plain));
        assertTrue(vocabulary.set("add_bos_token", true).tokenizer().addsBos());
    }

    @Test
    void refusesMapsThatAreNone() throws IOException {
        int[][] maps = {{1}, {8, 0, 0, 0, 1, 2, 3, 4}, {3, 0, 0, 0, 1, 2, 3}, {4, 0, 0, 0, 1, 2, 3, 4, 65}};
        for (int[] map : maps) {
            TestVocabulary vocabulary = vocabulary((Map<?, ?>) models().get(0)).set("precompiled_charsmap", map);
            String message = assertThrows(ModelFormatException.class, vocabulary::tokenizer).getMessage();
            assertTrue(message.contains("tokenizer.ggml.precompiled_charsmap"), message);
        }
        // A map that leads astray changes ids at worst.
        int[] wild = new int[260];
        for (int i = 0; i < wild.length - 1; i++) {
            wild[i] = i < 4 ? (i == 0 ? 128 : 0) : i * 37 % 256 - 128;
        }
        vocabulary((Map<?, ?>) models().get(0)).set("precompiled_charsmap", wild).tokenizer().encode("the \u4E2D fox");
    }
}
