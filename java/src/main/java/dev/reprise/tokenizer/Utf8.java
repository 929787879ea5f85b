package dev.reprise.tokenizer;

import java.util.Arrays;

/** Text as UTF-8 bytes. */
public final class Utf8 {
    /** The longest array that every JVM can allocate. */
    private static final int MAX_ARRAY = Integer.MAX_VALUE - 8;

    private Utf8() {}

    /**
     * The UTF-8 bytes of {@code text}; an unpaired surrogate, which has none, becomes U+FFFD.
     *
     * @throws IllegalArgumentException if they do not fit into an array
     */
    public static byte[] encode(CharSequence text) {
        int length = text.length();
        byte[] out = new byte[length + 16];
        int at = 0;
        for (int i = 0; i < length; i++) {
            if (out.length - at < 4) {
                out = grow(out, at + 3L * (length - i) + 4);
            }
            char c = text.charAt(i);
            if (c < 0x80) {
                out[at++] = (byte) c;
                continue;
            }
            int codePoint = c;
            if (Character.isSurrogate(c)) {
                if (Character.isHighSurrogate(c) && i + 1 < length && Character.isLowSurrogate(text.charAt(i + 1))) {
                    codePoint = Character.toCodePoint(c, text.charAt(++i));
                } else {
                    codePoint = 0xFFFD;
                }
            }
            at = put(out, at, codePoint);
        }
        return at == out.length ? out : Arrays.copyOf(out, at);
    }

    /**
     * @param most the capacity that suffices for the whole text: three bytes per UTF-16 unit are the most there can be
     */
    private static byte[] grow(byte[] out, long most) {
        if (out.length == MAX_ARRAY) {
            throw new IllegalArgumentException("the text takes more than 2 GiB as UTF-8; encode it in parts");
        }
        return Arrays.copyOf(out, (int) Math.min(most, Math.min(2L * out.length, MAX_ARRAY)));
    }

    /** Writes one code point and returns the position behind it. */
    static int put(byte[] out, int at, int codePoint) {
        if (codePoint < 0x80) {
            out[at] = (byte) codePoint;
            return at + 1;
        }
        if (codePoint < 0x800) {
            out[at] = (byte) (0xC0 | codePoint >> 6);
            out[at + 1] = (byte) (0x80 | codePoint & 0x3F);
            return at + 2;
        }
        if (codePoint < 0x10000) {
            out[at] = (byte) (0xE0 | codePoint >> 12);
            out[at + 1] = (byte) (0x80 | codePoint >> 6 & 0x3F);
            out[at + 2] = (byte) (0x80 | codePoint & 0x3F);
            return at + 3;
        }
        out[at] = (byte) (0xF0 | codePoint >> 18);
        out[at + 1] = (byte) (0x80 | codePoint >> 12 & 0x3F);
        out[at + 2] = (byte) (0x80 | codePoint >> 6 & 0x3F);
        out[at + 3] = (byte) (0x80 | codePoint & 0x3F);
        return at + 4;
    }

    /**
     * Bytes of the code point that starts at {@code at}, by its first byte. A stray continuation byte, or a sequence
     * that {@code end} cuts off, counts as one byte: a special token may have been cut out of the middle of a
     * character.
     */
    static int length(byte[] text, int at, int end) {
        int first = text[at];
        if (first >= 0) {
            return 1;
        }
        int length = first < (byte) 0xC0 ? 1 : first < (byte) 0xE0 ? 2 : first < (byte) 0xF0 ? 3 : 4;
        return length <= end - at ? length : 1;
    }

    /** The code point of the {@code length} bytes at {@code at}, or U+FFFD for a byte that is none by itself. */
    static int codePoint(byte[] text, int at, int length) {
        int first = text[at];
        return switch (length) {
            case 1 -> first >= 0 ? first : 0xFFFD;
            case 2 -> (first & 0x1F) << 6 | text[at + 1] & 0x3F;
            case 3 -> (first & 0x0F) << 12 | (text[at + 1] & 0x3F) << 6 | text[at + 2] & 0x3F;
            default -> (first & 0x07) << 18
                    | (text[at + 1] & 0x3F) << 12
                    | (text[at + 2] & 0x3F) << 6
                    | text[at + 3] & 0x3F;
        };
    }
}
