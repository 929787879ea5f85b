package dev.reprise.hub;

import dev.reprise.json.Json;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.UnaryOperator;

/**
 * A hub on 127.0.0.1, and where it keeps large files on another port of another host name, localhost. On raw sockets,
 * so that it can break every rule.
 */
final class FakeHub implements AutoCloseable {
    static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";
    static final String REPOSITORY = "owner/tiny-GGUF";

    record Request(boolean store, String method, String path, Map<String, String> headers) {
        String header(String name) {
            return headers.get(name.toLowerCase(Locale.ROOT));
        }

        /** First and last byte of the range; null where none is asked for. */
        long[] range() {
            String range = header("Range");
            return range == null ? null
                    : Arrays.stream(range.substring("bytes=".length()).split("-")).mapToLong(Long::parseLong).toArray();
        }
    }

    /**
     * An answer.
     *
     * @param sent how much of the body is sent before the connection is closed
     * @param pauseMillis before every further piece of 16 KiB
     */
    record Reply(int status, Map<String, String> headers, byte[] body, int sent, int pauseMillis) {
        static Reply of(int status, byte[] body) {
            return new Reply(status, Map.of("Content-Length", Integer.toString(body.length)), body, body.length, 0);
        }

        static Reply of(int status) {
            return of(status, new byte[0]);
        }

        Reply with(String header, String value) {
            Map<String, String> changed = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
            changed.putAll(headers);
            if (value == null) {
                changed.remove(header);
            } else {
                changed.put(header, value);
            }
            return new Reply(status, changed, body, sent, pauseMillis);
        }

        Reply cutAfter(int bytes) {
            return new Reply(status, headers, body, Math.min(bytes, body.length), pauseMillis);
        }

        Reply slow(int millis) {
            return new Reply(status, headers, body, sent, millis);
        }

        Reply withBody(byte[] other) {
            return new Reply(status, headers, other, other.length, pauseMillis);
        }
    }

    /** What is answered in the place of the right answer. */
    interface Fault {
        Reply reply(Request request, Reply right);
    }

    private final ServerSocket hub = new ServerSocket(0, 200, InetAddress.getByName("127.0.0.1"));
    private final ServerSocket store = new ServerSocket(0, 200, InetAddress.getByName("localhost"));
    private final Map<String, byte[]> files = new LinkedHashMap<>();
    private final AtomicLong signature = new AtomicLong();
    final List<Request> requests = new CopyOnWriteArrayList<>();
    final AtomicLong storeBytes = new AtomicLong();
    volatile Fault fault = (request, right) -> right;
    volatile UnaryOperator<String> location = url -> url;

    FakeHub() throws IOException {
        accept(hub, false);
        accept(store, true);
    }

    FakeHub file(String name, byte[] content) {
        files.put(name, content);
        return this;
    }

    URI endpoint() {
        return URI.create("http://127.0.0.1:" + hub.getLocalPort());
    }

    List<Request> toStore() {
        return requests.stream().filter(Request::store).toList();
    }

    List<Request> toHub() {
        return requests.stream().filter(request -> !request.store()).toList();
    }

    private void accept(ServerSocket server, boolean isStore) {
        Thread thread = new Thread(() -> {
            while (!server.isClosed()) {
                try {
                    Socket socket = server.accept();
                    Thread worker = new Thread(() -> serve(socket, isStore));
                    worker.setDaemon(true);
                    worker.start();
                } catch (IOException e) {
                    return;  // closed
                }
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    private void serve(Socket socket, boolean isStore) {
        try (socket) {
            InputStream in = new BufferedInputStream(socket.getInputStream());
            String[] line = line(in).split(" ");
            Map<String, String> headers = new TreeMap<>();
            for (String header = line(in); !header.isEmpty(); header = line(in)) {
                int colon = header.indexOf(':');
                headers.put(header.substring(0, colon).toLowerCase(Locale.ROOT), header.substring(colon + 1).strip());
            }
            Request request = new Request(isStore, line[0], line[1], headers);
            requests.add(request);
            write(fault.reply(request, isStore ? stored(request) : answer(request)), request, socket.getOutputStream());
        } catch (IOException | RuntimeException e) {
            // The client has gone, which is its right.
        }
    }

    private static String line(InputStream in) throws IOException {
        StringBuilder line = new StringBuilder();
        for (int c = in.read(); c >= 0 && c != '\n'; c = in.read()) {
            line.append(c == '\r' ? "" : (char) c);
        }
        return line.toString();
    }

    private void write(Reply reply, Request request, OutputStream out) throws IOException {
        StringBuilder head = new StringBuilder("HTTP/1.1 " + reply.status() + " Such\r\n");
        reply.headers().forEach((name, value) -> head.append(name).append(": ").append(value).append("\r\n"));
        out.write(head.append("Connection: close\r\n\r\n").toString().getBytes(StandardCharsets.UTF_8));
        out.flush();
        if (request.method().equals("HEAD")) {
            return;
        }
        int piece = 1 << 14;
        for (int at = 0; at < reply.sent(); at += piece) {
            if (reply.pauseMillis() > 0) {
                sleep(reply.pauseMillis());
            }
            int count = Math.min(piece, reply.sent() - at);
            out.write(reply.body(), at, count);
            out.flush();
            storeBytes.addAndGet(request.store() ? count : 0);
        }
    }

    private static void sleep(int millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private Reply answer(Request request) {
        String path = request.path().replaceFirst("\\?.*", "");
        if (path.equals("/api/models/" + REPOSITORY + "/revision/main")
                || path.equals("/api/models/" + REPOSITORY + "/revision/" + COMMIT)) {
            List<Object> siblings = new ArrayList<>();
            files.keySet().forEach(name -> siblings.add(Map.of("rfilename", name)));
            String json = Json.write(Map.of("id", REPOSITORY, "sha", COMMIT, "siblings", siblings));
            return Reply.of(200, json.getBytes(StandardCharsets.UTF_8));
        }
        for (String revision : List.of("main", COMMIT)) {
            String prefix = "/" + REPOSITORY + "/resolve/" + revision + "/";
            if (path.startsWith(prefix)) {
                String name = path.substring(prefix.length());
                return files.containsKey(name) ? resolved(name, files.get(name), request)
                        : Reply.of(404).with("X-Error-Code", "EntryNotFound").with("X-Repo-Commit", COMMIT);
            }
        }
        return Reply.of(404).with("X-Error-Code", "RepoNotFound");
    }

    private Reply resolved(String name, byte[] content, Request request) {
        if (!name.endsWith(".gguf")) {
            return ranged(content, request).with("X-Repo-Commit", COMMIT).with("ETag", '"' + gitHash(content) + '"');
        }
        String url = "http://localhost:" + store.getLocalPort() + "/" + name + "?signature="
                + signature.incrementAndGet();
        return Reply.of(302)
                .with("Location", location.apply(url))
                .with("X-Repo-Commit", COMMIT)
                .with("X-Linked-Size", Integer.toString(content.length))
                .with("X-Linked-ETag", '"' + sha256(content) + '"');
    }

    private Reply stored(Request request) {
        byte[] content = files.get(request.path().substring(1).replaceFirst("\\?.*", ""));
        return content == null ? Reply.of(404) : ranged(content, request);
    }

    private static Reply ranged(byte[] content, Request request) {
        long[] range = request.range();
        if (range == null) {
            return Reply.of(200, content);
        }
        byte[] part = Arrays.copyOfRange(content, (int) range[0], (int) Math.min(range[1] + 1, content.length));
        return Reply.of(206, part).with(
                "Content-Range", "bytes " + range[0] + "-" + (range[0] + part.length - 1) + "/" + content.length);
    }

    static String sha256(byte[] content) {
        return HexFormat.of().formatHex(digest("SHA-256").digest(content));
    }

    static String gitHash(byte[] content) {
        MessageDigest digest = digest("SHA-1");
        digest.update(("blob " + content.length + "\0").getBytes(StandardCharsets.US_ASCII));
        return HexFormat.of().formatHex(digest.digest(content));
    }

    private static MessageDigest digest(String algorithm) {
        try {
            return MessageDigest.getInstance(algorithm);
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public void close() throws IOException {
        hub.close();
        store.close();
    }
}
