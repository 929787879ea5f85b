package dev.reprise.server;

import dev.reprise.ChatOptions;
import dev.reprise.Constraint;
import dev.reprise.GenerationOptions;
import dev.reprise.Message;
import dev.reprise.ReasoningMode;
import dev.reprise.Role;
import dev.reprise.SessionOptions;
import dev.reprise.Tool;
import dev.reprise.ToolCall;
import dev.reprise.ToolChoice;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** {@code POST /v1/messages}, Anthropic's protocol: reads the request. */
final class AnthropicMessages {
    private final Map<String, String> toolNames = new HashMap<>();
    private final List<Message> messages = new ArrayList<>();

    private AnthropicMessages() {}

    /**
     * A request.
     *
     * @param counts whether its tokens are counted, for which it need not say how long an answer may be
     */
    static ChatCall read(Fields request, SessionOptions session, int mostTokens, boolean counts) {
        AnthropicMessages reader = new AnthropicMessages();
        reader.readMessages(request);
        GenerationOptions.Builder generation = GenerationOptions.builder();
        ChatOptions.Builder options = ChatOptions.builder().session(session);
        if (!counts && !request.has("max_tokens")) {
            throw request.bad("max_tokens", "is missing: it has to be a positive integer");
        }
        ChatCompletions.readLength(request, mostTokens, generation, "max_tokens");
        Sampler.readStop(request, "stop_sequences", generation);
        readThinking(request, options);
        generation.constraint(format(request));
        boolean severalCalls = readTools(request, options);
        return new ChatCall(reader.messages, options.build(), generation.build(), Sampler.read(request).build(),
                1, severalCalls, "output_config");
    }

    // ---- messages --------------------------------------------------------------------------------------------------

    private void readMessages(Fields request) {
        String[] system = texts(request, "system");
        if (system.length > 0) {
            messages.add(Message.builder(Role.SYSTEM).text(system).build());
        }
        List<Fields> list = request.objects("messages");
        if (list.isEmpty()) {
            throw request.bad("messages", request.has("messages") ? "is empty" : "is missing: it has to be an array");
        }
        for (Fields message : list) {
            String role = message.requiredText("role");
            switch (role) {
                case "user" -> readUser(message);
                case "assistant" -> readAssistant(message);
                case "system" -> messages.add(
                        Message.builder(Role.SYSTEM).text(texts(message, "content")).build());
                default -> throw message.bad("role", "is '" + role + "', it has to be user or assistant");
            }
        }
    }

    /** The texts of a string or of blocks of text. */
    private static String[] texts(Fields fields, String key) {
        Object value = fields.value(key);
        if (value == null) {
            return new String[0];
        } else if (value instanceof String text) {
            return new String[] {text};
        }
        List<String> texts = new ArrayList<>();
        for (Fields block : fields.objects(key)) {
            if (!block.requiredText("type").equals("text")) {
                throw unsupported(block);
            }
            texts.add(block.requiredText("text"));
        }
        return texts.toArray(new String[0]);
    }

    private static ApiException unsupported(Fields block) {
        return block.bad("type", "is " + block.requiredText("type")
                + ", which is not supported here: models read text alone");
    }

    private static List<Fields> blocks(Fields message) {
        if (!message.has("content")) {
            throw message.bad("content", "is missing");
        }
        return message.objects("content");
    }

    private void readUser(Fields message) {
        if (message.value("content") instanceof String text) {
            messages.add(Message.user(text));
            return;
        }
        List<String> texts = new ArrayList<>();
        for (Fields block : blocks(message)) {
            switch (block.requiredText("type")) {
                case "text" -> texts.add(block.requiredText("text"));
                case "tool_result" -> {
                    String id = block.requiredText("tool_use_id");
                    messages.add(Message.builder(Role.TOOL).text(texts(block, "content")).toolCallId(id)
                            .name(toolNames.get(id)).build());
                }
                default -> throw unsupported(block);
            }
        }
        if (!texts.isEmpty()) {
            messages.add(Message.builder(Role.USER).text(texts.toArray(new String[0])).build());
        }
    }

    private void readAssistant(Fields message) {
        if (message.value("content") instanceof String text) {
            messages.add(Message.assistant(text));
            return;
        }
        List<String> texts = new ArrayList<>();
        List<ToolCall> calls = new ArrayList<>();
        StringBuilder thinking = new StringBuilder();
        for (Fields block : blocks(message)) {
            switch (block.requiredText("type")) {
                case "text" -> texts.add(block.requiredText("text"));
                case "thinking" -> thinking.append(block.requiredText("thinking"));
                case "redacted_thinking" -> { }
                case "tool_use" -> {
                    String id = block.requiredText("id");
                    String name = block.requiredText("name");
                    toolNames.put(id, name);
                    calls.add(ToolCall.of(id, name,
                            block.object("input").map(input -> Json.write(input.map())).orElse("{}")));
                }
                default -> throw unsupported(block);
            }
        }
        messages.add(Message.builder(Role.ASSISTANT).text(texts.toArray(new String[0])).toolCalls(calls)
                .reasoning(thinking.length() == 0 ? null : thinking.toString()).build());
    }

    // ---- options ---------------------------------------------------------------------------------------------------

    private static void readThinking(Fields request, ChatOptions.Builder options) {
        request.object("thinking").ifPresent(thinking -> {
            String type = thinking.requiredText("type");
            switch (type) {
                case "enabled", "adaptive" -> options.reasoning(ReasoningMode.ON);
                case "disabled" -> options.reasoning(ReasoningMode.OFF);
                default -> throw thinking.bad("type",
                        "is '" + type + "', it has to be enabled, adaptive or disabled");
            }
            thinking.integer("budget_tokens", 0, Integer.MAX_VALUE).ifPresent(options::reasoningBudget);
        });
    }

    private static Constraint format(Fields request) {
        Fields holder = request.object("output_config").orElse(request);
        Fields format = holder.object("format").or(() -> request.object("output_format")).orElse(null);
        return format == null ? null : Tools.format(format, format);
    }

    /** Whether an answer may call more than one tool. */
    private static boolean readTools(Fields request, ChatOptions.Builder options) {
        List<Tool> tools = new ArrayList<>();
        boolean strict = false;
        for (Fields entry : request.objects("tools")) {
            String type = entry.text("type").orElse("custom");
            if (!type.equals("custom")) {
                throw entry.bad("type", "is " + type + ", only tools of the type custom are supported");
            }
            tools.add(Tools.tool(entry, "input_schema"));
            strict |= entry.isTrue("strict");
        }
        Tools.setTools(request, tools, options);
        options.strictTools(strict);
        Fields choice = request.object("tool_choice").orElse(null);
        if (choice == null) {
            return true;
        }
        String type = choice.requiredText("type");
        ToolChoice chosen = switch (type) {
            case "auto" -> ToolChoice.auto();
            case "none" -> ToolChoice.none();
            case "any" -> ToolChoice.required();
            case "tool" -> ToolChoice.named(choice.requiredText("name"));
            default -> throw choice.bad("type", "is '" + type + "', it has to be auto, any, tool or none");
        };
        Tools.checkChoice(request, chosen, tools);
        options.toolChoice(chosen);
        return !choice.isTrue("disable_parallel_tool_use");
    }
}
