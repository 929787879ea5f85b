package dev.reprise.langchain4j;

import dev.langchain4j.internal.Json;
import dev.langchain4j.internal.JsonSchemaElementUtils;
import dev.langchain4j.model.chat.request.json.JsonRawSchema;
import dev.langchain4j.model.chat.request.json.JsonSchemaElement;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** LangChain4j's schemas as JSON. */
final class Schemas {
    private Schemas() {}

    /**
     * The JSON text of a schema. Objects that do not say whether they have further properties have none: they are made
     * from classes, which have no place for them. A schema that was handed in as JSON stays as it is.
     */
    static String json(JsonSchemaElement element) {
        Map<String, Object> schema = JsonSchemaElementUtils.toMap(element);
        return Json.toJson(element instanceof JsonRawSchema ? schema : closed(schema));
    }

    private static Object closed(Object schema) {
        if (schema instanceof List<?> alternatives) {
            return alternatives.stream().map(Schemas::closed).toList();
        }
        if (!(schema instanceof Map<?, ?> members)) {
            return schema;
        }
        Map<Object, Object> result = new LinkedHashMap<>();
        members.forEach((key, value) -> result.put(key, switch (String.valueOf(key)) {
            case "properties", "$defs" -> closedValues(value);
            case "items", "anyOf" -> closed(value);
            default -> value;
        }));
        if (members.get("properties") instanceof Map<?, ?>) {
            result.putIfAbsent("additionalProperties", false);
        }
        return result;
    }

    private static Object closedValues(Object schemas) {
        if (!(schemas instanceof Map<?, ?> members)) {
            return schemas;
        }
        Map<Object, Object> result = new LinkedHashMap<>();
        members.forEach((key, schema) -> result.put(key, closed(schema)));
        return result;
    }
}
