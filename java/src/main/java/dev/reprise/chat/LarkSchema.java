package dev.reprise.chat;

import dev.reprise.json.Json;
import java.util.LinkedHashMap;
import java.util.Map;

/** JSON schemas as the right sides of rules, in the Lark-like notation of llguidance. */
public final class LarkSchema {
    private static final String OPTIONS = "x-guidance";

    private LarkSchema() {}

    /** JSON without white space. */
    public static String compact(Map<?, ?> schema) {
        return rule(schema, Map.of("whitespace_flexible", false));
    }

    /** JSON as the tojson of templates writes it, so that it is the same tokens where the next turn renders it. */
    static String spaced(Map<?, ?> schema) {
        return rule(schema, Map.of("whitespace_flexible", false, "key_separator", ": ", "item_separator", ", "));
    }

    private static String rule(Map<?, ?> schema, Map<String, Object> whiteSpace) {
        Map<String, Object> copy = new LinkedHashMap<>();
        schema.forEach((key, value) -> copy.put((String) key, value));
        copy.put(OPTIONS, whiteSpace);
        return "%json " + Json.write(copy);
    }
}
