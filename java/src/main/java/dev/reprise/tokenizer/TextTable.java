package dev.reprise.tokenizer;

import java.util.Arrays;

/**
 * Byte strings that lie in one array, each behind its length as a GGUF string array stores them.
 *
 * <p>A vocabulary has up to hundreds of thousands of entries, of which a run touches few: nothing is copied or decoded
 * until it is asked for.
 */
public final class TextTable {
    /** Bytes of the length that precedes each string in a GGUF file. */
    public static final int LENGTH_BYTES = 8;

    final byte[] bytes;
    private final int[] starts;

    /**
     * @param bytes the bytes all strings lie in; not copied and never written
     * @param starts first byte of every string, then the first byte that a further string would have; string {@code i}
     *     ends {@link #LENGTH_BYTES} before {@code starts[i + 1]}
     */
    public TextTable(byte[] bytes, int[] starts) {
        this.bytes = bytes;
        this.starts = starts;
    }

    public int size() {
        return starts.length - 1;
    }

    int start(int index) {
        return starts[index];
    }

    int end(int index) {
        return starts[index + 1] - LENGTH_BYTES;
    }

    int length(int index) {
        return end(index) - start(index);
    }

    int maxLength() {
        int max = 0;
        for (int i = 0; i < size(); i++) {
            max = Math.max(max, length(i));
        }
        return max;
    }

    public byte[] get(int index) {
        return Arrays.copyOfRange(bytes, start(index), end(index));
    }

    boolean equals(int index, byte[] other, int from, int to) {
        return Arrays.equals(bytes, start(index), end(index), other, from, to);
    }
}
