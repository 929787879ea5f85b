package dev.reprise.bench.compare;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;

/** llama.cpp's server: all layers on the GPU, flash attention, no prompt cache. */
final class LlamaServer implements Application {
    private static final String EVENT = "data: ";

    private final Process process;
    private final Http http;
    private final double loadSeconds;

    /**
     * @param slots requests that it serves at the same time
     * @param context tokens of each
     */
    LlamaServer(Path program, Path model, int slots, int context, int threads, Map<String, String> environment,
            Path log) throws IOException {
        String port = Integer.toString(Programs.freePort());
        List<String> command = List.of(program.toString(), "-m", model.toString(), "--host", "127.0.0.1",
                "--port", port, "-c", Integer.toString(slots * context), "-np", Integer.toString(slots),
                "-t", Integer.toString(threads), "-ngl", "99", "-fa", "on", "--cache-ram", "0", "--no-webui");
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
        builder.environment().putAll(environment);
        http = new Http("http://127.0.0.1:" + port);
        long start = System.nanoTime();
        process = builder.start();
        try {
            http.await("health", process, Duration.ofMinutes(5));
        } catch (IOException e) {
            close();
            throw new IOException(program + ": " + e.getMessage() + ": " + Programs.tail(log), e);
        }
        loadSeconds = (System.nanoTime() - start) * 1e-9;
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
        return Programs.residentBytes(process.toHandle());
    }

    @Override
    public Results.Reply complete(String prompt, int maxTokens) throws IOException {
        ObjectNode body = Http.JSON.createObjectNode();
        body.put("prompt", prompt).put("n_predict", maxTokens).put("stream", true).put("cache_prompt", false);
        body.put("temperature", 0).put("repeat_penalty", 1).put("seed", 1);
        Answer answer = new Answer();
        http.stream(http.json("completion", body), answer::line);
        return answer.end();
    }

    @Override
    public List<Results.Reply> completeTogether(List<String> prompts, int maxTokens) throws IOException {
        return Together.run(prompts.stream()
                .map(prompt -> (Callable<Results.Reply>) () -> complete(prompt, maxTokens))
                .toList());
    }

    @Override
    public void close() {
        Programs.end(process);
    }

    /** A stream of server-sent events; the last one has the timings. */
    private static final class Answer {
        private final Arrivals arrivals = new Arrivals();
        private JsonNode last;

        void line(String line) {
            if (!line.startsWith(EVENT)) {
                return;
            }
            try {
                JsonNode event = Http.JSON.readTree(line.substring(EVENT.length()));
                if (event.path("stop").asBoolean()) {
                    last = event;
                } else {
                    arrivals.add(event.path("content").asText());
                }
            } catch (JsonProcessingException e) {
                throw new UncheckedIOException(e);
            }
        }

        Results.Reply end() throws IOException {
            if (last == null) {
                throw new UnfinishedAnswerException("the answer has no last event");
            }
            JsonNode timings = last.path("timings");
            return arrivals.end(timings.path("prompt_n").asInt(), timings.path("predicted_n").asInt(),
                    timings.path("prompt_per_second").asDouble(), timings.path("predicted_per_second").asDouble(),
                    null);
        }
    }
}
