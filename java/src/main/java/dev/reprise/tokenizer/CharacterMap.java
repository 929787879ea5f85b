package dev.reprise.tokenizer;

import dev.reprise.ModelFormatException;
import java.util.Arrays;

/**
 * SentencePiece's precompiled map of characters: what begins with the longest of its keys becomes that key's value.
 *
 * <p>Four bytes give the size of a double array of 32-bit units, in which the keys are walked byte by byte; behind it
 * lie the values, each ended by a zero byte. Of a unit, bits 0 to 7 are the byte that leads there, bit 8 says that a
 * key ends and that its value's unit comes next, bit 9 scales the offset in bits 10 to 30 by 256; in a value's unit the
 * low 31 bits are where the value begins. S. Yata's darts-clone, in which SentencePiece writes it.
 */
public final class CharacterMap {
    private static final byte[] REPLACEMENT = {(byte) 0xEF, (byte) 0xBF, (byte) 0xBD};

    private final int[] units;
    private final byte[] values;

    private CharacterMap(int[] units, byte[] values) {
        this.units = units;
        this.values = values;
    }

    /** Without keys. */
    public static CharacterMap none() {
        return new CharacterMap(new int[0], new byte[0]);
    }

    /**
     * @param key the metadata key that the bytes are from, for messages
     * @throws ModelFormatException if the bytes are no such map
     */
    public static CharacterMap of(byte[] bytes, String key) {
        if (bytes.length == 0) {
            return none();
        }
        long size = bytes.length < 4 ? -1 : word(bytes, 0) & 0xFFFFFFFFL;
        if (size <= 0 || size % 4 != 0 || size > bytes.length - 4) {
            throw new ModelFormatException(key + " is no character map: it has " + bytes.length
                    + " bytes and says that " + size + " of them are its array");
        }
        int[] units = new int[(int) (size / 4)];
        for (int i = 0; i < units.length; i++) {
            units[i] = word(bytes, 4 + 4 * i);
        }
        byte[] values = Arrays.copyOfRange(bytes, 4 + (int) size, bytes.length);
        if (values.length > 0 && values[values.length - 1] != 0) {
            throw new ModelFormatException(key + " is no character map: its last value has no end");
        }
        return new CharacterMap(units, values);
    }

    private static int word(byte[] bytes, int at) {
        return bytes[at] & 0xFF
                | (bytes[at + 1] & 0xFF) << 8
                | (bytes[at + 2] & 0xFF) << 16
                | (bytes[at + 3] & 0xFF) << 24;
    }

    /** Appends what the beginning of {@code text[from, to)} becomes; where the rest begins. */
    int next(byte[] text, int from, int to, ByteList out) {
        int keyEnd = from;
        int value = -1;
        int node = units.length > 0 ? offset(units[0]) : units.length;
        for (int at = from; at < to && text[at] != 0; at++) {
            node ^= text[at] & 0xFF;
            // A damaged map leads anywhere: what lies outside matches nothing.
            if (node < 0 || node >= units.length || (units[node] & 0x800000FF) != (text[at] & 0xFF)) {
                break;
            }
            int unit = units[node];
            node ^= offset(unit);
            if ((unit >> 8 & 1) != 0 && node >= 0 && node < units.length) {
                keyEnd = at + 1;
                value = units[node] & 0x7FFFFFFF;
            }
        }
        if (keyEnd > from && value < values.length) {
            int end = value;
            while (values[end] != 0) {
                end++;
            }
            out.addAll(values, value, end);
            return keyEnd;
        }
        int length = Utf8.length(text, from, to);
        if (length == 1 && text[from] < 0) {
            out.addAll(REPLACEMENT);
        } else {
            out.addAll(text, from, from + length);
        }
        return from + length;
    }

    private static int offset(int unit) {
        return unit >>> 10 << ((unit & 1 << 9) >> 6);
    }
}
