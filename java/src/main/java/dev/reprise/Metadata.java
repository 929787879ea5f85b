package dev.reprise;

import dev.reprise.tokenizer.TextTable;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.AbstractList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.RandomAccess;
import java.util.Set;

/**
 * The key-value pairs of a GGUF file, in the order of the file. Immutable and safe for use by many threads.
 *
 * <p>Values are decoded when they are asked for: a vocabulary of 150,000 strings costs nothing until it is read. A
 * getter throws {@link ModelFormatException} where the key has a value of another type; an empty array has no wrong
 * type.
 */
// No lambdas here and in the tokenizer's construction: setting up the first few costs a starting JVM tens of
// milliseconds.
public final class Metadata {
    /** The type of a value, as GGUF has it. */
    public enum Type {
        // In the order of the codes in the file.
        UINT8(1), INT8(1), UINT16(2), INT16(2), UINT32(4), INT32(4), FLOAT32(4), BOOL(1), STRING(8), ARRAY(12),
        UINT64(8), INT64(8), FLOAT64(8);

        /** Bytes of a value; for strings and arrays of the header, so the least that one takes. */
        final int bytes;

        Type(int bytes) {
            this.bytes = bytes;
        }

        boolean isInteger() {
            return this != FLOAT32 && this != FLOAT64 && this != BOOL && this != STRING && this != ARRAY;
        }
    }

    /** A value: {@code start} is its first byte, behind the length or array header where it has one. */
    record Value(Type type, int start, Array array) {}

    /** {@code starts} is null where the elements are scalars, which need no table. */
    record Array(Type element, int size, int[] starts, Array[] nested) {}

    private final byte[] bytes;
    private final Map<String, Value> values;

    private Metadata(byte[] bytes, Map<String, Value> values) {
        this.bytes = bytes;
        this.values = Collections.unmodifiableMap(values);
    }

    /**
     * Reads {@code count} pairs from the key-value section of a GGUF file, version 2 or 3, little-endian.
     *
     * @param section the section from its first key on, between the buffer's position and limit; may be longer than the
     *     pairs; it is copied and may be released afterwards
     * @throws ModelFormatException if the pairs do not fit into the section or are malformed
     */
    static Metadata read(ByteBuffer section, long count) {
        byte[] bytes = new byte[section.remaining()];
        section.duplicate().get(bytes);
        MetadataReader reader = new MetadataReader(bytes);
        return new Metadata(bytes, reader.readPairs(count));
    }

    /** All keys, in the order of the file. */
    public Set<String> keys() {
        return values.keySet();
    }

    /** Whether there is such a key. */
    public boolean contains(String key) {
        return values.containsKey(key);
    }

    /** The type of the value, empty if there is no such key. */
    public Optional<Type> type(String key) {
        Value value = values.get(key);
        return value == null ? Optional.empty() : Optional.of(value.type);
    }

    /** The type of an array's elements, empty if there is no such key. */
    public Optional<Type> elementType(String key) {
        Value value = find(key, Type.ARRAY);
        return value == null ? Optional.empty() : Optional.of(value.array.element);
    }

    /** The value of a string; invalid UTF-8 becomes U+FFFD. */
    public Optional<String> string(String key) {
        Value value = find(key, Type.STRING);
        return value == null ? Optional.empty() : Optional.of(text(value.start));
    }

    /** The value of a string, or {@code otherwise} if there is no such key. */
    public String string(String key, String otherwise) {
        return string(key).orElse(otherwise);
    }

    /** The value of any integer type. Unsigned ones are zero-extended; above 2^63 - 1 they throw. */
    public OptionalLong integer(String key) {
        Value value = values.get(key);
        if (value == null) {
            return OptionalLong.empty();
        }
        if (!value.type.isInteger()) {
            throw wrongType(key, "an integer", value);
        }
        return OptionalLong.of(integer(key, value.type, value.start));
    }

    /** The value of any integer type, or {@code otherwise} if there is no such key. */
    public long integer(String key, long otherwise) {
        return integer(key).orElse(otherwise);
    }

    /** The value of any integer or floating-point type. */
    public OptionalDouble number(String key) {
        Value value = values.get(key);
        if (value == null) {
            return OptionalDouble.empty();
        }
        if (value.type != Type.FLOAT32 && value.type != Type.FLOAT64 && !value.type.isInteger()) {
            throw wrongType(key, "a number", value);
        }
        return OptionalDouble.of(number(key, value.type, value.start));
    }

    /** The value of any integer or floating-point type, or {@code otherwise} if there is no such key. */
    public double number(String key, double otherwise) {
        return number(key).orElse(otherwise);
    }

    /** The value of a truth value; any byte but 0 is true. */
    public Optional<Boolean> bool(String key) {
        Value value = find(key, Type.BOOL);
        return value == null ? Optional.empty() : Optional.of(bytes[value.start] != 0);
    }

    /** The value of a truth value, or {@code otherwise} if there is no such key. */
    public boolean bool(String key, boolean otherwise) {
        return bool(key).orElse(otherwise);
    }

    /** The elements of an array of strings, each decoded when it is read. */
    public Optional<List<String>> strings(String key) {
        Array array = findArray(key, Type.STRING);
        return array == null ? Optional.empty() : Optional.of(view(array));
    }

    /** The elements of an array of any integer type. */
    public Optional<long[]> integers(String key) {
        Value value = find(key, Type.ARRAY);
        if (value == null) {
            return Optional.empty();
        }
        Array array = value.array;
        if (!array.element.isInteger() && array.size > 0) {
            throw wrongType(key, "an array of integers", value);
        }
        long[] result = new long[array.size];
        int at = value.start;
        for (int i = 0; i < result.length; i++) {
            result[i] = integer(key, array.element, at);
            at += array.element.bytes;
        }
        return Optional.of(result);
    }

    /** The elements of an array of any integer or floating-point type. */
    public Optional<double[]> numbers(String key) {
        Value value = find(key, Type.ARRAY);
        if (value == null) {
            return Optional.empty();
        }
        Array array = value.array;
        boolean numbers = array.element == Type.FLOAT32 || array.element == Type.FLOAT64 || array.element.isInteger();
        if (!numbers && array.size > 0) {
            throw wrongType(key, "an array of numbers", value);
        }
        double[] result = new double[array.size];
        for (int i = 0; i < result.length; i++) {
            result[i] = number(key, array.element, value.start + i * array.element.bytes);
        }
        return Optional.of(result);
    }

    /**
     * The value as {@link String}, {@link Boolean}, {@link Long} ({@link BigInteger} above 2^63 - 1), {@link Double} or
     * an unmodifiable {@link List} of these, lists included.
     */
    public Optional<Object> value(String key) {
        Value value = values.get(key);
        return value == null ? Optional.empty() : Optional.of(decode(key, value));
    }

    /** The bytes of an array of strings, nothing copied; null if there is no such key. */
    TextTable textTable(String key) {
        Array array = findArray(key, Type.STRING);
        if (array == null) {
            return null;
        }
        return new TextTable(bytes, array.size == 0 ? new int[] {TextTable.LENGTH_BYTES} : array.starts);
    }

    private Object decode(String key, Value value) {
        return switch (value.type) {
            case STRING -> text(value.start);
            case BOOL -> bytes[value.start] != 0;
            case FLOAT32, FLOAT64 -> number(key, value.type, value.start);
            case ARRAY -> view(key, value);
            case UINT64 -> {
                long bits = LittleEndian.int64(bytes, value.start);
                yield bits >= 0 ? (Object) bits : new BigInteger(Long.toUnsignedString(bits));
            }
            default -> integer(key, value.type, value.start);
        };
    }

    private List<Object> view(String key, Value value) {
        Array array = value.array;
        class View extends AbstractList<Object> implements RandomAccess {
            @Override
            public Object get(int index) {
                Objects.checkIndex(index, array.size);
                return decode(key, element(value, index));
            }

            @Override
            public int size() {
                return array.size;
            }
        }
        return new View();
    }

    private static Value element(Value value, int index) {
        Array array = value.array;
        return switch (array.element) {
            case STRING -> new Value(Type.STRING, array.starts[index], null);
            case ARRAY -> new Value(Type.ARRAY, array.starts[index], array.nested[index]);
            default -> new Value(array.element, value.start + index * array.element.bytes, null);
        };
    }

    private List<String> view(Array array) {
        class View extends AbstractList<String> implements RandomAccess {
            @Override
            public String get(int index) {
                Objects.checkIndex(index, array.size);
                return text(array.starts[index]);
            }

            @Override
            public int size() {
                return array.size;
            }
        }
        return new View();
    }

    private Value find(String key, Type type) {
        Value value = values.get(key);
        if (value != null && value.type != type) {
            throw wrongType(key, type.name(), value);
        }
        return value;
    }

    private Array findArray(String key, Type element) {
        Value value = find(key, Type.ARRAY);
        if (value != null && value.array.element != element && value.array.size > 0) {
            throw wrongType(key, "an array of " + element, value);
        }
        return value == null ? null : value.array;
    }

    private String text(int start) {
        int length = (int) LittleEndian.int64(bytes, start - TextTable.LENGTH_BYTES);
        return new String(bytes, start, length, StandardCharsets.UTF_8);
    }

    private long integer(String key, Type type, int at) {
        return switch (type) {
            case UINT8 -> bytes[at] & 0xFF;
            case INT8 -> bytes[at];
            case UINT16 -> LittleEndian.int16(bytes, at) & 0xFFFF;
            case INT16 -> LittleEndian.int16(bytes, at);
            case UINT32 -> LittleEndian.int32(bytes, at) & 0xFFFFFFFFL;
            case INT32 -> LittleEndian.int32(bytes, at);
            case INT64 -> LittleEndian.int64(bytes, at);
            case UINT64 -> {
                long bits = LittleEndian.int64(bytes, at);
                if (bits < 0) {
                    throw new ModelFormatException(
                            "metadata key " + key + " is " + Long.toUnsignedString(bits) + ", above 2^63 - 1");
                }
                yield bits;
            }
            default -> throw new IllegalArgumentException(type + " is no integer type");
        };
    }

    private double number(String key, Type type, int at) {
        return switch (type) {
            case FLOAT32 -> Float.intBitsToFloat(LittleEndian.int32(bytes, at));
            case FLOAT64 -> Double.longBitsToDouble(LittleEndian.int64(bytes, at));
            default -> integer(key, type, at);
        };
    }

    private static ModelFormatException wrongType(String key, String wanted, Value value) {
        String found = value.array == null ? value.type.name() : "an array of " + value.array.element;
        return new ModelFormatException("metadata key " + key + " is " + found + " where " + wanted + " is expected");
    }
}
