package dev.reprise.tokenizer;

import dev.reprise.TokenType;
import java.util.Arrays;

/**
 * SentencePiece's unigram model, the {@code t5} tokenizer of GGUF (T5, XLM-RoBERTa): of all ways to cut the normalised
 * text into tokens the one with the largest sum of scores. A character that is no token costs 10 more than the worst
 * one; what such characters are neighbours of each other is one unknown token.
 *
 * <p>Kudo, Subword Regularization, https://arxiv.org/abs/1804.10959
 */
public final class UnigramModel extends TokenModel {
    private static final double UNKNOWN_PENALTY = 10;
    private static final byte[] MARK = {(byte) 0xE2, (byte) 0x96, (byte) 0x81};

    /** How the text is changed before it is cut. */
    public record Normalisation(CharacterMap characters, boolean spacePrefix, boolean mergeSpaces) {}

    private final Vocabulary vocabulary;
    private final float[] scores;
    private final Normalisation normalisation;
    private final int unknown;
    private final double unknownScore;
    private final int longest;

    /**
     * @param scores one per token: the logarithm of its probability
     * @param unknown the token of what has no other; -1: it is left out
     */
    public UnigramModel(Vocabulary vocabulary, float[] scores, Normalisation normalisation, int unknown) {
        this.vocabulary = vocabulary;
        this.scores = scores;
        this.normalisation = normalisation;
        this.unknown = unknown;
        this.longest = vocabulary.texts.maxLength();
        double least = 0;
        for (int id = 0; id < scores.length; id++) {
            if (vocabulary.type(id) == TokenType.NORMAL) {
                least = Math.min(least, scores[id]);
            }
        }
        this.unknownScore = least - UNKNOWN_PENALTY;
    }

    @Override
    public boolean addsSpacePrefix() {
        return normalisation.spacePrefix();
    }

    @Override
    public void encode(byte[] text, int from, int to, boolean prefix, IntList ids) {
        byte[] normal = normalise(text, from, to, prefix && normalisation.spacePrefix());
        encodeWord(normal, 0, normal.length, null, ids);
    }

    private byte[] normalise(byte[] text, int from, int to, boolean prefix) {
        ByteList out = new ByteList(to - from + 16);
        ByteList piece = new ByteList(16);
        boolean marked = false;
        boolean inWord = false;
        boolean behindSpace = false;
        for (int at = from; at < to; ) {
            piece.clear();
            at = normalisation.characters().next(text, at, to, piece);
            for (int i = 0; i < piece.size(); i++) {
                byte b = piece.get(i);
                if (prefix && !marked && !normalisation.mergeSpaces()) {
                    out.addAll(MARK);
                    marked = true;
                }
                if (b == ' ') {
                    inWord = false;
                    behindSpace = true;
                    if (!normalisation.mergeSpaces()) {
                        out.addAll(MARK);
                    }
                    continue;
                }
                if (!inWord) {
                    inWord = true;
                    // Merged spaces are written before the word that they end at.
                    if (prefix && !marked || normalisation.mergeSpaces() && behindSpace) {
                        out.addAll(MARK);
                        marked = true;
                    }
                }
                out.add(b);
            }
        }
        // A U+2581 that somebody wrote at the end goes the way of spaces.
        while (normalisation.mergeSpaces() && out.endsWith(MARK)) {
            out.truncate(out.size() - MARK.length);
        }
        return out.toArray();
    }

    /** Viterbi's algorithm; a word is the whole text. */
    @Override
    void encodeWord(byte[] text, int from, int to, PairMerger merger, IntList ids) {
        int n = to - from;
        double[] best = new double[n + 1];
        int[] token = new int[n + 1];
        int[] start = new int[n + 1];
        Arrays.fill(best, 1, n + 1, Double.NEGATIVE_INFINITY);
        for (int at = 0; at < n; ) {
            int length = Utf8.length(text, from + at, to);
            boolean isToken = false;
            long hash = TextHash.of(text, from + at, from + at);
            int limit = Math.min(n, at + longest);
            for (int end = at; end < limit; ) {
                hash = TextHash.extend(hash, text[from + end++]);
                int id = vocabulary.index.find(text, from + at, from + end, hash);
                if (id == TextIndex.NONE || !matches(id)) {
                    continue;
                }
                isToken |= end - at == length;
                double score = best[at] + (vocabulary.type(id) == TokenType.USER_DEFINED ? 0 : scores[id]);
                if (score > best[end]) {
                    best[end] = score;
                    token[end] = id;
                    start[end] = at;
                }
            }
            if (!isToken && best[at] + unknownScore > best[at + length]) {
                best[at + length] = best[at] + unknownScore;
                token[at + length] = -1;
                start[at + length] = at;
            }
            at += length;
        }
        addPath(token, start, n, ids);
    }

    private boolean matches(int id) {
        TokenType type = vocabulary.type(id);
        return type == TokenType.NORMAL || type == TokenType.USER_DEFINED || type == TokenType.UNUSED;
    }

    private void addPath(int[] token, int[] start, int n, IntList ids) {
        IntList backwards = new IntList(n / 3);
        for (int at = n; at > 0; at = start[at]) {
            backwards.add(token[at]);
        }
        for (int i = backwards.size() - 1; i >= 0; i--) {
            int id = backwards.get(i);
            if (id >= 0) {
                ids.add(id);
            } else if (unknown >= 0 && (i == backwards.size() - 1 || backwards.get(i + 1) >= 0)) {
                ids.add(unknown);
            }
        }
    }

    @Override
    public byte[] bytes(int id) {
        byte[] text = vocabulary.text(id);
        return matches(id) ? CharacterBpeModel.unescape(text) : text;
    }
}
