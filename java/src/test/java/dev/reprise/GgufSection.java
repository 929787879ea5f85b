package dev.reprise;

import dev.reprise.Metadata.Type;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Writes the key-value section of a GGUF file. */
final class GgufSection {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private int count;

    static byte[] little(long value, int bytes) {
        byte[] all = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
        return java.util.Arrays.copyOf(all, bytes);
    }

    static byte[] string(String text) {
        return string(text.getBytes(StandardCharsets.UTF_8));
    }

    static byte[] string(byte[] bytes) {
        return concat(little(bytes.length, 8), bytes);
    }

    static byte[] concat(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    /** A pair whose value is given as its bytes. */
    GgufSection raw(String key, int type, byte[]... value) {
        out.writeBytes(string(key));
        out.writeBytes(little(type, 4));
        out.writeBytes(concat(value));
        count++;
        return this;
    }

    GgufSection raw(String key, Type type, byte[]... value) {
        return raw(key, type.ordinal(), value);
    }

    /** The header of an array. */
    static byte[] array(Type element, long size) {
        return concat(little(element.ordinal(), 4), little(size, 8));
    }

    /** Strings, numbers, truth values and lists of strings in their natural types. */
    GgufSection put(String key, Object value) {
        if (value instanceof String text) {
            return raw(key, Type.STRING, string(text));
        }
        if (value instanceof Boolean truth) {
            return raw(key, Type.BOOL, new byte[] {(byte) (truth ? 1 : 0)});
        }
        if (value instanceof Integer number) {
            return raw(key, Type.INT32, little(number, 4));
        }
        if (value instanceof Long number) {
            return raw(key, Type.UINT32, little(number, 4));
        }
        if (value instanceof Float number) {
            return raw(key, Type.FLOAT32, little(Float.floatToIntBits(number), 4));
        }
        if (value instanceof byte[] numbers) {
            return raw(key, Type.ARRAY, array(Type.UINT8, numbers.length), numbers);
        }
        if (value instanceof int[] numbers) {
            ByteArrayOutputStream elements = new ByteArrayOutputStream();
            for (int number : numbers) {
                elements.writeBytes(little(number, 4));
            }
            return raw(key, Type.ARRAY, array(Type.INT32, numbers.length), elements.toByteArray());
        }
        if (value instanceof float[] numbers) {
            ByteArrayOutputStream elements = new ByteArrayOutputStream();
            for (float number : numbers) {
                elements.writeBytes(little(Float.floatToIntBits(number), 4));
            }
            return raw(key, Type.ARRAY, array(Type.FLOAT32, numbers.length), elements.toByteArray());
        }
        ByteArrayOutputStream elements = new ByteArrayOutputStream();
        List<?> texts = (List<?>) value;
        for (Object text : texts) {
            elements.writeBytes(text instanceof byte[] bytes ? string(bytes) : string((String) text));
        }
        return raw(key, Type.ARRAY, array(Type.STRING, texts.size()), elements.toByteArray());
    }

    int count() {
        return count;
    }

    byte[] bytes() {
        return out.toByteArray();
    }

    Metadata read() {
        return Metadata.read(ByteBuffer.wrap(bytes()), count);
    }
}
