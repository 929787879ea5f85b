package dev.reprise.chat;

import dev.reprise.TemplateException;
import dev.reprise.Tool;
import dev.reprise.ToolCall;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Renders a template with texts that can be found again in what it writes. */
final class TemplateProbe {
    static final String USER = "zquser";
    static final String CONTENT = "zqcontent";
    static final String THOUGHT = "zqthought";
    static final String NAME = "zqfun";
    static final String NAME2 = "zqtwo";
    static final String KEY = "zqka";
    static final String KEY2 = "zqkb";
    static final String VALUE = "zqval";
    static final String VALUE2 = "zqvbl";
    /** A text with a backslash, which JSON and Python would escape. */
    static final String ESCAPE = "zq\\nval";
    static final String ID = "zqid00001";
    static final String ID2 = "zqid00002";

    private static final String SCHEMA =
            """
            {"type": "object", "properties": {"zqka": {"type": "string", "description": "d"}, \
            "zqkb": {"type": "string", "description": "d"}}, "required": ["zqka"]}""";
    static final List<Tool> TOOLS = List.of(Tool.of(NAME, "d", SCHEMA), Tool.of(NAME2, "d", SCHEMA));

    private final TemplateRenderer renderer;
    private final Map<String, String> constants;

    TemplateProbe(TemplateRenderer renderer, Map<String, String> constants) {
        this.renderer = renderer;
        this.constants = constants;
    }

    /** What stands behind the user's text; null if the template raises an error or leaves the text out. */
    String behindUser(boolean tools, boolean generationPrompt, Map<String, Object> assistant) {
        List<Object> messages = new ArrayList<>();
        messages.add(message("user", USER));
        if (assistant != null) {
            messages.add(assistant);
        }
        Map<String, Object> variables = new LinkedHashMap<>(constants);
        variables.put("messages", messages);
        if (tools) {
            variables.put("tools", TOOLS.stream().map(TemplateProbe::definition).toList());
        }
        variables.put("add_generation_prompt", generationPrompt);
        try {
            String text = renderer.render(Json.write(variables));
            int at = text.lastIndexOf(USER);
            return at < 0 ? null : text.substring(at + USER.length());
        } catch (TemplateException e) {
            return null;
        }
    }

    /** Whether the template writes the tools on offer anywhere. */
    boolean showsTools() {
        Map<String, Object> variables = new LinkedHashMap<>(constants);
        variables.put("messages", List.of(message("user", USER)));
        variables.put("tools", TOOLS.stream().map(TemplateProbe::definition).toList());
        variables.put("add_generation_prompt", true);
        try {
            return renderer.render(Json.write(variables)).contains(NAME2);
        } catch (TemplateException e) {
            return false;
        }
    }

    static Map<String, Object> message(String role, String content) {
        Map<String, Object> message = new LinkedHashMap<>();
        message.put("role", role);
        message.put("content", content);
        return message;
    }

    /** An assistant's message with calls. */
    static Map<String, Object> calling(AnswerFormat.Shape shape, String content, ToolCall... calls) {
        Map<String, Object> message = message("assistant", content.isEmpty() && shape.nullContent() ? null : content);
        List<Object> list = new ArrayList<>();
        for (ToolCall call : calls) {
            list.add(AnswerFormat.variables(call, shape.argumentsAsText()));
        }
        message.put("tool_calls", list);
        return message;
    }

    private static Map<String, Object> definition(Tool tool) {
        return new AnswerFormat(null, null, null, "", "").variables(tool);
    }
}
