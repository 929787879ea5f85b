package dev.reprise;

/** The operation was cancelled by its caller. */
public final class CancelledException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public CancelledException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public CancelledException(String message, Throwable cause) {
        super(ErrorCode.CANCELLED, message, cause);
    }
}
