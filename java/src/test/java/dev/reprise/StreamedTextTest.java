package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Text of a model that knows bytes alone and generates them at random, so that characters take several tokens. */
class StreamedTextTest {
    private static Model model;

    @BeforeAll
    static void load(@TempDir Path directory) {
        // Few bytes besides those of é, € and an emoji, and most of them é's, so that whole characters turn up among
        // the broken ones whatever is drawn.
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2");
        for (int i = 0; i < 30; i++) {
            int[] bytes = {0xC3, 0xA9, 0xC3, 0xA9, 0xC3, 0xA9, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x99, 0x82};
            for (int b : bytes) {
                vocabulary.token(TestVocabulary.spell((byte) b), TokenType.NORMAL);
            }
        }
        model = Model.load(
                TinyModel.write(directory, TinyModel.bytes(vocabulary)), ModelOptions.builder().threads(1).build());
    }

    @AfterAll
    static void close() {
        model.close();
    }

    private static GenerationOptions random(long seed) {
        Sampling flat = Sampling.builder().temperature(5).topK(0).topP(1).minP(0).seed(seed).build();
        return GenerationOptions.builder().sampling(flat).build();
    }

    @Test
    void noPieceSplitsACodePointAndTogetherTheyAreTheBytes() {
        int characters = 0;
        try (Session session = model.newSession()) {
            for (int seed = 0; seed < 40; seed++) {
                session.reset();
                List<String> pieces = new ArrayList<>();
                TokenStream stream = session.generate(new int[] {65}, random(seed));
                stream.forEach(token -> pieces.add(token.text()));

                String text = String.join("", pieces);
                byte[] bytes = model.tokenizer().decodeBytes(stream.result().ids());
                assertEquals(new String(bytes, StandardCharsets.UTF_8), text);
                assertEquals(text, stream.result().text());
                for (String piece : pieces) {
                    assertTrue(piece.codePoints().noneMatch(StreamedTextTest::isSurrogate), piece);
                }
                characters += (int) text.codePoints().filter(c -> c == 'é' || c == '€' || c == 0x1F642).count();
            }
        }
        assertTrue(characters > 20, characters + " whole characters came up");
    }

    /** Alone, as half a code point would be. */
    private static boolean isSurrogate(int codePoint) {
        return codePoint >= Character.MIN_SURROGATE && codePoint <= Character.MAX_SURROGATE;
    }

    @Test
    void stopStringsOfSeveralTokensAreFound() {
        int stopped = 0;
        try (Session session = model.newSession()) {
            for (int seed = 0; seed < 100; seed++) {
                session.reset();
                GenerationOptions options = random(seed).toBuilder().stop("é", "€").build();
                Generation result = session.complete(new int[] {65}, options);
                assertFalse(result.text().contains("é") || result.text().contains("€"), result.text());
                if (result.finishReason() == FinishReason.STOP) {
                    stopped++;
                    String whole = model.tokenizer().decode(result.ids());
                    assertTrue(whole.endsWith("é") || whole.endsWith("€"), whole);
                    assertEquals(whole.substring(0, whole.length() - 1), result.text());
                }
            }
        }
        assertTrue(stopped > 10, stopped + " generations were stopped");
    }
}
