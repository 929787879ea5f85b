package dev.reprise;

import dev.reprise.json.Json;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A saved chat: its messages as JSON, checked by a hash, and behind them its session as {@link Session#save} writes it.
 */
final class ChatFile {
    private static final byte[] MAGIC = "REPRISE CHAT 1\n\n".getBytes(StandardCharsets.US_ASCII);
    /** No conversation that fits into a context has so much text. */
    private static final int MOST_JSON_BYTES = 1 << 28;

    private ChatFile() {}

    /** What a file holds besides the session. */
    record Content(List<Message> messages, int dropped) {}

    static void save(Path path, Session session, List<Message> messages, int dropped) {
        Path folder = path.toAbsolutePath().getParent();
        Path state = null;
        Path whole = null;
        try {
            // Readable and writable by their owner alone, as createTempFile() makes them.
            state = Files.createTempFile(folder, ".reprise-", ".session");
            whole = Files.createTempFile(folder, ".reprise-", ".chat");
            session.save(state);
            byte[] json = Json.write(toJson(messages, dropped)).getBytes(StandardCharsets.UTF_8);
            try (OutputStream file = Files.newOutputStream(whole); DataOutputStream out = new DataOutputStream(file)) {
                out.write(MAGIC);
                out.writeInt(json.length);
                out.write(sha256(json));
                out.write(json);
                Files.copy(state, out);
            }
            try (FileChannel channel = FileChannel.open(whole, StandardOpenOption.WRITE)) {
                channel.force(true);
            }
            Files.move(whole, path, StandardCopyOption.ATOMIC_MOVE);
            whole = null;
        } catch (IOException e) {
            throw new UncheckedIOException("the chat cannot be saved as " + path + ": " + e, e);
        } finally {
            delete(state);
            delete(whole);
        }
    }

    private static void delete(Path path) {
        try {
            if (path != null) {
                Files.deleteIfExists(path);
            }
        } catch (IOException e) {
            // What was to be said of this folder has been said.
        }
    }

    /** What {@link #restore} found. */
    record Restored(Content content, Session session) {}

    static Restored restore(Path path, Model model, SessionOptions options) {
        Path state = null;
        try (InputStream file = Files.newInputStream(path); DataInputStream in = new DataInputStream(file)) {
            Content content = readContent(in, path);
            state = Files.createTempFile(".reprise-", ".session");
            try (OutputStream out = Files.newOutputStream(state)) {
                in.transferTo(out);
            }
            return new Restored(content, model.restore(state, options));
        } catch (IOException e) {
            throw new UncheckedIOException("the chat cannot be read from " + path + ": " + e, e);
        } finally {
            delete(state);
        }
    }

    private static Content readContent(DataInputStream in, Path path) throws IOException {
        try {
            byte[] magic = in.readNBytes(MAGIC.length);
            if (!MessageDigest.isEqual(magic, MAGIC)) {
                throw new SessionFormatException(path + " is no saved chat, or one of a newer version");
            }
            int length = in.readInt();
            if (length < 0 || length > MOST_JSON_BYTES) {
                throw new SessionFormatException(path + " is damaged: it claims messages of " + length + " bytes");
            }
            byte[] hash = in.readNBytes(32);
            byte[] json = in.readNBytes(length);
            if (json.length < length || !MessageDigest.isEqual(sha256(json), hash)) {
                throw new SessionFormatException(path + " is damaged: its messages are not those that were saved");
            }
            return fromJson((Map<?, ?>) Json.parse(new String(json, StandardCharsets.UTF_8)));
        } catch (EOFException e) {
            throw new SessionFormatException(path + " is truncated");
        }
    }

    private static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    private static Map<String, Object> toJson(List<Message> messages, int dropped) {
        List<Object> list = new ArrayList<>();
        for (Message message : messages) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("role", message.role().text());
            one.put("parts", message.parts());
            message.reasoning().ifPresent(text -> one.put("reasoning", text));
            message.toolCallId().ifPresent(id -> one.put("tool_call_id", id));
            message.name().ifPresent(name -> one.put("name", name));
            List<Object> calls = new ArrayList<>();
            for (ToolCall call : message.toolCalls()) {
                calls.add(List.of(call.id(), call.name(), call.arguments()));
            }
            one.put("tool_calls", calls);
            list.add(one);
        }
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("messages", list);
        json.put("dropped", dropped);
        return json;
    }

    /** Of text whose hash was right. */
    private static Content fromJson(Map<?, ?> json) {
        List<Message> messages = new ArrayList<>();
        for (Object element : (List<?>) json.get("messages")) {
            Map<?, ?> one = (Map<?, ?>) element;
            List<ToolCall> calls = new ArrayList<>();
            for (Object call : (List<?>) one.get("tool_calls")) {
                List<?> parts = (List<?>) call;
                calls.add(ToolCall.of((String) parts.get(0), (String) parts.get(1), (String) parts.get(2)));
            }
            messages.add(Message.builder(Role.of((String) one.get("role")))
                    .text(((List<?>) one.get("parts")).toArray(String[]::new))
                    .reasoning((String) one.get("reasoning"))
                    .toolCallId((String) one.get("tool_call_id"))
                    .name((String) one.get("name"))
                    .toolCalls(calls)
                    .build());
        }
        return new Content(messages, ((Long) json.get("dropped")).intValue());
    }
}
