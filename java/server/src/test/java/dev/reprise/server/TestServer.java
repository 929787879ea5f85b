package dev.reprise.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.reprise.Device;
import dev.reprise.Model;
import dev.reprise.ModelOptions;
import dev.reprise.SessionOptions;
import dev.reprise.json.Json;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;

/** A server in this process, and ways to ask it. */
final class TestServer implements AutoCloseable {
    /** The model that the command line brings along. */
    static final Path STORIES = Path.of(System.getProperty("basedir", "."),
            "../cli/src/main/resources/dev/reprise/cli/reprise-stories-7M-Q4_K_M.gguf");
    /** Never ends by itself. */
    static final String ENDLESS = "\"logit_bias\":{\"1\":-100,\"2\":-100}";
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private final Server server;
    private final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    TestServer(ServerOptions.Builder options) {
        server = Server.start(options.port(0).build());
    }

    /** Of the story model alone. */
    static ServerOptions.Builder stories() {
        return ServerOptions.builder().model("stories", () -> Model.load(STORIES));
    }

    /** Of the story model, so slow that a step takes a while, and in a context that it was not made for. */
    static ServerOptions.Builder slowStories(Path directory) throws IOException {
        byte[] bytes = Files.readAllBytes(STORIES);
        byte[] key = "llama.context_length".getBytes(StandardCharsets.US_ASCII);
        int at = 0;
        while (!Arrays.equals(bytes, at, at + key.length, key, 0, key.length)) {
            at++;
        }
        int valueType = 4;
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(at + key.length + valueType, 1 << 16);
        Path file = Files.write(directory.resolve("long.gguf"), bytes);
        return ServerOptions.builder().session(SessionOptions.builder().contextLength(16384).build())
                .model("stories", () -> Model.load(file, ModelOptions.builder().device(Device.CPU).exact(true)
                        .threads(1).build()));
    }

    /** Of a small model that chats. */
    static ServerOptions.Builder chat() {
        Path path = testData("models/SmolLM2-135M-Instruct-Q4_1.gguf");
        return ServerOptions.builder().model("smol", () -> Model.load(path));
    }

    /** Skips the test where REPRISE_TESTDATA is not set. */
    static Path testData(String name) {
        String root = System.getenv("REPRISE_TESTDATA");
        assumeTrue(root != null && !root.isEmpty(), "skipped: REPRISE_TESTDATA is not set, " + name + " is not tested");
        Path path = Path.of(root, name.split("/"));
        assertTrue(Files.exists(path), "REPRISE_TESTDATA is " + root + ", but " + path + " does not exist");
        return path;
    }

    Server server() {
        return server;
    }

    int port() {
        return server.port();
    }

    // ---- asking ----------------------------------------------------------------------------------------------------

    /** An answer of the server. */
    record Answer(int status, String text, HttpResponse<?> response) {
        Object json() {
            return Json.parse(text);
        }

        /** A member by a path such as {@code choices.0.message.content}. */
        Object at(String path) {
            return TestServer.at(json(), path);
        }

        Answer ok() {
            assertEquals(200, status, text);
            return this;
        }

        /** The data of the events of a stream. */
        List<String> data() {
            List<String> data = new ArrayList<>();
            text.lines().filter(line -> line.startsWith("data: ")).forEach(line -> data.add(line.substring(6)));
            return data;
        }
    }

    static Object at(Object value, String path) {
        Object found = value;
        for (String key : path.split("\\.")) {
            found = found instanceof List<?> list ? list.get(Integer.parseInt(key)) : ((Map<?, ?>) found).get(key);
        }
        return found;
    }

    HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port() + path)).timeout(PATIENCE);
    }

    Answer send(HttpRequest request) {
        try {
            HttpResponse<String> response =
                    client.send(request, HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8));
            return new Answer(response.statusCode(), response.body(), response);
        } catch (IOException e) {
            throw new AssertionError("no answer to " + request, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError(e);
        }
    }

    Answer get(String path) {
        return send(request(path).build());
    }

    Answer post(String path, String body) {
        return send(request(path).header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body)).build());
    }

    /** The value of a metric. */
    double metric(String name) {
        return get("/metrics").ok().text().lines().filter(line -> line.startsWith(name + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(name.length() + 1))).findFirst().orElseThrow();
    }

    static void await(String what, Duration time, BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + time.toNanos();
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < deadline, "not within " + time + ": " + what);
            Thread.sleep(5);
        }
    }

    // ---- bytes -----------------------------------------------------------------------------------------------------

    Socket connect() throws IOException {
        Socket socket = new Socket("127.0.0.1", port());
        socket.setSoTimeout((int) PATIENCE.toMillis());
        return socket;
    }

    /** A POST as bytes. */
    static byte[] postBytes(String path, String body) {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        return ("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
                + bytes.length + "\r\n\r\n" + body).getBytes(StandardCharsets.UTF_8);
    }

    /** Sends bytes and reads up to the end of the connection. */
    String raw(byte[] bytes) throws IOException {
        try (Socket socket = connect()) {
            OutputStream out = socket.getOutputStream();
            out.write(bytes);
            out.flush();
            return readAll(socket.getInputStream());
        }
    }

    String raw(String text) throws IOException {
        return raw(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    private static String readAll(InputStream in) throws IOException {
        return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        server.close();
    }
}
