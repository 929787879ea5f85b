package dev.reprise.server;

/** What a client is told of a request that cannot be answered. */
final class ApiException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final int status;
    private final String type;
    private final String code;
    private final String param;

    private ApiException(int status, String type, String code, String param, String message, Throwable cause) {
        super(message, cause);
        this.status = status;
        this.type = type;
        this.code = code;
        this.param = param;
    }

    /** The request is wrong; {@code param} names the part of it that is, or is null. */
    static ApiException badRequest(String param, String message) {
        return new ApiException(400, "invalid_request_error", null, param, message, null);
    }

    static ApiException badRequest(String code, String param, String message, Throwable cause) {
        return new ApiException(400, "invalid_request_error", code, param, message, cause);
    }

    static ApiException notFound(String code, String param, String message) {
        return new ApiException(404, "invalid_request_error", code, param, message, null);
    }

    static ApiException of(int status, String type, String code, String message) {
        return new ApiException(status, type, code, null, message, null);
    }

    static ApiException of(int status, String type, String code, String message, Throwable cause) {
        return new ApiException(status, type, code, null, message, cause);
    }

    /** The HTTP status. */
    int status() {
        return status;
    }

    /** The kind, in OpenAI's words. */
    String type() {
        return type;
    }

    /** A word for programs; null if there is none. */
    String code() {
        return code;
    }

    /** The parameter that is wrong; null if it is none. */
    String param() {
        return param;
    }
}
