package dev.reprise;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/**
 * Decodes ids that arrive one at a time. Text comes out as soon as it is whole: a character spread over several tokens
 * is held back until its last byte, and what cannot become a character is U+FFFD. The pieces together are what decoding
 * all bytes at once would give.
 *
 * <p>{@link TokenType#CONTROL} and {@link TokenType#UNKNOWN} tokens and those that end a generation give no text,
 * unless {@link Tokenizer#newStreamDecoder(boolean)} was asked for it. Belongs to one stream and one thread at a time.
 */
public final class StreamDecoder {
    /** The most bytes of a UTF-8 sequence that can be waiting for the rest. */
    private static final int MAX_PENDING = 3;

    private final Tokenizer tokenizer;
    private final boolean showSpecial;
    private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
            .onMalformedInput(CodingErrorAction.REPLACE)
            .onUnmappableCharacter(CodingErrorAction.REPLACE);
    private final byte[] pending = new byte[MAX_PENDING];
    private int pendingCount;

    StreamDecoder(Tokenizer tokenizer, boolean showSpecial) {
        this.tokenizer = tokenizer;
        this.showSpecial = showSpecial;
    }

    /**
     * The text that this token completes; empty if there is none.
     *
     * @throws IllegalArgumentException if the id is not in the vocabulary
     */
    public String append(int id) {
        if (pendingCount > 0) {
            return decode(id);
        }
        String text = tokenizer.knownText(id);
        if (showSpecial && tokenizer.isSpecial(id)) {
            return decode(id);  // what is known is that it gives no text
        }
        if (text == null) {
            text = decode(id);
            if (pendingCount == 0) {
                tokenizer.keepText(id, text);
            }
        }
        return text;
    }

    private String decode(int id) {
        if (!showSpecial && tokenizer.isSpecial(id)) {
            return "";
        }
        byte[] bytes = tokenizer.tokenBytes(id);
        return pendingCount == 0 && isAscii(bytes)
                ? new String(bytes, StandardCharsets.US_ASCII)
                : decode(bytes, false);
    }

    private static boolean isAscii(byte[] bytes) {
        for (byte b : bytes) {
            if (b < 0) {
                return false;
            }
        }
        return true;
    }

    /** The text left at the end: U+FFFD if a character was left incomplete, else empty. The decoder starts afresh. */
    public String finish() {
        String rest = decode(new byte[0], true);
        decoder.reset();
        return rest;
    }

    private String decode(byte[] bytes, boolean last) {
        ByteBuffer in = ByteBuffer.allocate(pendingCount + bytes.length);
        in.put(pending, 0, pendingCount).put(bytes).flip();
        // UTF-8 never has more UTF-16 units than bytes.
        CharBuffer out = CharBuffer.allocate(in.remaining());
        decoder.decode(in, out, last);
        if (last) {
            decoder.flush(out);
        }
        pendingCount = in.remaining();
        in.get(pending, 0, pendingCount);
        return out.flip().toString();
    }
}
