package dev.reprise;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/**
 * Damages GGUF files. It knows the layout, so that most mutations change one thing in the header and leave the rest in
 * order, with the tensors' data where the header says.
 */
final class GgufMutator {
    enum Mutation {
        // Structured, in the header.
        NUMBER, TEXT, KNOWN_TEXT, ELEMENT, ARRAY_LENGTH, DELETE, DUPLICATE, SWAP, RENAME, TRUNCATE,
        // Unstructured, anywhere.
        BYTES, INSERT, ERASE;

        boolean isStructured() {
            return compareTo(BYTES) < 0;
        }
    }

    private static final int ALIGNMENT = 32;
    private static final int[] SCALAR_BYTES = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    private static final int STRING = 8;
    private static final int ARRAY = 9;
    private static final long[] ODD = {
        0, 1, 2, 3, 7, 31, 32, 33, 63, 65, 127, 128, 255, 256, 1000, 4096, 65535, 65536, 1 << 20, Integer.MAX_VALUE,
        1L << 31, (1L << 32) - 1, 1L << 32, 1L << 40, 1L << 60, Long.MAX_VALUE, Long.MIN_VALUE, -1, -2, -100,
        0x7F800000L, 0xFF800000L, 0x7FC00000L, 0x3F800000L, 0xBF800000L, 0x7149F2CAL,
    };
    private static final String[] KNOWN = {
        "llama", "qwen2", "qwen3", "gpt2", "bert", "gemma", "default", "llama-bpe", "smollm", "gpt-2", "t5", "", "none",
        "tokenizer.ggml.tokens", "tokenizer.ggml.model", "general.architecture", "general.alignment", "split.count",
        "split.no", "llama.context_length", "llama.rope.scaling.type", "llama.expert_count", "output.weight",
        "blk.0.attn_q.weight", "blk.1.attn_q.weight", "yarn", "linear", "llama.vocab_size",
        "llama.attention.key_length",
    };

    /** A number of the header: a length, count, type, dimension, offset or value. */
    private record Field(int at, int bytes) {}

    /** A string: its length field comes before {@code at}. */
    private record Text(int at, int length) {}

    /** An array: its count field comes before {@code at}. */
    private record Elements(int at, int count, int elementBytes) {}

    private record Range(int start, int end) {}

    private final Random random;

    // The layout of the file at hand.
    private byte[] header;
    private int at;
    private final List<Field> fields = new ArrayList<>();
    private final List<Text> texts = new ArrayList<>();
    private final List<Elements> arrays = new ArrayList<>();
    private final List<Range> pairs = new ArrayList<>();
    private final List<Range> tensors = new ArrayList<>();

    GgufMutator(long seed) {
        random = new Random(seed);
    }

    /** A damaged copy of a sound file; {@code done} gets the mutation. */
    byte[] mutate(byte[] file, List<Mutation> done) {
        read(file);
        int dataStart = (header.length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        byte[] data = Arrays.copyOfRange(file, dataStart, file.length);
        Mutation[] all = Mutation.values();
        // Numbers are what checks are about, and there are many kinds of them.
        Mutation mutation = random.nextInt(3) == 0 ? Mutation.NUMBER : all[random.nextInt(all.length)];
        done.add(mutation);
        switch (mutation) {
            case NUMBER -> changeNumber();
            case TEXT -> changeText();
            case KNOWN_TEXT -> replaceText(pick(texts), pick(KNOWN));
            case ELEMENT -> changeElement();
            case ARRAY_LENGTH -> changeArrayLength();
            case DELETE, DUPLICATE, SWAP -> changeEntries(mutation);
            case RENAME -> rename();
            case TRUNCATE -> {
                return Arrays.copyOf(header, random.nextBoolean() ? pick(fields).at : random.nextInt(header.length));
            }
            default -> {
                return changeAnywhere(mutation, file);
            }
        }
        return join(data);
    }

    private byte[] join(byte[] data) {
        int padding = (ALIGNMENT - header.length % ALIGNMENT) % ALIGNMENT;
        return GgufSection.concat(header, new byte[padding], data);
    }

    // ---- the layout ------------------------------------------------------------------------------------------------

    private void read(byte[] file) {
        for (List<?> list : List.of(fields, texts, arrays, pairs, tensors)) {
            list.clear();
        }
        header = file;
        at = 4;
        number(4);
        long tensorCount = number(8);
        long pairCount = number(8);
        for (long i = 0; i < pairCount; i++) {
            int start = at;
            text();
            value((int) number(4));
            pairs.add(new Range(start, at));
        }
        for (long i = 0; i < tensorCount; i++) {
            int start = at;
            text();
            for (long dimensions = number(4); dimensions > 0; dimensions--) {
                number(8);
            }
            number(4);
            number(8);
            tensors.add(new Range(start, at));
        }
        header = Arrays.copyOf(file, at);
    }

    private long number(int bytes) {
        fields.add(new Field(at, bytes));
        long value = get(at, bytes);
        at += bytes;
        return value;
    }

    private void text() {
        int length = (int) number(8);
        texts.add(new Text(at, length));
        at += length;
    }

    private void value(int type) {
        if (type == STRING) {
            text();
        } else if (type == ARRAY) {
            int element = (int) number(4);
            int count = (int) number(8);
            int start = at;
            if (element == STRING) {
                for (int i = 0; i < count; i++) {
                    at += 8 + (int) get(at, 8);
                }
            } else {
                at += count * SCALAR_BYTES[element];
            }
            arrays.add(new Elements(start, count, element == STRING ? 0 : SCALAR_BYTES[element]));
        } else {
            number(SCALAR_BYTES[type]);
        }
    }

    private long get(int position, int bytes) {
        long value = 0;
        for (int i = bytes - 1; i >= 0; i--) {
            value = value << 8 | header[position + i] & 0xFF;
        }
        return value;
    }

    private void set(int position, int bytes, long value) {
        byte[] encoded = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
        System.arraycopy(encoded, 0, header, position, bytes);
    }

    // ---- mutations -------------------------------------------------------------------------------------------------

    private void changeNumber() {
        Field field = pick(fields);
        long old = get(field.at, field.bytes);
        set(field.at, field.bytes, switch (random.nextInt(5)) {
            case 0 -> old + 1 - 2 * random.nextInt(2);
            case 1 -> old ^ 1L << random.nextInt(8 * field.bytes);
            case 2 -> random.nextLong();
            case 3 -> get(pick(fields).at, 1);
            default -> ODD[random.nextInt(ODD.length)];
        });
    }

    private void changeText() {
        Text text = pick(texts);
        if (text.length > 0) {
            header[text.at + random.nextInt(text.length)] = (byte) random.nextInt();
        }
    }

    private void replaceText(Text text, String with) {
        byte[] bytes = with.getBytes(StandardCharsets.UTF_8);
        splice(text.at - 8, text.at + text.length, GgufSection.string(bytes));
    }

    private void changeElement() {
        Elements array = pick(arrays);
        if (array.count == 0) {
            return;
        }
        int index = random.nextInt(array.count);
        if (array.elementBytes > 0) {
            set(array.at + index * array.elementBytes, array.elementBytes, ODD[random.nextInt(ODD.length)]);
            return;
        }
        Range element = string(array, index);
        if (random.nextInt(3) == 0) {
            set(element.start, 8, ODD[random.nextInt(ODD.length)]);
        } else {
            byte[] text = new byte[random.nextInt(6)];
            random.nextBytes(text);
            splice(element.start, element.end, GgufSection.string(text));
        }
    }

    /** An element of an array of strings, with its length. */
    private Range string(Elements array, int index) {
        int start = array.at;
        for (int i = 0; i < index; i++) {
            start += 8 + (int) get(start, 8);
        }
        return new Range(start, start + 8 + (int) get(start, 8));
    }

    /** Takes elements from the end, or repeats the last one. */
    private void changeArrayLength() {
        Elements array = pick(arrays);
        if (array.count == 0) {
            return;
        }
        int keep = random.nextBoolean() ? array.count : random.nextInt(array.count);
        int more = keep == array.count ? 1 + random.nextInt(3) : 0;
        boolean strings = array.elementBytes == 0;
        Range last = strings
                ? string(array, array.count - 1)
                : new Range(
                        array.at + (array.count - 1) * array.elementBytes, array.at + array.count * array.elementBytes);
        int cut = keep == array.count
                ? last.end
                : strings ? string(array, keep).start : array.at + keep * array.elementBytes;
        byte[] repeated = Arrays.copyOfRange(header, last.start, last.end);
        ByteArrayOutputStream added = new ByteArrayOutputStream();
        for (int i = 0; i < more; i++) {
            added.writeBytes(repeated);
        }
        set(array.at - 8, 8, keep + more);
        splice(cut, last.end, added.toByteArray());
    }

    private void changeEntries(Mutation mutation) {
        boolean tensor = random.nextInt(3) == 0;
        List<Range> entries = tensor ? tensors : pairs;
        int countAt = tensor ? 8 : 16;
        Range one = pick(entries);
        byte[] bytes = Arrays.copyOfRange(header, one.start, one.end);
        if (mutation == Mutation.DELETE) {
            set(countAt, 8, entries.size() - 1);
            splice(one.start, one.end, new byte[0]);
        } else if (mutation == Mutation.DUPLICATE) {
            set(countAt, 8, entries.size() + 1);
            splice(one.end, one.end, bytes);
        } else {
            Range other = pick(entries);
            Range first = one.start < other.start ? one : other;
            Range second = first == one ? other : one;
            if (first.start != second.start) {
                byte[] swapped = GgufSection.concat(
                        Arrays.copyOfRange(header, second.start, second.end),
                        Arrays.copyOfRange(header, first.end, second.start),
                        Arrays.copyOfRange(header, first.start, first.end));
                splice(first.start, second.end, swapped);
            }
        }
    }

    private void rename() {
        Range entry = pick(random.nextInt(3) == 0 ? tensors : pairs);
        Range other = pick(random.nextBoolean() ? tensors : pairs);
        int length = (int) get(entry.start, 8);
        int otherLength = (int) get(other.start, 8);
        String name = random.nextInt(3) == 0
                ? pick(KNOWN)
                : new String(header, other.start + 8, otherLength, StandardCharsets.UTF_8);
        replaceText(new Text(entry.start + 8, length), name);
    }

    private byte[] changeAnywhere(Mutation mutation, byte[] file) {
        byte[] changed = file.clone();
        int position = random.nextInt(random.nextBoolean() ? header.length : file.length);
        byte[] some = new byte[1 + random.nextInt(16)];
        random.nextBytes(some);
        int end = Math.min(file.length, position + some.length);
        switch (mutation) {
            case BYTES -> System.arraycopy(some, 0, changed, position, end - position);
            case INSERT -> changed = GgufSection.concat(
                    Arrays.copyOf(file, position), some, Arrays.copyOfRange(file, position, file.length));
            default -> changed = GgufSection.concat(
                    Arrays.copyOf(file, position), Arrays.copyOfRange(file, end, file.length));
        }
        return changed;
    }

    private void splice(int start, int end, byte[] with) {
        header = GgufSection.concat(
                Arrays.copyOf(header, start), with, Arrays.copyOfRange(header, end, header.length));
    }

    private <T> T pick(List<T> from) {
        return from.get(random.nextInt(from.size()));
    }

    private String pick(String[] from) {
        return from[random.nextInt(from.length)];
    }
}
