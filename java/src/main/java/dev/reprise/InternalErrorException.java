package dev.reprise;

/** A defect in Reprise; please report it. */
public final class InternalErrorException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public InternalErrorException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public InternalErrorException(String message, Throwable cause) {
        super(ErrorCode.INTERNAL, message, cause);
    }
}
