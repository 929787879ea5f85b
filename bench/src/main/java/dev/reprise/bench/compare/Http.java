package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Calls one server. */
final class Http {
    static final ObjectMapper JSON = new ObjectMapper();

    private final URI base;
    private final HttpClient client =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build();

    Http(String base) {
        this.base = URI.create(base.endsWith("/") ? base : base + "/");
    }

    URI base() {
        return base;
    }

    HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(base.resolve(path));
    }

    JsonNode get(String path) throws IOException {
        return JSON.readTree(send(request(path).build()));
    }

    String post(String path, JsonNode body) throws IOException {
        return send(json(path, body));
    }

    HttpRequest json(String path, JsonNode body) throws IOException {
        return request(path)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)))
                .build();
    }

    /** The body of a successful answer. */
    String send(HttpRequest request) throws IOException {
        StringBuilder body = new StringBuilder();
        stream(request, line -> body.append(line).append('\n'));
        return body.toString();
    }

    /** Passes on every line of a successful answer as soon as it is there. */
    void stream(HttpRequest request, Consumer<String> action) throws IOException {
        try {
            HttpResponse<Stream<String>> response = client.send(request, HttpResponse.BodyHandlers.ofLines());
            try (Stream<String> lines = response.body()) {
                if (response.statusCode() / 100 != 2) {
                    throw new IOException(request.method() + " " + request.uri() + ": status " + response.statusCode()
                            + ", " + lines.limit(5).collect(Collectors.joining(" ")));
                }
                lines.forEach(action);
            }
        } catch (ConnectException e) {
            throw new IOException("nobody answers at " + base, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting for " + base, e);
        }
    }

    /** Waits until a GET of {@code path} succeeds. */
    void await(String path, Process server, Duration limit) throws IOException {
        long end = System.nanoTime() + limit.toNanos();
        while (true) {
            try {
                send(request(path).build());
                return;
            } catch (IOException e) {
                if (!server.isAlive()) {
                    throw new IOException("it ended with status " + server.exitValue() + " before it answered", e);
                }
                if (System.nanoTime() > end) {
                    throw new IOException("no answer within " + limit.toSeconds() + " s", e);
                }
            }
            try {
                Thread.sleep(5);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted while waiting for " + base, e);
            }
        }
    }
}
