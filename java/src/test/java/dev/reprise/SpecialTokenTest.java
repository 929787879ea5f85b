package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

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

    @Test
    void streamsLeaveOutControlAndUnknownTokensUnlessAskedForThem() {
        for (TokenType type : List.of(TokenType.CONTROL, TokenType.UNKNOWN)) {
            Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").token("<x>", type).tokenizer();
            for (int round = 0; round < 2; round++) {
                assertEquals("ab", stream(tokenizer.newStreamDecoder(), 'a', FIRST, 'b'));
                assertEquals("a<x>b", stream(tokenizer.newStreamDecoder(true), 'a', FIRST, 'b'));
            }
            assertEquals("é", stream(tokenizer.newStreamDecoder(), 0xC3, FIRST, 0xA9));
            assertEquals("\uFFFD<x>\uFFFD", stream(tokenizer.newStreamDecoder(true), 0xC3, FIRST, 0xA9));
        }
        for (TokenType type : List.of(TokenType.NORMAL, TokenType.USER_DEFINED)) {
            Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").token("<x>", type).tokenizer();
            assertEquals("a<x>b", stream(tokenizer.newStreamDecoder(), 'a', FIRST, 'b'));
        }
    }

    private static String stream(StreamDecoder decoder, int... ids) {
        StringBuilder text = new StringBuilder();
        for (int id : ids) {
            text.append(decoder.append(id));
        }
        return text + decoder.finish();
    }

    /** Where a file gives no types, the keys still tell what is special. */
    @Test
    void withoutTypesTheNamedTokensAreSpecial() {
        assertNamedTokensAreSpecial(TestVocabulary.sentencePiece("a", " a").set("token_type", null).tokenizer());
    }

    /** An empty list of whatever type is how some converters write that there is none. */
    @Test
    void anEmptyListOfTypesIsNone() {
        Tokenizer tokenizer = TestVocabulary.sentencePiece("a", " a").set("token_type", List.of()).tokenizer();
        assertNamedTokensAreSpecial(tokenizer);
    }

    private static void assertNamedTokensAreSpecial(Tokenizer tokenizer) {
        assertEquals(TokenType.UNKNOWN, tokenizer.tokenType(0));
        assertEquals(TokenType.CONTROL, tokenizer.tokenType(1));
        assertEquals(TokenType.CONTROL, tokenizer.tokenType(2));
        assertEquals("a", stream(tokenizer.newStreamDecoder(), 1, 259, 0, 2));
        assertArrayEquals(new int[] {1, 260}, tokenizer.encode("<s>a", false, true));
    }
}
