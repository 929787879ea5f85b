package dev.reprise.tokenizer;

import java.util.Arrays;

/** Finds the position of a byte string in a {@link TextTable}: a hash table with open addressing. */
final class TextIndex {
    /** What {@link #find} gives where there is none. */
    static final int NONE = -1;

    private final TextTable texts;
    /** Per slot 32 more bits of the hash, which spare most comparisons, above the position plus one; 0 is free. */
    private final long[] slots;
    private final int shift;

    private TextIndex(TextTable texts) {
        this.texts = texts;
        // Between three and six eighths full.
        int bits = Math.max(4, 32 - Integer.numberOfLeadingZeros((int) Math.min(1L << 30, texts.size() * 4L / 3)));
        this.slots = new long[1 << bits];
        this.shift = 64 - bits;
    }

    /** An index in which the last of equal strings counts. */
    static TextIndex ofLast(TextTable texts) {
        return build(texts, true);
    }

    /** An index in which the first of equal strings counts. */
    static TextIndex ofFirst(TextTable texts) {
        return build(texts, false);
    }

    private static TextIndex build(TextTable texts, boolean replace) {
        TextIndex index = new TextIndex(texts);
        int size = texts.size();
        for (int i = 0; i < size; i++) {
            int from = texts.start(i);
            int to = texts.end(i);
            index.put(i, from, to, TextHash.of(texts.bytes, from, to), replace);
        }
        return index;
    }

    private void put(int position, int from, int to, long hash, boolean replace) {
        long[] slots = this.slots;
        long mixed = TextHash.mix(hash);
        long tag = tag(mixed);
        int slot = (int) (mixed >>> shift);
        for (long entry = slots[slot]; entry != 0; entry = slots[slot]) {
            if ((entry & ~0xFFFFFFFFL) == tag && texts.equals((int) entry - 1, texts.bytes, from, to)) {
                if (!replace) {
                    return;
                }
                break;
            }
            slot = slot + 1 & slots.length - 1;
        }
        slots[slot] = tag | position + 1;
    }

    /** The position of {@code text[from, to)}, whose hash is given. */
    int find(byte[] text, int from, int to, long hash) {
        long mixed = TextHash.mix(hash);
        long tag = tag(mixed);
        for (int slot = (int) (mixed >>> shift); slots[slot] != 0; slot = slot + 1 & slots.length - 1) {
            long entry = slots[slot];
            if ((entry & ~0xFFFFFFFFL) == tag && texts.equals((int) entry - 1, text, from, to)) {
                return (int) entry - 1;
            }
        }
        return NONE;
    }

    int find(byte[] text) {
        return find(text, 0, text.length, TextHash.of(text, 0, text.length));
    }

    /** The position of {@code text[from, middle)}, a space and {@code text[middle, to)}, whose hash is given. */
    int findPair(byte[] text, int from, int middle, int to, long hash) {
        long mixed = TextHash.mix(hash);
        long tag = tag(mixed);
        for (int slot = (int) (mixed >>> shift); slots[slot] != 0; slot = slot + 1 & slots.length - 1) {
            long entry = slots[slot];
            if ((entry & ~0xFFFFFFFFL) == tag && isPair((int) entry - 1, text, from, middle, to)) {
                return (int) entry - 1;
            }
        }
        return NONE;
    }

    private boolean isPair(int position, byte[] text, int from, int middle, int to) {
        int start = texts.start(position);
        int space = start + (middle - from);
        int end = texts.end(position);
        return end - start == to - from + 1
                && texts.bytes[space] == ' '
                && Arrays.equals(texts.bytes, start, space, text, from, middle)
                && Arrays.equals(texts.bytes, space + 1, end, text, middle, to);
    }

    private long tag(long mixed) {
        return mixed >>> shift - 32 << 32;
    }
}
