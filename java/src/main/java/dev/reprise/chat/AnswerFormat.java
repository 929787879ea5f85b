package dev.reprise.chat;

import dev.reprise.Message;
import dev.reprise.Role;
import dev.reprise.Tool;
import dev.reprise.ToolCall;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How the answers of a model look, and how messages have to be handed to its template: derived from the template by
 * rendering it with and without parts and comparing. Immutable.
 */
public final class AnswerFormat {
    /** How a template wants tool calls and reasoning. */
    record Shape(boolean argumentsAsText, boolean nullContent, String reasoningKey, boolean reasoningExcludesText) {}

    /** Texts around reasoning; begin is blank where only its end is known. */
    record ReasoningSyntax(String begin, String end, String close) {}

    private final Shape shape;
    private final CallSyntax calls;
    private final ReasoningSyntax reasoning;
    private final String textPrefix;
    private final String reason;

    AnswerFormat(Shape shape, CallSyntax calls, ReasoningSyntax reasoning, String textPrefix, String reason) {
        this.shape = shape;
        this.calls = calls;
        this.reasoning = reasoning;
        this.textPrefix = textPrefix;
        this.reason = reason;
    }

    /**
     * The format of a template.
     *
     * @param constants variables that it always gets, such as {@code bos_token}
     */
    public static AnswerFormat derive(TemplateRenderer renderer, String source, Map<String, String> constants) {
        return new FormatDeriver(new TemplateProbe(renderer, constants), source).derive();
    }

    /** Whether the template shows tools and calls. If not, both are told in words: {@link #systemText}. */
    public boolean supportsTools() {
        return calls != null;
    }

    /** Why the template's own way of writing calls is not used; empty if it is. */
    public String reason() {
        return reason;
    }

    /** Whether answers may have reasoning in front. */
    public boolean supportsReasoning() {
        return reasoning != null;
    }

    /** The text that ends reasoning, without white space. */
    public String reasoningEnd() {
        return reasoning.end();
    }

    /** What to write to end reasoning: {@link #reasoningEnd} with the white space that the template puts around it. */
    public String reasoningClose() {
        return reasoning.close();
    }

    CallSyntax calls() {
        return calls;
    }

    ReasoningSyntax reasoning() {
        return reasoning;
    }

    String textPrefix() {
        return textPrefix;
    }

    /**
     * A parser for one answer.
     *
     * @param generationPrompt what the template puts in front of it, which may have begun the reasoning
     * @param tools those on offer; without any, nothing is taken for a call
     * @param firstCall the number that the first call's id is made of, where the format has no ids
     */
    public AnswerParser parser(String generationPrompt, List<Tool> tools, int firstCall) {
        return new AnswerParser(this, generationPrompt, tools, firstCall);
    }

    /** A message as the template wants it. */
    public Map<String, Object> variables(Message message) {
        Map<String, Object> variables = new LinkedHashMap<>();
        if (calls == null && message.role() == Role.TOOL) {
            variables.put("role", "user");
            variables.put("content", GenericCalls.resultText(message));
            return variables;
        }
        variables.put("role", message.role().text());
        String content = message.text();
        if (calls == null && !message.toolCalls().isEmpty()) {
            content = GenericCalls.callText(content, message.toolCalls());
        }
        boolean onlyCalls = content.isEmpty() && !message.toolCalls().isEmpty();
        variables.put("content", onlyCalls && shape.nullContent() ? null : content);
        boolean allThree = message.reasoning().isPresent() && !content.isEmpty() && !message.toolCalls().isEmpty();
        if (!allThree || !shape.reasoningExcludesText()) {
            message.reasoning().ifPresent(text -> variables.put(shape.reasoningKey(), text));
        }
        if (calls != null && !message.toolCalls().isEmpty()) {
            List<Object> list = new ArrayList<>();
            for (ToolCall call : message.toolCalls()) {
                list.add(variables(call, shape.argumentsAsText()));
            }
            variables.put("tool_calls", list);
        }
        message.toolCallId().ifPresent(id -> variables.put("tool_call_id", id));
        message.name().ifPresent(name -> variables.put("name", name));
        return variables;
    }

    static Map<String, Object> variables(ToolCall call, boolean argumentsAsText) {
        Map<String, Object> function = new LinkedHashMap<>();
        function.put("name", call.name());
        function.put("arguments", argumentsAsText ? call.arguments() : new Json.Raw(call.arguments()));
        Map<String, Object> variables = new LinkedHashMap<>();
        variables.put("id", call.id());
        variables.put("type", "function");
        variables.put("function", function);
        return variables;
    }

    /** A tool's definition as templates want it. */
    public Map<String, Object> variables(Tool tool) {
        Map<String, Object> function = new LinkedHashMap<>();
        function.put("name", tool.name());
        function.put("description", tool.description());
        function.put("parameters", new Json.Raw(tool.parameters()));
        Map<String, Object> variables = new LinkedHashMap<>();
        variables.put("type", "function");
        variables.put("function", function);
        return variables;
    }

    /** For a template that knows no tools: what the system message says of them. */
    public String systemText(List<Tool> tools) {
        return GenericCalls.systemText(tools);
    }

    /** A grammar of answers, in the notation of llguidance, that call at least one tool; with {@code single}, one. */
    public String forcedCalls(List<Tool> tools, boolean single, Map<String, Integer> special) {
        return grammar(special).forced(tools, single);
    }

    /** A grammar of answers that call nothing. */
    public String noCalls(Map<String, Integer> special) {
        return grammar(special).none();
    }

    private CallGrammar grammar(Map<String, Integer> special) {
        return new CallGrammar(calls == null ? GenericCalls.SYNTAX : calls, special);
    }

    /**
     * A grammar of answers of text, or of calls whose arguments obey their schemas behind text.
     *
     * @param text what the text obeys, as the right side of a rule; null: any text
     */
    public String strictCalls(List<Tool> tools, String text, Map<String, Integer> special) {
        return grammar(special).optional(tools, text);
    }
}
