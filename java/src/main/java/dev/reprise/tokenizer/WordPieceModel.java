package dev.reprise.tokenizer;

import dev.reprise.TokenType;
import java.nio.charset.StandardCharsets;
import java.text.Normalizer;
import java.util.Locale;

/**
 * WordPiece with BERT's normalisation and words, the {@code bert} tokenizer of GGUF: control characters vanish, accents
 * and case where the model has none, white space parts words, punctuation and Chinese characters are words by
 * themselves, and of each word the longest token that it begins with is taken again and again. A word of which
 * something is left over, or of more than 100 characters, is the unknown token.
 *
 * <p>The file spells what begins a word with U+2581 before it, what goes on with nothing.
 *
 * <p>Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, https://arxiv.org/abs/1810.04805, and the
 * tokenizer of the authors' code.
 */
public final class WordPieceModel extends TokenModel {
    private static final int MAX_WORD = 100;
    private static final byte[] MARK = "\u2581".getBytes(StandardCharsets.UTF_8);

    private final Vocabulary vocabulary;
    private final int unknown;
    private final boolean lowercase;
    private final boolean stripAccents;
    private final int longest;

    /** @param unknown the token of words that have no others; -1: they are left out */
    public WordPieceModel(Vocabulary vocabulary, int unknown, boolean lowercase, boolean stripAccents) {
        this.vocabulary = vocabulary;
        this.unknown = unknown;
        this.lowercase = lowercase;
        this.stripAccents = stripAccents;
        this.longest = vocabulary.texts.maxLength();
    }

    @Override
    public boolean addsSpacePrefix() {
        return true;
    }

    @Override
    public void encode(byte[] text, int from, int to, boolean prefix, IntList ids) {
        String normal = normalise(clean(text, from, to));
        PairMerger none = new PairMerger();
        int start = -1;
        for (int at = 0; at <= normal.length(); ) {
            int codePoint = at < normal.length() ? normal.codePointAt(at) : ' ';
            int after = at + Character.charCount(codePoint);
            boolean isWord = isPunctuation(codePoint) || isChinese(codePoint);
            if (isWord || codePoint == ' ') {
                if (start >= 0) {
                    encodeString(normal.substring(start, at), none, ids);
                    start = -1;
                }
                if (isWord) {
                    encodeString(normal.substring(at, after), none, ids);
                }
            } else if (start < 0) {
                start = at;
            }
            at = after;
        }
    }

    /** The text without control characters and with a plain space for each of white space. */
    private static String clean(byte[] text, int from, int to) {
        StringBuilder out = new StringBuilder(to - from);
        for (int at = from; at < to; ) {
            int length = Utf8.length(text, at, to);
            int codePoint = Utf8.codePoint(text, at, length);
            at += length;
            if (codePoint == '\t' || codePoint == '\n' || codePoint == '\r') {
                out.append(' ');
            } else if (!vanishes(codePoint)) {
                boolean isSpace = CodePoints.classify(codePoint) == CodePoints.SPACE;
                out.appendCodePoint(isSpace ? ' ' : codePoint);
            }
        }
        return out.toString();
    }

    private static boolean vanishes(int codePoint) {
        return switch (Character.getType(codePoint)) {
            case Character.CONTROL, Character.FORMAT, Character.PRIVATE_USE, Character.SURROGATE -> true;
            default -> codePoint == 0xFFFD;
        };
    }

    private String normalise(String text) {
        String normal = text;
        if (stripAccents && !isAscii(normal)) {
            String decomposed = Normalizer.normalize(normal, Normalizer.Form.NFD);
            StringBuilder out = new StringBuilder(decomposed.length());
            decomposed.codePoints()
                    .filter(c -> Character.getType(c) != Character.NON_SPACING_MARK)
                    .forEach(out::appendCodePoint);
            normal = out.toString();
        }
        return lowercase ? lowercase(normal) : normal;
    }

    private static boolean isAscii(String text) {
        return text.chars().allMatch(c -> c < 0x80);
    }

    /** Each character by itself: a sigma at the end of a word is one like all others. */
    private static String lowercase(String text) {
        StringBuilder out = new StringBuilder(text.length());
        text.codePoints().forEach(c -> {
            if (c == 0x130) {
                out.append(Character.toString(c).toLowerCase(Locale.ROOT));
            } else {
                out.appendCodePoint(Character.toLowerCase(c));
            }
        });
        return out.toString();
    }

    private static boolean isPunctuation(int codePoint) {
        if (codePoint < 0x80) {
            return codePoint > 0x20 && codePoint < 0x7F && !Character.isLetterOrDigit(codePoint);
        }
        return CodePoints.classify(codePoint) == CodePoints.PUNCTUATION;
    }

    private static boolean isChinese(int c) {
        return c >= 0x4E00 && c <= 0x9FFF
                || c >= 0x3400 && c <= 0x4DBF
                || c >= 0xF900 && c <= 0xFAFF
                || c >= 0x20000 && c <= 0x2A6DF
                || c >= 0x2A700 && c <= 0x2B73F
                || c >= 0x2B740 && c <= 0x2B81F
                || c >= 0x2B920 && c <= 0x2CEAF
                || c >= 0x2F800 && c <= 0x2FA1F;
    }

    private void encodeString(String word, PairMerger merger, IntList ids) {
        byte[] bytes = Utf8.encode(word);
        encodeCached(bytes, 0, bytes.length, merger, ids);
    }

    @Override
    void encodeWord(byte[] text, int from, int to, PairMerger merger, IntList ids) {
        byte[] word = new byte[MARK.length + to - from];
        System.arraycopy(MARK, 0, word, 0, MARK.length);
        System.arraycopy(text, from, word, MARK.length, to - from);
        int before = ids.size();
        boolean fits = characters(text, from, to) <= MAX_WORD;
        for (int at = 0; fits && at < word.length; ) {
            int end = longestToken(word, at, at == 0 ? MARK.length : at, ids);
            fits = end > at;
            at = end;
        }
        if (!fits) {
            ids.truncate(before);
            if (unknown >= 0) {
                ids.add(unknown);
            }
        }
    }

    private static int characters(byte[] text, int from, int to) {
        int count = 0;
        for (int i = from; i < to; i++) {
            count += (text[i] & 0xC0) != 0x80 ? 1 : 0;
        }
        return count;
    }

    /** Appends the longest token from {@code from} that goes beyond {@code least}; its end, or {@code from}. */
    private int longestToken(byte[] word, int from, int least, IntList ids) {
        long hash = TextHash.of(word, from, least);
        int found = TextIndex.NONE;
        int end = from;
        int limit = Math.min(word.length, from + longest);
        for (int at = least; at < limit; ) {
            hash = TextHash.extend(hash, word[at++]);
            int id = vocabulary.index.find(word, from, at, hash);
            if (id != TextIndex.NONE) {
                found = id;
                end = at;
            }
        }
        if (found != TextIndex.NONE) {
            ids.add(found);
        }
        return end;
    }

    @Override
    public byte[] bytes(int id) {
        byte[] text = vocabulary.text(id);
        return vocabulary.type(id) == TokenType.NORMAL ? CharacterBpeModel.unescape(text) : text;
    }
}
