package dev.reprise.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.Model;
import java.io.IOException;
import java.net.Socket;
import java.net.http.HttpRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Many clients at once, several models, keys and origins. */
@Timeout(300)
@Tag("one-jvm")
class ManyClientsTest {
    private static final String PATH = "/v1/completions";

    private static String request(int number) {
        return "{\"prompt\":\"" + (number % 2 == 0 ? "Once upon a time" : "The little dog number " + number) + "\","
                + "\"max_tokens\":" + (5 + number % 20) + ",\"seed\":" + number + ",\"temperature\":"
                + number % 3 * 0.5 + "}";
    }

    @Test
    void answersAreTheSameWhoeverElseAsksAndLeaves() throws Exception {
        int requests = 40;
        int clients = 16;
        ExecutorService threads = Executors.newFixedThreadPool(clients);
        try (TestServer server = new TestServer(TestServer.stories().parallel(8).queue(100))) {
            Map<Integer, Object> alone = new HashMap<>();
            for (int i = 0; i < requests; i++) {
                alone.put(i, server.post(PATH, request(i)).ok().at("choices"));
            }
            long before = residentBytes();
            List<Future<Integer>> results = new ArrayList<>();
            for (int client = 0; client < clients; client++) {
                Random random = new Random(client);
                results.add(threads.submit(() -> {
                    int left = 0;
                    for (int round = 0; round < 25; round++) {
                        int number = random.nextInt(requests);
                        if (random.nextInt(3) == 0) {
                            leave(server, random);
                            left++;
                        } else {
                            assertEquals(alone.get(number), server.post(PATH, request(number)).ok().at("choices"));
                        }
                    }
                    return left;
                }));
            }
            int left = 0;
            for (Future<Integer> result : results) {
                left += result.get();
            }
            assertTrue(left > 50);
            TestServer.await("all have ended", Duration.ofSeconds(20),
                    () -> server.metric("reprise_requests_running") == 0);
            assertEquals(0, server.metric("reprise_requests_waiting"));
            long grown = residentBytes() - before;
            assertTrue(grown < 200L << 20, "memory grew by " + grown);
        } finally {
            threads.shutdownNow();
        }
    }

    private static void leave(TestServer server, Random random) throws IOException, InterruptedException {
        try (Socket socket = server.connect()) {
            socket.getOutputStream().write(TestServer.postBytes(PATH, "{\"prompt\":\"Once upon a time\",\"stream\":"
                    + random.nextBoolean() + "," + TestServer.ENDLESS + "}"));
            Thread.sleep(random.nextInt(40));
        }
    }

    private static long residentBytes() throws IOException {
        String pages = java.nio.file.Files.readString(java.nio.file.Path.of("/proc/self/statm")).split(" ")[1];
        return Long.parseLong(pages) * 4096;
    }

    // ---- several models --------------------------------------------------------------------------------------------

    @Test
    void theLeastRecentlyUsedModelMakesRoom() throws Exception {
        Map<String, Integer> loads = new java.util.concurrent.ConcurrentHashMap<>();
        ServerOptions.Builder options = ServerOptions.builder().maxLoaded(2);
        for (String name : List.of("a", "b", "c")) {
            options.model(name, () -> {
                loads.merge(name, 1, Integer::sum);
                return Model.load(TestServer.STORIES);
            });
        }
        options.model("broken", () -> Model.load(TestServer.STORIES.resolveSibling("absent.gguf")));
        try (TestServer server = new TestServer(options)) {
            assertEquals(Map.of(), loads);
            for (String name : List.of("a", "b", "a", "c", "a", "b")) {
                server.post(PATH, "{\"model\":\"" + name + "\",\"prompt\":\"Once\",\"max_tokens\":1}").ok();
                assertTrue(server.metric("reprise_models_loaded") <= 2);
            }
            assertEquals(Map.of("a", 1, "b", 2, "c", 1), loads);
            TestServer.Answer answer = server.post(PATH, "{\"model\":\"broken\",\"prompt\":\"Once\"}");
            assertEquals(500, answer.status());
            assertEquals("model_not_loaded", answer.at("error.code"));
            assertTrue(answer.text().contains("absent.gguf"), answer.text());
            server.post(PATH, "{\"prompt\":\"Once\",\"max_tokens\":1}").ok();
        }
    }

    @Test
    void modelsThatShareOneRoomTakeTurns() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(4);
        ServerOptions.Builder options = ServerOptions.builder().maxLoaded(1)
                .model("a", () -> Model.load(TestServer.STORIES)).model("b", () -> Model.load(TestServer.STORIES));
        try (TestServer server = new TestServer(options)) {
            List<Future<TestServer.Answer>> answers = new ArrayList<>();
            for (int i = 0; i < 12; i++) {
                String name = i % 2 == 0 ? "a" : "b";
                answers.add(threads.submit(() -> server.post(PATH,
                        "{\"model\":\"" + name + "\",\"prompt\":\"Once\",\"max_tokens\":3}")));
            }
            for (Future<TestServer.Answer> answer : answers) {
                answer.get().ok();
            }
        } finally {
            threads.shutdownNow();
        }
    }

    // ---- who may ask -----------------------------------------------------------------------------------------------

    @Test
    void aKeyIsAskedFor() {
        try (TestServer server = new TestServer(TestServer.stories().apiKey("one").apiKey("two"))) {
            assertEquals(200, server.get("/health").status());
            assertEquals(401, server.get("/v1/models").status());
            assertEquals("invalid_api_key", server.get("/v1/models").at("error.code"));
            for (String key : List.of("Bearer one", "bearer two", "Bearer  one ")) {
                assertEquals(200, server.send(server.request("/v1/models").header("authorization", key).build())
                        .status(), key);
            }
            for (String key : List.of("one", "Bearer", "Bearer onetwo", "Basic one", "Bearer ")) {
                assertEquals(401, server.send(server.request("/v1/models").header("authorization", key).build())
                        .status(), key);
            }
            assertEquals(200, server.send(server.request("/v1/models").header("x-api-key", "two").build()).status());
        }
    }

    private static TestServer.Answer from(TestServer server, String origin, String method) {
        HttpRequest request = server.request("/v1/models").header("origin", origin)
                .method(method, HttpRequest.BodyPublishers.noBody()).build();
        return server.send(request);
    }

    @Test
    void pagesOfOtherOriginsMayAskOnlyWhereTheyAreAllowed() {
        try (TestServer server = new TestServer(TestServer.stories())) {
            assertEquals(403, from(server, "https://evil.example", "GET").status());
            assertEquals(403, from(server, "null", "GET").status());
            TestServer.Answer own = from(server, "http://127.0.0.1:" + server.port(), "GET").ok();
            assertTrue(own.response().headers().firstValue("access-control-allow-origin").isEmpty());
        }
        try (TestServer server = new TestServer(TestServer.stories().allowOrigin("https://good.example"))) {
            assertEquals("https://good.example", from(server, "https://good.example", "GET").ok().response().headers()
                    .firstValue("access-control-allow-origin").orElseThrow());
            TestServer.Answer asked = from(server, "https://good.example", "OPTIONS");
            assertEquals(204, asked.status());
            assertTrue(asked.response().headers().firstValue("access-control-allow-methods").isPresent());
            assertEquals(403, from(server, "https://evil.example", "GET").status());
            assertTrue(from(server, "https://evil.example", "OPTIONS").response().headers()
                    .firstValue("access-control-allow-methods").isEmpty());
        }
    }
}
