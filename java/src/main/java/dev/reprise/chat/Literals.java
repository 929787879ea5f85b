package dev.reprise.chat;

/**
 * Finds and compares the fixed texts of a format. White space counts little: models and templates differ in it, so a
 * run of it in a fixed text matches any run, or none.
 */
final class Literals {
    /** The text ends before the comparison is decided. */
    static final int MORE = -1;
    /** It does not match. */
    static final int NO = -2;

    private Literals() {}

    /**
     * Where a fixed text that stands at a place ends, or {@link #MORE} or {@link #NO}. Space in front of it is passed
     * over.
     */
    static int match(CharSequence text, int from, String literal) {
        int at = skipSpace(text, from);
        for (int i = 0; i < literal.length(); i++) {
            char c = literal.charAt(i);
            if (Character.isWhitespace(c)) {
                continue;
            }
            if (i > 0 && Character.isWhitespace(literal.charAt(i - 1))) {
                at = skipSpace(text, at);
            }
            if (at == text.length()) {
                return MORE;
            }
            if (text.charAt(at) != c) {
                return NO;
            }
            at++;
        }
        return at;
    }

    static int skipSpace(CharSequence text, int from) {
        int at = from;
        while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
            at++;
        }
        return at;
    }

    /**
     * Where {@code text} could be the beginning of {@code marker}: the start of its longest such end, or its length.
     */
    static int partialEnd(CharSequence text, int from, String marker) {
        for (int start = Math.max(from, text.length() - marker.length() + 1); start < text.length(); start++) {
            if (isPrefix(text, start, marker)) {
                return start;
            }
        }
        return text.length();
    }

    private static boolean isPrefix(CharSequence text, int start, String marker) {
        for (int i = start; i < text.length(); i++) {
            if (text.charAt(i) != marker.charAt(i - start)) {
                return false;
            }
        }
        return true;
    }

    static int indexOf(StringBuilder text, String marker, int from) {
        return text.indexOf(marker, from);
    }

    /** How long two texts are equal from their starts. */
    static int commonPrefix(String a, String b) {
        int i = 0;
        while (i < a.length() && i < b.length() && a.charAt(i) == b.charAt(i)) {
            i++;
        }
        return i;
    }

    /**
     * The equal beginning of two texts, cut where neither has begun a tag or a token in brackets that it then differs
     * in.
     */
    static String commonStart(String a, String b) {
        int length = commonPrefix(a, b);
        if (length == a.length() && length == b.length()) {
            return a;
        }
        String start = a.substring(0, length);
        int cut = start.length();
        for (char[] pair : new char[][] {{'<', '>'}, {'[', ']'}}) {
            int open = start.lastIndexOf(pair[0]);
            if (open >= 0 && start.indexOf(pair[1], open) < 0 && start.indexOf(' ', open) < 0) {
                cut = Math.min(cut, open);
            }
        }
        return start.substring(0, cut);
    }

    /** A text without white space at its end. */
    static String stripEnd(CharSequence text) {
        return text.toString().stripTrailing();
    }
}
