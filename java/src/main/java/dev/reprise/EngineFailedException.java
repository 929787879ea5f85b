package dev.reprise;

/** The engine met an error it cannot recover from; every later call on the same model says so too. */
public final class EngineFailedException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public EngineFailedException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public EngineFailedException(String message, Throwable cause) {
        super(ErrorCode.ENGINE_FAILED, message, cause);
    }
}
