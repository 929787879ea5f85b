package dev.reprise.bench.compare;

import java.util.ArrayList;
import java.util.List;

/** Collects the pieces of an answer with the times at which they came. */
final class Arrivals {
    private final long start = System.nanoTime();
    private final List<String> pieces = new ArrayList<>();
    private final List<Integer> gapMicros = new ArrayList<>();
    private long first;
    private long last;

    void add(String piece) {
        long now = System.nanoTime();
        if (pieces.isEmpty()) {
            first = now;
        } else {
            gapMicros.add((int) ((now - last) / 1000));
        }
        last = now;
        pieces.add(piece);
    }

    int count() {
        return pieces.size();
    }

    /** Nanoseconds from the first piece to the last. */
    long nanosBehindFirst() {
        return last - first;
    }

    /** Ends the collection now; see {@link Results.Reply}. */
    Results.Reply end(int promptTokens, int tokens, double prefillPerSecond, double decodePerSecond,
            Double outsideNativeMicros) {
        long end = System.nanoTime();
        double firstToken = ((pieces.isEmpty() ? end : first) - start) * 1e-9;
        return new Results.Reply(promptTokens, tokens, pieces, firstToken, (end - start) * 1e-9, gapMicros,
                prefillPerSecond, decodePerSecond, outsideNativeMicros);
    }
}
