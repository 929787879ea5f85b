package dev.reprise.hub;

import java.time.Duration;

/**
 * How patient a download is, and in which pieces it comes.
 *
 * @param connections parts that are fetched at the same time
 * @param partBytes bytes of a part
 * @param connect until a connection stands
 * @param answer until the head of an answer, and for all of one that is no file
 * @param stall how long a connection may bring next to nothing before it is given up
 * @param attempts failures in a row, without bytes worth mentioning between them, before the download fails
 * @param backoff wait after the first failure; it doubles with every further one
 * @param longestWait the longest wait that a server may ask for
 */
record Limits(
        int connections, long partBytes, Duration connect, Duration answer, Duration stall, int attempts,
        Duration backoff, Duration longestWait) {
    /** A part is small enough that its loss costs seconds, and large enough that a request more costs nothing. */
    static final Limits DEFAULTS = new Limits(
            8, 32L << 20, Duration.ofSeconds(10), Duration.ofSeconds(30), Duration.ofSeconds(30), 6,
            Duration.ofMillis(500), Duration.ofSeconds(60));

    Limits withAttempts(int number) {
        return new Limits(connections, partBytes, connect, answer, stall, number, backoff, longestWait);
    }
}
