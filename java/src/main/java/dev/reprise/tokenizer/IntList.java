package dev.reprise.tokenizer;

import java.util.Arrays;

/** Token ids that grow at the end. */
public final class IntList {
    private int[] values;
    private int size;

    public IntList(int capacity) {
        values = new int[Math.max(8, capacity)];
    }

    public void add(int value) {
        if (size == values.length) {
            grow(1);
        }
        values[size++] = value;
    }

    void addAll(int[] more) {
        if (more.length > values.length - size) {
            grow(more.length);
        }
        for (int value : more) {
            values[size++] = value;
        }
    }

    private void grow(int more) {
        values = Arrays.copyOf(values, Math.max(values.length + (values.length >> 1), size + more));
    }

    public int size() {
        return size;
    }

    int get(int index) {
        return values[index];
    }

    void set(int index, int value) {
        values[index] = value;
    }

    /** Forgets what lies behind the first {@code size} values. */
    void truncate(int size) {
        this.size = size;
    }

    int[] copyFrom(int from) {
        return Arrays.copyOfRange(values, from, size);
    }

    public int[] toArray() {
        return Arrays.copyOf(values, size);
    }
}
