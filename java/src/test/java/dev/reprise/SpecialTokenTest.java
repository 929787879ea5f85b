package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SpecialTokenTest {
    private static final int FIRST = 256;

    @Test
    void matchesControlTokensOnlyWhereSpecialTokensAreParsed() {
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").token("<c>", TokenType.CONTROL)
                .token("<u>", TokenType.UNKNOWN).tokenizer();
        assertArrayEquals(new int[] {'a', FIRST, FIRST + 1, 'b'}, tokenizer.encode("a<c><u>b", false, true));
        assertArrayEquals(new int[] {'a', '<', 'c', '>'}, tokenizer.encode("a<c>"));
        assertArrayEquals(new int[] {'<', 'u', '>'}, tokenizer.encode("<u>", true, false));
    }

    @Test
    void matchesUserDefinedTokensAlways() {
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").token("[x]", TokenType.USER_DEFINED)
                .token("  ", TokenType.USER_DEFINED).tokenizer();
        assertArrayEquals(new int[] {FIRST, FIRST + 1, 'a'}, tokenizer.encode("[x]  a"));
        assertArrayEquals(new int[] {FIRST, FIRST + 1, 'a'}, tokenizer.encode("[x]  a", false, true));
        assertEquals("[x]  a", tokenizer.decode(FIRST, FIRST + 1, 'a'));
    }

    @Test
    void prefersTheFirstAndThenTheLongest() {
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").token("ab", TokenType.USER_DEFINED)
                .token("abc", TokenType.USER_DEFINED).token("bcd", TokenType.USER_DEFINED).tokenizer();
        assertArrayEquals(new int[] {FIRST + 1, 'd'}, tokenizer.encode("abcd"));
        assertArrayEquals(new int[] {FIRST, 'x', FIRST + 2}, tokenizer.encode("abxbcd"));
    }

    @Test
    void findsWhatASlowSearchFinds() {
        Random random = new Random(9);
        for (int round = 0; round < 200; round++) {
            TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2");
            List<String> tokens = new ArrayList<>();
            for (int n = 1 + random.nextInt(6); n > 0; n--) {
                String token = randomText(random, 1 + random.nextInt(5));
                tokens.add(token);
                vocabulary.token(token, TokenType.USER_DEFINED);
            }
            Tokenizer tokenizer = vocabulary.tokenizer();
            for (int i = 0; i < 20; i++) {
                String text = randomText(random, random.nextInt(30));
                assertEquals(slowSearch(text, tokens), List.copyOf(java.util.Arrays.stream(tokenizer.encode(text))
                        .mapToObj(tokenizer::tokenText).toList()), () -> text + " by " + tokens);
            }
        }
    }

    private static String randomText(Random random, int length) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < length; i++) {
            text.append((char) ('x' + random.nextInt(2)));
        }
        return text.toString();
    }

    private static List<String> slowSearch(String text, List<String> tokens) {
        List<String> result = new ArrayList<>();
        for (int at = 0; at < text.length(); ) {
            String longest = text.substring(at, at + 1);
            for (String token : tokens) {
                if (text.startsWith(token, at) && token.length() > longest.length()) {
                    longest = token;
                }
            }
            result.add(longest);
            at += longest.length();
        }
        return result;
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "</s>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<end_of_turn>",
        "<|end|>", "<|return|>", "<|call|>"
    })
    void knowsEndTokensWhateverTheirType(String end) {
        for (TokenType type : List.of(TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.CONTROL)) {
            Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").token(end, type).tokenizer();
            assertEquals(TokenType.CONTROL, tokenizer.tokenType(FIRST));
            assertTrue(tokenizer.isEndOfGeneration(FIRST));
            assertFalse(tokenizer.isEndOfGeneration('a'));
            assertArrayEquals(new int[] {FIRST}, tokenizer.encode(end, false, true));
            assertEquals(end.length(), tokenizer.encode(end).length, "user text does not end the turn");
        }
    }

    @Test
    void endsAtWhatTheKeysName() {
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").set("eos_token_id", 7L).set("eot_token_id", 8L)
                .set("eom_token_id", 9L).tokenizer();
        for (int id = 0; id < 20; id++) {
            assertEquals(id >= 7 && id <= 9, tokenizer.isEndOfGeneration(id), "id " + id);
        }
    }

    @Test
    void goesOnBehindAHarmonyMessage() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2").token("<|return|>", TokenType.CONTROL)
                .token("<|call|>", TokenType.CONTROL).token("<|end|>", TokenType.CONTROL);
        Tokenizer harmony = vocabulary.set("eos_token_id", (long) FIRST).tokenizer();
        assertTrue(harmony.isEndOfGeneration(FIRST));
        assertTrue(harmony.isEndOfGeneration(FIRST + 1));
        assertFalse(harmony.isEndOfGeneration(FIRST + 2));
        assertTrue(vocabulary.set("eos_token_id", FIRST + 2L).tokenizer().isEndOfGeneration(FIRST + 2));
    }

    @Test
    void dropsSpaceBehindPhi3Tokens() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2").token("<|user|>", TokenType.CONTROL)
                .token("<|endoftext|>", TokenType.CONTROL);
        assertArrayEquals(new int[] {FIRST, '\n', 'a'}, vocabulary.tokenizer().encode("<|user|>\na", false, true));
        Tokenizer phi = vocabulary.setFull("general.name", "Phi-3 mini").tokenizer();
        assertArrayEquals(new int[] {FIRST, 'a'}, phi.encode("<|user|>\n \ta", false, true));
        assertArrayEquals(new int[] {FIRST, FIRST}, phi.encode("<|user|> <|user|>\n", false, true));
        assertArrayEquals(new int[] {FIRST + 1, '\n', 'a'}, phi.encode("<|endoftext|>\na", false, true));
    }
}
