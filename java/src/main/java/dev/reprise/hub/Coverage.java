package dev.reprise.hub;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Which bytes of a file are there. Safe for use by many threads. */
final class Coverage {
    /** Bytes from {@code start} to before {@code end}. */
    record Range(long start, long end) {}

    /** Ends by starts; they neither overlap nor touch. */
    private final TreeMap<Long, Long> ranges = new TreeMap<>();
    private long bytes;

    synchronized void add(long start, long end) {
        if (start >= end) {
            return;
        }
        long first = start;
        long last = end;
        Map.Entry<Long, Long> before = ranges.floorEntry(end);
        while (before != null && before.getValue() >= start) {
            first = Math.min(first, before.getKey());
            last = Math.max(last, before.getValue());
            ranges.remove(before.getKey());
            bytes -= before.getValue() - before.getKey();
            before = ranges.floorEntry(end);
        }
        ranges.put(first, last);
        bytes += last - first;
    }

    synchronized void clear() {
        ranges.clear();
        bytes = 0;
    }

    synchronized long bytes() {
        return bytes;
    }

    /** How many bytes are there from the beginning on without a gap. */
    synchronized long prefix() {
        return ranges.getOrDefault(0L, 0L);
    }

    synchronized List<Range> ranges() {
        List<Range> result = new ArrayList<>();
        ranges.forEach((start, end) -> result.add(new Range(start, end)));
        return result;
    }

    /** What is missing of a file, in pieces. */
    synchronized List<Range> missing(long size, long pieceBytes) {
        List<Range> result = new ArrayList<>();
        long at = 0;
        for (Map.Entry<Long, Long> range : ranges.entrySet()) {
            cut(at, range.getKey(), pieceBytes, result);
            at = range.getValue();
        }
        cut(at, size, pieceBytes, result);
        return result;
    }

    private static void cut(long start, long end, long pieceBytes, List<Range> result) {
        for (long at = start; at < end; at += pieceBytes) {
            result.add(new Range(at, Math.min(end, at + pieceBytes)));
        }
    }
}
