package dev.reprise.hub;

import dev.reprise.ModelNotFoundException;
import dev.reprise.hub.Failures.Contradiction;
import dev.reprise.hub.Failures.Unavailable;
import dev.reprise.json.Json;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandler;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Asks a hub, as <a href="https://huggingface.co/docs/hub/api">Hugging Face's</a> wants to be asked. Redirects are
 * followed here and not by the HTTP client: the token goes to the hub's own scheme, host and port and nowhere else.
 */
final class HubClient {
    private static final int MAX_REDIRECTS = 10;
    private static final int MAX_PAGES = 100;
    private static final long MAX_LISTING_BYTES = 64L << 20;
    private static final Pattern ETAG = Pattern.compile("[0-9a-f]{40}|[0-9a-f]{64}");
    private static final Pattern NEXT = Pattern.compile("<([^<>]+)>\\s*;\\s*rel=\"?next\"?");
    private static final Set<Integer> REDIRECTS = Set.of(301, 302, 303, 307, 308);
    private static final Set<Integer> PASSING = Set.of(408, 425, 429, 500, 502, 503, 504);

    /**
     * What a repository has at a commit.
     *
     * @param commit null where it is not told
     * @param names the paths of its files
     */
    record Listing(String commit, List<String> names) {}

    private final Source source;
    private final Limits limits;
    private final ExecutorService threads = Threads.newPool();
    private final HttpClient http;

    HubClient(Source source, Limits limits) {
        this.source = source;
        this.limits = limits;
        // One connection for each part: parts that share one are no faster than one part.
        http = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .connectTimeout(limits.connect())
                .executor(threads)
                .build();
    }

    /** The commit that the revision is now, and its files. */
    Listing listing() throws IOException, InterruptedException {
        String repository = "/api/models/" + source.repository();
        Answer answer = ask(uri(repository + "/revision/" + encoded(source.revision())), true);
        if (answer == null) {
            // A mirror may have the other one of the two calls alone.
            return tree(uri(repository + "/tree/" + encoded(source.revision()) + "?recursive=true"));
        }
        if (!(answer.json() instanceof Map<?, ?> description)
                || !(description.get("sha") instanceof String commit) || !HubCache.isCommit(commit)
                || !(description.get("siblings") instanceof List<?> siblings)) {
            throw answer.isNone("sha or siblings are missing");
        }
        return new Listing(commit, names(siblings, "rfilename"));
    }

    private Listing tree(URI first) throws IOException, InterruptedException {
        List<String> names = new ArrayList<>();
        URI at = first;
        for (int page = 0; page < MAX_PAGES && at != null; page++) {
            Answer answer = ask(at, false);
            if (!(answer.json() instanceof List<?> entries)) {
                throw answer.isNone("it is no list");
            }
            names.addAll(names(entries, "path"));
            Matcher next = NEXT.matcher(answer.response().headers().firstValue("Link").orElse(""));
            at = next.find() ? resolved(answer.response().uri(), next.group(1)) : null;
        }
        return new Listing(null, names);
    }

    private static List<String> names(List<?> files, String key) {
        List<String> names = new ArrayList<>();
        for (Object entry : files) {
            if (entry instanceof Map<?, ?> file && file.get(key) instanceof String name
                    && !"directory".equals(file.get("type"))) {
                names.add(name);
            }
        }
        return names;
    }

    private record Answer(HttpResponse<byte[]> response, Object json) {
        Contradiction isNone(String why) {
            return new Contradiction(response.uri() + " answers what is no description of a repository: " + why);
        }
    }

    /** The JSON that is answered; null, if that may be, where the server does not know what is asked. */
    private Answer ask(URI uri, boolean mayBeUnknown) throws IOException, InterruptedException {
        return retried(() -> {
            HttpResponse<byte[]> response = follow("GET", uri, answer -> false, running -> {});
            if (mayBeUnknown && response.statusCode() == 404
                    && response.headers().firstValue("X-Error-Code").isEmpty()) {
                return null;
            }
            requireSuccess(response);
            try {
                return new Answer(response, Json.parse(new String(response.body(), StandardCharsets.UTF_8)));
            } catch (IllegalArgumentException e) {
                throw new Answer(response, null).isNone(e.getMessage());
            }
        });
    }

    /** What a file is, at a revision or commit. */
    RemoteFile describe(String revision, String name) throws IOException, InterruptedException {
        URI uri = fileUri(revision, name);
        return retried(() -> {
            Description description = new Description();
            HttpResponse<byte[]> response = follow("HEAD", uri, description::add, running -> {});
            if (!description.isLinked()) {
                requireSuccess(response);
            }
            return description.file(uri, name);
        });
    }

    /** Gathered from the answers on the way to a file: the hub describes what it redirects to elsewhere. */
    private static final class Description {
        private String commit;
        private String etag;
        private String size;

        /** Whether all is known. */
        boolean add(HttpResponse<?> response) {
            HttpHeaders headers = response.headers();
            commit = first(commit, headers, "X-Repo-Commit");
            etag = first(etag, headers, "X-Linked-ETag");
            size = first(size, headers, "X-Linked-Size");
            if (response.statusCode() / 100 == 2) {
                if (etag == null) {
                    size = first(null, headers, "Content-Length");
                }
                etag = first(etag, headers, "ETag");
                size = first(size, headers, "Content-Length");
            }
            return isLinked();
        }

        private static String first(String known, HttpHeaders headers, String name) {
            return known != null ? known : headers.firstValue(name).orElse(null);
        }

        boolean isLinked() {
            return commit != null && etag != null && size != null;
        }

        RemoteFile file(URI uri, String name) throws Contradiction {
            if (commit == null || !HubCache.isCommit(commit)) {
                throw new Contradiction(uri + " is served without the commit that it is of (X-Repo-Commit), so that it "
                        + "comes from no hub: is there a proxy in between, or is HF_ENDPOINT another server?");
            }
            String hash = etag == null ? "" : etag.replaceFirst("^W/", "").replace("\"", "");
            if (!ETAG.matcher(hash).matches()) {
                throw new Contradiction(uri + " is served without a SHA-256 (X-Linked-ETag), so that its content "
                        + "could not be checked");
            }
            try {
                long bytes = Long.parseLong(size == null ? "" : size.strip());
                if (bytes >= 0) {
                    return new RemoteFile(name, commit, hash, bytes);
                }
            } catch (NumberFormatException e) {
                // Told below.
            }
            throw new Contradiction(uri + " is served without its length (X-Linked-Size)");
        }
    }

    /**
     * Where the bytes of a file are now: a link that was signed for some time, or the hub itself.
     *
     * @param running told what can be cancelled, and null when it is over
     */
    URI locate(RemoteFile file, Consumer<Future<?>> running) throws IOException, InterruptedException {
        URI uri = fileUri(file.commit(), file.name());
        HttpResponse<byte[]> response =
                follow("HEAD", uri, answer -> isRedirect(answer) && leaves(answer), running);
        if (isRedirect(response)) {
            return target(response);
        }
        requireSuccess(response);
        return response.uri();
    }

    private boolean leaves(HttpResponse<?> response) {
        try {
            return !isHub(target(response));
        } catch (IOException e) {
            return false;
        }
    }

    /** A request for bytes of a file, from before {@code end}. The token is sent to the hub alone. */
    HttpRequest range(URI link, long start, long end) {
        return request(link).header("Range", "bytes=" + start + "-" + (end - 1)).GET().build();
    }

    /** A request for all of a file. */
    HttpRequest whole(URI link) {
        return request(link).GET().build();
    }

    private URI fileUri(String revision, String name) {
        StringBuilder path = new StringBuilder("/" + source.repository() + "/resolve/" + encoded(revision));
        for (String segment : name.split("/")) {
            path.append('/').append(encoded(segment));
        }
        return uri(path.toString());
    }

    private URI uri(String path) {
        return URI.create(source.endpoint() + path);
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private HttpRequest.Builder request(URI uri) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(uri)
                .timeout(limits.answer())
                .header("User-Agent", "reprise")
                .header("Accept-Encoding", "identity");
        return source.token() != null && isHub(uri)
                ? builder.header("Authorization", "Bearer " + source.token())
                : builder;
    }

    /** Whether an address is the hub's own, by scheme, host and port. */
    private boolean isHub(URI uri) {
        URI hub = source.endpoint();
        return hub.getScheme().equalsIgnoreCase(uri.getScheme()) && hub.getHost().equalsIgnoreCase(uri.getHost())
                && port(hub) == port(uri);
    }

    private static int port(URI uri) {
        return uri.getPort() >= 0 ? uri.getPort() : "https".equalsIgnoreCase(uri.getScheme()) ? 443 : 80;
    }

    static boolean isRedirect(HttpResponse<?> response) {
        return REDIRECTS.contains(response.statusCode()) && response.headers().firstValue("Location").isPresent();
    }

    /** Where a redirect leads to. */
    static URI target(HttpResponse<?> response) throws Contradiction {
        return resolved(response.uri(), response.headers().firstValue("Location").orElse(""));
    }

    private static URI resolved(URI from, String location) throws Contradiction {
        try {
            URI to = from.resolve(location);
            boolean http = "http".equalsIgnoreCase(to.getScheme());
            boolean https = "https".equalsIgnoreCase(to.getScheme());
            if (to.getHost() != null && (https || http && !"https".equalsIgnoreCase(from.getScheme()))) {
                return to;
            }
        } catch (IllegalArgumentException e) {
            // Told below, without the cause: its message is the address again.
        }
        throw new Contradiction(address(from) + " leads to '" + Names.printable(address(location))
                + "', which is no address that can be followed from there");
    }

    /** Without what is signed for whoever asked. */
    private static String address(URI uri) {
        return address(uri.toString());
    }

    private static String address(String uri) {
        int query = uri.indexOf('?');
        return query < 0 ? uri : uri.substring(0, query);
    }

    private interface Enough {
        boolean at(HttpResponse<?> response);
    }

    /** The first answer that is enough, or that is no redirect. */
    private HttpResponse<byte[]> follow(
            String method, URI uri, Enough enough, Consumer<Future<?>> running)
            throws IOException, InterruptedException {
        URI at = uri;
        for (int i = 0; i <= MAX_REDIRECTS; i++) {
            HttpRequest request = request(at).method(method, HttpRequest.BodyPublishers.noBody()).build();
            HttpResponse<byte[]> response = send(request, head -> new LimitedBody(MAX_LISTING_BYTES), running);
            if (enough.at(response) || !isRedirect(response)) {
                return response;
            }
            at = target(response);
        }
        throw new Contradiction(uri + " redirects more than " + MAX_REDIRECTS + " times");
    }

    /**
     * The answer to a request. On a thread of its own, which may be interrupted, and which waits for nothing but the
     * connection: sendAsync() is done only when the common pool, which others may keep busy, has had a turn.
     *
     * @param running told what can be cancelled, and null when it is over
     */
    <T> HttpResponse<T> send(HttpRequest request, BodyHandler<T> handler, Consumer<Future<?>> running)
            throws IOException, InterruptedException {
        Future<HttpResponse<T>> answer = threads.submit(() -> http.send(request, handler));
        running.accept(answer);
        try {
            return answer.get(limits.answer().toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) {
                if (cause instanceof Contradiction contradiction) {
                    throw contradiction;
                }
            }
            throw new Unavailable(described(e.getCause()), null, e.getCause());
        } catch (TimeoutException e) {
            throw new Unavailable("no answer within " + limits.answer().toSeconds() + " s", null, e);
        } catch (CancellationException e) {
            throw new Unavailable("cancelled", null, e);
        } finally {
            // Of one that has come this does nothing.
            answer.cancel(true);
            running.accept(null);
        }
    }

    /** Exceptions of connections often have no message. */
    private static String described(Throwable cause) {
        String type = cause.getClass().getSimpleName().replaceFirst("Exception$", "");
        String message = cause.getMessage();
        return message == null || message.isEmpty() ? type : type + ": " + Names.printable(message);
    }

    private interface Call<T> {
        T run() throws IOException, InterruptedException;
    }

    private <T> T retried(Call<T> call) throws IOException, InterruptedException {
        Retry retry = new Retry(limits);
        while (true) {
            try {
                return call.run();
            } catch (IOException e) {
                Thread.sleep(retry.after(e).toMillis());
            }
        }
    }

    /**
     * Refuses an answer that is none.
     *
     * @throws Unavailable if another attempt may help
     * @throws ModelNotFoundException if there is no such thing, or no access to it
     */
    void requireSuccess(HttpResponse<?> response) throws IOException {
        int status = response.statusCode();
        if (status / 100 == 2) {
            return;
        }
        String address = address(response.uri());
        String said = response.headers().firstValue("X-Error-Message")
                .map(message -> " (\"" + Names.printable(message) + "\")").orElse("");
        if (PASSING.contains(status)) {
            throw new Unavailable(address + " answers " + status
                    + (status == 429 ? ", too many requests" : "") + said, retryAfter(response), null);
        } else if (status == 401 || status == 403 || status == 404) {
            throw new ModelNotFoundException(missing(status, response) + said);
        }
        throw new Contradiction(address + " answers " + status + said + ", which is none of what a hub answers");
    }

    private String missing(int status, HttpResponse<?> response) {
        String repository = source.endpoint() + "/" + source.repository();
        String error = response.headers().firstValue("X-Error-Code").orElse("");
        String token = source.token() == null
                ? "if it is private, set HF_TOKEN to a token that may read it"
                : "if it is private, the token that is set may not read it";
        if (error.equals("GatedRepo") || status == 403) {
            return repository + " is not open to everybody: accept its terms there, and set HF_TOKEN to a token of "
                    + "that account";
        } else if (error.equals("RevisionNotFound")) {
            return repository + " has no revision '" + source.revision() + "'";
        } else if (error.equals("EntryNotFound")) {
            return repository + " has no file of this name: " + Names.printable(response.uri().getPath());
        } else if (source.file() != null && status == 404 && error.isEmpty()) {
            return repository + " has no file '" + source.file() + "', or does not exist; " + token;
        }
        return repository + " does not exist; " + token;
    }

    private static Duration retryAfter(HttpResponse<?> response) {
        String text = response.headers().firstValue("Retry-After").orElse("").strip();
        try {
            return text.isEmpty() ? null : Duration.ofSeconds(Math.max(0, Long.parseLong(text)));
        } catch (NumberFormatException e) {
            try {
                Instant then = Instant.from(DateTimeFormatter.RFC_1123_DATE_TIME.parse(text));
                Duration wait = Duration.between(Instant.now(), then);
                return wait.isNegative() ? Duration.ZERO : wait;
            } catch (DateTimeException notADate) {
                return null;
            }
        }
    }
}
