package dev.reprise.hub;

import dev.reprise.hub.Coverage.Range;
import dev.reprise.hub.Failures.RangesIgnored;
import dev.reprise.hub.Failures.Unwritable;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * Brings all bytes of a file into a {@link Partial}: some threads fetch parts, one hashes them, the caller's tells the
 * listener, keeps the record of what is there, and looks for connections that stall.
 */
final class Download {
    private static final long TICK_MILLIS = 200;
    private static final long SAVE_NANOS = 300_000_000L;
    private static final Object DONE = new Object();

    private final HubClient client;
    private final RemoteFile file;
    private final Partial partial;
    private final Limits limits;
    private final Meter meter;
    private long told;

    /** The meter knows what the partial file has. */
    Download(HubClient client, RemoteFile file, Partial partial, Limits limits, Meter meter) {
        this.client = client;
        this.file = file;
        this.partial = partial;
        this.limits = limits;
        this.meter = meter;
        told = partial.coverage().bytes();
    }

    /**
     * Returns when all bytes are there, with their hash.
     *
     * @throws Unwritable if there is no room for them
     * @throws Failures.Unavailable if the server fails too often
     * @throws Failures.Contradiction if it sends something else
     */
    String run() throws IOException, InterruptedException {
        requireSpace();
        try {
            return fetchAndHash(partial.coverage().missing(file.size(), limits.partBytes()), true);
        } catch (RangesIgnored e) {
            partial.clear();
            tell();
            return fetchAndHash(List.of(new Range(0, file.size())), false);
        }
    }

    private String fetchAndHash(List<Range> parts, boolean ranges) throws IOException, InterruptedException {
        Hasher hasher = new Hasher(partial, file);
        Thread thread = Threads.newThread(hasher);
        try {
            if (ranges) {
                thread.start();
                fetch(parts, true);
            } else {
                // Every attempt writes all of the file again, so it is hashed afterwards.
                fetch(parts, false);
                thread.start();
            }
            return hasher.await(TICK_MILLIS, this::tell);
        } finally {
            hasher.stop();
            join(List.of(thread));
        }
    }

    /** An early answer to what would else come out after hours. */
    private void requireSpace() throws Unwritable {
        Path folder = partial.path().getParent();
        long free = folder.toFile().getUsableSpace();
        long needed = file.size() - partial.coverage().bytes();
        // Some file systems do not tell; those that are full do when they are written to.
        if (free > 0 && free < needed) {
            throw new Unwritable("cannot download " + file.name() + ": " + Failures.size(needed) + " are missing of it"
                    + ", and " + folder + " has " + Failures.size(free) + " free. HF_HUB_CACHE chooses another folder",
                    null);
        }
    }

    private void fetch(List<Range> parts, boolean ranges) throws IOException, InterruptedException {
        if (parts.isEmpty()) {
            return;
        }
        Queue<Range> queue = new ConcurrentLinkedQueue<>(parts);
        BlockingQueue<Object> ends = new LinkedBlockingQueue<>();
        Link link = new Link(client, file);
        List<PartFetcher> fetchers = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        try {
            for (int i = 0; i < Math.min(parts.size(), limits.connections()); i++) {
                PartFetcher fetcher = new PartFetcher(client, link, partial, file.size(), limits);
                fetchers.add(fetcher);
                Thread thread = Threads.newThread(() -> ends.add(fetchAll(fetcher, queue, ranges)));
                threads.add(thread);
                thread.start();
            }
            watch(fetchers, ends);
        } finally {
            fetchers.forEach(PartFetcher::stop);
            join(threads);
        }
    }

    /** {@link #DONE}, or what was thrown. */
    private static Object fetchAll(PartFetcher fetcher, Queue<Range> parts, boolean ranges) {
        try {
            for (Range part = parts.poll(); part != null; part = parts.poll()) {
                fetcher.fetch(part, ranges);
            }
            return DONE;
        } catch (Throwable e) {
            parts.clear();
            return e;
        }
    }

    /** Until every thread has ended, or one has failed. */
    private void watch(List<PartFetcher> fetchers, BlockingQueue<Object> ends)
            throws IOException, InterruptedException {
        long saved = System.nanoTime();
        for (int running = fetchers.size(); running > 0;) {
            Object end = ends.poll(TICK_MILLIS, TimeUnit.MILLISECONDS);
            if (end == DONE) {
                running--;
            } else if (end != null) {
                throw Download.<IOException>unchecked((Throwable) end);
            }
            tell();
            fetchers.forEach(PartFetcher::checkStall);
            if (System.nanoTime() - saved > SAVE_NANOS) {
                partial.save();
                saved = System.nanoTime();
            }
        }
    }

    private void tell() {
        long now = partial.coverage().bytes();
        meter.tell(now - told);
        told = now;
    }

    /** Nobody may write to the file once this has returned, so it waits in any case. */
    private static void join(List<Thread> threads) {
        boolean interrupted = false;
        for (Thread thread : threads) {
            while (thread.isAlive()) {
                try {
                    thread.join();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** What the threads throw is what their methods declare, and errors. */
    @SuppressWarnings("unchecked")
    private static <T extends Throwable> T unchecked(Throwable thrown) throws T {
        throw (T) thrown;
    }
}
