package dev.reprise;

/**
 * There is no model of this name: no such repository, revision, file or quantisation, no access to it, or, offline,
 * nothing of it in the cache; the message says which and what there is.
 */
public final class ModelNotFoundException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public ModelNotFoundException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public ModelNotFoundException(String message, Throwable cause) {
        super(ErrorCode.MODEL_NOT_FOUND, message, cause);
    }
}
