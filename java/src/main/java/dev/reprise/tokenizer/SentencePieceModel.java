package dev.reprise.tokenizer;

import dev.reprise.TokenType;
import java.util.BitSet;

/**
 * BPE as SentencePiece does it, the {@code llama} tokenizer of GGUF: spaces become U+2581, the neighbours whose
 * concatenation is the token of highest score merge first, and a character that is no token becomes its bytes
 * ({@code <0xNN>}), or the unknown token where the vocabulary lacks those.
 */
public final class SentencePieceModel extends CharacterBpeModel {
    /** The order of merging per token: the higher the score, the less. */
    private final int[] ranks;
    /** Characters that some token has right before a U+2581. Behind any other, no merge reaches across a U+2581. */
    private final BitSet joinsSpace = new BitSet();

    /**
     * @param scores one per token
     * @param spacePrefix whether a space goes before the text and behind every special token
     * @param unknown the token of bytes that have none; -1: they are left out
     */
    public SentencePieceModel(Vocabulary vocabulary, float[] scores, boolean spacePrefix, int unknown) {
        super(vocabulary, spacePrefix);
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
    public int rank(byte[] text, int from, int middle, int to, long leftHash, long rightHash) {
        int id = vocabulary.index.find(text, from, to, TextHash.join(leftHash, rightHash, to - middle));
        return id == TextIndex.NONE ? PairMerger.NEVER : ranks[id];
    }
}
