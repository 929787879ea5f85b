package dev.reprise.tokenizer;

import dev.reprise.ModelFormatException;
import dev.reprise.TokenType;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** BPE over characters: spaces are written as U+2581, and a symbol that is no token becomes its bytes. */
abstract class CharacterBpeModel extends TokenModel implements PairMerger.Ranks {
    /** U+2581 LOWER ONE EIGHTH BLOCK. */
    static final byte[] SPACE = {(byte) 0xE2, (byte) 0x96, (byte) 0x81};

    final Vocabulary vocabulary;
    final boolean spacePrefix;
    /** The token of every byte; -1: it is left out. */
    final int[] byteTokens = new int[256];

    /** The tokens of bytes are the constructor's to find. */
    CharacterBpeModel(Vocabulary vocabulary, boolean spacePrefix) {
        this.vocabulary = vocabulary;
        this.spacePrefix = spacePrefix;
    }

    /** Rather than when one is decoded, in the middle of a generation. */
    final void checkByteTokens() {
        for (int id = 0; id < vocabulary.size(); id++) {
            if (vocabulary.type(id) == TokenType.BYTE) {
                byteValue(id, vocabulary.text(id));
            }
        }
    }

    @Override
    public boolean addsSpacePrefix() {
        return spacePrefix;
    }

    @Override
    void encodeWord(byte[] text, int from, int to, PairMerger merger, IntList ids) {
        merger.clear();
        for (int at = from; at < to; ) {
            int end = at + Utf8.length(text, at, to);
            merger.add(at, TextHash.of(text, at, end));
            at = end;
        }
        merger.merge(text, to, this);
        for (int symbol = merger.first(); symbol != merger.end(); symbol = merger.next(symbol)) {
            int start = merger.start(symbol);
            int end = merger.start(merger.next(symbol));
            int id = vocabulary.index.find(text, start, end, merger.hash(symbol));
            if (id != TextIndex.NONE) {
                ids.add(id);
                continue;
            }
            for (int i = start; i < end; i++) {
                int token = byteTokens[text[i] & 0xFF];
                if (token >= 0) {
                    ids.add(token);
                }
            }
        }
    }

    @Override
    public byte[] bytes(int id) {
        byte[] text = vocabulary.text(id);
        return switch (vocabulary.type(id)) {
            case NORMAL, UNUSED -> unescape(text);
            case BYTE -> new byte[] {byteValue(id, text)};
            default -> text;
        };
    }

    /** How a vocabulary spells the token of a byte. */
    static byte[] spell(int b) {
        String digits = "0123456789ABCDEF";
        return new byte[] {'<', '0', 'x', (byte) digits.charAt(b >> 4), (byte) digits.charAt(b & 15), '>'};
    }

    /** {@code text[from, to)} with U+2581 for every space and, where there is a prefix, before it. */
    static byte[] escape(byte[] text, int from, int to, boolean prefix) {
        int spaces = prefix ? 1 : 0;
        for (int i = from; i < to; i++) {
            if (text[i] == ' ') {
                spaces++;
            }
        }
        int growth = (SPACE.length - 1) * spaces + (prefix ? 1 : 0);
        byte[] escaped = new byte[Math.addExact(to - from, growth)];
        int at = 0;
        if (prefix) {
            at = putSpace(escaped, at);
        }
        for (int i = from; i < to; i++) {
            if (text[i] == ' ') {
                at = putSpace(escaped, at);
            } else {
                escaped[at++] = text[i];
            }
        }
        return escaped;
    }

    private static int putSpace(byte[] out, int at) {
        out[at] = SPACE[0];
        out[at + 1] = SPACE[1];
        out[at + 2] = SPACE[2];
        return at + SPACE.length;
    }

    static boolean isSpace(byte[] text, int at) {
        return text[at] == SPACE[0] && text[at + 1] == SPACE[1] && text[at + 2] == SPACE[2];
    }

    /** Spaces for every U+2581. */
    static byte[] unescape(byte[] text) {
        int length = 0;
        for (int at = 0; at < text.length; ) {
            if (at <= text.length - SPACE.length && isSpace(text, at)) {
                text[length++] = ' ';
                at += SPACE.length;
            } else {
                text[length++] = text[at++];
            }
        }
        return Arrays.copyOf(text, length);
    }

    /** The byte that the spelling of a token of type BYTE stands for. */
    static byte byteValue(int id, byte[] text) {
        if (text.length == 6 && text[0] == '<' && text[1] == '0' && text[2] == 'x' && text[5] == '>') {
            int high = Character.digit(text[3], 16);
            int low = Character.digit(text[4], 16);
            if (high >= 0 && low >= 0) {
                return (byte) (high << 4 | low);
            }
        }
        throw new ModelFormatException("token " + id + " is of type BYTE but spelled '"
                + new String(text, StandardCharsets.UTF_8) + "', not <0xNN>");
    }
}
