package dev.reprise.cli;

import dev.reprise.Tool;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Tool definitions in JSON: an array of objects, with OpenAI's wrapping of each into a "function" or without. */
final class ToolsFile {
    /** Of a tool that takes no arguments. */
    private static final Map<String, Object> NO_PARAMETERS = Map.of("type", "object", "properties", Map.of());

    private ToolsFile() {}

    /** @param name of the file, for messages */
    static List<Tool> parse(String json, String name) {
        Object value;
        try {
            value = Json.parse(json);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(name + ": " + e.getMessage(), e);
        }
        if (!(value instanceof List<?> definitions)) {
            throw new IllegalArgumentException(name + " holds no JSON array of tools");
        }
        List<Tool> tools = new ArrayList<>();
        for (Object definition : definitions) {
            tools.add(tool(definition, name + ": tool " + tools.size()));
        }
        return tools;
    }

    private static Tool tool(Object definition, String place) {
        if (!(definition instanceof Map<?, ?> outer)) {
            throw new IllegalArgumentException(place + " is no JSON object");
        }
        Object type = outer.get("type");
        if (type != null && !type.equals("function")) {
            throw new IllegalArgumentException(place + " is of the type " + type + "; only functions can be called");
        }
        Object inner = outer.containsKey("function") ? outer.get("function") : outer;
        if (!(inner instanceof Map<?, ?> function)) {
            throw new IllegalArgumentException(place + ": \"function\" is no JSON object");
        }
        if (!(function.get("name") instanceof String name)) {
            throw new IllegalArgumentException(place + " has no \"name\"");
        }
        Object description = function.get("description");
        if (description != null && !(description instanceof String)) {
            throw new IllegalArgumentException(place + ": \"description\" is no string");
        }
        Object parameters = function.get("parameters");
        try {
            return Tool.of(
                    name, description == null ? "" : (String) description,
                    Json.write(parameters == null ? NO_PARAMETERS : parameters));
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(place + ": " + e.getMessage(), e);
        }
    }
}
