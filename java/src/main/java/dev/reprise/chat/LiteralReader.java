package dev.reprise.chat;

import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads values as models write them where their format is not quite JSON: Python's constants and quotes, keys without
 * quotes, quotes that are tokens of their own.
 */
final class LiteralReader {
    private static final int MAX_DEPTH = 200;

    /** The text ends within the value. */
    static final class IncompleteException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        IncompleteException() {
            super("incomplete", null, false, false);
        }
    }

    /** It is no value. */
    static final class MalformedException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        MalformedException() {
            super("malformed", null, false, false);
        }
    }

    private final CharSequence text;
    /** A quote besides ' and ", or null; nothing is escaped within it. */
    private final String quote;
    /** Whether keywords' own texts are written as they are, without escapes. */
    private final boolean raw;
    private int at;
    private int depth;

    LiteralReader(CharSequence text, int from, String quote, boolean raw) {
        this.text = text;
        this.at = from;
        this.quote = quote;
        this.raw = raw;
    }

    /** Behind what was read. */
    int position() {
        return at;
    }

    Object value() {
        space();
        if (quote != null && startsWith(quote)) {
            return quoted();
        }
        char c = peek();
        if (c == '{') {
            return object();
        } else if (c == '[' || c == '(') {
            return list(c == '[' ? ']' : ')');
        } else if (c == '"' || c == '\'') {
            return string(c);
        }
        return word();
    }

    /** {@code name=value, name=value)}: behind the opening parenthesis, past the closing one. */
    Map<String, Object> keywords() {
        Map<String, Object> values = new LinkedHashMap<>();
        while (true) {
            space();
            if (peek() == ')') {
                at++;
                return values;
            }
            if (!values.isEmpty()) {
                expect(',');
                space();
                if (peek() == ')') {
                    continue;
                }
            }
            String key = name('=');
            expect('=');
            values.put(key, value());
        }
    }

    private Map<String, Object> object() {
        open();
        Map<String, Object> values = new LinkedHashMap<>();
        while (true) {
            space();
            if (peek() == '}') {
                at++;
                depth--;
                return values;
            }
            if (!values.isEmpty()) {
                expect(',');
                space();
            }
            String key;
            if (quote != null && startsWith(quote)) {
                key = quoted();
            } else if (peek() == '"' || peek() == '\'') {
                key = string(peek());
            } else {
                key = name(':');
            }
            space();
            expect(':');
            values.put(key, value());
        }
    }

    private List<Object> list(char end) {
        open();
        List<Object> values = new ArrayList<>();
        while (true) {
            space();
            if (peek() == end) {
                at++;
                depth--;
                return values;
            }
            if (!values.isEmpty()) {
                expect(',');
                space();
                if (peek() == end) {
                    continue;
                }
            }
            values.add(value());
        }
    }

    private void open() {
        at++;
        if (++depth > MAX_DEPTH) {
            throw new MalformedException();
        }
    }

    /** Up to a separator, which is left. */
    private String name(char separator) {
        int start = at;
        while (peek() != separator) {
            if (",{}[]()\n".indexOf(peek()) >= 0) {
                throw new MalformedException();
            }
            at++;
        }
        if (at == start) {
            throw new MalformedException();
        }
        return text.subSequence(start, at).toString().strip();
    }

    private String quoted() {
        int start = at + quote.length();
        String rest = text.toString();
        int end = rest.indexOf(quote, start);
        if (end < 0) {
            throw new IncompleteException();
        }
        at = end + quote.length();
        return rest.substring(start, end);
    }

    /**
     * With escapes as in JSON and Python. A quote of the same kind that nothing which could follow a value comes behind
     * is part of the text: templates do not escape it.
     */
    private String string(char mark) {
        StringBuilder out = new StringBuilder();
        at++;
        while (true) {
            char c = next();
            if (c == mark && endsHere()) {
                return out.toString();
            }
            out.append(c == '\\' && !(raw && depth == 0) ? escaped() : c);
        }
    }

    private boolean endsHere() {
        int i = Literals.skipSpace(text, at);
        if (i == text.length()) {
            throw new IncompleteException();
        }
        return ",)]}:".indexOf(text.charAt(i)) >= 0;
    }

    private String escaped() {
        char c = next();
        return switch (c) {
            case 'n' -> "\n";
            case 't' -> "\t";
            case 'r' -> "\r";
            case 'b' -> "\b";
            case 'f' -> "\f";
            case 'x' -> hex(2);
            case 'u' -> hex(4);
            case '"', '\'', '\\', '/' -> String.valueOf(c);
            default -> "\\" + c;
        };
    }

    private String hex(int digits) {
        int code = 0;
        for (int i = 0; i < digits; i++) {
            int digit = Character.digit(next(), 16);
            if (digit < 0) {
                throw new MalformedException();
            }
            code = code << 4 | digit;
        }
        return String.valueOf((char) code);
    }

    private Object word() {
        int start = at;
        while (at < text.length() && ",)]}".indexOf(text.charAt(at)) < 0 && !Character.isWhitespace(text.charAt(at))) {
            at++;
        }
        if (at == text.length()) {
            throw new IncompleteException();
        }
        return constant(text.subSequence(start, at).toString());
    }

    /** A number, a truth value or nothing. */
    static Object constant(String word) {
        switch (word) {
            case "true", "True" -> {
                return true;
            }
            case "false", "False" -> {
                return false;
            }
            case "null", "None" -> {
                return null;
            }
            default -> {
                try {
                    return Json.parse(word);
                } catch (IllegalArgumentException e) {
                    throw new MalformedException();
                }
            }
        }
    }

    private void space() {
        at = Literals.skipSpace(text, at);
    }

    private boolean startsWith(String what) {
        int available = Math.min(what.length(), text.length() - at);
        for (int i = 0; i < available; i++) {
            if (text.charAt(at + i) != what.charAt(i)) {
                return false;
            }
        }
        if (available < what.length()) {
            throw new IncompleteException();
        }
        return true;
    }

    private void expect(char c) {
        if (next() != c) {
            throw new MalformedException();
        }
    }

    private char next() {
        char c = peek();
        at++;
        return c;
    }

    private char peek() {
        if (at >= text.length()) {
            throw new IncompleteException();
        }
        return text.charAt(at);
    }
}
