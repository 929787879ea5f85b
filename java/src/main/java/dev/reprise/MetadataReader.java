package dev.reprise;

import dev.reprise.Metadata.Array;
import dev.reprise.Metadata.Type;
import dev.reprise.Metadata.Value;
import dev.reprise.tokenizer.TextTable;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Walks the key-value section of a GGUF file once and notes where every value lies. Every length and count is checked
 * against the bytes that are left before anything is allocated for it.
 */
final class MetadataReader {
    /** Arrays of arrays deeper than this are refused: no model has them, and each level is a stack frame. */
    private static final int MAX_NESTING = 16;

    private static final Type[] TYPES = Type.values();

    private final byte[] bytes;
    private int at;
    private String key = "";

    MetadataReader(byte[] bytes) {
        this.bytes = bytes;
    }

    Map<String, Value> readPairs(long count) {
        if (count < 0) {
            throw new ModelFormatException("metadata count " + Long.toUnsignedString(count) + " is absurd");
        }
        Map<String, Value> values = new LinkedHashMap<>();
        for (long i = 0; i < count; i++) {
            key = "";
            int length = readLength("the key of pair", i);
            key = new String(bytes, at, length, StandardCharsets.UTF_8);
            at += length;
            while (key.indexOf('\uFFFD') >= 0 && values.containsKey(key)) {
                key += '\uFFFD';  // differs in bytes that are no UTF-8
            }
            Type type = readType();
            if (values.put(key, readValue(type)) != null) {
                throw new ModelFormatException("metadata key " + key + " occurs twice");
            }
        }
        return values;
    }

    private Value readValue(Type type) {
        switch (type) {
            case STRING -> {
                int length = readLength("a string", 0);
                at += length;
                return new Value(type, at - length, null);
            }
            case ARRAY -> {
                Type element = readType();
                int size = readCount(element);
                int start = at;
                return new Value(type, start, readArray(element, size, 1));
            }
            default -> {
                need(type.bytes, type.name());
                at += type.bytes;
                return new Value(type, at - type.bytes, null);
            }
        }
    }

    private Array readArray(Type element, int size, int depth) {
        return switch (element) {
            case STRING -> readStrings(size);
            case ARRAY -> readNested(size, depth);
            default -> {
                // readCount has checked that this many fit.
                at += size * element.bytes;
                yield new Array(element, size, null, null);
            }
        };
    }

    private Array readStrings(int size) {
        int[] starts = new int[size + 1];
        for (int i = 0; i < size; i++) {
            int length = readLength("element", i);
            starts[i] = at;
            at += length;
        }
        starts[size] = at + TextTable.LENGTH_BYTES;
        return new Array(Type.STRING, size, starts, null);
    }

    private Array readNested(int size, int depth) {
        if (depth == MAX_NESTING) {
            throw new ModelFormatException(
                    "metadata key " + key + " nests arrays more than " + MAX_NESTING + " deep");
        }
        int[] starts = new int[size];
        Array[] nested = new Array[size];
        for (int i = 0; i < size; i++) {
            Type element = readType();
            int count = readCount(element);
            starts[i] = at;
            nested[i] = readArray(element, count, depth + 1);
        }
        return new Array(Type.ARRAY, size, starts, nested);
    }

    private Type readType() {
        need(4, "a value type");
        int code = LittleEndian.int32(bytes, at);
        if (code < 0 || code >= TYPES.length) {
            throw new ModelFormatException(
                    "metadata key " + key + " has the unknown value type " + Integer.toUnsignedString(code));
        }
        at += 4;
        return TYPES[code];
    }

    private int readCount(Type element) {
        need(8, "an array length");
        long count = LittleEndian.int64(bytes, at);
        at += 8;
        if (count < 0 || count > (bytes.length - at) / element.bytes) {
            throw new ModelFormatException("metadata key " + key + " claims " + Long.toUnsignedString(count)
                    + " elements, which the " + (bytes.length - at) + " bytes left cannot hold");
        }
        return (int) count;
    }

    /** @param index told in an error behind {@code what}; no text is put together while all goes well */
    private int readLength(String what, long index) {
        if (bytes.length - at < TextTable.LENGTH_BYTES) {
            throw new ModelFormatException("metadata ends within " + where() + what + " " + index);
        }
        long length = LittleEndian.int64(bytes, at);
        at += TextTable.LENGTH_BYTES;
        if (length < 0 || length > bytes.length - at) {
            throw new ModelFormatException("metadata " + where() + what + " " + index + " claims "
                    + Long.toUnsignedString(length) + " bytes, but " + (bytes.length - at) + " are left");
        }
        return (int) length;
    }

    private void need(int count, String what) {
        if (bytes.length - at < count) {
            throw new ModelFormatException("metadata ends within " + where() + what);
        }
    }

    private String where() {
        return key.isEmpty() ? "" : "key " + key + ", ";
    }
}
