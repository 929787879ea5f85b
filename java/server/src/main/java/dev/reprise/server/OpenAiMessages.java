package dev.reprise.server;

import dev.reprise.Message;
import dev.reprise.Role;
import dev.reprise.ToolCall;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Reads the messages of a chat completion. */
final class OpenAiMessages {
    private final Map<String, String> toolNames = new HashMap<>();
    private final List<Message> messages = new ArrayList<>();

    private OpenAiMessages() {}

    static List<Message> read(Fields request) {
        OpenAiMessages reader = new OpenAiMessages();
        List<Fields> list = request.objects("messages");
        if (list.isEmpty()) {
            throw request.bad("messages", request.has("messages") ? "is empty" : "is missing: it has to be an array");
        }
        list.forEach(reader::readOne);
        return reader.messages;
    }

    private void readOne(Fields message) {
        String role = message.requiredText("role");
        switch (role) {
            case "system", "developer" -> messages.add(plain(Role.SYSTEM, message));
            case "user" -> messages.add(plain(Role.USER, message));
            case "assistant" -> messages.add(assistant(message));
            case "tool" -> messages.add(tool(message));
            default -> throw message.bad("role",
                    "is '" + role + "', it has to be system, developer, user, assistant or tool");
        }
    }

    private static Message plain(Role role, Fields message) {
        if (!message.has("content")) {
            throw message.bad("content", "is missing");
        }
        return Message.builder(role).text(texts(message, "content")).name(message.text("name").orElse(null)).build();
    }

    private Message assistant(Fields message) {
        List<ToolCall> calls = new ArrayList<>();
        for (Fields call : message.objects("tool_calls")) {
            Fields function = call.object("function").orElseThrow(() -> call.bad("function", "is missing"));
            String id = call.requiredText("id");
            toolNames.put(id, function.requiredText("name"));
            calls.add(call(function, id, "arguments"));
        }
        if (calls.isEmpty() && !message.has("content")) {
            throw message.bad("content", "is missing");
        }
        return Message.builder(Role.ASSISTANT)
                .text(texts(message, "content"))
                .reasoning(message.text("reasoning_content").or(() -> message.text("reasoning")).orElse(null))
                .toolCalls(calls)
                .name(message.text("name").orElse(null))
                .build();
    }

    /** A call whose arguments are JSON text. */
    static ToolCall call(Fields function, String id, String arguments) {
        String text = function.text(arguments).filter(it -> !it.isBlank()).orElse("{}");
        try {
            return ToolCall.of(id, function.requiredText("name"), text);
        } catch (IllegalArgumentException e) {
            throw function.bad(arguments, "is no JSON object");
        }
    }

    private Message tool(Fields message) {
        String id = message.requiredText("tool_call_id");
        return Message.builder(Role.TOOL)
                .text(texts(message, "content"))
                .toolCallId(id)
                .name(message.text("name").orElse(toolNames.get(id)))
                .build();
    }

    /** The parts of a text, given as one or as several; none if it is absent. */
    static String[] texts(Fields message, String key) {
        Object content = message.value(key);
        if (content == null) {
            return new String[0];
        } else if (content instanceof String text) {
            return new String[] {text};
        } else if (!(content instanceof List)) {
            throw message.bad(key, "has to be a string or an array of parts");
        }
        List<String> texts = new ArrayList<>();
        for (Fields part : message.objects(key)) {
            String type = part.requiredText("type");
            switch (type) {
                case "text", "input_text", "output_text" -> texts.add(part.requiredText("text"));
                case "refusal" -> texts.add(part.requiredText("refusal"));
                default -> throw part.bad("type", "is " + type + ", which is not supported: models read text alone");
            }
        }
        return texts.toArray(new String[0]);
    }
}
