package dev.reprise.bench.compare;

import java.util.Arrays;
import java.util.stream.IntStream;

/** What the memory of this machine delivers to the given number of threads, measured by comparing two large arrays. */
final class MemoryBandwidth {
    /** Of each array, in numbers of 8 bytes: far more than any cache holds. */
    private static final int LENGTH = 1 << 25;
    private static final int REPETITIONS = 15;

    private MemoryBandwidth() {}

    /** Bytes per second, the best of a few repetitions. */
    static double measure(int threads) {
        long[] one = new long[LENGTH];
        long[] other = new long[LENGTH];
        int piece = LENGTH / threads;
        long best = Long.MAX_VALUE;
        for (int r = 0; r < REPETITIONS; r++) {
            long start = System.nanoTime();
            // The JVM compares with the widest registers that the processor has.
            boolean equal = IntStream.range(0, threads)
                    .parallel()
                    .map(i -> i * piece)
                    .allMatch(at -> Arrays.mismatch(one, at, at + piece, other, at, at + piece) < 0);
            best = Math.min(best, System.nanoTime() - start);
            if (!equal) {
                throw new IllegalStateException("two arrays of zeros differ");
            }
        }
        return 2.0 * Long.BYTES * piece * threads * 1e9 / best;
    }
}
