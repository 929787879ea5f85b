package dev.reprise.hub;

import dev.reprise.hub.Coverage.Range;
import dev.reprise.hub.Failures.Contradiction;
import dev.reprise.hub.Failures.RangesIgnored;
import dev.reprise.hub.Failures.Unavailable;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Fetches parts of a file, one after the other, on a thread of its own. What runs can be given up from another thread,
 * without an interrupt: that would close the file that all write to.
 */
final class PartFetcher {
    private static final int BUFFER_BYTES = 1 << 16;
    /** A connection that brings less than this in the time of a stall is no better than one that brings nothing. */
    private static final long WORTH_WAITING_BYTES = 1 << 12;
    /** A connection that brought this much has not failed for nothing. */
    private static final long WORTH_MENTIONING_BYTES = 1 << 20;
    private static final int MAX_REDIRECTS = 5;
    private static final Pattern CONTENT_RANGE = Pattern.compile("bytes (\\d{1,18})-(\\d{1,18})/(\\d{1,18}|\\*)");

    private final HubClient client;
    private final Link link;
    private final Partial partial;
    private final long size;
    private final Limits limits;
    private final CountDownLatch stopped = new CountDownLatch(1);

    /** What can be given up; null where nothing runs. */
    private volatile Future<?> answer;
    private volatile InputStream body;
    /** Whether a body is waited for, and not the disk or the next attempt. */
    private volatile boolean reading;
    /** Whether the body was given up for that. */
    private volatile boolean stalled;
    private volatile long received;
    private long receivedBefore;
    private long checkedNanos = System.nanoTime();

    PartFetcher(HubClient client, Link link, Partial partial, long size, Limits limits) {
        this.client = client;
        this.link = link;
        this.partial = partial;
        this.size = size;
        this.limits = limits;
    }

    /** All bytes of a part, in as many attempts as it takes. */
    void fetch(Range part, boolean ranges) throws IOException, InterruptedException {
        Retry retry = new Retry(limits);
        long at = part.start();
        long mentioned = at;
        while (at < part.end() && !isStopped()) {
            long before = received;
            try {
                stream(at, part.end(), ranges);
                at = part.end();
            } catch (IOException e) {
                if (isStopped()) {
                    return;
                }
                // All that was not asked for in parts comes again.
                at += ranges ? received - before : 0;
                if (at - mentioned >= WORTH_MENTIONING_BYTES) {
                    mentioned = at;
                    retry.progressed();
                }
                stopped.await(retry.after(e).toMillis(), TimeUnit.MILLISECONDS);
            }
        }
    }

    private void stream(long start, long end, boolean ranges) throws IOException, InterruptedException {
        URI at = link.get(this::running);
        URI first = at;
        for (int i = 0; i <= MAX_REDIRECTS; i++) {
            HttpRequest request = ranges ? client.range(at, start, end) : client.whole(at);
            HttpResponse<InputStream> response = client.send(request, BodyHandlers.ofInputStream(), this::running);
            try (InputStream in = response.body()) {
                if (!HubClient.isRedirect(response)) {
                    receive(response, in, first, start, end, ranges);
                    return;
                }
            }
            at = HubClient.target(response);
        }
        link.expired(first);
        throw new Contradiction(first.getHost() + " redirects more than " + MAX_REDIRECTS + " times");
    }

    private void receive(HttpResponse<?> response, InputStream in, URI from, long start, long end, boolean ranges)
            throws IOException {
        int status = response.statusCode();
        String host = response.uri().getHost();
        if (status == 401 || status == 403 || status == 404 || status == 410) {
            link.expired(from);
            throw new Unavailable("the link to " + host + " has expired (" + status + ")", null, null);
        }
        if (status == 416) {
            throw new Contradiction(host + " has no bytes " + start + " to " + (end - 1)
                    + " of a file that should have " + size);
        }
        client.requireSuccess(response);
        requireLength(response, host, start, end, ranges);
        String encoding = response.headers().firstValue("Content-Encoding").orElse("identity");
        if (!encoding.equalsIgnoreCase("identity")) {
            throw new Contradiction(host + " sends the file in another encoding, " + Names.printable(encoding));
        }
        copy(in, host, start, end);
    }

    /** Before a byte of a wrong place, or of another file, is written. */
    private void requireLength(HttpResponse<?> response, String host, long start, long end, boolean ranges)
            throws IOException {
        long length = response.headers().firstValueAsLong("Content-Length").orElse(end - start);
        if (!ranges) {
            if (response.statusCode() != 200 || length != size) {
                throw new Contradiction(host + " sends " + length + " bytes of a file that should have " + size);
            }
            return;
        }
        if (response.statusCode() != 206) {
            throw new RangesIgnored();
        }
        Matcher range = CONTENT_RANGE.matcher(response.headers().firstValue("Content-Range").orElse(""));
        if (!range.matches()) {
            throw new Contradiction(host + " sends a part of the file without saying which");
        }
        long first = Long.parseLong(range.group(1));
        long last = Long.parseLong(range.group(2));
        String total = range.group(3);
        if (!total.equals("*") && Long.parseLong(total) != size) {
            throw new Contradiction(host + " has a file of " + total + " bytes, which should have " + size);
        } else if (first != start || last != end - 1 || length != end - start) {
            throw new Contradiction(host + " sends bytes " + first + " to " + last + " of the file, not " + start
                    + " to " + (end - 1));
        }
    }

    private void copy(InputStream in, String host, long start, long end) throws IOException {
        byte[] buffer = new byte[BUFFER_BYTES];
        long at = start;
        stalled = false;
        body = in;
        try {
            if (isStopped()) {
                return;
            }
            while (at < end) {
                int count = read(in, buffer, host);
                if (count < 0) {
                    throw new Unavailable(host + " ends after " + (at - start) + " of " + (end - start) + " bytes",
                            null, null);
                } else if (count > end - at) {
                    throw new Contradiction(host + " sends more than the " + (end - start) + " bytes it should");
                }
                partial.write(ByteBuffer.wrap(buffer, 0, count), at);
                at += count;
                received += count;
            }
            if (read(in, buffer, host) >= 0) {
                throw new Contradiction(host + " sends more than the " + (end - start) + " bytes it should");
            }
        } finally {
            body = null;
        }
    }

    private int read(InputStream in, byte[] buffer, String host) throws Unavailable {
        reading = true;
        try {
            return in.read(buffer);
        } catch (IOException e) {
            String reason = stalled
                    ? " brings next to nothing for " + limits.stall().toSeconds() + " s"
                    : " breaks off: " + Failures.reason(e.getCause() instanceof IOException cause ? cause : e);
            throw new Unavailable(host + reason, null, e);
        } finally {
            reading = false;
        }
    }

    private void running(Future<?> future) {
        answer = future;
        if (future != null && isStopped()) {
            future.cancel(true);
        }
    }

    private boolean isStopped() {
        return stopped.getCount() == 0;
    }

    /** Gives up what runs, for good. From another thread. */
    void stop() {
        stopped.countDown();
        giveUp();
    }

    private void giveUp() {
        Future<?> waiting = answer;
        if (waiting != null) {
            waiting.cancel(true);
        }
        InputStream in = body;
        if (in != null) {
            try {
                in.close();
            } catch (IOException e) {
                // It is given up in any case.
            }
        }
    }

    /** Gives up a connection that brings next to nothing, so that the part is asked for anew. From one other thread. */
    void checkStall() {
        long now = System.nanoTime();
        if (!reading) {
            checkedNanos = now;
            receivedBefore = received;
        } else if (now - checkedNanos >= limits.stall().toNanos()) {
            if (received - receivedBefore < WORTH_WAITING_BYTES) {
                stalled = true;
                giveUp();
            }
            checkedNanos = now;
            receivedBefore = received;
        }
    }
}
