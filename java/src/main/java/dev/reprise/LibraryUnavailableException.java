package dev.reprise;

/** The native library cannot be loaded; the message says what was tried and what to do. A later call tries again. */
public final class LibraryUnavailableException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public LibraryUnavailableException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public LibraryUnavailableException(String message, Throwable cause) {
        super(ErrorCode.LIBRARY_UNAVAILABLE, message, cause);
    }
}
