package dev.reprise;

/**
 * Too little free memory on the device; the message gives what weights, KV cache and workspace need and what is free.
 */
public final class OutOfDeviceMemoryException extends RepriseException {
    private static final long serialVersionUID = 1L;

    /**
     * An exception without a cause.
     *
     * @param message what was wrong and what to do about it
     */
    public OutOfDeviceMemoryException(String message) {
        this(message, null);
    }

    /**
     * An exception with a cause.
     *
     * @param message what was wrong and what to do about it
     * @param cause what led to this, or null
     */
    public OutOfDeviceMemoryException(String message, Throwable cause) {
        super(ErrorCode.OUT_OF_DEVICE_MEMORY, message, cause);
    }
}
