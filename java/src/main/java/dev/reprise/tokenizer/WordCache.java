package dev.reprise.tokenizer;

import java.util.Arrays;

/**
 * The ids of words that were met before. A word has one place, where the latest that falls there stays: bounded, and
 * without a lock, since an entry is immutable and a thread sees it whole or not at all.
 */
final class WordCache {
    /** Longer words are rare and not kept. */
    static final int MAX_LENGTH = 48;

    private static final int BITS = 15;

    private record Entry(byte[] word, int[] ids) {}

    private final Entry[] entries = new Entry[1 << BITS];

    /** The ids of {@code text[from, to)}, whose hash is given, or null. */
    int[] get(byte[] text, int from, int to, long hash) {
        Entry entry = entries[slot(hash)];
        if (entry == null || entry.word.length != to - from) {
            return null;
        }
        byte[] word = entry.word;
        for (int i = 0; i < word.length; i++) {
            if (word[i] != text[from + i]) {
                return null;
            }
        }
        return entry.ids;
    }

    void put(byte[] text, int from, int to, long hash, int[] ids) {
        entries[slot(hash)] = new Entry(Arrays.copyOfRange(text, from, to), ids);
    }

    private static int slot(long hash) {
        return (int) (TextHash.mix(hash) >>> 64 - BITS);
    }
}
