package dev.reprise.bench.compare;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.stream.Stream;

/** An Ollama server: one that runs already, or one started for the comparison with a folder of its own for models. */
final class OllamaServer implements AutoCloseable {
    private final Http http;
    /** Both null if it ran before. */
    private final Process process;
    private final Path models;

    private OllamaServer(Http http, Process process, Path models) {
        this.http = http;
        this.process = process;
        this.models = models;
    }

    /** The one at a URL. */
    static OllamaServer at(String url) {
        return new OllamaServer(new Http(url), null, null);
    }

    /** Starts one; {@code log} gets what it prints. */
    static OllamaServer start(Path program, Path log) throws IOException {
        Path models = Files.createTempDirectory("reprise-compare-ollama-");
        String address = "127.0.0.1:" + Programs.freePort();
        ProcessBuilder builder =
                new ProcessBuilder(program.toString(), "serve").redirectErrorStream(true).redirectOutput(log.toFile());
        builder.environment().put("OLLAMA_HOST", address);
        builder.environment().put("OLLAMA_MODELS", models.toString());
        builder.environment().put("OLLAMA_FLASH_ATTENTION", "1");
        builder.environment().put("OLLAMA_NUM_PARALLEL", "1");
        builder.environment().put("OLLAMA_NOHISTORY", "1");
        OllamaServer server = new OllamaServer(new Http("http://" + address), builder.start(), models);
        try {
            server.http.await("api/version", server.process, Duration.ofMinutes(1));
        } catch (IOException e) {
            server.close();
            throw new IOException(program + ": " + e.getMessage() + ": " + Programs.tail(log), e);
        }
        return server;
    }

    Http http() {
        return http;
    }

    String version() throws IOException {
        return http.get("api/version").path("version").asText();
    }

    /** 0 for a server that ran before, whose processes are not known. */
    long hostBytes() {
        return process == null ? 0 : Programs.residentBytes(process.toHandle());
    }

    @Override
    public void close() {
        if (process == null) {
            return;
        }
        Programs.end(process);
        try (Stream<Path> files = Files.walk(models)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot delete " + models + ": " + e.getMessage(), e);
        }
    }
}
