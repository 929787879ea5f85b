package dev.reprise.tokenizer;

/**
 * Runs of digits in groups of three, counted from their end, as the lookaheads of some expressions have it. Those look
 * to the end of the run from each of its places, which takes the square of its length: here the run is walked once.
 */
final class DigitGroups {
    private DigitGroups() {}

    /** {@code (?=(\d{3})+(?!\d))}: cuts before groups of three, not behind the last one. */
    static void starts(String text, int from, int to, IntList ends) {
        for (int at = from; at < to; at++) {
            int end = runOfDigits(text, at, to);
            if (end > at) {
                addStarts(text, at, end, ends);
                at = end - 1;
            }
        }
    }

    /** {@code \d{1,3}(?=(?:\d{3})*\b)}: as {@link #starts} where the run ends a word, and around such a run. */
    static void beforeWordEnds(String text, int from, int to, IntList ends) {
        for (int at = from; at < to; at++) {
            int end = runOfDigits(text, at, to);
            if (end > at) {
                if (end == to || !isWordPart(text.codePointAt(end))) {
                    ends.add(at);
                    addStarts(text, at, end, ends);
                    ends.add(end);
                }
                at = end - 1;
            }
        }
    }

    /** Runs of any numbers by themselves, in groups of three from their end. */
    static void ofNumbers(String text, int from, int to, IntList ends) {
        int start = -1;
        for (int at = from; at <= to; ) {
            int codePoint = at < to ? text.codePointAt(at) : ' ';
            boolean isNumber = CodePoints.classify(codePoint) == CodePoints.NUMBER;
            if (isNumber && start < 0) {
                start = at;
            }
            if (!isNumber && start >= 0) {
                ends.add(start);
                addStarts(text, start, at, ends);
                ends.add(at);
                start = -1;
            }
            at += Character.charCount(codePoint);
        }
    }

    /** The end of the digits (general category Nd) from {@code from} on; {@code from} if there are none. */
    private static int runOfDigits(String text, int from, int to) {
        int at = from;
        while (at < to) {
            int codePoint = text.codePointAt(at);
            if (!Character.isDigit(codePoint)) {
                break;
            }
            at += Character.charCount(codePoint);
        }
        return at;
    }

    private static void addStarts(String text, int from, int to, IntList ends) {
        int count = text.codePointCount(from, to);
        int at = text.offsetByCodePoints(from, count % 3);
        for (int left = count / 3; left > 0; left--) {
            ends.add(at);
            at = text.offsetByCodePoints(at, 3);
        }
    }

    /** What {@code \w} matches. */
    private static boolean isWordPart(int codePoint) {
        int type = Character.getType(codePoint);
        return Character.isAlphabetic(codePoint)
                || type == Character.NON_SPACING_MARK
                || type == Character.ENCLOSING_MARK
                || type == Character.COMBINING_SPACING_MARK
                || type == Character.DECIMAL_DIGIT_NUMBER
                || type == Character.CONNECTOR_PUNCTUATION
                || codePoint == 0x200C
                || codePoint == 0x200D;
    }
}
