package dev.reprise;

/** Too little memory on the machine for the model or session. */
public final class OutOfHostMemoryException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public OutOfHostMemoryException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public OutOfHostMemoryException(String message, Throwable cause) {
        super(ErrorCode.OUT_OF_HOST_MEMORY, message, cause);
    }
}
