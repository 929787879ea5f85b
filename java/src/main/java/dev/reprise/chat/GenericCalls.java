package dev.reprise.chat;

import dev.reprise.Message;
import dev.reprise.Tool;
import dev.reprise.ToolCall;
import dev.reprise.json.Json;
import java.util.List;

/** Tool calls in words, for templates that know none: definitions in the system message, a call as a JSON object. */
final class GenericCalls {
    static final CallSyntax SYNTAX = new CallSyntax(
            CallSyntax.Style.CALL_JSON, "", List.of(), "\n", "",
            new CallSyntax.JsonCall(false, List.of("name"), List.of("arguments"), null), null, null, false);

    private GenericCalls() {}

    static String systemText(List<Tool> tools) {
        StringBuilder text = new StringBuilder("You can call these functions:\n");
        for (Tool tool : tools) {
            text.append("\n{\"name\": ");
            Json.quote(tool.name(), text);
            text.append(", \"description\": ");
            Json.quote(tool.description(), text);
            text.append(", \"parameters\": ").append(tool.parameters()).append("}\n");
        }
        return text.append("\nTo call one, answer with a JSON object and nothing else: "
                        + "{\"name\": <function name>, \"arguments\": <object of arguments>}. To call several, "
                        + "write one "
                        + "such object per line. The results follow in the next message.")
                .toString();
    }

    static String callText(String content, List<ToolCall> calls) {
        StringBuilder text = new StringBuilder(content);
        for (ToolCall call : calls) {
            if (text.length() > 0) {
                text.append('\n');
            }
            text.append("{\"name\": ");
            Json.quote(call.name(), text);
            text.append(", \"arguments\": ").append(call.arguments()).append('}');
        }
        return text.toString();
    }

    static String resultText(Message result) {
        return result.name().map(name -> "Result of " + name + ":\n").orElse("Result:\n") + result.text();
    }
}
