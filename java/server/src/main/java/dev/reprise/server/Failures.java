package dev.reprise.server;

import dev.reprise.CancelledException;
import dev.reprise.ContextOverflowException;
import dev.reprise.OutOfDeviceMemoryException;
import dev.reprise.OutOfHostMemoryException;
import dev.reprise.TemplateException;
import dev.reprise.UnsupportedModelException;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;

/** What went wrong, in the words of a protocol. */
final class Failures {
    private static final Logger LOG = Logger.getLogger("dev.reprise.server");

    private Failures() {}

    /** What a client is told of an exception. */
    static ApiException of(Throwable failure) {
        if (failure instanceof ApiException known) {
            return known;
        } else if (failure instanceof ContextOverflowException) {
            return ApiException.badRequest("context_length_exceeded", "messages", failure.getMessage(), failure);
        } else if (failure instanceof TemplateException) {
            return ApiException.badRequest("template_error", "messages", failure.getMessage(), failure);
        } else if (failure instanceof IllegalArgumentException || failure instanceof UnsupportedOperationException) {
            return ApiException.badRequest(null, null, failure.getMessage(), failure);
        } else if (failure instanceof OutOfHostMemoryException || failure instanceof OutOfDeviceMemoryException
                || failure instanceof OutOfMemoryError) {
            return ApiException.of(503, "server_error", "out_of_memory", failure.getMessage(), failure);
        } else if (failure instanceof UnsupportedModelException) {
            return ApiException.of(501, "not_supported_error", "not_supported", failure.getMessage(), failure);
        } else if (failure instanceof CancelledException || failure instanceof InterruptedException) {
            return ApiException.of(503, "server_error", "stopping", "the server is stopping", failure);
        }
        LOG.log(Level.SEVERE, "a request failed", failure);
        return ApiException.of(500, "server_error", "internal_error", "the server failed: " + failure, failure);
    }

    /** The error as OpenAI's protocols show it. */
    static Map<String, Object> openAi(ApiException error) {
        return Doc.of("error", Doc.of(
                "message", error.getMessage(),
                "type", error.type(),
                "param", error.param(),
                "code", error.code()));
    }

    /** The error as Anthropic's protocol shows it. */
    static Map<String, Object> anthropic(ApiException error) {
        String type = switch (error.status()) {
            case 400, 405, 414, 431 -> "invalid_request_error";
            case 401 -> "authentication_error";
            case 403 -> "permission_error";
            case 404 -> "not_found_error";
            case 413 -> "request_too_large";
            case 429 -> "rate_limit_error";
            case 503 -> "overloaded_error";
            case 408, 504 -> "timeout_error";
            default -> "api_error";
        };
        return Doc.of("type", "error", "error", Doc.of("type", type, "message", error.getMessage()));
    }

    /** The error as the protocol of a path shows it. */
    static Map<String, Object> document(ApiException error, String path) {
        return Routes.isAnthropic(path) ? anthropic(error) : openAi(error);
    }
}
