package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;

/** Speaks as much of Ollama's API as the comparison uses, and answers from a script. */
final class OllamaStandIn implements AutoCloseable {
    static final long LOAD_NANOS = 250_000_000;
    static final long PROMPT_NANOS = 10_000_000;
    static final long TOKEN_NANOS = 4_000_000;

    private final HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    private final BiFunction<String, Integer, List<String>> script;
    private final Set<String> blobs = new HashSet<>();
    private final Set<String> models = new HashSet<>();
    private final List<JsonNode> requests = new ArrayList<>();
    private int brokenOff;

    /** {@code script} turns a prompt and a number of tokens into the pieces of the answer. */
    OllamaStandIn(BiFunction<String, Integer, List<String>> script) throws IOException {
        this.script = script;
        server.createContext("/", this::answer);
        server.start();
    }

    /** Has request number {@code n}, from 1 on, end without a last line. */
    OllamaStandIn breakingOff(int n) {
        brokenOff = n;
        return this;
    }

    String url() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    /** What was asked of {@code /api/generate}. */
    synchronized List<JsonNode> requests() {
        return List.copyOf(requests);
    }

    /** Those that were created and not deleted. */
    synchronized Set<String> models() {
        return Set.copyOf(models);
    }

    private synchronized void answer(HttpExchange exchange) throws IOException {
        byte[] body = exchange.getRequestBody().readAllBytes();
        String path = exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath();
        if (path.startsWith("POST /api/blobs/sha256:")) {
            blobs.add(path.substring(path.indexOf("sha256:")));
            send(exchange, 201, "");
            return;
        }
        switch (path) {
            case "GET /api/version" -> send(exchange, 200, "{\"version\":\"0.0.0-script\"}");
            case "POST /api/create" -> create(exchange, Http.JSON.readTree(body));
            case "DELETE /api/delete" -> {
                boolean there = models.remove(Http.JSON.readTree(body).path("model").asText());
                send(exchange, there ? 200 : 404, "");
            }
            case "POST /api/generate" -> generate(exchange, Http.JSON.readTree(body));
            default -> send(exchange, 404, "404 page not found");
        }
    }

    private void create(HttpExchange exchange, JsonNode request) throws IOException {
        for (JsonNode digest : request.path("files")) {
            if (!blobs.contains(digest.asText())) {
                send(exchange, 400, "{\"error\":\"invalid digest\"}");
                return;
            }
        }
        models.add(request.path("model").asText());
        send(exchange, 200, "{\"status\":\"success\"}");
    }

    private void generate(HttpExchange exchange, JsonNode request) throws IOException {
        if (!models.contains(request.path("model").asText())) {
            send(exchange, 404, "{\"error\":\"model not found\"}");
            return;
        }
        requests.add(request);
        int tokens = request.path("options").path("num_predict").asInt();
        List<String> pieces = script.apply(request.path("prompt").asText(), tokens);
        exchange.sendResponseHeaders(200, 0);
        try (OutputStream out = exchange.getResponseBody()) {
            for (String piece : pieces) {
                write(out, Http.JSON.createObjectNode().put("response", piece).put("done", false));
            }
            if (requests.size() == brokenOff) {
                return;
            }
            write(out, Http.JSON.valueToTree(Map.of("response", "", "done", true, "load_duration", LOAD_NANOS,
                    "prompt_eval_count", 20, "prompt_eval_duration", PROMPT_NANOS,
                    "eval_count", pieces.size(), "eval_duration", pieces.size() * TOKEN_NANOS)));
        }
    }

    private static void write(OutputStream out, ObjectNode line) throws IOException {
        out.write((line + "\n").getBytes(StandardCharsets.UTF_8));
        out.flush();
    }

    private static void send(HttpExchange exchange, int status, String body) throws IOException {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(bytes);
        }
    }

    @Override
    public void close() {
        server.stop(0);
    }
}
