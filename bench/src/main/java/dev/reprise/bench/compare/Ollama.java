package dev.reprise.bench.compare;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.http.HttpRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.Callable;

/**
 * Ollama by its API: a temporary model made from the same file, raw prompts, no penalties. It is deleted in the end.
 *
 * @see <a href="https://github.com/ollama/ollama/blob/main/docs/api.md">Ollama's API</a>
 */
final class Ollama implements Application {
    private final OllamaServer server;
    private final Http http;
    private final String model;
    private final ObjectNode options = Http.JSON.createObjectNode();
    private double loadSeconds;

    /** Takes the server over and closes it in the end. */
    Ollama(OllamaServer server, Path file, int context, int threads) throws IOException {
        this.server = server;
        http = server.http();
        model = "reprise-compare-" + ProcessHandle.current().pid();
        options.put("temperature", 0).put("repeat_penalty", 1).put("seed", 1).put("num_ctx", context);
        options.put("num_thread", threads).put("num_gpu", 99);
        try {
            create(file);
        } catch (IOException e) {
            server.close();
            throw e;
        }
    }

    private void create(Path file) throws IOException {
        String digest = "sha256:" + sha256(file);
        http.send(http.request("api/blobs/" + digest).POST(HttpRequest.BodyPublishers.ofFile(file)).build());
        ObjectNode body = Http.JSON.createObjectNode().put("model", model).put("stream", false);
        body.putObject("files").put(file.getFileName().toString(), digest);
        body.putObject("parameters").put("repeat_penalty", 1);
        String answer = http.post("api/create", body);
        if (!answer.contains("success")) {
            throw new IOException("Ollama did not create a model from " + file.getFileName() + ": " + answer.strip());
        }
    }

    private static String sha256(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] buffer = new byte[1 << 20];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                digest.update(buffer, 0, n);
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    @Override
    public String transport() {
        return "HTTP";
    }

    @Override
    public double loadSeconds() {
        return loadSeconds;
    }

    @Override
    public long hostBytes() {
        return server.hostBytes();
    }

    @Override
    public Results.Reply complete(String prompt, int maxTokens) throws IOException {
        ObjectNode body = Http.JSON.createObjectNode();
        body.put("model", model).put("prompt", prompt).put("raw", true).put("stream", true).put("keep_alive", "30m");
        body.set("options", options.deepCopy().put("num_predict", maxTokens));
        Answer answer = new Answer();
        http.stream(http.json("api/generate", body), answer::line);
        JsonNode last = answer.last();
        if (loadSeconds == 0) {
            loadSeconds = last.path("load_duration").asLong() * 1e-9;
        }
        return answer.arrivals.end(last.path("prompt_eval_count").asInt(), last.path("eval_count").asInt(),
                perSecond(last, "prompt_eval"), perSecond(last, "eval"), null);
    }

    /** Durations are in nanoseconds. */
    private static double perSecond(JsonNode answer, String what) {
        long nanos = answer.path(what + "_duration").asLong();
        return nanos == 0 ? 0 : answer.path(what + "_count").asLong() * 1e9 / nanos;
    }

    @Override
    public List<Results.Reply> completeTogether(List<String> prompts, int maxTokens) throws IOException {
        return Together.run(prompts.stream()
                .map(prompt -> (Callable<Results.Reply>) () -> complete(prompt, maxTokens))
                .toList());
    }

    @Override
    public void close() {
        try {
            ObjectNode body = Http.JSON.createObjectNode().put("model", model);
            http.send(http.request("api/delete")
                    .header("Content-Type", "application/json")
                    .method("DELETE", HttpRequest.BodyPublishers.ofString(body.toString()))
                    .build());
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "the temporary model " + model + " could not be deleted: " + e.getMessage(), e);
        } finally {
            server.close();
        }
    }

    /** A stream of JSON lines; the last one has the durations. */
    private static final class Answer {
        final Arrivals arrivals = new Arrivals();
        private JsonNode last = Http.JSON.missingNode();

        void line(String line) {
            try {
                JsonNode event = Http.JSON.readTree(line);
                String text = event.path("response").asText();
                if (!text.isEmpty()) {
                    arrivals.add(text);
                }
                last = event;
            } catch (JsonProcessingException e) {
                throw new UncheckedIOException(e);
            }
        }

        JsonNode last() throws IOException {
            if (!last.path("done").asBoolean()) {
                throw new UnfinishedAnswerException("the answer ends too early: " + last);
            }
            return last;
        }
    }
}
