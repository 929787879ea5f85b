package dev.reprise.chat;

import java.util.Map;

/** What a JSON schema demands of a text that has no JSON around it, as regular expressions of llguidance. */
final class TextPattern {
    private static final String DATE = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
    private static final String TIME =
            "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-7]):[0-5][0-9])";
    private static final Map<String, String> FORMATS = Map.of(
            "date", DATE, "time", TIME, "date-time", DATE + "T" + TIME,
            "uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "uri", "[a-z][a-z0-9+.-]*:[A-Za-z0-9\\/._~?#@!$&*+,;=%-]+",
            "email", "[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)+",
            "hostname", "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
            "ipv4", "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}",
            "duration", "P([0-9]+W|([0-9]+D)(T[0-9]+[HMS])?|T[0-9]+[HMS])");

    private TextPattern() {}

    /** Whether a schema of a text demands more than that it is one. */
    static boolean isDemanding(Map<?, ?> schema) {
        return schema.containsKey("format") || schema.containsKey("pattern") || schema.containsKey("minLength")
                || schema.containsKey("maxLength");
    }

    /**
     * A terminal of a grammar: texts of characters of a class that obey the schema.
     *
     * @throws UnsupportedOperationException if the schema has a format or a pattern that cannot be told so
     */
    static String terminal(Map<?, ?> schema, String characterClass) {
        StringBuilder terminal = new StringBuilder("/" + characterClass + bounds(schema) + "/");
        if (schema.get("format") instanceof String format) {
            String regex = FORMATS.get(format);
            if (regex == null) {
                throw refused("format", format);
            }
            terminal.append(" & /").append(regex).append('/');
        }
        if (schema.get("pattern") instanceof String pattern) {
            terminal.append(" & /").append(whole(pattern)).append('/');
        }
        return terminal.toString();
    }

    private static String bounds(Map<?, ?> schema) {
        return repetition(schema.get("minLength"), schema.get("maxLength"));
    }

    /** How often something comes, as regular expressions and rules both write it. */
    static String repetition(Object least, Object most) {
        boolean bounded = least instanceof Number || most instanceof Number;
        return bounded ? "{" + (least instanceof Number ? least : 0) + "," + (most instanceof Number ? most : "") + "}"
                : "*";
    }

    /** A pattern is found anywhere in a text unless it is anchored; anchors within it have no such form. */
    private static String whole(String pattern) {
        boolean begins = pattern.startsWith("^");
        boolean ends = pattern.endsWith("$") && !pattern.endsWith("\\$");
        String inner = pattern.substring(begins ? 1 : 0, pattern.length() - (ends ? 1 : 0));
        if (inner.matches("(?s).*(?<![\\\\\\[])[\\^$\\n].*")) {
            throw refused("pattern", pattern);
        }
        return (begins ? "" : "(?s:.*)") + "(" + inner.replaceAll("(?<!\\\\)/", "\\\\/") + ")"
                + (ends ? "" : "(?s:.*)");
    }

    private static UnsupportedOperationException refused(String keyword, String value) {
        return new UnsupportedOperationException("a call in this template's notation cannot be forced to obey the "
                + keyword + " " + value);
    }
}
