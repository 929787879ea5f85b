package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class HostileVocabularyTest {
    /** A second is ample for what is linear, on any machine; what is quadratic takes minutes. */
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final int MEGABYTE = 1 << 20;

    private static String rejection(TestVocabulary vocabulary) {
        return assertThrows(ModelFormatException.class, vocabulary::tokenizer).getMessage();
    }

    @Test
    void namesMissingKeys() {
        for (String key : List.of("model", "tokens", "merges")) {
            String message = rejection(TestVocabulary.byteLevel("gpt-2").set(key, null));
            assertTrue(message.contains("tokenizer.ggml." + key), message);
        }
        assertTrue(rejection(TestVocabulary.sentencePiece("a").set("scores", null)).contains("tokenizer.ggml.scores"));
        TestVocabulary empty = TestVocabulary.byteLevel("gpt-2").set("tokens", List.of()).set("token_type", null);
        assertTrue(rejection(empty).contains("tokenizer.ggml.tokens"));
    }

    @Test
    void namesKeysOfTheWrongType() {
        assertTrue(rejection(TestVocabulary.byteLevel("gpt-2").set("tokens", 5)).contains("tokenizer.ggml.tokens"));
        assertTrue(rejection(TestVocabulary.byteLevel("gpt-2").set("merges", "a b")).contains("tokenizer.ggml.merges"));
        assertTrue(rejection(TestVocabulary.byteLevel("gpt-2").set("bos_token_id", "x")).contains("bos_token_id"));
        assertTrue(rejection(TestVocabulary.byteLevel("gpt-2").set("add_bos_token", 2)).contains("add_bos_token"));
    }

    @Test
    void refusesOtherTokenizersByName() {
        for (String name : List.of("rwkv", "plamo2", "none", "Llama", "")) {
            TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2").set("model", name);
            String message = assertThrows(UnsupportedModelException.class, vocabulary::tokenizer).getMessage();
            assertTrue(message.contains("'" + name + "'"), message);
            assertTrue(message.contains("llama, gpt2, gemma4, bert, t5"), message);
        }
    }

    @Test
    void idsOutsideTheVocabularyAreNoneWithAWarning() {
        List<String> keys = List.of("bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id", "unknown_token_id");
        try (LogRecorder log = new LogRecorder()) {
            for (String key : keys) {
                for (Object id : new Object[] {-1, 256, Integer.MAX_VALUE, 0xFFFFFFFFL}) {
                    Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").set(key, id).tokenizer();
                    assertTrue(tokenizer.bosToken().isEmpty() && tokenizer.eosToken().isEmpty());
                    assertTrue(tokenizer.endTokens().isEmpty());
                    List<String> warnings = log.takeWarnings();
                    assertEquals(1, warnings.size());
                    assertTrue(warnings.get(0).contains("tokenizer.ggml." + key), warnings.get(0));
                    assertTrue(warnings.get(0).contains(id.toString()), warnings.get(0));
                }
            }
        }
    }

    @Test
    void aTokenThatIsNoneIsNotAdded() {
        try (LogRecorder log = new LogRecorder()) {
            for (String kind : List.of("bos", "eos")) {
                TestVocabulary vocabulary = TestVocabulary.sentencePiece("a", " a")
                        .set("add_" + kind + "_token", true).set(kind + "_token_id", -1);
                Tokenizer tokenizer = vocabulary.tokenizer();
                assertFalse(kind.equals("bos") ? tokenizer.addsBos() : tokenizer.addsEos());
                assertEquals(kind.equals("bos") ? 1 : 2, tokenizer.encode("a", true, true).length);
                assertEquals(2, log.takeWarnings().size());
            }
            assertFalse(TestVocabulary.sentencePiece("a").set("bos_token_id", 0xFFFFFFFFL).tokenizer().addsBos());
            Tokenizer withoutUnknown = new TestVocabulary().token("x", TokenType.NORMAL).token("a", TokenType.NORMAL)
                    .set("model", "llama").set("add_space_prefix", false).set("unknown_token_id", 99).tokenizer();
            assertArrayEquals(new int[] {1, 0}, withoutUnknown.encode("a中x"));
        }
    }

    @Test
    void rejectsThatATokenIsAddedWhichNoKeyNames() {
        assertTrue(rejection(TestVocabulary.byteLevel("gpt-2").set("add_bos_token", true)).contains("add_bos_token"));
        assertTrue(rejection(TestVocabulary.byteLevel("gpt-2").set("add_eos_token", true)).contains("add_eos_token"));
    }

    @Test
    void takesWhatMeansTheSameInAnotherType() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2").set("merges", new int[0]).set("pre", "");
        byte[] types = new byte[256];
        Arrays.fill(types, (byte) 1);
        types['x'] = 3;
        vocabulary.set("token_type", types).set("bos_token_id", 7f).set("add_bos_token", 1);
        Tokenizer tokenizer = vocabulary.tokenizer();
        assertArrayEquals(new int[] {7, 'a', 'b'}, tokenizer.encode("ab", true, false));
        assertEquals(TokenType.CONTROL, tokenizer.tokenType('x'));
        assertFalse(vocabulary.set("add_bos_token", 0).tokenizer().addsBos());
        assertArrayEquals(
                new int[] {259}, TestVocabulary.sentencePiece("a").set("add_space_prefix", 0).tokenizer().encode("a"));
    }

    @Test
    void keysThatATokenizerDoesNotNeedDoNotStopIt() {
        Tokenizer pieces = TestVocabulary.sentencePiece("a", " a").set("pre", 5).set("merges", 6)
                .set("padding_token_id", "x").setFull("general.name", List.of("Phi-3"))
                .setFull("tokenizer.chat_template", List.of("a", "b")).tokenizer();
        assertArrayEquals(new int[] {260}, pieces.encode("a"));
        Tokenizer bytes = TestVocabulary.byteLevel("gpt-2").set("scores", "x")
                .set("add_space_prefix", List.of()).tokenizer();
        assertArrayEquals(new int[] {'a'}, bytes.encode("a"));
    }

    @Test
    void rejectsScoresThatAreNoNumbers() {
        TestVocabulary vocabulary = TestVocabulary.sentencePiece("a", "b");
        vocabulary.scores.set(260, Float.NaN);
        String message = rejection(vocabulary);
        assertTrue(message.contains("token 260") && message.contains("tokenizer.ggml.scores"), message);
    }

    @Test
    void rejectsTablesOfTheWrongLength() {
        for (int size : new int[] {0, 1, 255, 257}) {
            if (size > 0) {  // none are all of the usual type
                String message = rejection(TestVocabulary.byteLevel("gpt-2").set("token_type", new int[size]));
                assertTrue(message.contains("token_type has " + size) && message.contains("256"), message);
            }
            String message = rejection(TestVocabulary.sentencePiece().set("scores", new float[size]));
            assertTrue(message.contains("scores has " + size), message);
        }
    }

    @Test
    void rejectsUnknownTokenTypes() {
        for (int type : new int[] {-1, 7, Integer.MIN_VALUE}) {
            int[] types = new int[256];
            types[9] = type;
            String message = rejection(TestVocabulary.byteLevel("gpt-2").set("token_type", types));
            assertTrue(message.contains("token 9") && message.contains(String.valueOf(type)), message);
        }
    }

    @Test
    void takesTypesThatAreMissingOrUndefinedForNormal() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2");
        assertEquals(TokenType.NORMAL, vocabulary.set("token_type", null).tokenizer().tokenType(9));
        assertEquals(TokenType.NORMAL, vocabulary.set("token_type", new int[256]).tokenizer().tokenType(9));
    }

    @Test
    void rejectsByteTokensThatSpellNoByte() {
        String message = rejection(TestVocabulary.sentencePiece().token("<0xZZ>", TokenType.BYTE));
        assertTrue(message.contains("259") && message.contains("<0xZZ>"), message);
    }

    @Test
    void usesTheLastOfEqualTokensAndTheFirstOfEqualMerges() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2", "a b", "b c", "a b");
        vocabulary.token("ab", TokenType.NORMAL);
        assertArrayEquals(new int[] {259, 'c'}, vocabulary.tokenizer().encode("abc"));
        assertEquals("ab", vocabulary.tokenizer().decode(256));
    }

    @Test
    void passesOverMergesThatCannotApply() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2");
        vocabulary.token("bc", TokenType.NORMAL);
        vocabulary.set("merges", List.of("", " ", "  ", "a", "a ", " a", "a b c", "x unheard", "a b", "b c"));
        // "a b" comes first though "ab" is no token: the symbol goes back to its characters.
        assertArrayEquals(new int[] {'a', 'b', 'c'}, vocabulary.tokenizer().encode("abc"));
        assertArrayEquals(new int[] {256}, vocabulary.tokenizer().encode("bc"));
    }

    @Test
    void copesWithEmptyTokens() {
        for (TokenType type : TokenType.values()) {
            Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").token("", type).tokenizer();
            assertArrayEquals(new int[] {'a'}, tokenizer.encode("a", false, true));
            assertEquals("a", tokenizer.decode(256, 'a', 256));
        }
    }

    @Test
    void copesWithSpecialTokensThatCutCharacters() {
        Tokenizer tokenizer = TestVocabulary.byteLevel("llama-bpe")
                .token(new byte[] {(byte) 0xB8}, TokenType.USER_DEFINED).tokenizer();
        assertArrayEquals(new int[] {'a', 0xE4, 256, 0xAD, 'b'}, tokenizer.encode("a中b"));
        assertEquals("a中b", tokenizer.decode(tokenizer.encode("a中b")));
        Tokenizer pieces = TestVocabulary.sentencePiece("中")
                .token(new byte[] {(byte) 0xB8}, TokenType.USER_DEFINED).set("add_space_prefix", false).tokenizer();
        assertEquals("a中b", pieces.decode(pieces.encode("a中b")));
    }

    @Test
    void staysLinearOnLongWords() {
        List<String> merges = new ArrayList<>();
        for (String unit : List.of("a", "Ġ", "Ċ", "1")) {
            for (int n = 1; n <= 64; n *= 2) {
                merges.add(unit.repeat(n) + " " + unit.repeat(n));
            }
        }
        for (String name : List.of("llama-bpe", "qwen2", "gpt-2", "smollm", "default")) {
            Tokenizer tokenizer = TestVocabulary.byteLevel(name, merges.toArray(String[]::new)).tokenizer();
            for (String text : List.of("a", " ", "\n", "1", "ab", "\u00E9", "\u00A0", "12\u0663", "'", " \n")) {
                longText(tokenizer, text, name.equals("gpt-2") ? MEGABYTE : MEGABYTE / 8);
            }
        }
    }

    private static void longText(Tokenizer tokenizer, String unit, int length) {
        String text = unit.repeat(length / unit.length());
        int[] ids = assertTimeoutPreemptively(LIMIT, () -> tokenizer.encode(text));
        // Not assertEquals, which would print a megabyte.
        assertTrue(text.equals(tokenizer.decode(ids)), () -> "a long run of '" + unit + "' comes back as other text");
    }

    @Test
    void staysLinearWhereTokensGrowByOneCharacter() {
        int most = 1000;
        String[] pieces = new String[most + 1];
        pieces[most] = " ";
        for (int n = 1; n <= most; n++) {
            // Longer ones merge first.
            pieces[most - n] = "a".repeat(n);
        }
        longText(TestVocabulary.sentencePiece(pieces).tokenizer(), "a", MEGABYTE);
        String[] spaces = new String[most];
        for (int n = 1; n <= most; n++) {
            spaces[most - n] = " ".repeat(n);
        }
        longText(TestVocabulary.sentencePiece(spaces).tokenizer(), " ", MEGABYTE);
        String[] merges = new String[most];
        for (int n = 1; n <= most; n++) {
            merges[most - n] = "a".repeat(n) + " a";
        }
        longText(TestVocabulary.byteLevel("gpt-2", merges).tokenizer(), "a", MEGABYTE);
    }

    @Test
    void staysLinearWhereSpecialTokensAlmostMatch() {
        String run = "a".repeat(MEGABYTE / 4);
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2").token("a", TokenType.USER_DEFINED)
                .token(run + "b", TokenType.USER_DEFINED).token("b" + run, TokenType.USER_DEFINED);
        longText(vocabulary.tokenizer(), "a", MEGABYTE);
        longText(vocabulary.tokenizer(), "ab", MEGABYTE);
    }

    @Test
    void meetsDamageOfAnyKindWithAnErrorOfItsOwn() {
        Random random = new Random(11);
        GgufSection[] seeds = {
            TestVocabulary.byteLevel("llama-bpe", "a b", "Ġ a").token("<c>", TokenType.CONTROL).set("bos_token_id", 1L)
                    .set("add_bos_token", true).section(),
            TestVocabulary.sentencePiece("ab", " a", "a").token("[u]", TokenType.USER_DEFINED).section()
        };
        int sound = 0;
        for (int round = 0; round < 20_000; round++) {
            GgufSection seed = seeds[round % seeds.length];
            byte[] bytes = seed.bytes();
            for (int n = 1 + random.nextInt(4); n > 0; n--) {
                int damage = random.nextBoolean() ? random.nextInt() : random.nextInt(3);
                bytes[random.nextInt(bytes.length)] = (byte) damage;
            }
            try {
                Tokenizer tokenizer = Tokenizer.of(Metadata.read(ByteBuffer.wrap(bytes), seed.count()));
                int[] ids = tokenizer.encode("ab a<c> [u] é", true, true);
                tokenizer.decode(ids);
                sound++;
            } catch (ModelFormatException | UnsupportedModelException expected) {
                assertTrue(expected.getMessage().length() > 10);
            }
        }
        assertTrue(sound > 2000 && sound < 19_000, sound + " of 20000 damaged vocabularies were accepted");
    }
}
