package dev.reprise;

import java.util.Objects;

/**
 * The root of what Reprise throws when a model, a device or a generation fails. Misuse of the API is reported by
 * {@link IllegalArgumentException} and {@link IllegalStateException} instead.
 */
public abstract class RepriseException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final ErrorCode code;

    /**
     * An exception of the kind {@code code}.
     *
     * @param code the same for every exception of a class
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    protected RepriseException(ErrorCode code, String message, Throwable cause) {
        super(message, cause);
        this.code = Objects.requireNonNull(code, "code");
    }

    /** The kind of failure, stable across releases; one code per subclass. */
    public final ErrorCode code() {
        return code;
    }
}
