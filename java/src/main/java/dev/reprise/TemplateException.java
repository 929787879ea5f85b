package dev.reprise;

import java.util.OptionalInt;

/** A chat template is malformed, or raised an error of its own while it was rendered. */
public final class TemplateException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /** The line of the template, from 1; 0: none. */
    private final int line;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public TemplateException(String message) {
        this(message, null);
    }

    TemplateException(String message, int line) {
        super(ErrorCode.TEMPLATE, message, null);
        this.line = line;
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public TemplateException(String message, Throwable cause) {
        super(ErrorCode.TEMPLATE, message, cause);
        line = 0;
    }

    /** The line of the template that the message is about, from 1; empty if it is about none. */
    public OptionalInt line() {
        return line > 0 ? OptionalInt.of(line) : OptionalInt.empty();
    }
}
