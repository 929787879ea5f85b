package dev.reprise.tokenizer;

import dev.reprise.ModelFormatException;
import dev.reprise.TokenType;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.BitSet;

/**
 * BPE as SentencePiece does it, the {@code llama} tokenizer of GGUF: spaces become U+2581, the neighbours whose
 * concatenation is the token of highest score merge first, and a character that is no token becomes its bytes
 * ({@code <0xNN>}), or the unknown token where the vocabulary lacks those.
 */
public final class SentencePieceModel extends TokenModel implements PairMerger.Ranks {
    /** U+2581 LOWER ONE EIGHTH BLOCK. */
    private static final byte[] SPACE = {(byte) 0xE2, (byte) 0x96, (byte) 0x81};

    private final Vocabulary vocabulary;
    /** The order of merging per token: the higher the score, the less. */
    private final int[] ranks;
    private final boolean spacePrefix;
    private final int[] byteTokens = new int[256];
    /** Characters that some token has right before a U+2581. Behind any other, no merge reaches across a U+2581. */
    private final BitSet joinsSpace = new BitSet();

    /**
     * @param scores one per token
     * @param spacePrefix whether a space goes before the text and behind every special token
     * @param unknown the token of bytes that have none; -1: they are left out
     */
    public SentencePieceModel(Vocabulary vocabulary, float[] scores, boolean spacePrefix, int unknown) {
        this.vocabulary = vocabulary;
        this.spacePrefix = spacePrefix;
        this.ranks = new int[scores.length];
        for (int i = 0; i < ranks.length; i++) {
            // Adding 0 makes -0 the same as 0. The flip gives negative numbers the order of their values.
            int bits = Float.floatToIntBits(scores[i] + 0f);
            ranks[i] = ~(bits >= 0 ? bits : bits ^ 0x7FFFFFFF);
        }
        findByteTokens(unknown);
        checkByteTokens();
        findJoins();
    }

    /** Rather than when one is decoded, in the middle of a generation. */
    private void checkByteTokens() {
        for (int id = 0; id < ranks.length; id++) {
            if (vocabulary.type(id) == TokenType.BYTE) {
                byteValue(id, vocabulary.text(id));
            }
        }
    }

    private void findByteTokens(int unknown) {
        for (int b = 0; b < 256; b++) {
            int id = vocabulary.find(spell(b));
            if (id >= 0) {
                vocabulary.setType(id, TokenType.BYTE);
            } else {
                id = vocabulary.find(new byte[] {(byte) b});
            }
            if (id < 0) {
                id = unknown;
            }
            byteTokens[b] = id;
        }
    }

    /** How a vocabulary spells the token of a byte. */
    static byte[] spell(int b) {
        String digits = "0123456789ABCDEF";
        return new byte[] {'<', '0', 'x', (byte) digits.charAt(b >> 4), (byte) digits.charAt(b & 15), '>'};
    }

    private void findJoins() {
        TextTable texts = vocabulary.texts;
        byte[] bytes = texts.bytes;
        for (int id = 0; id < texts.size(); id++) {
            int start = texts.start(id);
            for (int at = texts.end(id) - SPACE.length; at > start; at--) {
                if (isSpace(bytes, at)) {
                    joinsSpace.set(codePointBefore(bytes, start, at));
                }
            }
        }
    }

    private static boolean isSpace(byte[] text, int at) {
        return text[at] == SPACE[0] && text[at + 1] == SPACE[1] && text[at + 2] == SPACE[2];
    }

    private static int codePointBefore(byte[] text, int start, int at) {
        int from = at - 1;
        while (from > start && from > at - 4 && (text[from] & 0xC0) == 0x80) {
            from--;
        }
        int length = Utf8.length(text, from, at);
        // Not one well-formed character: any stray byte counts as U+FFFD.
        return from + length == at ? Utf8.codePoint(text, from, length) : 0xFFFD;
    }

    @Override
    public boolean addsSpacePrefix() {
        return spacePrefix;
    }

    @Override
    public void encode(byte[] text, int from, int to, boolean prefix, IntList ids) {
        byte[] escaped = escape(text, from, to, prefix && spacePrefix);
        PairMerger merger = new PairMerger();
        int at = 0;
        while (at < escaped.length) {
            int end = chunkEnd(escaped, at);
            encodeCached(escaped, at, end, merger, ids);
            at = end;
        }
    }

    /** {@code text[from, to)} with U+2581 for every space and, where there is a prefix, before it. */
    static byte[] escape(byte[] text, int from, int to, boolean prefix) {
        int spaces = prefix ? 1 : 0;
        for (int i = from; i < to; i++) {
            if (text[i] == ' ') {
                spaces++;
            }
        }
        int growth = (SPACE.length - 1) * spaces + (prefix ? 1 : 0);
        byte[] escaped = new byte[Math.addExact(to - from, growth)];
        int at = 0;
        if (prefix) {
            at = putSpace(escaped, at);
        }
        for (int i = from; i < to; i++) {
            if (text[i] == ' ') {
                at = putSpace(escaped, at);
            } else {
                escaped[at++] = text[i];
            }
        }
        return escaped;
    }

    private static int putSpace(byte[] out, int at) {
        out[at] = SPACE[0];
        out[at + 1] = SPACE[1];
        out[at + 2] = SPACE[2];
        return at + SPACE.length;
    }

    /** The next place that no merge can reach across. */
    private int chunkEnd(byte[] text, int from) {
        for (int at = from + 1; at <= text.length - SPACE.length; at++) {
            if (text[at] == SPACE[0] && isSpace(text, at) && !joinsSpace.get(codePointBefore(text, from, at))) {
                return at;
            }
        }
        return text.length;
    }

    @Override
    void encodeWord(byte[] text, int from, int to, PairMerger merger, IntList ids) {
        merger.clear();
        for (int at = from; at < to; ) {
            int end = at + Utf8.length(text, at, to);
            merger.add(at, TextHash.of(text, at, end));
            at = end;
        }
        merger.merge(text, to, this);
        for (int symbol = merger.first(); symbol != merger.end(); symbol = merger.next(symbol)) {
            int start = merger.start(symbol);
            int end = merger.start(merger.next(symbol));
            int id = vocabulary.index.find(text, start, end, merger.hash(symbol));
            if (id != TextIndex.NONE) {
                ids.add(id);
                continue;
            }
            for (int i = start; i < end; i++) {
                int token = byteTokens[text[i] & 0xFF];
                if (token >= 0) {
                    ids.add(token);
                }
            }
        }
    }

    @Override
    public int rank(byte[] text, int from, int middle, int to, long leftHash, long rightHash) {
        int id = vocabulary.index.find(text, from, to, TextHash.join(leftHash, rightHash, to - middle));
        return id == TextIndex.NONE ? PairMerger.NEVER : ranks[id];
    }

    @Override
    public byte[] bytes(int id) {
        byte[] text = vocabulary.text(id);
        return switch (vocabulary.type(id)) {
            case NORMAL, UNUSED -> unescape(text);
            case BYTE -> new byte[] {byteValue(id, text)};
            default -> text;
        };
    }

    /** Spaces for every U+2581. */
    static byte[] unescape(byte[] text) {
        int length = 0;
        for (int at = 0; at < text.length; ) {
            if (at <= text.length - SPACE.length && isSpace(text, at)) {
                text[length++] = ' ';
                at += SPACE.length;
            } else {
                text[length++] = text[at++];
            }
        }
        return Arrays.copyOf(text, length);
    }

    /** The byte that the spelling of a token of type BYTE stands for. */
    static byte byteValue(int id, byte[] text) {
        if (text.length == 6 && text[0] == '<' && text[1] == '0' && text[2] == 'x' && text[5] == '>') {
            int high = Character.digit(text[3], 16);
            int low = Character.digit(text[4], 16);
            if (high >= 0 && low >= 0) {
                return (byte) (high << 4 | low);
            }
        }
        throw new ModelFormatException("token " + id + " is of type BYTE but spelled '"
                + new String(text, StandardCharsets.UTF_8) + "', not <0xNN>");
    }
}
