package dev.reprise.tokenizer;

/**
 * The pre-tokenizer of Llama 3 and Qwen 2, after OpenAI's cl100k:
 *
 * <pre>{@code
 * (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * }</pre>
 *
 * with n = 3 for Llama 3 and 1 for Qwen 2.
 */
final class TiktokenScanner extends Scanner {
    private final int maxDigits;

    TiktokenScanner(int maxDigits) {
        this.maxDigits = maxDigits;
    }

    @Override
    int next(byte[] text, int from, int end) {
        int c = CodePoints.at(text, from, end);
        int charClass = CodePoints.classOf(c);
        int after = from + CodePoints.lengthOf(c);
        if (charClass == CodePoints.LETTER) {
            return run(CodePoints.LETTER, text, after, end);
        }
        if (charClass == CodePoints.NUMBER) {
            return digits(text, after, end);
        }
        byte first = text[from];
        if (first == '\'') {
            int length = contraction(text, from, end, true);
            if (length > 0) {
                return from + length;
            }
        }
        int nextClass = after < end ? CodePoints.classOf(CodePoints.at(text, after, end)) : CodePoints.SPACE;
        if (nextClass == CodePoints.LETTER && first != '\r' && first != '\n') {
            return run(CodePoints.LETTER, text, after, end);
        }
        if (charClass >= CodePoints.OTHER || first == ' ' && nextClass >= CodePoints.OTHER) {
            int at = othersRun(text, after, end);
            while (at < end && isNewline(text[at])) {
                at++;
            }
            return at;
        }
        return spaces(text, from, end);
    }

    private int digits(byte[] text, int from, int end) {
        int at = from;
        for (int count = 1; count < maxDigits && at < end; count++) {
            int c = CodePoints.at(text, at, end);
            if (CodePoints.classOf(c) != CodePoints.NUMBER) {
                break;
            }
            at += CodePoints.lengthOf(c);
        }
        return at;
    }

    private static int spaces(byte[] text, int from, int end) {
        int at = from;
        int behindNewline = from;
        while (at < end) {
            int c = CodePoints.at(text, at, end);
            if (CodePoints.classOf(c) != CodePoints.SPACE) {
                break;
            }
            if (isNewline(text[at])) {
                behindNewline = at + 1;
            }
            at += CodePoints.lengthOf(c);
        }
        if (behindNewline > from) {
            return behindNewline;
        }
        if (at == end) {
            return at;
        }
        int last = lastSpace(text, from, at);
        return last > from ? last : at;
    }

    private static boolean isNewline(byte b) {
        return b == '\n' || b == '\r';
    }
}
