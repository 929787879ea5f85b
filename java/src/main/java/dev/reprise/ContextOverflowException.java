package dev.reprise;

/** The tokens do not fit into the session's context; the message gives both lengths. */
public final class ContextOverflowException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public ContextOverflowException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public ContextOverflowException(String message, Throwable cause) {
        super(ErrorCode.CONTEXT_OVERFLOW, message, cause);
    }
}
