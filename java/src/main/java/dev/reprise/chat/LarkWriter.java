package dev.reprise.chat;

import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Collects the rules of a grammar in the Lark-like notation of llguidance, and writes texts in it. */
final class LarkWriter {
    /** Control tokens by their text, the longest first. */
    private final Map<String, Integer> special = new TreeMap<>(
            Comparator.comparingInt(String::length).reversed().thenComparing(Comparator.naturalOrder()));
    private final StringBuilder rules = new StringBuilder();
    private int nRules;

    LarkWriter(Map<String, Integer> special) {
        this.special.putAll(special);
    }

    /** All that were written, a line each. */
    String rules() {
        return rules.toString();
    }

    /** The texts of control tokens, the longest first. */
    Set<String> tokens() {
        return special.keySet();
    }

    /** A new rule of this right side; its name. */
    String rule(String right) {
        String name = "r" + nRules++;
        rules.append(name).append(": ").append(right).append('\n');
        return name;
    }

    /** A rule that is a lexeme. */
    String terminal(String right) {
        String name = "T" + nRules++;
        rules.append(name).append(": ").append(right).append('\n');
        return name;
    }

    /** A fixed text: control tokens in it as such. */
    String literal(String text) {
        List<String> parts = new ArrayList<>();
        StringBuilder plain = new StringBuilder();
        int at = 0;
        while (at < text.length()) {
            String token = tokenAt(text, at);
            if (token == null) {
                plain.append(text.charAt(at++));
                continue;
            }
            if (plain.length() > 0) {
                parts.add(quote(plain.toString()));
                plain.setLength(0);
            }
            parts.add("<[" + special.get(token) + "]>");
            at += token.length();
        }
        if (plain.length() > 0) {
            parts.add(quote(plain.toString()));
        }
        return parts.isEmpty() ? "\"\"" : String.join(" ", parts);
    }

    private String tokenAt(String text, int at) {
        for (String token : special.keySet()) {
            if (text.startsWith(token, at)) {
                return token;
            }
        }
        return null;
    }

    static String quote(String text) {
        StringBuilder quoted = new StringBuilder();
        Json.quote(text, quoted);
        return quoted.toString();
    }

    /** The first character, as it stands between brackets of a regular expression. */
    static String first(String text) {
        return "\\x{" + Integer.toHexString(text.codePointAt(0)) + "}";
    }

    static String regexQuote(String text) {
        StringBuilder quoted = new StringBuilder();
        text.codePoints().forEach(c -> quoted.append("\\x{").append(Integer.toHexString(c)).append('}'));
        return quoted.toString();
    }
}
