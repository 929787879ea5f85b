package dev.reprise.hub;

import dev.reprise.hub.Failures.Contradiction;
import dev.reprise.hub.Failures.RangesIgnored;
import dev.reprise.hub.Failures.Unavailable;
import dev.reprise.hub.Failures.Unwritable;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/** Counts failures in a row, and says how long to wait after each. */
final class Retry {
    private final Limits limits;
    private int failures;

    Retry(Limits limits) {
        this.limits = limits;
    }

    /** There were bytes worth mentioning. */
    void progressed() {
        failures = 0;
    }

    /**
     * How long to wait until the next attempt.
     *
     * @throws IOException the failure itself, if another attempt would not help, or if there were enough
     */
    Duration after(IOException failure) throws IOException {
        if (failure instanceof Contradiction || failure instanceof RangesIgnored || failure instanceof Unwritable) {
            throw failure;
        }
        Duration asked = failure instanceof Unavailable unavailable ? unavailable.retryAfter() : null;
        if (++failures >= limits.attempts()) {
            throw failure instanceof Unavailable ? failure : new Unavailable(failure.getMessage(), null, failure);
        } else if (asked != null && asked.compareTo(limits.longestWait()) > 0) {
            throw new Unavailable(failure.getMessage() + " and asks to come back in " + asked.toSeconds() + " s",
                    asked, failure);
        }
        long backoff = limits.backoff().toMillis() << Math.min(failures - 1, 10);
        // Not all at the same moment, where a server has failed many at once.
        long millis = backoff / 2 + ThreadLocalRandom.current().nextLong(backoff / 2 + 1);
        return Duration.ofMillis(Math.max(millis, asked == null ? 0 : asked.toMillis()));
    }
}
