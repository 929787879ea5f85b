package dev.reprise.cli;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** The story model with further metadata, or with a key under another name. */
final class OddModel {
    /** The codes of GGUF's value types. */
    static final int INT32 = 5;

    static final int BOOL = 7;
    static final int STRING = 8;
    static final int ARRAY = 9;
    /** Magic, version, tensor count, metadata count. */
    private static final int HEADER = 24;
    private static final int ALIGNMENT = 32;

    private final byte[] stories;
    private final ByteArrayOutputStream pairs = new ByteArrayOutputStream();
    private int count;

    OddModel() {
        try {
            stories = Files.readAllBytes(Path.of(Program.STORIES));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A pair that the file does not have yet. */
    OddModel with(String key, int type, byte[]... value) {
        pairs.writeBytes(string(key.getBytes(StandardCharsets.UTF_8)));
        pairs.writeBytes(little(type, 4));
        for (byte[] part : value) {
            pairs.writeBytes(part);
        }
        count++;
        return this;
    }

    /** Gives a key, or whatever has this text first, another name of the same length. */
    OddModel rename(String from, String to) {
        byte[] text = from.getBytes(StandardCharsets.UTF_8);
        int at = 0;
        while (!Arrays.equals(stories, at, at + text.length, text, 0, text.length)) {
            at++;
        }
        System.arraycopy(to.getBytes(StandardCharsets.UTF_8), 0, stories, at, text.length);
        return this;
    }

    String write(Path directory) {
        // Tensors lie at multiples of the alignment, so what comes before them grows by one.
        String key = "test.padding";
        int size = pairs.size() + 8 + key.length() + 4 + 8;
        with(key, STRING, string(new byte[(ALIGNMENT - size % ALIGNMENT) % ALIGNMENT]));
        ByteBuffer header = ByteBuffer.wrap(stories, 0, HEADER).order(ByteOrder.LITTLE_ENDIAN);
        header.putLong(HEADER - 8, header.getLong(HEADER - 8) + count);
        ByteArrayOutputStream file = new ByteArrayOutputStream();
        file.write(stories, 0, HEADER);
        file.writeBytes(pairs.toByteArray());
        file.write(stories, HEADER, stories.length - HEADER);
        try {
            return Files.write(directory.resolve("odd.gguf"), file.toByteArray()).toString();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static byte[] little(long value, int bytes) {
        byte[] all = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
        return Arrays.copyOf(all, bytes);
    }

    static byte[] string(byte[] bytes) {
        return ByteBuffer.allocate(8 + bytes.length).put(little(bytes.length, 8)).put(bytes).array();
    }

    /** The header of an array. */
    static byte[] array(int type, int size) {
        return ByteBuffer.allocate(12).put(little(type, 4)).put(little(size, 8)).array();
    }
}
