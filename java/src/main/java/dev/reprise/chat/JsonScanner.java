package dev.reprise.chat;

/** Finds the end of a JSON value in a text that is still growing. */
final class JsonScanner {
    private int at;
    private int depth;
    private boolean inString;
    private boolean escaped;
    private boolean ended;
    private boolean malformed;

    JsonScanner(int from) {
        at = from;
    }

    /** Goes on to the end of the text, or to that of the value, which begins with a bracket or a quote. */
    void advance(CharSequence text) {
        while (at < text.length() && !ended && !malformed) {
            char c = text.charAt(at++);
            if (inString) {
                if (escaped) {
                    escaped = false;
                } else if (c == '\\') {
                    escaped = true;
                } else if (c == '"') {
                    inString = false;
                    ended = depth == 0;
                }
            } else if (c == '"') {
                inString = true;
            } else if (c == '{' || c == '[') {
                depth++;
            } else if (c == '}' || c == ']') {
                depth--;
                ended = depth == 0;
                malformed = depth < 0;
            } else if (depth == 0 && !Character.isWhitespace(c)) {
                malformed = true;
            }
        }
    }

    boolean ended() {
        return ended;
    }

    boolean malformed() {
        return malformed;
    }

    /** How far it has come: behind the value if that has ended. */
    int position() {
        return at;
    }
}
