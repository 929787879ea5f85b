package dev.reprise.hub;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * What the environment says about the hub, by the variables of huggingface_hub (<a
 * href="https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables">documentation</a>). A
 * variable that is empty counts as not set.
 */
public final class Environment {
    private static final String DEFAULT_ENDPOINT = "https://huggingface.co";
    private static final Set<String> TRUE = Set.of("1", "on", "yes", "true");

    private final Map<String, String> variables;
    private final Path home;

    Environment(Map<String, String> variables, Path home) {
        this.variables = variables;
        this.home = home;
    }

    /** That of the process. */
    public static Environment ofProcess() {
        return new Environment(System.getenv(), Path.of(System.getProperty("user.home")));
    }

    /** The folder that holds {@code models--OWNER--REPO}. */
    public Path cache() {
        for (String name : new String[] {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
            if (isSet(name)) {
                return path(variables.get(name));
            }
        }
        return huggingFaceHome().resolve("hub");
    }

    private Path huggingFaceHome() {
        if (isSet("HF_HOME")) {
            return path(variables.get("HF_HOME"));
        }
        Path caches = isSet("XDG_CACHE_HOME") ? path(variables.get("XDG_CACHE_HOME")) : home.resolve(".cache");
        return caches.resolve("huggingface").toAbsolutePath();
    }

    private Path path(String text) {
        boolean inHome = text.equals("~") || text.startsWith("~/");
        return (inHome ? home.resolve(text.substring(Math.min(2, text.length()))) : Path.of(text)).toAbsolutePath();
    }

    public URI endpoint() {
        return requireEndpoint(isSet("HF_ENDPOINT") ? variables.get("HF_ENDPOINT") : DEFAULT_ENDPOINT);
    }

    /**
     * The address of a hub, without a slash behind it.
     *
     * @throws IllegalArgumentException if it is none
     */
    public static URI requireEndpoint(String text) {
        String wrong = "the endpoint '" + text + "' is no address of a hub such as " + DEFAULT_ENDPOINT;
        try {
            URI uri = URI.create(text.strip().replaceFirst("/+$", ""));
            boolean http = "http".equalsIgnoreCase(uri.getScheme()) || "https".equalsIgnoreCase(uri.getScheme());
            if (!http || uri.getHost() == null || uri.getRawUserInfo() != null || uri.getRawQuery() != null
                    || uri.getRawFragment() != null) {
                throw new IllegalArgumentException(wrong);
            }
            return uri;
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(wrong, e);
        }
    }

    /** Null if there is none. */
    public String token() {
        for (String name : new String[] {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
            if (isSet(name)) {
                return requireToken(name, variables.get(name));
            }
        }
        Path file = isSet("HF_TOKEN_PATH") ? path(variables.get("HF_TOKEN_PATH")) : huggingFaceHome().resolve("token");
        try {
            String token = Files.readString(file).strip();
            return token.isEmpty() ? null : requireToken(file.toString(), token);
        } catch (NoSuchFileException e) {
            return null;
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read the token in " + file + ": " + Failures.reason(e), e);
        }
    }

    /**
     * Refuses what cannot be sent, without repeating it.
     *
     * @throws IllegalArgumentException if it has characters that no token has
     */
    public static String requireToken(String from, String text) {
        String token = text.strip();
        if (token.isEmpty() || token.chars().anyMatch(c -> c <= ' ' || c > '~')) {
            throw new IllegalArgumentException(
                    "the token of " + from + " is empty or has characters that no token has, such as a line end");
        }
        return token;
    }

    public boolean offline() {
        return isSet("HF_HUB_OFFLINE") && TRUE.contains(variables.get("HF_HUB_OFFLINE").toLowerCase(Locale.ROOT));
    }

    private boolean isSet(String name) {
        String value = variables.get(name);
        return value != null && !value.isBlank();
    }
}
