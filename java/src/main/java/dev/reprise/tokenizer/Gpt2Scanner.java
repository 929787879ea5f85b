package dev.reprise.tokenizer;

/**
 * The pre-tokenizer of GPT-2:
 *
 * <pre>{@code 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+}</pre>
 *
 * SmolLM cuts the text around every {@code \p{N}} first and applies the expression to each piece by itself: a number is
 * a word of one character, and stands like the end of the text for the white space before it.
 */
final class Gpt2Scanner extends Scanner {
    private final boolean singleDigits;

    Gpt2Scanner(boolean singleDigits) {
        this.singleDigits = singleDigits;
    }

    @Override
    int next(byte[] text, int from, int end) {
        byte first = text[from];
        if (first == '\'') {
            int length = contraction(text, from, end, false);
            if (length > 0) {
                return from + length;
            }
        }
        int body = first == ' ' && from + 1 < end ? from + 1 : from;
        int c = CodePoints.at(text, body, end);
        int after = body + CodePoints.lengthOf(c);
        switch (CodePoints.classOf(c)) {
            case CodePoints.LETTER:
                return run(CodePoints.LETTER, text, after, end);
            case CodePoints.NUMBER:
                if (singleDigits) {
                    return body > from ? body : after;
                }
                return run(CodePoints.NUMBER, text, after, end);
            case CodePoints.SPACE:
                return spaces(text, from, end);
            default:
                return othersRun(text, after, end);
        }
    }

    private int spaces(byte[] text, int from, int end) {
        int at = run(CodePoints.SPACE, text, from, end);
        if (at == end || singleDigits && CodePoints.classOf(CodePoints.at(text, at, end)) == CodePoints.NUMBER) {
            return at;
        }
        int last = lastSpace(text, from, at);
        return last > from ? last : at;
    }
}
