package dev.reprise;

/**
 * The model needs an architecture, tensor type or tokenizer that is not supported; the message names it and what is.
 */
public final class UnsupportedModelException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public UnsupportedModelException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public UnsupportedModelException(String message, Throwable cause) {
        super(ErrorCode.UNSUPPORTED_MODEL, message, cause);
    }
}
