package dev.reprise.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.json.Json;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Requests that are meant to harm: each is answered or closed in time, and the next one is answered. */
@Timeout(300)
@Tag("one-jvm")
class HostileTest {
    private static final String PATH = "/v1/completions";
    private static TestServer server;

    @BeforeAll
    static void start() throws InterruptedException {
        server = new TestServer(TestServer.stories().readTime(Duration.ofSeconds(1)).idleTime(Duration.ofSeconds(1))
                .maxBodyBytes(100_000).maxTokens(4));
        server.server().loadFirst();
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static void isAlive() {
        assertEquals("ok", server.get("/health").ok().at("status"));
        assertEquals("length", server.post(PATH, "{\"prompt\":\"Once\",\"max_tokens\":1}").ok()
                .at("choices.0.finish_reason"));
    }

    /** Sends a text, then a byte at a time, and returns how long the connection lasted. */
    private static Duration drip(String begin, char more) throws Exception {
        long start = System.nanoTime();
        try (Socket socket = server.connect()) {
            OutputStream out = socket.getOutputStream();
            out.write(begin.getBytes(StandardCharsets.US_ASCII));
            try {
                for (int i = 0; i < 100; i++) {
                    out.write(more);
                    out.flush();
                    Thread.sleep(100);
                }
            } catch (SocketException e) {
                return Duration.ofNanos(System.nanoTime() - start);
            }
        }
        return Duration.ofNanos(System.nanoTime() - start);
    }

    @Test
    void aClientThatDripsIsCutOff() throws Exception {
        Duration most = Duration.ofSeconds(5);
        assertTrue(drip("", 'G').compareTo(most) < 0);
        assertTrue(drip("GET /health HTTP/1.1\r\nHost: a\r\nX-A: ", 'a').compareTo(most) < 0);
        assertTrue(drip("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n", ' ')
                .compareTo(most) < 0);
        assertTrue(drip("GET /health HTTP/1.1\r\nHost: a\r\n\r\n", '\r').compareTo(most) < 0);
        isAlive();
    }

    @Test
    void aBodyThatIsTooLargeIsRefusedUnread() throws Exception {
        String answer = server.raw("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
        assertTrue(answer.startsWith("HTTP/1.1 413 "), answer);
        String chunk = "1000\r\n" + "x".repeat(4096) + "\r\n";
        answer = server.raw("POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                + chunk.repeat(40));
        assertTrue(answer.startsWith("HTTP/1.1 413 "), answer);
        assertTrue(answer.contains("body_too_large"), answer);
        isAlive();
    }

    @Test
    void aBodyThatIsCutShortIsNoRequest() throws Exception {
        try (Socket socket = server.connect()) {
            socket.getOutputStream().write(
                    "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"prompt\"".getBytes(
                            StandardCharsets.US_ASCII));
            socket.shutdownOutput();
            assertEquals(0, socket.getInputStream().readAllBytes().length);
        }
        isAlive();
    }

    @Test
    void aBodyThatIsNoUtf8IsRefused() throws Exception {
        for (byte[] bad : List.of(new byte[] {(byte) 0xff}, new byte[] {(byte) 0xc0, (byte) 0x80},
                new byte[] {(byte) 0xed, (byte) 0xa0, (byte) 0x80}, new byte[] {(byte) 0xf0, (byte) 0x9f})) {
            ByteArrayOutputStream request = new ByteArrayOutputStream();
            request.write(("POST /v1/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: "
                    + (bad.length + 13) + "\r\n\r\n{\"prompt\":\"").getBytes(StandardCharsets.US_ASCII));
            request.write(bad);
            request.write("\"}".getBytes(StandardCharsets.US_ASCII));
            String answer = server.raw(request.toByteArray());
            assertTrue(answer.startsWith("HTTP/1.1 400 ") && answer.contains("invalid_utf8"), answer);
        }
        isAlive();
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v1/models/%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /v1/models/..%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET http://elsewhere/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET //health HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /health HTTP/9.9\r\nHost: a\r\nX: \0\r\n\r\n",
        "GET /health\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u0016\u0003\u0001\u0002\0\u0001\0\u0001\u00fc\u0003\u0003\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
        "GET /health HTTP/1.1\r\n: b\r\n\r\n"})
    void aTrickIsAnsweredWithAnErrorOrClosed(String request) throws Exception {
        String answer = server.raw(request);
        assertTrue(answer.isEmpty() || answer.matches("(?s)HTTP/1.1 [45]\\d\\d .*"), answer);
        assertFalse(answer.contains("root:"), answer);
        isAlive();
    }

    @Test
    void aHeaderThatIsTooLargeIsRefused() throws Exception {
        assertTrue(server.raw("GET /" + "a".repeat(20_000) + " HTTP/1.1\r\n\r\n").startsWith("HTTP/1.1 414 "));
        assertTrue(server.raw("GET /health HTTP/1.1\r\nX: " + "a".repeat(50_000) + "\r\n\r\n")
                .startsWith("HTTP/1.1 431 "));
        assertTrue(server.raw("GET /health HTTP/1.1\r\n" + "X: a\r\n".repeat(20_000) + "\r\n")
                .startsWith("HTTP/1.1 431 "));
        isAlive();
    }

    @Test
    void requestsInARowAreAnsweredInTheirOrder() throws Exception {
        String first = new String(TestServer.postBytes(PATH, "{\"prompt\":\"Once\",\"max_tokens\":4}"),
                StandardCharsets.UTF_8);
        String answers = server.raw(first + "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
                + "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
        int completion = answers.indexOf("text_completion");
        int health = answers.indexOf("{\"status\":\"ok\"}");
        assertTrue(completion > 0 && health > completion && answers.indexOf("unknown_url") > health, answers);
        isAlive();
        answers = server.raw("GET /health HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10_000));
        assertTrue(answers.startsWith("HTTP/1.1 200 "), answers);
        assertTrue(answers.contains("too_many_in_a_row"), answers);
        isAlive();
    }

    @Test
    void manyConnectionsThatSayNothingAreClosed() throws Exception {
        Socket[] sockets = new Socket[300];
        try {
            for (int i = 0; i < sockets.length; i++) {
                sockets[i] = server.connect();
            }
            isAlive();
            for (Socket socket : sockets) {
                assertEquals(-1, socket.getInputStream().read());
            }
        } finally {
            for (Socket socket : sockets) {
                if (socket != null) {
                    socket.close();
                }
            }
        }
    }

    // ---- fuzzing ---------------------------------------------------------------------------------------------------

    private static final List<String> SEEDS = List.of(
            "{\"prompt\":\"Once\",\"max_tokens\":2,\"temperature\":0.5,\"stop\":[\"a\"],\"logit_bias\":{\"5\":-1}}",
            "{\"prompt\":[1,2,3],\"max_tokens\":1,\"logprobs\":3,\"stream\":true,\"n\":2,\"seed\":7}",
            "{\"prompt\":\"Once\",\"max_tokens\":2,\"regex\":\"[a-z]{1,3}\"}",
            "{\"prompt\":\"Once\",\"max_tokens\":2,\"json_schema\":{\"type\":\"object\",\"properties\":{\"a\":"
                    + "{\"type\":\"integer\"}}}}",
            "{\"prompt\":\"Once\",\"max_tokens\":2,\"grammar\":\"root ::= [a-z]+ \\\"x\\\"?\"}",
            "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}],\"max_tokens\":1,"
                    + "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}]}",
            "{\"input\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_output_tokens\":1,\"text\":{\"format\":"
                    + "{\"type\":\"text\"}}}",
            "{\"content\":\"some text\",\"tokens\":[1,2,3]}");
    private static final List<String> PATHS = List.of(PATH, PATH, PATH, PATH, PATH, "/v1/chat/completions",
            "/v1/responses", "/tokenize", "/v1/messages", "/v1/messages/count_tokens", "/detokenize", "/v1/embeddings");
    private static final String[] PIECES = {"null", "[]", "{}", "\"\"", "-1", "1e999", "99999999999999999999", "0.5",
        "\"\\ud800\"", "true", "[[[[", "\"\\u0000\"", ",", ":", "\\", "\"", "\"temperature\":", "\"n\":"};

    private static String mutated(Random random) {
        StringBuilder text = new StringBuilder(SEEDS.get(random.nextInt(SEEDS.size())));
        for (int i = random.nextInt(6); i >= 0; i--) {
            int at = random.nextInt(text.length() + 1);
            int end = Math.min(text.length(), at + random.nextInt(8));
            switch (random.nextInt(4)) {
                case 0 -> text.delete(at, end);
                case 1 -> text.insert(at, PIECES[random.nextInt(PIECES.length)]);
                case 2 -> text.replace(at, end, PIECES[random.nextInt(PIECES.length)]);
                default -> text.insert(at, (char) random.nextInt(random.nextBoolean() ? 128 : 0xd800));
            }
        }
        return text.toString();
    }

    /** Most are malformed JSON or ask for what is not there; some break HTTP itself. */
    private static byte[] malformed(Random random) {
        byte[] request = TestServer.postBytes(PATHS.get(random.nextInt(PATHS.size())), mutated(random));
        if (random.nextInt(5) == 0) {
            for (int i = random.nextInt(4); i >= 0; i--) {
                request[random.nextInt(request.length)] = (byte) random.nextInt(256);
            }
        }
        return request;
    }

    /** Whether the connection can be used again. */
    private static boolean answered(InputStream in) throws IOException {
        StringBuilder head = new StringBuilder();
        while (head.indexOf("\r\n\r\n") < 0) {
            int next = in.read();
            if (next < 0) {
                assertEquals("", head.toString(), "the answer was cut");
                return false;
            }
            head.append((char) next);
        }
        String lower = head.toString().toLowerCase(java.util.Locale.ROOT);
        assertTrue(lower.startsWith("http/1.1 "), lower);
        assertFalse(lower.startsWith("http/1.1 500 "), lower);
        int length = lower.indexOf("content-length: ");
        if (length < 0) {
            return false;  // a stream: a new connection is simpler
        }
        int size = Integer.parseInt(lower.substring(length + 16, lower.indexOf('\r', length)).trim());
        byte[] body = in.readNBytes(size);
        if (!lower.startsWith("http/1.1 200 ")) {
            Json.parse(new String(body, StandardCharsets.UTF_8));
        }
        return !lower.contains("connection: close");
    }

    @Test
    void tenThousandMalformedRequestsHarmNobody() throws Exception {
        Random random = new Random(42);
        Socket socket = server.connect();
        try {
            for (int i = 0; i < 10_000; i++) {
                byte[] request = malformed(random);
                boolean usable;
                try {
                    socket.getOutputStream().write(request);
                    usable = answered(socket.getInputStream());
                } catch (SocketException e) {
                    usable = false;  // closed
                } catch (AssertionError e) {
                    throw new AssertionError("request " + i + ": " + new String(request, StandardCharsets.UTF_8), e);
                }
                if (!usable) {
                    socket.close();
                    socket = server.connect();
                }
            }
        } finally {
            socket.close();
        }
        isAlive();
        TestServer.await("all have ended", Duration.ofSeconds(10),
                () -> server.metric("reprise_requests_running") == 0);
    }
}
