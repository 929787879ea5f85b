package dev.reprise.json;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON (RFC 8259) into {@link Map}, {@link List}, {@link String}, numbers, {@link Boolean} and null, and writes
 * them. Integers are {@link Long}, beyond its range {@link BigInteger}; other numbers are {@link Double}, beyond its
 * range {@link BigDecimal}. Numbers of more than 1,000 characters are refused.
 */
public final class Json {
    /** Deeper values are refused rather than overflowing the stack. */
    private static final int MAX_DEPTH = 500;
    /** The time to read a number grows with the square of its length. */
    private static final int MAX_NUMBER = 1000;

    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    /**
     * The value of a JSON text.
     *
     * @throws IllegalArgumentException if it is malformed; the message says where
     */
    public static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value();
        json.skipSpace();
        if (json.at != text.length()) {
            throw json.expected("the end");
        }
        return value;
    }

    /** JSON text, to be written as it is. */
    public record Raw(String text) {}

    /**
     * The compact JSON text of a value: maps with string keys, iterables, strings, numbers, booleans, null and
     * {@link Raw}.
     *
     * @throws IllegalArgumentException if there is another value in it, or a number that is not finite
     */
    public static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(value, out);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out) {
        if (value instanceof CharSequence text) {
            quote(text.toString(), out);
        } else if (value instanceof Raw raw) {
            out.append(raw.text());
        } else if (value instanceof Map<?, ?> map) {
            out.append('{');
            String separator = "";
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                out.append(separator);
                quote((String) entry.getKey(), out);
                write(entry.getValue(), out.append(':'));
                separator = ",";
            }
            out.append('}');
        } else if (value instanceof Iterable<?> values) {
            out.append('[');
            String separator = "";
            for (Object element : values) {
                write(element, out.append(separator));
                separator = ",";
            }
            out.append(']');
        } else if (value == null || value instanceof Boolean || isFinite(value)) {
            out.append(value);
        } else {
            throw new IllegalArgumentException("JSON: " + value + " of type " + value.getClass().getName()
                    + " has no form");
        }
    }

    private static boolean isFinite(Object value) {
        return value instanceof BigInteger || value instanceof BigDecimal
                || value instanceof Number number && Double.isFinite(number.doubleValue());
    }

    /** Appends a string in quotes. */
    public static void quote(String value, StringBuilder out) {
        out.append('"');
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    if (c < ' ' || Character.isSurrogate(c) && !isPaired(value, i)) {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }

    private static boolean isPaired(String value, int i) {
        return Character.isHighSurrogate(value.charAt(i))
                ? i + 1 < value.length() && Character.isLowSurrogate(value.charAt(i + 1))
                : i > 0 && Character.isHighSurrogate(value.charAt(i - 1));
    }

    private Object value() {
        skipSpace();
        return switch (peek()) {
            case '{' -> object();
            case '[' -> array();
            case '"' -> string();
            case 't' -> word("true", true);
            case 'f' -> word("false", false);
            case 'n' -> word("null", null);
            default -> number();
        };
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw expected("a value");
        }
        at += word.length();
        return value;
    }

    private Map<String, Object> object() {
        Map<String, Object> result = new LinkedHashMap<>();
        open();
        while (!closes('}', result.isEmpty())) {
            skipSpace();
            String key = string();
            skipSpace();
            expect(':');
            result.put(key, value());
        }
        return result;
    }

    private List<Object> array() {
        List<Object> result = new ArrayList<>();
        open();
        while (!closes(']', result.isEmpty())) {
            result.add(value());
        }
        return result;
    }

    private void open() {
        at++;
        if (++depth > MAX_DEPTH) {
            throw expected("at most " + MAX_DEPTH + " levels");
        }
    }

    /** Past the end of the array or object, or past the comma before its next element. */
    private boolean closes(char end, boolean first) {
        skipSpace();
        if (peek() == end) {
            at++;
            depth--;
            return true;
        }
        if (!first) {
            expect(',');
        }
        return false;
    }

    private String string() {
        expect('"');
        StringBuilder out = new StringBuilder();
        while (peek() != '"') {
            char c = text.charAt(at);
            if (c < ' ') {
                throw expected("a string without control characters");
            }
            at++;
            out.append(c == '\\' ? escaped() : c);
        }
        at++;
        return out.toString();
    }

    private char escaped() {
        char c = peek();
        at++;
        return switch (c) {
            case '"', '\\', '/' -> c;
            case 'n' -> '\n';
            case 't' -> '\t';
            case 'r' -> '\r';
            case 'b' -> '\b';
            case 'f' -> '\f';
            case 'u' -> hex();
            default -> {
                at--;
                throw expected("an escape");
            }
        };
    }

    private char hex() {
        int code = 0;
        for (int i = 0; i < 4; i++) {
            int digit = Character.digit(peek(), 16);
            if (digit < 0 || peek() > 'f') {
                throw expected("a hexadecimal digit");
            }
            code = code << 4 | digit;
            at++;
        }
        return (char) code;
    }

    private Number number() {
        int start = at;
        accept('-');
        if (!accept('0')) {
            digits();
        }
        boolean integer = true;
        if (accept('.')) {
            digits();
            integer = false;
        }
        if (accept('e') || accept('E')) {
            if (!accept('+')) {
                accept('-');
            }
            digits();
            integer = false;
        }
        String number = text.substring(start, at);
        if (number.length() > MAX_NUMBER) {
            at = start;
            throw expected("a number of at most " + MAX_NUMBER + " characters");
        } else if (integer) {
            BigInteger value = new BigInteger(number);
            return value.bitLength() < Long.SIZE ? (Number) value.longValue() : value;
        }
        Double value = Double.valueOf(number);
        return value.isInfinite() ? (Number) exact(number, start) : value;
    }

    private BigDecimal exact(String number, int start) {
        try {
            return new BigDecimal(number);
        } catch (NumberFormatException e) {
            at = start;
            throw expected("a number whose exponent has at most nine digits");
        }
    }

    private void digits() {
        int start = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        if (at == start) {
            throw expected("a value");
        }
    }

    private boolean accept(char c) {
        boolean there = at < text.length() && text.charAt(at) == c;
        if (there) {
            at++;
        }
        return there;
    }

    private void expect(char c) {
        if (!accept(c)) {
            throw expected("'" + c + "'");
        }
    }

    private char peek() {
        if (at >= text.length()) {
            throw expected("more");
        }
        return text.charAt(at);
    }

    private void skipSpace() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private IllegalArgumentException expected(String what) {
        return new IllegalArgumentException("JSON: expected " + what + " at character " + at);
    }
}
