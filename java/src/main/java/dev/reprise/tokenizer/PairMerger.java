package dev.reprise.tokenizer;

import java.util.Arrays;

/**
 * Byte pair encoding of one word: of all neighbouring symbols that may merge, the pair of least rank does, the leftmost
 * first, until none is left. A linked list of symbols and a heap of candidates make that n log n for a word of any
 * length.
 *
 * <p>Scratch space of one encoding; not safe for use by several threads.
 */
final class PairMerger {
    /** The rank of a pair that does not merge. */
    static final int NEVER = Integer.MAX_VALUE;

    /** Children of a heap's node; four keep the heap of a long word flatter than two and its reads closer together. */
    private static final int ARITY = 4;

    /** Ranks the pair of {@code text[from, middle)} and {@code text[middle, to)}. */
    interface Ranks {
        int rank(byte[] text, int from, int middle, int to, long leftHash, long rightHash);
    }

    private int[] starts = new int[64];
    private int[] next = new int[64];
    private int[] previous = new int[64];
    private long[] hashes = new long[64];
    /** Rank of the pair of which this symbol is the left one; an entry in the heap with another rank is out of date. */
    private int[] ranks = new int[64];
    private int count;

    /** Rank above, symbol below: the order of the longs is the order of the merges. */
    private long[] heap = new long[64];
    private int heapSize;

    void clear() {
        count = 0;
    }

    /** Appends a symbol; it ends where the next one starts. */
    void add(int start, long hash) {
        // One place is kept for the mark behind the last symbol.
        if (count + 2 > starts.length) {
            int capacity = starts.length + (starts.length >> 1);
            starts = Arrays.copyOf(starts, capacity);
            next = Arrays.copyOf(next, capacity);
            previous = Arrays.copyOf(previous, capacity);
            hashes = Arrays.copyOf(hashes, capacity);
            ranks = Arrays.copyOf(ranks, capacity);
        }
        starts[count] = start;
        hashes[count] = hash;
        next[count] = count + 1;
        previous[count] = count - 1;
        count++;
    }

    /** Merges the symbols added so far, which end at {@code end}; then {@link #next} leads along what is left. */
    void merge(byte[] text, int end, Ranks table) {
        starts[count] = end;
        heapSize = 0;
        if (heap.length < count) {
            heap = new long[Math.max(count, heap.length + (heap.length >> 1))];
        }
        for (int i = 0; i < count; i++) {
            int rank = rank(text, i, table);
            ranks[i] = rank;
            if (rank != NEVER) {
                heap[heapSize++] = (long) rank << 32 | i;
            }
        }
        for (int i = (heapSize - 2) / ARITY; i >= 0; i--) {
            siftDown(i, heap[i]);
        }
        while (heapSize > 0) {
            long best = heap[0];
            int left = (int) best;
            if (ranks[left] == (int) (best >> 32)) {
                mergeAt(left, text, table);
            } else {
                heapSize--;
                siftDown(0, heap[heapSize]);
            }
        }
    }

    /** The entry of {@code left} is at the top of the heap. */
    private void mergeAt(int left, byte[] text, Ranks table) {
        int right = next[left];
        int after = next[right];
        hashes[left] = TextHash.join(hashes[left], hashes[right], starts[after] - starts[right]);
        next[left] = after;
        previous[after] = left;
        ranks[right] = NEVER;
        int rank = rank(text, left, table);
        ranks[left] = rank;
        if (rank != NEVER) {
            siftDown(0, (long) rank << 32 | left);
        } else {
            heapSize--;
            siftDown(0, heap[heapSize]);
        }
        int before = previous[left];
        if (before >= 0) {
            rank = rank(text, before, table);
            if (rank != ranks[before]) {
                ranks[before] = rank;
                if (rank != NEVER) {
                    push((long) rank << 32 | before);
                }
            }
        }
    }

    private int rank(byte[] text, int left, Ranks table) {
        int right = next[left];
        if (right == count) {
            return NEVER;
        }
        return table.rank(text, starts[left], starts[right], starts[next[right]], hashes[left], hashes[right]);
    }

    /** The first symbol, or {@link #end} if there is none. */
    int first() {
        return 0;
    }

    /** What {@link #next} gives behind the last symbol. */
    int end() {
        return count;
    }

    int next(int symbol) {
        return next[symbol];
    }

    int start(int symbol) {
        return starts[symbol];
    }

    long hash(int symbol) {
        return hashes[symbol];
    }

    private void push(long entry) {
        if (heapSize == heap.length) {
            heap = Arrays.copyOf(heap, heap.length + (heap.length >> 1));
        }
        int at = heapSize++;
        while (at > 0) {
            int parent = (at - 1) / ARITY;
            if (heap[parent] <= entry) {
                break;
            }
            heap[at] = heap[parent];
            at = parent;
        }
        heap[at] = entry;
    }

    /** Puts {@code entry} at {@code from} or below it, where the order of the heap wants it. */
    private void siftDown(int from, long entry) {
        int at = from;
        while (true) {
            int child = at * ARITY + 1;
            if (child >= heapSize) {
                break;
            }
            int least = child;
            int last = Math.min(child + ARITY, heapSize);
            for (int i = child + 1; i < last; i++) {
                if (heap[i] < heap[least]) {
                    least = i;
                }
            }
            if (heap[least] >= entry) {
                break;
            }
            heap[at] = heap[least];
            at = least;
        }
        heap[at] = entry;
    }
}
