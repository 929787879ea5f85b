package dev.reprise;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;

/**
 * For programs that damage sound files and use them: counts what came of them, and ends the program with an exception
 * where a file took long or took much memory. The program's Java heap should be in memory from the start.
 */
final class FileJudge {
    private static final long HANG_NANOS = 1_000_000_000L;
    /** How often a limit must be broken by the same file: the machine may be busy, or the JVM compile meanwhile. */
    private static final int TRIES = 3;

    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    private final Map<String, Integer> outcomes = new TreeMap<>();
    private final Map<String, String> examples = new TreeMap<>();
    private long slowestNanos;
    private long mostMemory;

    /** What using a file came to. */
    private record Use(String outcome, long nanos, long memoryBytes) {}

    /**
     * Uses a file.
     *
     * @param allowedBytes memory that this may cost
     * @param open opens the file and says what came of it; throws what is no documented exception
     */
    void judge(String file, long allowedBytes, Supplier<String> open) throws IOException {
        Use use = measure(open);
        for (int i = 1; i < TRIES && (use.nanos > HANG_NANOS || use.memoryBytes > allowedBytes); i++) {
            use = measure(open);
        }
        slowestNanos = Math.max(slowestNanos, use.nanos);
        mostMemory = Math.max(mostMemory, use.memoryBytes);
        outcomes.merge(use.outcome, 1, Integer::sum);
        check(use.nanos <= HANG_NANOS && use.memoryBytes <= allowedBytes, file + ": " + use);
    }

    private static Use measure(Supplier<String> open) throws IOException {
        // Makes the resident memory's high-water mark what it is now.
        Files.writeString(Path.of("/proc/self/clear_refs"), "5");
        long residentBefore = statusKb("VmRSS:");
        long allocated = THREADS.getCurrentThreadAllocatedBytes();
        long start = System.nanoTime();
        String outcome = open.get();
        long nanos = System.nanoTime() - start;
        allocated = THREADS.getCurrentThreadAllocatedBytes() - allocated;
        long resident = Math.max(0, statusKb("VmHWM:") - residentBefore) << 10;
        return new Use(outcome, nanos, allocated + resident);
    }

    private static long statusKb(String name) throws IOException {
        String status = new String(Files.readAllBytes(Path.of("/proc/self/status")), StandardCharsets.US_ASCII);
        int at = status.indexOf(name) + name.length();
        return Long.parseLong(status.substring(at, status.indexOf("kB", at)).strip());
    }

    /** The outcome that an exception is, whose message is kept as an example of it. */
    String outcome(RuntimeException failure) {
        String outcome = failure instanceof RepriseException e ? e.code().name() : failure.getClass().getSimpleName();
        examples.putIfAbsent(outcome, failure.getMessage());
        return outcome;
    }

    int count(String outcome) {
        return outcomes.getOrDefault(outcome, 0);
    }

    void report() {
        System.out.printf("slowest %.1f ms, most memory %d KB%n", slowestNanos / 1e6, mostMemory >> 10);
        outcomes.forEach((outcome, number) ->
                System.out.printf("  %-22s %6d  %s%n", outcome, number, examples.getOrDefault(outcome, "")));
    }

    static void check(boolean ok, String what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }
}
