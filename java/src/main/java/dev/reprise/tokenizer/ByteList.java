package dev.reprise.tokenizer;

import java.util.Arrays;

/** Bytes that grow at the end. */
final class ByteList {
    private byte[] values;
    private int size;

    ByteList(int capacity) {
        values = new byte[Math.max(8, capacity)];
    }

    void add(byte value) {
        ensure(1);
        values[size++] = value;
    }

    void addAll(byte[] more) {
        addAll(more, 0, more.length);
    }

    void addAll(byte[] more, int from, int to) {
        ensure(to - from);
        System.arraycopy(more, from, values, size, to - from);
        size += to - from;
    }

    private void ensure(int more) {
        if (values.length - size < more) {
            values = Arrays.copyOf(values, Math.max(Math.addExact(values.length, values.length >> 1), size + more));
        }
    }

    void clear() {
        size = 0;
    }

    /** Forgets what lies behind the first {@code size} bytes. */
    void truncate(int size) {
        this.size = size;
    }

    boolean endsWith(byte[] end) {
        return size >= end.length && Arrays.equals(values, size - end.length, size, end, 0, end.length);
    }

    int size() {
        return size;
    }

    byte get(int index) {
        return values[index];
    }

    byte[] toArray() {
        return Arrays.copyOf(values, size);
    }
}
