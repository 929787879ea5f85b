package dev.reprise.hub;

import dev.reprise.HuggingFace;
import java.util.ArrayDeque;

/** Tells a listener how far a download is, of all files of the model. For one thread. */
final class Meter {
    private static final long WINDOW_NANOS = 5_000_000_000L;

    /** Bytes received since the beginning, at a moment. */
    private record Sample(long nanos, long bytes) {}

    private final HuggingFace.Progress listener;
    private final ArrayDeque<Sample> samples = new ArrayDeque<>();
    private final long totalBytes;
    private String file;
    /** Of files that are here, and of parts that an earlier attempt brought. */
    private long hereBytes;
    private long receivedBytes;

    /** The listener may be null. */
    Meter(HuggingFace.Progress listener, long totalBytes) {
        this.listener = listener;
        this.totalBytes = totalBytes;
    }

    /** The next file, of which some is here already. */
    void begin(String name, long bytes) {
        file = name;
        hereBytes += bytes;
        tell(0);
    }

    /** What was thought to be here is not. */
    void lost(long bytes) {
        hereBytes -= bytes;
        tell(0);
    }

    /** Bytes of the current file, received or lost again. */
    void tell(long bytes) {
        receivedBytes += bytes;
        long now = System.nanoTime();
        samples.add(new Sample(now, receivedBytes));
        while (now - samples.peek().nanos() > WINDOW_NANOS && samples.size() > 2) {
            samples.remove();
        }
        long elapsed = now - samples.peek().nanos();
        long bytesPerSecond = elapsed == 0 ? 0 : (long) ((receivedBytes - samples.peek().bytes()) * 1e9 / elapsed);
        if (listener != null) {
            listener.update(file, hereBytes + receivedBytes, totalBytes, Math.max(0, bytesPerSecond));
        }
    }
}
