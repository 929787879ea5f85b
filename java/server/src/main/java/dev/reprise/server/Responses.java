package dev.reprise.server;

import dev.reprise.ChatOptions;
import dev.reprise.ContextPolicy;
import dev.reprise.GenerationOptions;
import dev.reprise.Message;
import dev.reprise.Role;
import dev.reprise.SessionOptions;
import dev.reprise.ToolCall;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** {@code POST /v1/responses}: reads the request. Nothing is stored: each brings the whole conversation. */
final class Responses {
    private final Map<String, String> toolNames = new HashMap<>();
    private final List<Message> messages = new ArrayList<>();

    // Of an answer of the model that several items make up.
    private final List<String> texts = new ArrayList<>();
    private final List<ToolCall> calls = new ArrayList<>();
    private final StringBuilder reasoning = new StringBuilder();

    private Responses() {}

    static ChatCall read(Fields request, SessionOptions session, int mostTokens) {
        request.refuse("nothing is stored here: send the whole conversation as input",
                "previous_response_id", "conversation");
        if (request.isTrue("background")) {
            throw request.bad("background", "is not supported: nothing is stored here");
        }
        request.refuse("there are no stored prompts here", "prompt");
        Responses reader = new Responses();
        reader.readInput(request);
        GenerationOptions.Builder generation = GenerationOptions.builder();
        ChatOptions.Builder options = ChatOptions.builder().session(session);
        ChatCompletions.readLength(request, mostTokens, generation, "max_output_tokens");
        Sampler.readStop(request, "stop", generation);
        Tools.read(request, false, options);
        request.object("text").flatMap(text -> text.object("format"))
                .ifPresent(format -> generation.constraint(Tools.format(format, format)));
        String effort = request.object("reasoning").flatMap(it -> it.text("effort")).orElse(null);
        Tools.readReasoning(request, effort, options);
        String truncation = request.text("truncation").orElse("disabled");
        switch (truncation) {
            case "auto" -> options.contextPolicy(ContextPolicy.DROP_OLDEST);
            case "disabled" -> options.contextPolicy(ContextPolicy.FAIL);
            default -> throw request.bad("truncation", "is '" + truncation + "', it has to be auto or disabled");
        }
        return new ChatCall(reader.messages, options.build(), generation.build(), Sampler.read(request).build(), 1,
                request.flag("parallel_tool_calls").orElse(true), "text.format");
    }

    // ---- the conversation ------------------------------------------------------------------------------------------

    private void readInput(Fields request) {
        request.text("instructions").ifPresent(text -> messages.add(Message.system(text)));
        Object input = request.value("input");
        if (input == null) {
            throw request.bad("input", "is missing: it has to be a string or an array of items");
        } else if (input instanceof String text) {
            messages.add(Message.user(text));
            return;
        }
        List<Fields> items = request.objects("input");
        if (items.isEmpty()) {
            throw request.bad("input", "is empty");
        }
        items.forEach(this::readItem);
        endAnswer();
    }

    private void readItem(Fields item) {
        String type = item.text("type").orElse("message");
        switch (type) {
            case "message" -> readMessage(item);
            case "reasoning" -> {
                for (Fields part : item.objects("content")) {
                    reasoning.append(part.requiredText("text"));
                }
            }
            case "function_call" -> {
                String id = item.requiredText("call_id");
                toolNames.put(id, item.requiredText("name"));
                calls.add(OpenAiMessages.call(item, id, "arguments"));
            }
            case "function_call_output" -> {
                endAnswer();
                String id = item.requiredText("call_id");
                messages.add(Message.builder(Role.TOOL).text(OpenAiMessages.texts(item, "output")).toolCallId(id)
                        .name(toolNames.get(id)).build());
            }
            default -> throw item.bad("type", "is " + type + ", which is not supported");
        }
    }

    private void readMessage(Fields item) {
        String role = item.requiredText("role");
        if (!item.has("content")) {
            throw item.bad("content", "is missing");
        }
        String[] content = OpenAiMessages.texts(item, "content");
        switch (role) {
            case "assistant" -> texts.addAll(List.of(content));
            case "user" -> add(Role.USER, content);
            case "system", "developer" -> add(Role.SYSTEM, content);
            default -> throw item.bad("role",
                    "is '" + role + "', it has to be user, assistant, system or developer");
        }
    }

    private void add(Role role, String[] content) {
        endAnswer();
        messages.add(Message.builder(role).text(content).build());
    }

    private void endAnswer() {
        if (!texts.isEmpty() || !calls.isEmpty()) {
            messages.add(Message.builder(Role.ASSISTANT).text(texts.toArray(new String[0])).toolCalls(calls)
                    .reasoning(reasoning.length() == 0 ? null : reasoning.toString()).build());
        }
        texts.clear();
        calls.clear();
        reasoning.setLength(0);
    }
}
