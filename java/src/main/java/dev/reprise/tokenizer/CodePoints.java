package dev.reprise.tokenizer;

/**
 * The classes of code points that pre-tokenizers tell apart. A lookup gives the class and the length of the UTF-8
 * sequence in one int, so that a scanner touches each character once.
 */
final class CodePoints {
    /** General category L. */
    static final int LETTER = 0;
    /** General category N. */
    static final int NUMBER = 1;
    /** The property White_Space. */
    static final int SPACE = 2;
    /** Whatever the others are not: marks, most symbols, control characters, unassigned code points. */
    static final int OTHER = 3;
    /** General category P and {@code $ + < = > ^ ~ |}; for most pre-tokenizers the same as {@link #OTHER}. */
    static final int PUNCTUATION = 4;

    private static final int CLASS_BITS = 3;
    private static final int CLASS_MASK = (1 << CLASS_BITS) - 1;

    private static final int LETTERS = 1 << Character.UPPERCASE_LETTER | 1 << Character.LOWERCASE_LETTER
            | 1 << Character.TITLECASE_LETTER | 1 << Character.MODIFIER_LETTER | 1 << Character.OTHER_LETTER;
    private static final int NUMBERS =
            1 << Character.DECIMAL_DIGIT_NUMBER | 1 << Character.LETTER_NUMBER | 1 << Character.OTHER_NUMBER;
    private static final int SPACES =
            1 << Character.SPACE_SEPARATOR | 1 << Character.LINE_SEPARATOR | 1 << Character.PARAGRAPH_SEPARATOR;
    private static final int PUNCTUATIONS = 1 << Character.DASH_PUNCTUATION | 1 << Character.START_PUNCTUATION
            | 1 << Character.END_PUNCTUATION | 1 << Character.CONNECTOR_PUNCTUATION | 1 << Character.OTHER_PUNCTUATION
            | 1 << Character.INITIAL_QUOTE_PUNCTUATION | 1 << Character.FINAL_QUOTE_PUNCTUATION;

    private static final byte[] ASCII = new byte[128];

    static {
        for (int c = 0; c < ASCII.length; c++) {
            ASCII[c] = (byte) (classify(c) | 1 << CLASS_BITS);
        }
    }

    private CodePoints() {}

    static int classify(int codePoint) {
        int category = 1 << Character.getType(codePoint);
        if ((category & LETTERS) != 0) {
            return LETTER;
        }
        if ((category & NUMBERS) != 0) {
            return NUMBER;
        }
        if ((category & SPACES) != 0 || codePoint >= 0x09 && codePoint <= 0x0D || codePoint == 0x85) {
            return SPACE;
        }
        if ((category & PUNCTUATIONS) != 0 || codePoint < 0x80 && "$+<=>^~|".indexOf(codePoint) >= 0) {
            return PUNCTUATION;
        }
        return OTHER;
    }

    /** Class and length of the character at {@code at}, to be read by {@link #classOf} and {@link #lengthOf}. */
    static int at(byte[] text, int at, int end) {
        int first = text[at];
        return first >= 0 ? ASCII[first] : beyondAscii(text, at, end);
    }

    private static int beyondAscii(byte[] text, int at, int end) {
        int length = Utf8.length(text, at, end);
        return classify(Utf8.codePoint(text, at, length)) | length << CLASS_BITS;
    }

    static int classOf(int packed) {
        return packed & CLASS_MASK;
    }

    static int lengthOf(int packed) {
        return packed >> CLASS_BITS;
    }
}
