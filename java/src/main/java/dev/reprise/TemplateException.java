package dev.reprise;

/** A chat template is malformed, or raised an error of its own while it was rendered. */
public final class TemplateException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public TemplateException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public TemplateException(String message, Throwable cause) {
        super(ErrorCode.TEMPLATE, message, cause);
    }
}
