package dev.reprise.server;

import dev.reprise.ChatOptions;
import dev.reprise.Constraint;
import dev.reprise.GenerationOptions;
import dev.reprise.ReasoningMode;
import dev.reprise.Tool;
import dev.reprise.ToolChoice;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads what OpenAI's protocols say of tools, of the form of an answer and of reasoning. */
final class Tools {
    private static final String NO_PARAMETERS = "{\"type\":\"object\",\"properties\":{}}";

    private Tools() {}

    // ---- tools -----------------------------------------------------------------------------------------------------

    /** A tool of this name. */
    static Tool tool(Fields fields, String schemaKey) {
        String name = fields.requiredText("name");
        String schema = fields.object(schemaKey).map(object -> Json.write(object.map())).orElse(NO_PARAMETERS);
        try {
            return Tool.of(name, fields.text("description").orElse(""), schema);
        } catch (IllegalArgumentException e) {
            throw ApiException.badRequest(null, fields.path("name"), e.getMessage(), e);
        }
    }

    /**
     * The tools and the choice of a request.
     *
     * @param nested whether a function's members lie in one of the name function, as chat completions have it
     */
    static void read(Fields request, boolean nested, ChatOptions.Builder options) {
        request.refuse("use tools", "functions", "function_call");
        List<Tool> tools = new ArrayList<>();
        boolean strict = false;
        for (Fields entry : request.objects("tools")) {
            String type = entry.text("type").orElse("function");
            if (!type.equals("function")) {
                throw entry.bad("type", "is " + type + ", only tools of the type function are supported");
            }
            Fields function = nested
                    ? entry.object("function").orElseThrow(() -> entry.bad("function", "is missing")) : entry;
            tools.add(tool(function, "parameters"));
            strict |= function.isTrue("strict");
        }
        setTools(request, tools, options);
        options.strictTools(strict);
        options.toolChoice(choice(request, nested, tools));
    }

    static void setTools(Fields request, List<Tool> tools, ChatOptions.Builder options) {
        try {
            options.tools(tools);
        } catch (IllegalArgumentException e) {
            throw ApiException.badRequest(null, request.path("tools"), e.getMessage(), e);
        }
    }

    private static ToolChoice choice(Fields request, boolean nested, List<Tool> tools) {
        Object value = request.value("tool_choice");
        ToolChoice choice;
        if (value == null) {
            return ToolChoice.auto();
        } else if (value instanceof String text) {
            choice = switch (text) {
                case "auto" -> ToolChoice.auto();
                case "none" -> ToolChoice.none();
                case "required", "any" -> ToolChoice.required();
                default -> throw request.bad("tool_choice",
                        "is '" + text + "', it has to be none, auto, required or an object that names a function");
            };
        } else {
            Fields object = request.object("tool_choice").orElseThrow();
            String type = object.requiredText("type");
            if (!type.equals("function")) {
                throw object.bad("type", "is " + type + ", only function is supported");
            }
            Fields function = nested
                    ? object.object("function").orElseThrow(() -> object.bad("function", "is missing")) : object;
            choice = ToolChoice.named(function.requiredText("name"));
        }
        checkChoice(request, choice, tools);
        return choice;
    }

    /** A call that is forced needs a tool that can be called. */
    static void checkChoice(Fields request, ToolChoice choice, List<Tool> tools) {
        if (choice.forcesCall() && tools.isEmpty()) {
            throw request.bad("tool_choice", "asks for a call, and there are no tools");
        }
        choice.name().ifPresent(name -> {
            if (tools.stream().noneMatch(tool -> tool.name().equals(name))) {
                throw request.bad("tool_choice", "names " + name + ", which is not among the tools");
            }
        });
    }

    // ---- the form of an answer -------------------------------------------------------------------------------------

    /** The form that a chat completion asks for, or that an extension to it does. */
    static void readFormat(Fields request, GenerationOptions.Builder generation) {
        Constraint constraint = null;
        if (request.has("response_format")) {
            Fields format = request.object("response_format").orElseThrow();
            constraint = format(format, format.object("json_schema").orElse(format));
        }
        constraint = extension(request, constraint);
        generation.constraint(constraint);
    }

    /**
     * The form of the member {@code type}.
     *
     * @param holder where a schema lies
     */
    static Constraint format(Fields format, Fields holder) {
        String type = format.requiredText("type");
        return switch (type) {
            case "text" -> null;
            case "json_object" -> Constraint.jsonSchema(
                    holder.object("schema").map(schema -> Json.write(schema.map())).orElse("{\"type\":\"object\"}"));
            case "json_schema" -> Constraint.jsonSchema(Json.write(
                    holder.object("schema").orElseThrow(() -> holder.bad("schema", "is missing")).map()));
            default -> throw format.bad("type", "is '" + type + "', it has to be text, json_object or json_schema");
        };
    }

    /** Members that llama.cpp and others know. */
    static Constraint extension(Fields request, Constraint constraint) {
        Map<String, Constraint> found = new LinkedHashMap<>();
        if (constraint != null) {
            found.put("response_format", constraint);
        }
        request.object("json_schema")
                .ifPresent(schema -> found.put("json_schema", Constraint.jsonSchema(Json.write(schema.map()))));
        request.text("grammar").filter(it -> !it.isEmpty())
                .ifPresent(text -> found.put("grammar", Constraint.gbnf(text)));
        request.text("regex").ifPresent(text -> found.put("regex", Constraint.regex(text)));
        request.text("lark").ifPresent(text -> found.put("lark", Constraint.lark(text)));
        if (found.size() > 1) {
            throw ApiException.badRequest(null, "an answer can obey one of " + String.join(", ", found.keySet())
                    + ", not all of them");
        }
        return found.values().stream().findFirst().orElse(null);
    }

    // ---- reasoning -------------------------------------------------------------------------------------------------

    /** Whether and how hard the model thinks, and variables of its template. */
    static void readReasoning(Fields request, String effort, ChatOptions.Builder options) {
        if (effort != null && effort.equals("none")) {
            options.reasoning(ReasoningMode.OFF);
        } else if (effort != null) {
            options.reasoningEffort(effort);
        }
        request.integer("reasoning_budget", 0, Integer.MAX_VALUE).ifPresent(options::reasoningBudget);
        request.object("chat_template_kwargs").ifPresent(variables -> {
            Map<String, Object> further = new LinkedHashMap<>();
            variables.map().forEach((key, value) -> further.put((String) key, value));
            variables.flag("enable_thinking")
                    .ifPresent(on -> options.reasoning(on ? ReasoningMode.ON : ReasoningMode.OFF));
            options.variables(further);
        });
    }
}
