package dev.reprise.tokenizer;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A pre-tokenizer of steps, each of which cuts the pieces that the one before it has left. Behind a regular expression
 * a match is a piece, and so is what lies between two.
 */
final class ExpressionCutter extends PreTokenizer {
    /** Appends to {@code ends} where {@code text[from, to)} is cut, ascending; places may repeat. */
    interface Step {
        void cut(String text, int from, int to, IntList ends);
    }

    private final List<Step> steps;

    ExpressionCutter(Step... steps) {
        this.steps = List.of(steps);
    }

    /** The pieces of an expression, with the Unicode meaning of its classes. */
    static Step matches(String expression) {
        Pattern pattern = Pattern.compile(expression, Pattern.UNICODE_CHARACTER_CLASS);
        return (text, from, to, ends) -> {
            // A piece is all that an expression sees: its ends are those of the text.
            Matcher matcher = pattern.matcher(text).region(from, to);
            while (matcher.find()) {
                ends.add(matcher.start());
                ends.add(matcher.end());
            }
        };
    }

    @Override
    void cut(byte[] bytes, int from, int to, IntList ends) {
        Decoded text = new Decoded(bytes, from, to);
        IntList pieces = new IntList(16);
        pieces.add(text.string.length());
        for (Step step : steps) {
            IntList finer = new IntList(pieces.size());
            int start = 0;
            for (int i = 0; i < pieces.size(); i++) {
                int end = pieces.get(i);
                int before = finer.size();
                step.cut(text.string, start, end, finer);
                keepAscending(finer, before, start, end);
                start = end;
            }
            pieces = finer;
        }
        text.addByteEnds(pieces, ends);
    }

    /** Drops what does not lie behind the cut before it, and ends with the end of the piece. */
    private static void keepAscending(IntList cuts, int from, int start, int end) {
        int last = start;
        int kept = from;
        for (int i = from; i < cuts.size(); i++) {
            int cut = cuts.get(i);
            if (cut > last && cut < end) {
                cuts.set(kept++, cut);
                last = cut;
            }
        }
        cuts.truncate(kept);
        cuts.add(end);
    }

    /** A text as UTF-16; a byte that belongs to no character counts as U+FFFD. */
    private static final class Decoded {
        final String string;
        private final byte[] bytes;
        private final int from;
        private final int to;

        Decoded(byte[] bytes, int from, int to) {
            this.bytes = bytes;
            this.from = from;
            this.to = to;
            StringBuilder out = new StringBuilder(to - from);
            boolean isAscii = true;
            for (int at = from; at < to && isAscii; at++) {
                isAscii = bytes[at] >= 0;
            }
            if (isAscii) {
                string = new String(bytes, from, to - from, StandardCharsets.ISO_8859_1);
                return;
            }
            for (int at = from; at < to; ) {
                int length = Utf8.length(bytes, at, to);
                out.appendCodePoint(Utf8.codePoint(bytes, at, length));
                at += length;
            }
            string = out.toString();
        }

        /** Places in the string, ascending, become places in the bytes. */
        void addByteEnds(IntList places, IntList ends) {
            int at = 0;
            int position = from;
            for (int i = 0; i < places.size(); i++) {
                while (at < places.get(i)) {
                    int codePoint = string.codePointAt(at);
                    int length = Utf8.length(bytes, position, to);
                    at += Character.charCount(codePoint);
                    position += length;
                }
                ends.add(position);
            }
        }
    }
}
