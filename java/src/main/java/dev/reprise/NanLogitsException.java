package dev.reprise;

/**
 * The model's logits are no numbers (all are NaN or negative infinity), so that no token can be drawn: its weights are
 * damaged, or its values exceed what the device computes with. The session is usable: rewind it and go on with other
 * tokens.
 */
public final class NanLogitsException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public NanLogitsException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public NanLogitsException(String message, Throwable cause) {
        super(ErrorCode.NAN_LOGITS, message, cause);
    }
}
