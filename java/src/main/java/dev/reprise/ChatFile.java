package dev.reprise;

import dev.reprise.json.Json;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * A saved chat: in front of its session, as {@link Session#save} writes it, its messages as JSON, with their length and
 * their hash.
 */
final class ChatFile {
    private static final byte[] MAGIC = "REPRISE CHAT 1\n\n".getBytes(StandardCharsets.US_ASCII);
    /** Where the magic bytes have the version. */
    private static final int VERSION_AT = "REPRISE CHAT ".length();
    private static final int HASH_BYTES = 32;
    private static final int PREFACE_BYTES = MAGIC.length + Integer.BYTES + HASH_BYTES;
    /** No conversation that fits into a context has so much text. */
    private static final int MOST_JSON_BYTES = 1 << 28;

    private ChatFile() {}

    /** What a file holds besides the session. */
    record Content(List<Message> messages, int dropped) {}

    static void save(Path path, Session session, List<Message> messages, int dropped) {
        byte[] json = Json.write(toJson(messages, dropped)).getBytes(StandardCharsets.UTF_8);
        ByteBuffer preface = ByteBuffer.allocate(PREFACE_BYTES + json.length);
        session.save(path, preface.put(MAGIC).putInt(json.length).put(sha256(json)).put(json).array());
    }

    /** What {@link #restore} found. */
    record Restored(Content content, Session session) {}

    static Restored restore(Path path, Model model, SessionOptions options) {
        byte[] json = readJson(path);
        Content content;
        try {
            content = fromJson((Map<?, ?>) Json.parse(new String(json, StandardCharsets.UTF_8)));
        } catch (RuntimeException e) {
            // Of a hash that is right: nothing is so by chance.
            throw new SessionFormatException(path + " is damaged: its messages are none: " + e.getMessage(), e);
        }
        return new Restored(content, model.restore(path, PREFACE_BYTES + json.length, options));
    }

    private static byte[] readJson(Path path) {
        if (Files.exists(path) && !Files.isRegularFile(path)) {
            String message = "the chat cannot be read from " + path + ": it is no regular file";
            throw new UncheckedIOException(message, new IOException(message));
        }
        try (InputStream file = Files.newInputStream(path); DataInputStream in = new DataInputStream(file)) {
            return readJson(in, path);
        } catch (EOFException e) {
            throw new SessionFormatException(path + " is truncated");
        } catch (NoSuchFileException e) {
            throw new UncheckedIOException("the chat cannot be read: there is no file " + path, e);
        } catch (AccessDeniedException e) {
            throw new UncheckedIOException("the chat cannot be read from " + path + ": permission denied", e);
        } catch (IOException e) {
            throw new UncheckedIOException("the chat cannot be read from " + path + ": " + e.getMessage(), e);
        }
    }

    private static byte[] readJson(DataInputStream in, Path path) throws IOException {
        byte[] magic = in.readNBytes(MAGIC.length);
        if (!Arrays.equals(magic, MAGIC)) {
            throw new SessionFormatException(notThisVersion(path, magic));
        }
        int length = in.readInt();
        if (length < 0 || length > MOST_JSON_BYTES) {
            throw new SessionFormatException(path + " is damaged: it claims messages of " + length + " bytes");
        }
        byte[] hash = in.readNBytes(HASH_BYTES);
        byte[] json = in.readNBytes(length);
        if (json.length < length) {
            throw new EOFException();
        }
        if (!Arrays.equals(sha256(json), hash)) {
            throw new SessionFormatException(path + " is damaged: its messages are not those that were saved");
        }
        return json;
    }

    private static String notThisVersion(Path path, byte[] magic) {
        int name = VERSION_AT;
        if (magic.length < name || !Arrays.equals(magic, 0, name, MAGIC, 0, name)) {
            return path + " is no saved chat" + (magic.length == 0 ? " but empty" : "");
        }
        String version = new String(magic, name, magic.length - name, StandardCharsets.US_ASCII).strip();
        return path + " is a saved chat of format version " + version + ", and this version of Reprise reads 1: it was "
                + "saved by a newer one";
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
        int dropped = ((Long) json.get("dropped")).intValue();
        return new Content(messages, Objects.checkIndex(dropped, messages.size() + 1));
    }
}
