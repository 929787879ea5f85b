package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class SentencePieceTokenizerTest {
    private static final int FIRST_BYTE = 3;

    private static String text(Tokenizer tokenizer, int... ids) {
        StringBuilder out = new StringBuilder();
        for (int id : ids) {
            out.append(out.length() == 0 ? "" : "|").append(tokenizer.tokenText(id).replace('\u2581', '_'));
        }
        return out.toString();
    }

    @Test
    void mergesTowardsTheTokenOfHighestScore() {
        Tokenizer tokenizer = TestVocabulary.sentencePiece("bc", "ab", " a", "a", "b", "c", " ").tokenizer();
        assertEquals("_a|bc", text(tokenizer, tokenizer.encode("abc")));
        assertEquals("_|b|_|ab", text(tokenizer, tokenizer.encode("b ab")));
        assertEquals("_|b|_a|c", text(tokenizer, tokenizer.encode("b ac")));
    }

    @Test
    void spellsUnknownCharactersInBytes() {
        Tokenizer tokenizer = TestVocabulary.sentencePiece(" ", "a").tokenizer();
        int space = FIRST_BYTE + 256;
        int[] ids = tokenizer.encode("aé\n");
        assertArrayEquals(
                new int[] {space, space + 1, FIRST_BYTE + 0xC3, FIRST_BYTE + 0xA9, FIRST_BYTE + '\n'}, ids);
        assertEquals("aé\n", tokenizer.decode(ids));
        assertEquals(TokenType.BYTE, tokenizer.tokenType(FIRST_BYTE));
    }

    @Test
    void usesTheUnknownTokenWhereBytesHaveNone() {
        TestVocabulary vocabulary = new TestVocabulary().token("<unk>", TokenType.UNKNOWN)
                .token("a", TokenType.NORMAL).token("é", TokenType.NORMAL).set("model", "llama")
                .set("add_space_prefix", false);
        assertArrayEquals(new int[] {1, 0, 0, 0, 2}, vocabulary.tokenizer().encode("a中é"));
    }

    @Test
    void addsAndTakesTheSpacePrefix() {
        TestVocabulary vocabulary = TestVocabulary.sentencePiece(" a", "a", " ").token("<x>", TokenType.CONTROL);
        Tokenizer tokenizer = vocabulary.tokenizer();
        assertEquals("<s>|_a", text(tokenizer, tokenizer.encode("a", true, true)));
        assertEquals("_a|<x>|_a", text(tokenizer, tokenizer.encode("a<x>a", false, true)));
        assertEquals("", text(tokenizer, tokenizer.encode("")));
        assertEquals("a", tokenizer.decode(tokenizer.encode("a")));
        assertEquals(" a", tokenizer.decode(tokenizer.encode(" a")));
        assertEquals("<s>a", tokenizer.decode(tokenizer.encode("a", true, true)));
        Tokenizer bare = vocabulary.set("add_space_prefix", false).tokenizer();
        assertEquals("a|_a", text(bare, bare.encode("a a")));
        assertEquals(" a", bare.decode(bare.encode(" a")));
    }

    @Test
    void textThatContinuesOtherTextGetsNoSpacePrefix() {
        Tokenizer tokenizer =
                TestVocabulary.sentencePiece(" a", "a", " ").token("<x>", TokenType.CONTROL)
                        .token("[u]", TokenType.USER_DEFINED)
                        .tokenizer();
        for (boolean parseSpecial : new boolean[] {false, true}) {
            assertEquals("a", text(tokenizer, tokenizer.encodeContinuation("a", parseSpecial)));
            assertEquals("_a", text(tokenizer, tokenizer.encodeContinuation(" a", parseSpecial)));
            // Behind a special token there is one, as in any text.
            assertEquals("a|[u]|_a", text(tokenizer, tokenizer.encodeContinuation("a[u]a", parseSpecial)));
            assertEquals("[u]|_a", text(tokenizer, tokenizer.encodeContinuation("[u]a", parseSpecial)));
        }
        assertEquals("a|<x>|_a", text(tokenizer, tokenizer.encodeContinuation("a<x>a", true)));
        assertEquals("", text(tokenizer, tokenizer.encodeContinuation("", true)));
    }

    @Test
    void knowsTheFixedIdsOfSentencePiece() {
        Tokenizer tokenizer = TestVocabulary.sentencePiece("a").tokenizer();
        assertTrue(tokenizer.addsBos());
        assertEquals(1, tokenizer.bosToken().orElseThrow());
        assertEquals(2, tokenizer.eosToken().orElseThrow());
        assertTrue(tokenizer.isEndOfGeneration(2));
    }

    @Test
    void encodesRandomTextAsTheDefinitionSays() {
        Random random = new Random(8);
        for (int round = 0; round < 60; round++) {
            // In some rounds tokens reach across spaces, which forbids cutting the text there.
            String[] pieces = randomPieces(random, round % 3 == 0);
            TestVocabulary vocabulary = TestVocabulary.sentencePiece(pieces);
            if (round % 5 == 0) {
                // Equal scores: the leftmost pair first.
                vocabulary.scores.replaceAll(score -> (float) (int) (score / 4));
            }
            Tokenizer tokenizer = vocabulary.tokenizer();
            NaiveBpe.Rank rank = (left, right) -> {
                int id = vocabulary.id(left + right);
                return id < 0 ? null : Float.valueOf(-vocabulary.scores.get(id));
            };
            for (int i = 0; i < 40; i++) {
                StringBuilder text = new StringBuilder();
                for (int n = 1 + random.nextInt(i < 30 ? 12 : 120); n > 0; n--) {
                    text.append("abc  é".charAt(random.nextInt(6)));
                }
                String escaped = "\u2581" + text.toString().replace(' ', '\u2581');
                List<Integer> expected = new ArrayList<>();
                for (String symbol : NaiveBpe.merge(NaiveBpe.characters(escaped), rank)) {
                    addIds(vocabulary, symbol, expected);
                }
                int[] actual = tokenizer.encode(text);
                assertEquals(expected, java.util.Arrays.stream(actual).boxed().toList(), "'" + text + "'");
                assertEquals(text.toString(), tokenizer.decode(actual));
            }
        }
    }

    private static void addIds(TestVocabulary vocabulary, String symbol, List<Integer> ids) {
        if (vocabulary.id(symbol) >= 0) {
            ids.add(vocabulary.id(symbol));
            return;
        }
        for (byte b : symbol.getBytes(StandardCharsets.UTF_8)) {
            ids.add(FIRST_BYTE + (b & 0xFF));
        }
    }

    private static String[] randomPieces(Random random, boolean acrossSpaces) {
        Set<String> pieces = new LinkedHashSet<>();
        while (pieces.size() < 30) {
            StringBuilder piece = new StringBuilder();
            for (int n = 1 + random.nextInt(4); n > 0; n--) {
                piece.append("abc é".charAt(random.nextInt(5)));
            }
            String body = piece.toString();
            String word = body.replace(" ", "");
            pieces.add(acrossSpaces ? body : body.startsWith(" ") ? " " + word : word);
        }
        pieces.remove("");
        pieces.add(" ");
        return pieces.toArray(String[]::new);
    }
}
