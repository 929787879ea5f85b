package dev.reprise.tokenizer;

import java.util.SplittableRandom;

/**
 * Polynomial hashes of byte strings, modulo 2^64. The hash of a concatenation follows from those of its parts, so that
 * looking up what two symbols would merge to reads no text. The base is drawn anew in every process: a vocabulary
 * cannot be made to collide.
 */
final class TextHash {
    static final long EMPTY = 0;

    private static final long BASE;
    /** Spreads a hash over its upper bits, which choose the slot of a table. */
    private static final long MIX;
    private static final long[] POWERS = new long[256];

    static {
        SplittableRandom random = new SplittableRandom();
        // Odd, so that multiplying loses nothing; 5 modulo 8, so that the powers have the longest period.
        BASE = random.nextLong() & ~7L | 5;
        MIX = random.nextLong() | 1;
        POWERS[0] = 1;
        for (int i = 1; i < POWERS.length; i++) {
            POWERS[i] = POWERS[i - 1] * BASE;
        }
    }

    private TextHash() {}

    static long of(byte[] text, int from, int to) {
        return extend(EMPTY, text, from, to);
    }

    /** The hash of a string whose start has the hash {@code hash} and whose rest is given. */
    static long extend(long hash, byte[] text, int from, int to) {
        // Not by way of the method below: while a JVM starts, a call per byte costs more than all else.
        long base = BASE;
        long result = hash;
        for (int i = from; i < to; i++) {
            result = result * base + (text[i] & 0xFF) + 1;
        }
        return result;
    }

    static long extend(long hash, byte next) {
        // No byte counts as zero, or strings of different length would be the same.
        return hash * BASE + (next & 0xFF) + 1;
    }

    static long join(long left, long right, int rightLength) {
        return left * power(rightLength) + right;
    }

    static long mix(long hash) {
        return (hash ^ hash >>> 32) * MIX;
    }

    private static long power(int exponent) {
        if (exponent < POWERS.length) {
            return POWERS[exponent];
        }
        long result = 1;
        long square = BASE;
        for (int rest = exponent; rest > 0; rest >>= 1) {
            if ((rest & 1) != 0) {
                result *= square;
            }
            square *= square;
        }
        return result;
    }
}
