package dev.reprise.chat;

import dev.reprise.Tool;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Makes JSON of argument values that stand as text between tags: what type they are, the tool's schema says. */
final class TagValues {
    private final CallSyntax.Tags tags;
    /** The schema of the arguments; empty if the tool is not known. */
    private final Map<?, ?> schema;

    TagValues(CallSyntax.Tags tags, Tool tool) {
        this.tags = tags;
        schema = tool == null ? Map.of() : (Map<?, ?>) Json.parse(tool.parameters());
    }

    /** Where the text that ends a value stands; -1 if it has not come. Of nested values the own end counts. */
    int endOf(CharSequence text, int from, String key, String marker) {
        String all = text.toString();
        if (!tags.nested()) {
            return all.indexOf(marker, from);
        }
        String open = tags.open() + key + tags.keyEnd().strip();
        int depth = 1;
        int at = from;
        while (true) {
            int end = all.indexOf(marker, at);
            if (end < 0) {
                return -1;
            }
            for (int inner = all.indexOf(open, at); inner >= 0 && inner < end; inner = all.indexOf(open, inner + 1)) {
                depth++;
            }
            if (--depth == 0) {
                return end;
            }
            at = end + marker.length();
        }
    }

    /** @param plain whether the text says itself that it is no string */
    String json(String key, String raw, boolean plain) {
        Map<?, ?> property = property(schema, key);
        if (tags.plainKeyEnd() != null) {
            return plain ? notText(raw) : quoted(raw);
        }
        return tags.nested() ? Json.write(nested(raw, property)) : scalar(raw, property);
    }

    private static Map<?, ?> property(Map<?, ?> schema, String key) {
        return schema.get("properties") instanceof Map<?, ?> properties && properties.get(key) instanceof Map<?,
                ?> found
                ? found
                : Map.of();
    }

    private static String quoted(String raw) {
        StringBuilder json = new StringBuilder();
        Json.quote(raw, json);
        return json.toString();
    }

    private static String scalar(String raw, Map<?, ?> property) {
        Set<String> types = new HashSet<>();
        collectTypes(property, types);
        if (types.equals(Set.of("string"))) {
            return quoted(raw);
        }
        String json = notText(raw);
        return types.contains("string") && !types.contains(typeOf(json)) ? quoted(raw) : json;
    }

    /** JSON as it stands, or a value as Python writes it; text if it is neither. */
    private static String notText(String raw) {
        String stripped = raw.strip();
        try {
            Json.parse(stripped);
            return stripped;
        } catch (IllegalArgumentException e) {
            try {
                LiteralReader reader = new LiteralReader(stripped + ",", 0, null, false);
                Object value = reader.value();
                return reader.position() == stripped.length() ? Json.write(value) : quoted(raw);
            } catch (LiteralReader.IncompleteException | LiteralReader.MalformedException none) {
                return quoted(raw);
            }
        }
    }

    private static String typeOf(String json) {
        return switch (json.charAt(0)) {
            case '{' -> "object";
            case '[' -> "array";
            case '"' -> "string";
            case 't', 'f' -> "boolean";
            case 'n' -> "null";
            default -> json.matches("-?\\d+") ? "integer" : "number";
        };
    }

    private static void collectTypes(Map<?, ?> schema, Set<String> types) {
        if (schema.get("type") instanceof String type) {
            types.add(type);
        } else if (schema.get("type") instanceof List<?> several) {
            several.forEach(type -> types.add(String.valueOf(type)));
        }
        for (String key : List.of("anyOf", "oneOf", "allOf")) {
            if (schema.get(key) instanceof List<?> parts) {
                parts.forEach(part -> collectTypes(part instanceof Map<?, ?> map ? map : Map.of(), types));
            }
        }
        if (schema.get("enum") instanceof List<?> allowed) {
            allowed.forEach(value -> types.add(value == null ? "null" : typeOf(Json.write(value))));
        }
        if (types.contains("number")) {
            types.add("integer");
        }
    }

    // ---- objects and lists by the same tags ------------------------------------------------------------------------

    private record Element(String key, String raw) {}

    private Object nested(String raw, Map<?, ?> property) {
        Set<String> types = new HashSet<>();
        collectTypes(property, types);
        List<Element> elements = types.equals(Set.of("string")) ? List.of() : elements(raw);
        boolean items = elements.stream().allMatch(element -> element.key().equals(tags.item()));
        if (elements.isEmpty()) {
            if (raw.isBlank() && types.equals(Set.of("array"))) {
                return List.of();
            } else if (raw.isBlank() && types.equals(Set.of("object"))) {
                return Map.of();
            }
            return Json.parse(scalar(raw, property));
        } else if (items && !types.equals(Set.of("object"))) {
            Map<?, ?> of = property.get("items") instanceof Map<?, ?> map ? map : Map.of();
            List<Object> list = new ArrayList<>();
            elements.forEach(element -> list.add(nested(element.raw(), of)));
            return list;
        }
        Map<String, Object> object = new LinkedHashMap<>();
        elements.forEach(element ->
                object.put(element.key(), nested(element.raw(), property(property, element.key()))));
        return object;
    }

    /** The elements that a text consists of; none if there is anything else in it. */
    private List<Element> elements(String raw) {
        List<Element> elements = new ArrayList<>();
        int at = Literals.skipSpace(raw, 0);
        while (at < raw.length()) {
            if (!raw.startsWith(tags.open(), at)) {
                return List.of();
            }
            int keyStart = at + tags.open().length();
            String keyEnd = tags.keyEnd().strip();
            int keyStop = raw.indexOf(keyEnd, keyStart);
            if (keyStop < 0) {
                return List.of();
            }
            String key = raw.substring(keyStart, keyStop);
            String marker = tags.valueEnd().replace(CallSyntax.Tags.KEY, key).strip();
            int end = endOf(raw, keyStop + keyEnd.length(), key, marker);
            if (end < 0) {
                return List.of();
            }
            elements.add(new Element(key, raw.substring(keyStop + keyEnd.length(), end)));
            at = Literals.skipSpace(raw, end + marker.length());
        }
        return elements;
    }
}
