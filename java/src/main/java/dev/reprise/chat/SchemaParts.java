package dev.reprise.chat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Takes JSON schemas apart. */
final class SchemaParts {
    private SchemaParts() {}

    static List<Map.Entry<String, Map<?, ?>>> properties(Map<?, ?> schema) {
        List<Map.Entry<String, Map<?, ?>>> found = new ArrayList<>();
        if (schema.get("properties") instanceof Map<?, ?> properties) {
            properties.forEach((key, value) ->
                    found.add(Map.entry((String) key, value instanceof Map<?, ?> map ? map : Map.of())));
        }
        return found;
    }

    static boolean isRequired(Map<?, ?> schema, String name) {
        return schema.get("required") instanceof List<?> required && required.contains(name);
    }

    /** The values that a schema allows, if it counts them up; else null. */
    static List<?> fixed(Map<?, ?> schema) {
        return schema.containsKey("const") ? Collections.singletonList(schema.get("const"))
                : schema.get("enum") instanceof List<?> allowed ? allowed : null;
    }

    /** The schemas of which a value has to obey one; null if there is but this. */
    static List<Map<?, ?>> alternatives(Map<?, ?> schema) {
        List<Map<?, ?>> found = new ArrayList<>();
        if (schema.get("type") instanceof List<?> types) {
            for (Object type : types) {
                Map<Object, Object> one = new LinkedHashMap<>(schema);
                one.put("type", type);
                found.add(one);
            }
        }
        for (String key : List.of("anyOf", "oneOf")) {
            if (schema.get(key) instanceof List<?> several) {
                several.forEach(one -> found.add(one instanceof Map<?, ?> map ? map : Map.of()));
            }
        }
        return found.isEmpty() ? null : found;
    }

    static Map<?, ?> itemsOf(Map<?, ?> schema) {
        return schema.get("items") instanceof Map<?, ?> items ? items : Map.of("type", "string");
    }
}
