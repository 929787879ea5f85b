package dev.reprise.hub;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.time.Duration;
import java.util.Locale;

/** What can go wrong with a hub, and its wording. */
final class Failures {
    private Failures() {}

    /** The server cannot be reached, or is not able to answer now: what the cache has may do instead. */
    static final class Unavailable extends IOException {
        private static final long serialVersionUID = 1L;

        /** Null: the server names none. */
        private final transient Duration retryAfter;

        Unavailable(String message, Duration retryAfter, Throwable cause) {
            super(message, cause);
            this.retryAfter = retryAfter;
        }

        Duration retryAfter() {
            return retryAfter;
        }
    }

    /** The server answers what contradicts its other answers: another attempt would not help. */
    static final class Contradiction extends IOException {
        private static final long serialVersionUID = 1L;

        Contradiction(String message) {
            super(message);
        }
    }

    /** The server sends whole files only. */
    static final class RangesIgnored extends IOException {
        private static final long serialVersionUID = 1L;

        RangesIgnored() {
            super("the server sends whole files only");
        }
    }

    /** A file cannot be written: another attempt would not help. */
    static final class Unwritable extends IOException {
        private static final long serialVersionUID = 1L;

        Unwritable(String message, IOException cause) {
            super(message, cause);
        }
    }

    /** What went wrong. The message of the commonest failures is the file's name alone, or there is none. */
    static String reason(IOException e) {
        if (e instanceof NoSuchFileException) {
            return "no such file or folder";
        } else if (e instanceof AccessDeniedException) {
            return "permission denied";
        } else if (e instanceof FileSystemException failure && failure.getReason() != null) {
            return failure.getReason();
        }
        String message = e.getMessage();
        return message == null || message.isEmpty() ? e.getClass().getSimpleName() : message;
    }

    static String size(long bytes) {
        return bytes < 1_000_000_000
                ? String.format(Locale.ROOT, "%.1f MB", bytes / 1e6)
                : String.format(Locale.ROOT, "%.2f GB", bytes / 1e9);
    }
}
