package dev.reprise.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeout;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.UnsupportedModelException;
import dev.reprise.json.Json;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Holds the scanners against the expressions that define them. */
class PreTokenizerTest {
    private static final String CL100K = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
            + "|\\p{N}{1,%d}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    private static final String GPT2 =
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

    private static List<String> expressions(String name) {
        return switch (name) {
            case "llama-bpe" -> List.of(String.format(CL100K, 3));
            case "qwen2" -> List.of(String.format(CL100K, 1));
            case "gpt-2" -> List.of(GPT2);
            case "smollm" -> List.of("\\p{N}", GPT2);
            default -> List.of("[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]");
        };
    }

    /** Every expression cuts the pieces of the one before; what lies between its matches are pieces too. */
    private static List<String> expected(String name, String text) {
        List<String> pieces = List.of(text);
        for (String expression : expressions(name)) {
            Pattern pattern = Pattern.compile(expression, Pattern.UNICODE_CHARACTER_CLASS);
            List<String> finer = new ArrayList<>();
            for (String piece : pieces) {
                int at = 0;
                for (Matcher matcher = pattern.matcher(piece); matcher.find(); at = matcher.end()) {
                    addPart(finer, piece, at, matcher.start());
                    addPart(finer, piece, matcher.start(), matcher.end());
                }
                addPart(finer, piece, at, piece.length());
            }
            pieces = finer;
        }
        return pieces;
    }

    private static void addPart(List<String> parts, String text, int from, int to) {
        if (from < to) {
            parts.add(text.substring(from, to));
        }
    }

    private static List<String> actual(String name, String text) {
        PreTokenizer preTokenizer = PreTokenizer.named(name);
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        IntList ends = new IntList(8);
        preTokenizer.cut(bytes, 0, bytes.length, ends);
        List<String> words = new ArrayList<>();
        int at = 0;
        for (int i = 0; i < ends.size(); i++) {
            int end = ends.get(i);
            assertTrue(end > at && end <= bytes.length, () -> "no progress in " + text);
            words.add(new String(bytes, at, end - at, StandardCharsets.UTF_8));
            at = end;
        }
        assertEquals(bytes.length, at, text);
        return words;
    }

    private static final String[] ALPHABET = {
        "a", "s", "t", "l", "e", "r", "v", "m", "d", "S", "L", "E", "z", "'", "'", "'", " ", " ", " ", "  ",
        "\t", "\n", "\r", "1", "2", "345", "\u0663", "\u00B2", "\u2167", "\u00E9", "\u4E2D", "\u0301",
        "\uD83D\uDE00", "\u00A0", "\u0085", "\u2003", "\u3000", "\u2028", "\u200B", "\uD83C\uDFFD", "\u001C",
        "\u180E", "$", "+", "`", "^", "-", "_", "\u00AB", "\u0378", "\uE000", "\uFFFD", ".", "!", "\u01C5",
        "\u02B0", "\u20AC", "\uD835\uDFD8", "\u0000", "\u017F", "\u212A"
    };

    @ParameterizedTest
    @ValueSource(strings = {"llama-bpe", "qwen2", "gpt-2", "smollm", "default"})
    void cutsRandomTextAsTheExpressionsDo(String name) {
        Random random = new Random(name.hashCode());
        for (int round = 0; round < 20_000; round++) {
            StringBuilder text = new StringBuilder();
            for (int i = random.nextInt(12); i >= 0; i--) {
                text.append(ALPHABET[random.nextInt(ALPHABET.length)]);
            }
            assertEquals(expected(name, text.toString()), actual(name, text.toString()), () -> escape(text));
        }
    }

    private static String escape(CharSequence text) {
        StringBuilder out = new StringBuilder();
        text.chars().forEach(
                c -> out.append(c > ' ' && c < 127 ? String.valueOf((char) c) : String.format("\\u%04X", c)));
        return out.toString();
    }

    @Test
    void classifiesEveryCodePointAsTheExpressionsDo() {
        for (int codePoint = 0; codePoint <= Character.MAX_CODE_POINT; codePoint++) {
            if (codePoint >= Character.MIN_SURROGATE && codePoint <= Character.MAX_SURROGATE) {
                continue;
            }
            int type = CodePoints.classify(codePoint);
            String character = Character.toString(codePoint);
            assertEquals(Classes.LETTER.matcher(character).matches(), type == CodePoints.LETTER, character);
            assertEquals(Classes.NUMBER.matcher(character).matches(), type == CodePoints.NUMBER, character);
            assertEquals(Classes.SPACE.matcher(character).matches(), type == CodePoints.SPACE, character);
            assertEquals(Classes.PUNCTUATION.matcher(character).matches(), type == CodePoints.PUNCTUATION, character);
        }
    }

    private static final class Classes {
        static final Pattern LETTER = Pattern.compile("\\p{L}");
        static final Pattern NUMBER = Pattern.compile("\\p{N}");
        static final Pattern SPACE = Pattern.compile("\\s", Pattern.UNICODE_CHARACTER_CLASS);
        static final Pattern PUNCTUATION = Pattern.compile("[\\p{P}$+<=>^~|]");
    }

    @Test
    void cutsNumbersAsTheModelsWereTrained() {
        assertEquals(List.of("x", "123", "45"), actual("llama-bpe", "x12345"));
        assertEquals(List.of("x", "1", "2", "3"), actual("qwen2", "x123"));
        assertEquals(List.of("x", " 12345"), actual("gpt-2", "x 12345"));
        assertEquals(List.of("x", " ", "1", "2"), actual("smollm", "x 12"));
        assertEquals(List.of("x", " ", "123", "45"), actual("default", "x 12345"));
    }

    @Test
    void survivesTextCutWithinACharacter() {
        byte[] bytes = {(byte) 0x80, 'a', (byte) 0xE4, (byte) 0xB8, ' ', (byte) 0xF0, (byte) 0x9F};
        for (String name : PreTokenizer.names()) {
            PreTokenizer preTokenizer = PreTokenizer.named(name);
            for (int from = 0; from < bytes.length; from++) {
                for (int to = from + 1; to <= bytes.length; to++) {
                    IntList ends = new IntList(8);
                    preTokenizer.cut(bytes, from, to, ends);
                    int at = from;
                    for (int i = 0; i < ends.size(); i++) {
                        assertTrue(ends.get(i) > at && ends.get(i) <= to, name);
                        at = ends.get(i);
                    }
                    assertEquals(to, at, name);
                }
            }
        }
    }

    /** What Python's {@code regex} makes of the published expressions (data/pre_tokenizers.py). */
    @Test
    void cutsAsThePublishedExpressionsDo() throws IOException {
        Map<?, ?> all;
        try (InputStream in = getClass().getResourceAsStream("/dev/reprise/pre_tokenizers.json")) {
            all = (Map<?, ?>) Json.parse(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        }
        Set<String> named = new HashSet<>();
        for (Map.Entry<?, ?> entry : all.entrySet()) {
            List<?> names = List.of(((String) entry.getKey()).split(" "));
            for (Object one : (List<?>) entry.getValue()) {
                List<?> words = (List<?>) one;
                String text = String.join("", words.stream().map(String.class::cast).toList());
                for (Object name : names) {
                    assertEquals(words, actual((String) name, text), name + " on " + escape(text));
                    named.add((String) name);
                }
            }
        }
        assertEquals(new HashSet<>(PreTokenizer.names()), named);
    }

    /** Expressions that walk a text again from each of its places, or descend for each of its characters. */
    @Test
    void cutsLongRunsInTime() {
        for (String name : PreTokenizer.names()) {
            for (String unit : List.of("1", "a", "A", " ", "\n", " \n", "!", "\u4E2D", "a ", "\u0301", "'")) {
                String text = unit.repeat(100_000 / unit.length());
                byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
                assertTimeout(Duration.ofSeconds(20), () -> {
                    IntList ends = new IntList(8);
                    PreTokenizer.named(name).cut(bytes, 0, bytes.length, ends);
                    assertEquals(bytes.length, ends.get(ends.size() - 1), name);
                }, name + " " + escape(unit));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"unheard-of", "", "GPT-2", "falcon ", "deepseek"})
    void refusesUnknownNamesAndSaysWhatIsKnown(String name) {
        String message = assertThrows(UnsupportedModelException.class, () -> PreTokenizer.named(name)).getMessage();
        assertTrue(message.contains("'" + name + "'") && message.contains("llama-bpe"), message);
    }
}
