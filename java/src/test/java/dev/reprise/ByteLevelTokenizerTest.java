package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.OptionalInt;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

class ByteLevelTokenizerTest {
    private static int[] ids(TestVocabulary vocabulary, String... tokens) {
        int[] ids = new int[tokens.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = vocabulary.id(tokens[i]);
            assertTrue(ids[i] >= 0, tokens[i]);
        }
        return ids;
    }

    @Test
    void mergesTheBestPairFirst() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2", "b c", "a b", "ab c", "Ġ a", "bc d");
        Tokenizer tokenizer = vocabulary.tokenizer();
        assertArrayEquals(ids(vocabulary, "a", "bc"), tokenizer.encode("abc"));
        assertArrayEquals(ids(vocabulary, "ab", "Ġa"), tokenizer.encode("ab a"));
        assertArrayEquals(ids(vocabulary, "a", "bcd", "ab"), tokenizer.encode("abcdab"));
        assertArrayEquals(new int[0], tokenizer.encode(""));
    }

    @Test
    void takesWholeWordsFirstForLlama3Only() {
        String[] merges = {"b c", "a b"};
        TestVocabulary llama = TestVocabulary.byteLevel("llama-bpe", merges).token("abc", TokenType.NORMAL);
        assertArrayEquals(ids(llama, "abc"), llama.tokenizer().encode("abc"));
        TestVocabulary qwen = TestVocabulary.byteLevel("qwen2", merges).token("abc", TokenType.NORMAL);
        assertArrayEquals(ids(qwen, "a", "bc"), qwen.tokenizer().encode("abc"));
    }

    @Test
    void encodesRandomTextAsTheDefinitionSays() {
        Random random = new Random(5);
        for (int round = 0; round < 50; round++) {
            List<String> merges = randomMerges(random);
            TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2", merges.toArray(String[]::new));
            Tokenizer tokenizer = vocabulary.tokenizer();
            NaiveBpe.Rank rank = NaiveBpe.byMerges(merges);
            for (int i = 0; i < 60; i++) {
                // A single word, so that only the merging is under test; some beyond what the cache keeps.
                String word = randomText(random, "abcé", 1 + random.nextInt(i < 50 ? 12 : 200));
                List<String> symbols = NaiveBpe.merge(NaiveBpe.characters(TestVocabulary.spell(word)), rank);
                int[] expected = symbols.stream().mapToInt(vocabulary::id).toArray();
                assertArrayEquals(expected, tokenizer.encode(word), word);
                assertArrayEquals(expected, tokenizer.encode(word), "again: " + word);
            }
        }
    }

    private static List<String> randomMerges(Random random) {
        List<String> symbols = new ArrayList<>(List.of("a", "b", "c", "Ã", "©"));
        Set<String> merges = new LinkedHashSet<>();
        while (merges.size() < 40) {
            String left = symbols.get(random.nextInt(symbols.size()));
            String right = symbols.get(random.nextInt(symbols.size()));
            if (left.length() + right.length() < 9 && merges.add(left + " " + right)) {
                symbols.add(left + right);
            }
        }
        List<String> order = new ArrayList<>(merges);
        java.util.Collections.shuffle(order, random);
        return order;
    }

    private static String randomText(Random random, String alphabet, int length) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < length; i++) {
            text.append(alphabet.charAt(random.nextInt(alphabet.length())));
        }
        return text.toString();
    }

    @Test
    void decodesWhatItEncodes() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("llama-bpe", "Ġ t", "h e", "Ġt he", "ð Ł", "ðŁ ĺ");
        Tokenizer tokenizer = vocabulary.tokenizer();
        Random random = new Random(6);
        for (int i = 0; i < 2000; i++) {
            StringBuilder text = new StringBuilder();
            for (int n = random.nextInt(20); n > 0; n--) {
                int codePoint = random.nextInt(random.nextBoolean() ? 0x80 : Character.MAX_CODE_POINT + 1);
                text.appendCodePoint(codePoint >= 0xD800 && codePoint < 0xE000 ? ' ' : codePoint);
            }
            assertEquals(text.toString(), tokenizer.decode(tokenizer.encode(text)));
        }
    }

    @Test
    void takesUnpairedSurrogatesForReplacementCharacters() {
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").tokenizer();
        assertEquals("a\uFFFDb\uFFFD", tokenizer.decode(tokenizer.encode("a\uDC00b\uD83D")));
        assertEquals("\uFFFD\uD83D\uDE00", tokenizer.decode(tokenizer.encode("\uD83D\uD83D\uDE00")));
    }

    @Test
    void leavesTextUnnormalised() {
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").tokenizer();
        for (String text : List.of("e\u0301", "\u00E9", "\uFB01", "\u212B", "\r\n")) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            int[] ids = tokenizer.encode(text);
            assertEquals(bytes.length, ids.length);
            assertArrayEquals(bytes, tokenizer.decodeBytes(ids));
        }
    }

    @Test
    void leavesOutBytesThatTheVocabularyLacks() {
        TestVocabulary vocabulary = new TestVocabulary().token("a", TokenType.NORMAL).token("b", TokenType.NORMAL)
                .set("model", "gpt2").set("pre", "gpt-2").set("merges", List.of("a b"));
        // The merge makes a symbol that is no token: it goes back to its characters.
        assertArrayEquals(new int[] {0, 1, 1}, vocabulary.tokenizer().encode("abxéb"));
    }

    @Test
    void tellsTokensApart() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2", "Ġ a").token("<|x|>", TokenType.CONTROL)
                .set("bos_token_id", 257L);
        Tokenizer tokenizer = vocabulary.tokenizer();
        assertEquals(258, tokenizer.vocabularySize());
        assertEquals(OptionalInt.of(256), tokenizer.token("Ġa"));
        assertEquals(OptionalInt.empty(), tokenizer.token(" a"));
        assertEquals("Ġa", tokenizer.tokenText(256));
        assertArrayEquals(" a".getBytes(StandardCharsets.UTF_8), tokenizer.tokenBytes(256));
        assertArrayEquals("<|x|>".getBytes(StandardCharsets.UTF_8), tokenizer.tokenBytes(257));
        assertEquals(TokenType.CONTROL, tokenizer.tokenType(257));
        assertEquals(OptionalInt.of(257), tokenizer.bosToken());
        assertEquals(OptionalInt.empty(), tokenizer.eosToken());
        assertArrayEquals(new byte[] {(byte) 0xFF}, tokenizer.tokenBytes(0xFF));
        tokenizer.tokenBytes(0xFF)[0] = 0;
        assertArrayEquals(new byte[] {(byte) 0xFF}, tokenizer.tokenBytes(0xFF), "the caller's copy is its own");
    }

    @Test
    void namesIdsOutsideTheVocabulary() {
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").tokenizer();
        for (int id : new int[] {-1, 256, Integer.MIN_VALUE, Integer.MAX_VALUE}) {
            String message =
                    assertThrows(IllegalArgumentException.class, () -> tokenizer.decode(65, id)).getMessage();
            assertTrue(message.contains(String.valueOf(id)) && message.contains("256"), message);
            assertThrows(IllegalArgumentException.class, () -> tokenizer.tokenType(id));
            assertThrows(IllegalArgumentException.class, () -> tokenizer.isEndOfGeneration(id));
            assertThrows(IllegalArgumentException.class, () -> tokenizer.newStreamDecoder().append(id));
        }
    }

    @Test
    void addsBeginAndEndAsTheFileSays() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2").token("<b>", TokenType.CONTROL)
                .token("<e>", TokenType.CONTROL).set("bos_token_id", 256L).set("eos_token_id", 257);
        assertArrayEquals(new int[] {'x'}, vocabulary.tokenizer().encode("x", true, true));
        Tokenizer both = vocabulary.set("add_bos_token", true).set("add_eos_token", true).tokenizer();
        assertTrue(both.addsBos() && both.addsEos());
        assertArrayEquals(new int[] {256, 'x', 257}, both.encode("x", true, false));
        assertArrayEquals(new int[] {'x'}, both.encode("x", false, true));
        assertArrayEquals(new int[] {256, 257}, both.encode("", true, false));
    }

    @Test
    void addsBeginByDefaultForLlama3Only() {
        for (String name : List.of("llama-bpe", "llama3", "llama-v3", "gpt-2", "qwen2", "smollm", "default")) {
            TestVocabulary vocabulary = TestVocabulary.byteLevel(name).set("bos_token_id", 1L);
            assertEquals(name.startsWith("llama"), vocabulary.tokenizer().addsBos(), name);
            assertFalse(vocabulary.tokenizer().addsEos());
            assertFalse(vocabulary.set("add_bos_token", false).tokenizer().addsBos(), name);
        }
    }

    @Test
    void fallsBackToTheDefaultPreTokenizerOnlyWhereNoneIsNamed() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("default", "1 2", "12 3", "123 4");
        int[] cut = ids(vocabulary, "123", "4");
        assertArrayEquals(cut, vocabulary.tokenizer().encode("1234"));
        assertArrayEquals(cut, vocabulary.set("pre", null).tokenizer().encode("1234"));
        assertThrows(UnsupportedModelException.class, () -> vocabulary.set("pre", "unheard-of").tokenizer());
    }

    @Test
    void servesManyThreadsAtOnce() throws Exception {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2", "Ġ a", "a b", "Ġa b", "b b", "ab bb");
        Tokenizer tokenizer = vocabulary.tokenizer();
        List<String> texts = new ArrayList<>();
        Random random = new Random(7);
        for (int i = 0; i < 2000; i++) {
            texts.add(randomText(random, "ab ", 30));
        }
        List<int[]> expected = texts.stream().map(vocabulary.tokenizer()::encode).toList();
        ExecutorService threads = Executors.newFixedThreadPool(4);
        try {
            List<Future<?>> all = new ArrayList<>();
            for (int t = 0; t < 4; t++) {
                all.add(threads.submit(() -> {
                    for (int i = 0; i < texts.size(); i++) {
                        assertArrayEquals(expected.get(i), tokenizer.encode(texts.get(i)));
                    }
                }));
            }
            for (Future<?> one : all) {
                one.get();
            }
        } finally {
            threads.shutdownNow();
        }
    }
}
