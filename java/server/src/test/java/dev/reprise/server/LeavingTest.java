package dev.reprise.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.Socket;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Clients that leave, that wait, that take too long; a server that stops. */
@Timeout(120)
@Tag("one-jvm")
class LeavingTest {
    private static final String PATH = "/v1/completions";
    /** Some steps of the slow model. */
    private static final Duration SOON = Duration.ofMillis(1500);

    @TempDir
    Path directory;

    private static String endless(String more) {
        return "{\"prompt\":\"Once upon a time\"," + TestServer.ENDLESS + more + "}";
    }

    /** Takes minutes to evaluate. */
    private static String longPrompt() {
        return "{\"prompt\":\"" + "the cat sat on the mat ".repeat(1500) + "\",\"max_tokens\":1}";
    }

    private static void awaitRunning(TestServer server, int count) throws InterruptedException {
        TestServer.await(count + " requests run", Duration.ofSeconds(30),
                () -> server.metric("reprise_requests_running") == count);
    }

    private static void leave(TestServer server, String request) throws IOException, InterruptedException {
        try (Socket socket = server.connect()) {
            socket.getOutputStream().write(TestServer.postBytes(PATH, request));
            awaitRunning(server, 1);
            Thread.sleep(300);
            assertEquals(1, server.metric("reprise_requests_running"));
        }
        TestServer.await("the request has ended", SOON, () -> server.metric("reprise_requests_running") == 0);
        assertEquals(1, server.metric("reprise_clients_gone_total"));
    }

    @Test
    void aClientThatLeavesDuringThePromptEndsIt() throws Exception {
        try (TestServer server = new TestServer(TestServer.slowStories(directory).parallel(1))) {
            server.server().loadFirst();
            leave(server, longPrompt());
            assertEquals(0, server.metric("reprise_time_to_first_token_seconds_count"));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",\"stream\":true"})
    void aClientThatLeavesDuringTheAnswerEndsIt(String stream) throws Exception {
        try (TestServer server = new TestServer(TestServer.slowStories(directory).parallel(1))) {
            server.server().loadFirst();
            leave(server, endless(stream));
            String after = "{\"prompt\":\"Once\",\"max_tokens\":2}";
            assertEquals(200, server.post(PATH, after).status());
        }
    }

    @Test
    void aClientThatLeavesTheQueueGivesItsPlaceBack() throws Exception {
        try (TestServer server = new TestServer(TestServer.slowStories(directory).parallel(1).queue(1))) {
            server.server().loadFirst();
            try (Socket first = server.connect()) {
                first.getOutputStream().write(TestServer.postBytes(PATH, endless("")));
                awaitRunning(server, 1);
                try (Socket second = server.connect()) {
                    second.getOutputStream().write(TestServer.postBytes(PATH, endless("")));
                    TestServer.await("one waits", SOON, () -> server.metric("reprise_requests_waiting") == 1);
                    TestServer.Answer third = server.post(PATH, endless(""));
                    assertEquals(429, third.status());
                    assertEquals("1", third.response().headers().firstValue("retry-after").orElseThrow());
                    assertEquals("rate_limit_error", third.at("error.type"));
                }
                TestServer.await("none waits", SOON, () -> server.metric("reprise_requests_waiting") == 0);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",\"stream\":true"})
    void aRequestThatTakesTooLongIsEnded(String stream) throws Exception {
        ServerOptions.Builder options = TestServer.slowStories(directory).requestTime(Duration.ofSeconds(1));
        try (TestServer server = new TestServer(options)) {
            server.server().loadFirst();
            TestServer.Answer answer = server.post(PATH, endless(stream));
            assertEquals(stream.isEmpty() ? 504 : 200, answer.status());
            assertTrue(answer.text().contains("\"code\":\"timeout\""), answer.text());
            TestServer.await("it has ended", SOON, () -> server.metric("reprise_requests_running") == 0);
        }
    }

    @Test
    void aClientThatDoesNotReadIsCutOff() throws Exception {
        ServerOptions.Builder options = TestServer.stories().parallel(1).readTime(Duration.ofSeconds(1))
                .maxTokens(1_000_000);
        String request = "{\"prompt\":[" + "\"Once upon a time\",".repeat(127) + "\"Once\"],\"stream\":true,"
                + "\"logprobs\":20,\"n\":32," + TestServer.ENDLESS + "}";
        try (TestServer server = new TestServer(options); Socket socket = new Socket()) {
            socket.setReceiveBufferSize(4096);
            socket.connect(new java.net.InetSocketAddress("127.0.0.1", server.port()));
            socket.getOutputStream().write(TestServer.postBytes(PATH, request));
            awaitRunning(server, 1);
            TestServer.await("it is cut off", Duration.ofSeconds(60),
                    () -> server.metric("reprise_requests_running") == 0);
        }
    }

    @Test
    void aServerThatStopsLetsRequestsEnd() throws Exception {
        TestServer server = new TestServer(TestServer.slowStories(directory));
        server.server().loadFirst();
        CompletableFuture<TestServer.Answer> answer = CompletableFuture.supplyAsync(
                () -> server.post(PATH, "{\"prompt\":\"Once\",\"max_tokens\":40," + TestServer.ENDLESS + "}"));
        awaitRunning(server, 1);
        server.close();
        TestServer.Answer whole = answer.get(5, TimeUnit.SECONDS).ok();
        assertEquals("length", whole.at("choices.0.finish_reason"));
        assertEquals("close", ((HttpResponse<?>) whole.response()).headers().firstValue("connection").orElseThrow());
    }

    @Test
    void aServerThatStopsDoesNotWaitForEver() throws Exception {
        TestServer server = new TestServer(TestServer.slowStories(directory).grace(Duration.ofMillis(200)));
        server.server().loadFirst();
        try (Socket socket = server.connect()) {
            socket.getOutputStream().write(TestServer.postBytes(PATH, endless("")));
            awaitRunning(server, 1);
            long start = System.nanoTime();
            server.close();
            assertTrue(System.nanoTime() - start < Duration.ofSeconds(5).toNanos());
            String rest = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertTrue(rest.isEmpty() || rest.contains("503"), rest);
        }
    }
}
