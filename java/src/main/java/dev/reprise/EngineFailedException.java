package dev.reprise;

/** The engine met an error it cannot recover from; every later call on the same model says so too. */
public final class EngineFailedException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /** @param message what was wrong and what to do about it */
    public EngineFailedException(String message) {
        this(message, null);
    }

    /** @param cause what led to this, or null */
    public EngineFailedException(String message, Throwable cause) {
        super(ErrorCode.ENGINE_FAILED, message, cause);
    }
}
