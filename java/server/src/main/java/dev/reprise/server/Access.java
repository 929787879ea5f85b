package dev.reprise.server;

import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpRequest;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;

/** Who may ask: whoever has a key, if there are any, and scripts of web pages only where their origin is allowed. */
final class Access {
    private static final String BEARER = "Bearer ";

    private final List<byte[]> keyHashes = new ArrayList<>();
    private final List<String> origins;

    Access(List<byte[]> keys, List<String> origins) {
        keys.forEach(key -> keyHashes.add(hash(key)));
        this.origins = origins;
    }

    private static byte[] hash(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java has SHA-256", e);
        }
    }

    /** Null if the request may be answered. */
    ApiException refusal(HttpRequest request, boolean open) {
        String origin = request.headers().get(HttpHeaderNames.ORIGIN);
        if (origin != null && !mayAsk(origin, request.headers().get(HttpHeaderNames.HOST))) {
            return ApiException.of(403, "permission_error", "origin_not_allowed",
                    "pages of another origin may not ask: the server has to be started with it allowed");
        }
        if (open || keyHashes.isEmpty() || hasKey(request)) {
            return null;
        }
        return ApiException.of(401, "authentication_error", "invalid_api_key",
                "the API key is missing or wrong: send it as Authorization: Bearer KEY");
    }

    private boolean hasKey(HttpRequest request) {
        String header = request.headers().get(HttpHeaderNames.AUTHORIZATION);
        String given = header != null && header.regionMatches(true, 0, BEARER, 0, BEARER.length())
                ? header.substring(BEARER.length()).strip() : request.headers().get("x-api-key");
        if (given == null) {
            return false;
        }
        // Hashes of equal length, all of them and to their ends: the time tells nothing of a key.
        byte[] hash = hash(given.getBytes(StandardCharsets.UTF_8));
        boolean found = false;
        for (byte[] known : keyHashes) {
            found |= MessageDigest.isEqual(known, hash);
        }
        return found;
    }

    /**
     * Whether a page may ask: one of an allowed origin, or the server's own. A page of another server whose name leads
     * here has that name in both headers, so without a key the server's name has to be this machine's or an address.
     */
    private boolean mayAsk(String origin, String host) {
        if (allows(origin)) {
            return true;
        }
        if (host == null || !origin.equals("http://" + host) && !origin.equals("https://" + host)) {
            return false;
        }
        if (!keyHashes.isEmpty()) {
            return true;
        }
        try {
            String name = new URI(origin).getHost();
            return name != null && (name.equals("localhost") || name.matches("[0-9.]+|\\[[0-9a-fA-F:.]+\\]"));
        } catch (java.net.URISyntaxException e) {
            return false;
        }
    }

    /** Whether scripts of an origin may read answers. */
    boolean allows(String origin) {
        return origins.contains("*") || origins.contains(origin);
    }

    boolean allowsAny() {
        return !origins.isEmpty();
    }
}
