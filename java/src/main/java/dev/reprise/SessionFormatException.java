package dev.reprise;

/**
 * The file of a saved session cannot be used: it is none, truncated, damaged, or saved by a newer version of Reprise;
 * the message says which.
 */
public final class SessionFormatException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public SessionFormatException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public SessionFormatException(String message, Throwable cause) {
        super(ErrorCode.SESSION_FORMAT, message, cause);
    }
}
