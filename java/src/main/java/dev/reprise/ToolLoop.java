package dev.reprise;

import java.util.ArrayList;
import java.util.List;

/** Asks a chat and runs the tools that its answers call, until one calls none. */
final class ToolLoop {
    private final Chat chat;
    private final ChatOptions options;

    ToolLoop(Chat chat, ChatOptions options) {
        this.chat = chat;
        this.options = options;
    }

    ChatAnswer run(List<Message> messages) {
        ChatAnswer answer = chat.ask(messages, options);
        for (int round = 1; callsWhatRuns(answer); round++) {
            List<Message> results = new ArrayList<>();
            for (ToolCall call : answer.message().toolCalls()) {
                results.add(tool(call.name()).run(call));
            }
            boolean last = round >= options.maxToolRounds();
            answer = chat.ask(results, last ? with(ToolChoice.none())
                    : options.toolChoice().forcesCall() ? with(ToolChoice.auto()) : options);
        }
        return answer;
    }

    private ChatOptions with(ToolChoice choice) {
        return options.toBuilder().toolChoice(choice).build();
    }

    private boolean callsWhatRuns(ChatAnswer answer) {
        List<ToolCall> calls = answer.message().toolCalls();
        return !calls.isEmpty()
                && answer.finishReason() != FinishReason.CANCELLED
                && calls.stream().allMatch(call -> tool(call.name()) != null && tool(call.name()).runs());
    }

    private Tool tool(String name) {
        return options.tools().stream().filter(tool -> tool.name().equals(name)).findFirst().orElse(null);
    }
}
