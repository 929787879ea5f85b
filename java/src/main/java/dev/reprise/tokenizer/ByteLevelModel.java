package dev.reprise.tokenizer;

import dev.reprise.TokenType;
import java.util.Arrays;

/**
 * Byte-level BPE, the {@code gpt2} tokenizer of GGUF. The file spells every byte as a printable character ({@code Ġ}
 * for a space), which is also how the tokens and merges are looked up here: nothing is decoded when the model loads.
 *
 * <p>A byte that the vocabulary has no token for is left out, as other implementations do.
 */
public final class ByteLevelModel extends TokenModel implements PairMerger.Ranks {
    /** The character that spells each byte; all are below U+0180, so at most two bytes of UTF-8. */
    private static final char[] SPELLING = new char[256];
    /** The byte that each character below U+0180 spells, or -1. */
    private static final short[] MEANING = new short[0x180];

    static {
        Arrays.fill(MEANING, (short) -1);
        int others = 0x100;
        for (int b = 0; b < 256; b++) {
            boolean printable = b > 0x20 && b < 0x7F || b > 0xA0 && b != 0xAD;
            SPELLING[b] = (char) (printable ? b : others++);
            MEANING[SPELLING[b]] = (short) b;
        }
    }

    private final Vocabulary vocabulary;
    private final TextIndex merges;
    private final PreTokenizer preTokenizer;
    private final boolean wholeWordsFirst;
    private final long[] byteHashes = new long[256];

    /**
     * @param merges pairs of symbols with a space between, best first
     * @param preTokenizer its name in GGUF files
     * @throws dev.reprise.UnsupportedModelException if the pre-tokenizer is not known
     */
    public ByteLevelModel(Vocabulary vocabulary, TextTable merges, String preTokenizer) {
        this.vocabulary = vocabulary;
        this.preTokenizer = PreTokenizer.named(preTokenizer);
        this.wholeWordsFirst = PreTokenizer.kind(preTokenizer).wholeWordsFirst();
        this.merges = TextIndex.ofFirst(merges);
        byte[] spelled = new byte[2];
        for (int b = 0; b < 256; b++) {
            byteHashes[b] = TextHash.of(spelled, 0, Utf8.put(spelled, 0, SPELLING[b]));
        }
    }

    /**
     * Whether text begins with the token of begin of text where a file with this pre-tokenizer does not say so.
     *
     * @throws dev.reprise.UnsupportedModelException if the pre-tokenizer is not known
     */
    public static boolean addsBos(String preTokenizer) {
        return PreTokenizer.kind(preTokenizer).addsBos();
    }

    @Override
    public void encode(byte[] text, int from, int to, boolean prefix, IntList ids) {
        PairMerger merger = new PairMerger();
        IntList ends = new IntList((to - from) / 4);
        preTokenizer.cut(text, from, to, ends);
        int at = from;
        for (int i = 0; i < ends.size(); i++) {
            int end = ends.get(i);
            encodeCached(text, at, end, merger, ids);
            at = end;
        }
    }

    @Override
    void encodeWord(byte[] text, int from, int to, PairMerger merger, IntList ids) {
        byte[] word = new byte[Math.multiplyExact(2, to - from)];
        int length = 0;
        merger.clear();
        for (int i = from; i < to; i++) {
            merger.add(length, byteHashes[text[i] & 0xFF]);
            length = Utf8.put(word, length, SPELLING[text[i] & 0xFF]);
        }
        if (wholeWordsFirst) {
            int id = vocabulary.index.find(word, 0, length, TextHash.of(word, 0, length));
            if (id != TextIndex.NONE) {
                ids.add(id);
                return;
            }
        }
        merger.merge(word, length, this);
        for (int symbol = merger.first(); symbol != merger.end(); symbol = merger.next(symbol)) {
            int start = merger.start(symbol);
            int end = merger.start(merger.next(symbol));
            int id = vocabulary.index.find(word, start, end, merger.hash(symbol));
            if (id != TextIndex.NONE) {
                ids.add(id);
            } else {
                addCharacters(word, start, end, ids);
            }
        }
    }

    /** A symbol that a merge made but the vocabulary does not hold goes back to its bytes. */
    private void addCharacters(byte[] word, int from, int to, IntList ids) {
        int at = from;
        while (at < to) {
            int end = at + Utf8.length(word, at, to);
            int id = vocabulary.index.find(word, at, end, TextHash.of(word, at, end));
            if (id != TextIndex.NONE) {
                ids.add(id);
            }
            at = end;
        }
    }

    @Override
    public int rank(byte[] text, int from, int middle, int to, long leftHash, long rightHash) {
        long left = TextHash.extend(leftHash, (byte) ' ');
        int rank = merges.findPair(text, from, middle, to, TextHash.join(left, rightHash, to - middle));
        return rank == TextIndex.NONE ? PairMerger.NEVER : rank;
    }

    @Override
    public byte[] bytes(int id) {
        byte[] text = vocabulary.text(id);
        TokenType type = vocabulary.type(id);
        if (type == TokenType.CONTROL || type == TokenType.USER_DEFINED || type == TokenType.UNKNOWN) {
            return text;
        }
        int length = 0;
        for (int at = 0; at < text.length; ) {
            int size = Utf8.length(text, at, text.length);
            int codePoint = Utf8.codePoint(text, at, size);
            if (codePoint < MEANING.length && MEANING[codePoint] >= 0) {
                text[length++] = (byte) MEANING[codePoint];
            } else {
                // Spells no byte: taken literally.
                System.arraycopy(text, at, text, length, size);
                length += size;
            }
            at += size;
        }
        return Arrays.copyOf(text, length);
    }
}
