package dev.reprise.bench.compare;

import java.util.Arrays;
import java.util.stream.IntStream;

/** What the memory of this machine delivers to the given number of threads, measured by summing a large array. */
final class MemoryBandwidth {
    /** Far larger than any cache, in numbers of 8 bytes. */
    private static final int LENGTH = 1 << 26;
    private static final int REPETITIONS = 5;

    private MemoryBandwidth() {}

    /** Bytes per second, the best of a few repetitions. */
    static double measure(int threads) {
        long[] data = new long[LENGTH];
        Arrays.setAll(data, i -> i);
        int piece = LENGTH / threads;
        long best = Long.MAX_VALUE;
        long sum = 0;
        for (int r = 0; r <= REPETITIONS; r++) {
            long start = System.nanoTime();
            sum += IntStream.range(0, threads).parallel().mapToLong(i -> sum(data, i * piece, (i + 1) * piece)).sum();
            best = Math.min(best, System.nanoTime() - start);
        }
        if (sum == 0) {
            throw new IllegalStateException("the array is empty");
        }
        return piece * threads * 8L * 1e9 / best;
    }

    /** Four sums, so that additions do not wait for each other. */
    private static long sum(long[] data, int from, int to) {
        long a = 0;
        long b = 0;
        long c = 0;
        long d = 0;
        for (int i = from; i + 3 < to; i += 4) {
            a += data[i];
            b += data[i + 1];
            c += data[i + 2];
            d += data[i + 3];
        }
        return a + b + c + d;
    }
}
