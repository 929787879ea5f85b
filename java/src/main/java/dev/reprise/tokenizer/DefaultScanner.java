package dev.reprise.tokenizer;

/**
 * The pre-tokenizer of files that name none or {@code default}. Four expressions, each applied to the pieces that the
 * one before it has left:
 *
 * <pre>{@code
 * [\p{P}$+<=>^~|]+
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)
 * \p{N}+
 * [0-9][0-9][0-9]
 * }</pre>
 *
 * The apostrophe falls to the first, so contractions never match; punctuation stands like the end of the text for the
 * white space before it.
 */
final class DefaultScanner extends Scanner {
    @Override
    int next(byte[] text, int from, int end) {
        int c = CodePoints.at(text, from, end);
        int after = from + CodePoints.lengthOf(c);
        if (CodePoints.classOf(c) == CodePoints.PUNCTUATION) {
            return run(CodePoints.PUNCTUATION, text, after, end);
        }
        if (CodePoints.classOf(c) == CodePoints.NUMBER) {
            return numbers(text, from, end);
        }
        if (text[from] == ' ' && after < end) {
            int nextClass = CodePoints.classOf(CodePoints.at(text, after, end));
            switch (nextClass) {
                case CodePoints.LETTER, CodePoints.OTHER:
                    return run(nextClass, text, after, end);
                case CodePoints.NUMBER:
                    return after;
                default:
                    return spaces(text, from, end);
            }
        }
        return CodePoints.classOf(c) == CodePoints.SPACE
                ? spaces(text, from, end)
                : run(CodePoints.classOf(c), text, after, end);
    }

    private static int spaces(byte[] text, int from, int end) {
        int at = run(CodePoints.SPACE, text, from, end);
        if (at == end || CodePoints.classOf(CodePoints.at(text, at, end)) == CodePoints.PUNCTUATION) {
            return at;
        }
        int last = lastSpace(text, from, at);
        return last > from ? last : at;
    }

    /** Three ASCII digits, or what comes before the next three of them, or the rest of the run. */
    private static int numbers(byte[] text, int from, int end) {
        int ascii = 0;
        int at = from;
        while (at < end) {
            int c = CodePoints.at(text, at, end);
            if (CodePoints.classOf(c) != CodePoints.NUMBER) {
                break;
            }
            at += CodePoints.lengthOf(c);
            ascii = CodePoints.lengthOf(c) == 1 ? ascii + 1 : 0;
            if (ascii == 3) {
                return at - 3 > from ? at - 3 : at;
            }
        }
        return at;
    }
}
