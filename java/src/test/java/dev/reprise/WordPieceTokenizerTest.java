package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Ids by hand, after the tokenizer of BERT's authors. */
class WordPieceTokenizerTest {
    private static final String[] WORDS = {
        "un", "##aff", "##able", "the", "caf", "##e", "a", "##a", "!", "#", "$", "中", "文", "ss", "i", "##s",
        "\u1100", "##\u1161", "B", "b", "é"
    };

    private static TestVocabulary vocabulary() {
        TestVocabulary vocabulary = new TestVocabulary();
        for (String special : new String[] {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
            vocabulary.token(special, TokenType.CONTROL);
        }
        for (String word : WORDS) {
            // As converters write them: a mark before what begins a word, nothing before what goes on.
            vocabulary.token(word.startsWith("##") ? word.substring(2) : "\u2581" + word, TokenType.NORMAL);
        }
        return vocabulary
                .set("model", "bert")
                .set("unknown_token_id", 1L)
                .set("cls_token_id", 2L)
                .set("seperator_token_id", 3L);
    }

    private static int[] ids(String... words) {
        int[] ids = new int[words.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = words[i].equals("?") ? 1 : 5 + List.of(WORDS).indexOf(words[i]);
            assertTrue(ids[i] > 0, words[i]);
        }
        return ids;
    }

    @Test
    void takesTheLongestTokensOfEveryWord() {
        Tokenizer tokenizer = vocabulary().tokenizer();
        assertArrayEquals(ids("un", "##aff", "##able"), tokenizer.encode("unaffable"));
        assertArrayEquals(ids("the", "?", "a"), tokenizer.encode("the unaffableX a"));
        assertArrayEquals(ids("the", "!", "!", "#", "$", "a"), tokenizer.encode("the!!#$a"));
        assertArrayEquals(ids("中", "文", "the", "?"), tokenizer.encode("中文the\n人"));
        assertArrayEquals(new int[0], tokenizer.encode(" \t\n"));
        assertEquals("unaffable the", tokenizer.decode(tokenizer.encode("UNaffable THE")));
    }

    @Test
    void dropsAccentsAndCaseWhereTheModelHasNone() {
        assertArrayEquals(ids("caf", "##e", "caf", "##e"), vocabulary().tokenizer().encode("Café cafe\u0301"));
        // Hangul comes apart; its vowels are no marks that are stripped.
        assertArrayEquals(ids("\u1100", "##\u1161"), vocabulary().tokenizer().encode("가"));
        assertArrayEquals(ids("i", "##s"), vocabulary().tokenizer().encode("\u0130s"));
        TestVocabulary cased = vocabulary().set("normalizer.lowercase", false);
        assertArrayEquals(ids("B", "b", "é"), cased.tokenizer().encode("B b é"));
        assertArrayEquals(
                ids("b", "b", "é"),
                vocabulary().set("normalizer.strip_accents", false).tokenizer().encode("B b É"));
    }

    @Test
    void dropsControlCharactersWithinWords() {
        Tokenizer tokenizer = vocabulary().tokenizer();
        assertArrayEquals(ids("the"), tokenizer.encode("t\u0000h\u200B\u0085e\uFFFD\uE000"));
        assertArrayEquals(ids("a", "a", "a"), tokenizer.encode("a\u00A0a\u3000a"));
    }

    @Test
    void takesWordsOfUpToAHundredCharacters() {
        Tokenizer tokenizer = vocabulary().tokenizer();
        assertEquals(100, tokenizer.encode("a".repeat(100)).length);
        assertArrayEquals(ids("?", "a"), tokenizer.encode("a".repeat(101) + " a"));
    }

    @Test
    void addsBothEndsUnlessToldAndParsesSpecialTokensAsSpelled() {
        TestVocabulary vocabulary = vocabulary();
        Tokenizer tokenizer = vocabulary.tokenizer();
        int the = ids("the")[0];
        assertArrayEquals(new int[] {2, the, 4, the, 3}, tokenizer.encode("the [MASK] the", true, true));
        assertFalse(Arrays.stream(tokenizer.encode("[MASK]")).anyMatch(id -> id == 4));
        assertArrayEquals(new int[] {2, 3}, tokenizer.encode("", true, true));
        assertFalse(vocabulary.set("add_bos_token", false).tokenizer().addsBos());
        assertEquals(2, vocabulary.set("bos_token_id", 2L).tokenizer().bosToken().getAsInt());
    }
}
