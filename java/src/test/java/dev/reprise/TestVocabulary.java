package dev.reprise;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Small vocabularies, made on the spot. */
final class TestVocabulary {
    final List<Object> tokens = new ArrayList<>();
    final List<Integer> types = new ArrayList<>();
    final List<Float> scores = new ArrayList<>();
    final Map<String, Object> others = new LinkedHashMap<>();

    /** The 256 byte tokens, in the order of the bytes, and then what each merge ("a b") gives. */
    static TestVocabulary byteLevel(String preTokenizer, String... merges) {
        TestVocabulary vocabulary = new TestVocabulary();
        for (int b = 0; b < 256; b++) {
            vocabulary.token(spell((byte) b), TokenType.NORMAL);
        }
        for (String merge : merges) {
            vocabulary.token(merge.replace(" ", ""), TokenType.NORMAL);
        }
        return vocabulary.set("model", "gpt2").set("pre", preTokenizer).set("merges", List.of(merges));
    }

    /** {@code <unk> <s> </s>}, the 256 byte tokens, then the pieces, best first; a space stands for U+2581. */
    static TestVocabulary sentencePiece(String... pieces) {
        TestVocabulary vocabulary = new TestVocabulary();
        vocabulary.token("<unk>", TokenType.UNKNOWN).token("<s>", TokenType.CONTROL).token("</s>", TokenType.CONTROL);
        for (int b = 0; b < 256; b++) {
            vocabulary.token(String.format("<0x%02X>", b), TokenType.BYTE);
        }
        float score = 0;
        for (String piece : pieces) {
            vocabulary.token(piece.replace(' ', '\u2581'), TokenType.NORMAL, score--);
        }
        return vocabulary.set("model", "llama");
    }

    /** The characters that byte-level vocabularies spell bytes with, as GPT-2's encoder defines them. */
    static String spell(byte... bytes) {
        StringBuilder out = new StringBuilder();
        for (byte signed : bytes) {
            int b = signed & 0xFF;
            if (b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE) {
                out.append((char) b);
                continue;
            }
            int before = b <= 0x20 ? b : b <= 0xA0 ? 33 + (b - 0x7F) : 67;
            out.append((char) (256 + before));
        }
        return out.toString();
    }

    static String spell(String text) {
        return spell(text.getBytes(StandardCharsets.UTF_8));
    }

    TestVocabulary token(Object text, TokenType type) {
        return token(text, type, 0);
    }

    TestVocabulary token(Object text, TokenType type, float score) {
        tokens.add(text);
        types.add(type.ordinal() + 1);
        scores.add(score);
        return this;
    }

    /** Sets a key below {@code tokenizer.ggml}, or removes it where the value is null. */
    TestVocabulary set(String key, Object value) {
        return setFull("tokenizer.ggml." + key, value);
    }

    TestVocabulary setFull(String key, Object value) {
        others.put(key, value);
        return this;
    }

    /** The last of equal tokens, or -1. */
    int id(String text) {
        return tokens.lastIndexOf(text);
    }

    GgufSection section() {
        Map<String, Object> pairs = new LinkedHashMap<>();
        pairs.put("tokenizer.ggml.tokens", tokens);
        pairs.put("tokenizer.ggml.token_type", types.stream().mapToInt(Integer::intValue).toArray());
        float[] all = new float[scores.size()];
        for (int i = 0; i < all.length; i++) {
            all[i] = scores.get(i);
        }
        pairs.put("tokenizer.ggml.scores", all);
        pairs.putAll(others);
        GgufSection section = new GgufSection();
        pairs.forEach((key, value) -> {
            if (value != null) {
                section.put(key, value);
            }
        });
        return section;
    }

    Tokenizer tokenizer() {
        return Tokenizer.of(section().read());
    }
}
