package dev.reprise.server;

import java.time.Duration;

/** What keeps one client from taking more than its share of a connection. */
record Limits(int bodyBytes, int connections, Duration read, Duration idle, Duration stall) {
    /** A request line and a header of this size are refused, as most servers do. */
    static final int REQUEST_LINE = 8192;
    static final int HEADERS = 32768;
    /** Requests that a client may send before it has the answer to its first. */
    static final int PIPELINED = 16;
    /** How long what a client still sends is read and thrown away, so that it gets to read why. */
    static final Duration LINGER = Duration.ofSeconds(2);
}
