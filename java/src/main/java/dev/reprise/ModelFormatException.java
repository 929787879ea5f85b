package dev.reprise;

/**
 * The model file is damaged, truncated, inconsistent or not a GGUF file; the message names the part. Damaged weights
 * show when a token is to be drawn and no logit is a number.
 */
public final class ModelFormatException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public ModelFormatException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public ModelFormatException(String message, Throwable cause) {
        super(ErrorCode.MODEL_FORMAT, message, cause);
    }
}
