package dev.reprise;

import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/** JSON schemas of what reprise.h says is enforced, whose texts a model of stories comes to the end of. */
final class RandomSchema {
    private static final int DEPTH = 3;
    private static final List<String> PATTERNS =
            List.of("^[a-z]{2,6}$", "^(red|green|blue)$", "^[A-Z][a-z ]{0,8}!?$", "^\\d{3}-\\d{2}$", "^x+y{1,3}$");
    private static final List<String> FORMATS =
            List.of("date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri");
    private static final List<Object> VALUES =
            Arrays.asList("a", "a \"quoted\" one", "é🙂", "", 0L, -17L, 2.5, true, false, null, List.of(1L, "b"),
                    Map.of("k", List.of()));

    private final SplittableRandom random;

    private RandomSchema(long seed) {
        random = new SplittableRandom(seed);
    }

    /** The schema's text; the same for the same seed. */
    static String of(long seed) {
        return new RandomSchema(seed).root();
    }

    private String root() {
        Map<String, Object> schema = object(0);
        if (random.nextInt(3) == 0) {
            Map<String, Object> definitions = new LinkedHashMap<>();
            definitions.put("part", value(DEPTH - 1));
            // A list of itself, which ends by being empty.
            Map<String, Object> tree = new LinkedHashMap<>();
            tree.put("type", "array");
            tree.put("items", Map.of("$ref", "#/$defs/tree"));
            tree.put("maxItems", 2L);
            definitions.put("tree", tree);
            schema.put("$defs", definitions);
            properties(schema).put("part", Map.of("$ref", "#/$defs/part"));
            properties(schema).put("tree", Map.of("$ref", "#/$defs/tree"));
        }
        return Json.write(schema);
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> properties(Map<String, Object> schema) {
        return (Map<String, Object>) schema.get("properties");
    }

    private Map<String, Object> value(int depth) {
        switch (random.nextInt(depth < DEPTH ? 10 : 7)) {
            case 0:
                return text();
            case 1:
                return number("integer");
            case 2:
                return number("number");
            case 3:
                return map("type", random.nextBoolean() ? "boolean" : "null");
            case 4:
                return map("enum", some(VALUES));
            case 5:
                return map("const", pick(VALUES));
            case 6:
                return map("type", List.of("integer", "null"), "minimum", 0L, "maximum", 99L);
            case 7:
                return list(depth);
            case 8:
                return map("anyOf", List.of(value(depth + 1), value(depth + 1)));
            default:
                return object(depth + 1);
        }
    }

    private Map<String, Object> text() {
        switch (random.nextInt(3)) {
            case 0:
                return map("type", "string", "pattern", pick(PATTERNS));
            case 1:
                return map("type", "string", "format", pick(FORMATS));
            default:
                long least = random.nextInt(4);
                return map("type", "string", "minLength", least, "maxLength", least + random.nextInt(12));
        }
    }

    private Map<String, Object> number(String type) {
        Map<String, Object> schema = map("type", type);
        long least = random.nextInt(-1000, 1000);
        schema.put(random.nextBoolean() ? "minimum" : "exclusiveMinimum", least);
        schema.put(random.nextBoolean() ? "maximum" : "exclusiveMaximum", least + 2 + random.nextInt(100_000));
        if (type.equals("integer") && random.nextInt(4) == 0) {
            schema.put("multipleOf", (long) random.nextInt(1, 3));
        }
        return schema;
    }

    private Map<String, Object> list(int depth) {
        Map<String, Object> schema = map("type", "array", "items", value(depth + 1));
        if (random.nextInt(3) == 0) {
            schema.put("prefixItems", List.of(value(depth + 1)));
        }
        long least = random.nextInt(3);
        schema.put("minItems", least);
        schema.put("maxItems", least + random.nextInt(3));
        return schema;
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> properties = new LinkedHashMap<>();
        List<String> required = new ArrayList<>();
        int count = random.nextInt(1, 5);
        for (int i = 0; i < count; i++) {
            String key = pick(List.of("name", "n", "größe", "a b", "\"q\"", "list")) + i;
            properties.put(key, value(depth));
            if (random.nextInt(3) > 0) {
                required.add(key);
            }
        }
        Map<String, Object> schema = map("type", "object", "properties", properties, "required", required);
        schema.put("additionalProperties", false);
        return schema;
    }

    private <T> T pick(List<T> all) {
        return all.get(random.nextInt(all.size()));
    }

    private List<Object> some(List<Object> all) {
        List<Object> chosen = new ArrayList<>(all);
        chosen.removeIf(value -> random.nextInt(3) > 0);
        return chosen.isEmpty() ? List.of("only") : chosen;
    }

    private static Map<String, Object> map(Object... keysAndValues) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < keysAndValues.length; i += 2) {
            map.put((String) keysAndValues[i], keysAndValues[i + 1]);
        }
        return map;
    }
}
