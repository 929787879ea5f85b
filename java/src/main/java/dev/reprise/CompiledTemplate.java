package dev.reprise;

import dev.reprise.chat.AnswerFormat;
import dev.reprise.json.Json;
import dev.reprise.natives.loader.LoaderCleaner;
import java.lang.ref.Cleaner;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/** A chat template as one model uses it: with its vocabulary's special tokens, and how answers to it look. */
final class CompiledTemplate implements AutoCloseable {
    private final long handle;
    private final Cleaner.Cleanable cleanable;
    private final Tokenizer tokenizer;
    /** What may not be recognised in the text of messages. */
    private final String[] specialTexts;
    private final Map<String, String> constants = new LinkedHashMap<>();
    private final AnswerFormat format;

    CompiledTemplate(ChatTemplate template, Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
        specialTexts = tokenizer.specialTexts(template.source());
        handle = Native.openTemplate(template.source(), specialTexts);
        cleanable = LoaderCleaner.register(this, new Closer(handle));
        constant("bos_token", tokenizer.bosToken());
        constant("eos_token", tokenizer.eosToken());
        format = AnswerFormat.derive(variables -> render(variables, null).toString(), template.source(), constants);
    }

    private record Closer(long handle) implements Runnable {
        @Override
        public void run() {
            Native.closeTemplate(handle);
        }
    }

    @Override
    public void close() {
        cleanable.clean();
    }

    private void constant(String name, OptionalInt token) {
        constants.put(name, token.isPresent() ? tokenizer.tokenText(token.getAsInt()) : "");
    }

    AnswerFormat format() {
        return format;
    }

    /**
     * What limits an answer that may, has to or must not call tools.
     *
     * @param text what its text obeys where it calls none; null: nothing
     */
    Constraint callConstraint(List<Tool> tools, ToolChoice choice, Constraint text) {
        Map<String, Integer> special = new LinkedHashMap<>();
        for (String one : specialTexts) {
            tokenizer.token(one).ifPresent(id -> special.put(one, id));
        }
        if (choice.equals(ToolChoice.none())) {
            return Constraint.lark(format.noCalls(special));
        } else if (choice.forcesCall()) {
            List<Tool> allowed = choice.name()
                    .map(name -> tools.stream().filter(tool -> tool.name().equals(name)).toList())
                    .orElse(tools);
            return Constraint.lark(format.forcedCalls(allowed, choice.name().isPresent(), special));
        }
        return Constraint.lark(format.strictCalls(tools, text == null ? null : text.asRule(), special));
    }

    /** The conversation up to where the model's answer begins. */
    PromptTokens prompt(List<Message> messages, ChatOptions options) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> prompt(messages, options));
        }
        Native.Rendered whole = render(Json.write(variables(messages, options, true)), options.date().orElse(null));
        return encode(whole, generationPrompt(whole.toString(), messages, options));
    }

    /** Of the variables that a JSON text has, and no others. */
    PromptTokens prompt(String variables, LocalDate date) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> prompt(variables, date));
        }
        return encode(render(variables, date), "");
    }

    private PromptTokens encode(Native.Rendered rendered, String generationPrompt) {
        PromptTokens prompt = new PromptTokens(tokenizer, generationPrompt);
        tokenizer.encodePrompt(rendered.text(), rendered.literal(), prompt);
        return prompt;
    }

    private Native.Rendered render(String variables, LocalDate date) {
        return Native.renderTemplate(handle, variables, ChatTemplate.seconds(date));
    }

    /** What the template puts behind the conversation where an answer is to begin. */
    private String generationPrompt(String whole, List<Message> messages, ChatOptions options) {
        String without;
        try {
            without = render(Json.write(variables(messages, options, false)), options.date().orElse(null)).toString();
        } catch (TemplateException e) {
            without = "";
        }
        int common = 0;
        int limit = Math.min(whole.length(), without.length());
        while (common < limit && whole.charAt(common) == without.charAt(common)) {
            common++;
        }
        return whole.substring(common);
    }

    private Map<String, Object> variables(List<Message> messages, ChatOptions options, boolean addGenerationPrompt) {
        Map<String, Object> variables = new LinkedHashMap<>(constants);
        List<Tool> tools = options.tools();
        List<Object> shown = new ArrayList<>();
        for (Message message : withTools(messages, tools)) {
            shown.add(format.variables(message));
        }
        variables.put("messages", shown);
        if (!tools.isEmpty() && format.supportsTools()) {
            variables.put("tools", tools.stream().map(format::variables).toList());
        }
        variables.put("add_generation_prompt", addGenerationPrompt);
        if (options.reasoning() != ReasoningMode.DEFAULT) {
            boolean on = options.reasoning() == ReasoningMode.ON;
            variables.put("enable_thinking", on);
            variables.put("thinking", on);
        }
        options.reasoningEffort().ifPresent(effort -> variables.put("reasoning_effort", effort));
        variables.putAll(options.variables());
        return variables;
    }

    /** A template that knows no tools reads of them in the system message. */
    private List<Message> withTools(List<Message> messages, List<Tool> tools) {
        if (tools.isEmpty() || format.supportsTools()) {
            return messages;
        }
        String definitions = format.systemText(tools);
        List<Message> shown = new ArrayList<>(messages);
        if (!messages.isEmpty() && messages.get(0).role() == Role.SYSTEM) {
            shown.set(0, Message.system(messages.get(0).text() + "\n\n" + definitions));
        } else {
            shown.add(0, Message.system(definitions));
        }
        return shown;
    }
}
