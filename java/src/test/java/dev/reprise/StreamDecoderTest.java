package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StreamDecoderTest {
    private static final int FIRST = 256;

    @Test
    void givesTheSameTextWhereverItIsSplit() {
        String text = "aé中\uD83D\uDE00b\u0301\uD83D\uDC69\u200D\uD83D\uDCBB";
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        for (int first = 0; first <= bytes.length; first++) {
            for (int second = first; second <= bytes.length; second++) {
                StreamDecoder decoder = TestVocabulary.byteLevel("gpt-2")
                        .token(part(bytes, 0, first), TokenType.NORMAL)
                        .token(part(bytes, first, second), TokenType.NORMAL)
                        .token(part(bytes, second, bytes.length), TokenType.NORMAL)
                        .tokenizer().newStreamDecoder();
                StringBuilder out = new StringBuilder();
                for (int id = FIRST; id < FIRST + 3; id++) {
                    String piece = decoder.append(id);
                    assertFalse(piece.contains("\uFFFD"), piece);
                    assertFalse(!piece.isEmpty() && Character.isLowSurrogate(piece.charAt(0)), "half a character");
                    out.append(piece);
                }
                assertEquals("", decoder.finish());
                assertEquals(text, out.toString());
            }
        }
    }

    private static String part(byte[] bytes, int from, int to) {
        return TestVocabulary.spell(Arrays.copyOfRange(bytes, from, to));
    }

    @Test
    void givesACharacterWithItsLastByte() {
        StreamDecoder decoder = TestVocabulary.byteLevel("gpt-2").tokenizer().newStreamDecoder();
        assertEquals("", decoder.append(0xF0));
        assertEquals("", decoder.append(0x9F));
        assertEquals("", decoder.append(0x98));
        assertEquals("\uD83D\uDE00", decoder.append(0x80));
        assertEquals("x", decoder.append('x'));
    }

    @Test
    void replacesWhatCannotBecomeACharacterAsSoonAsThatIsKnown() {
        StreamDecoder decoder = TestVocabulary.byteLevel("gpt-2").tokenizer().newStreamDecoder();
        assertEquals("\uFFFD", decoder.append(0x80));
        assertEquals("", decoder.append(0xE4));
        assertEquals("\uFFFDa", decoder.append('a'));
        assertEquals("", decoder.append(0xF0));
        assertEquals("", decoder.append(0x9F));
        assertEquals("\uFFFD", decoder.finish());
        assertEquals("", decoder.finish());
        assertEquals("b", decoder.append('b'));
    }

    @Test
    void agreesWithDecodingAtOnceOnRandomBytes() {
        Random random = new Random(10);
        // Bytes that start, continue and break sequences of all lengths.
        int[] bytes = {
            'a', 0x80, 0xBF, 0xC0, 0xC3, 0xA9, 0xE0, 0xE4, 0xB8, 0xED, 0xA0, 0xF0, 0x9F, 0x90, 0xF4, 0xF8, 0xFF
        };
        Tokenizer tokenizer = TestVocabulary.byteLevel("gpt-2").tokenizer();
        for (int round = 0; round < 20_000; round++) {
            int[] ids = random.ints(1 + random.nextInt(10), 0, bytes.length).map(i -> bytes[i]).toArray();
            StreamDecoder decoder = tokenizer.newStreamDecoder();
            StringBuilder out = new StringBuilder();
            for (int id : ids) {
                out.append(decoder.append(id));
            }
            out.append(decoder.finish());
            assertEquals(tokenizer.decode(ids), out.toString(), () -> Arrays.toString(ids));
        }
    }

    @Test
    void showsNoControlTokens() {
        StreamDecoder decoder = TestVocabulary.byteLevel("gpt-2").token("<|im_end|>", TokenType.CONTROL).tokenizer()
                .newStreamDecoder();
        assertEquals("", decoder.append(0xC3));
        assertEquals("", decoder.append(FIRST));
        assertEquals("é", decoder.append(0xA9));
    }

    @Test
    void keepsTheSpaceThatAContinuationStartsWith() {
        Tokenizer tokenizer = TestVocabulary.sentencePiece(" a").tokenizer();
        assertEquals(" a", tokenizer.newStreamDecoder().append(3 + 256));
        assertEquals("a", tokenizer.decode(3 + 256));
    }
}
