package dev.reprise;

/**
 * The file of a saved session is sound but belongs to another model, or to the same one loaded with the other
 * {@linkplain ModelOptions#exact() arithmetic}; the message names both.
 */
public final class SessionMismatchException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public SessionMismatchException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public SessionMismatchException(String message, Throwable cause) {
        super(ErrorCode.SESSION_MISMATCH, message, cause);
    }
}
