package dev.reprise;

/** The requested device cannot be used; the message says which library was loaded and what is missing. */
public final class DeviceUnavailableException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public DeviceUnavailableException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public DeviceUnavailableException(String message, Throwable cause) {
        super(ErrorCode.DEVICE_UNAVAILABLE, message, cause);
    }
}
