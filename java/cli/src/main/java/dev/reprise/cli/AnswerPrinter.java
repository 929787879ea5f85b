package dev.reprise.cli;

import dev.reprise.ChatAnswer;
import dev.reprise.ChatPart;
import dev.reprise.ChatStream;
import dev.reprise.ToolCall;
import dev.reprise.json.Json;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;

/** Prints an answer as it streams: text, what the model thinks, and tool calls, a line each. */
final class AnswerPrinter {
    private static final String DIM = "\033[2m";
    private static final String PLAIN = "\033[0m";

    private final Consumer<String> text;
    private final Consumer<String> reasoning;
    private final boolean styled;
    /** What was printed last; null: nothing. */
    private ChatPart.Kind last;
    private boolean atLineStart = true;

    /**
     * A printer of one answer.
     *
     * @param reasoning takes what the model thinks; null: it is not shown
     * @param styled whether reasoning is set off from text as terminals do it
     */
    AnswerPrinter(Consumer<String> text, Consumer<String> reasoning, boolean styled) {
        this.text = text;
        this.reasoning = reasoning;
        this.styled = styled;
    }

    /** Prints it to its end, and a line end behind it. */
    ChatAnswer print(ChatStream stream) {
        try {
            stream.forEach(this::print);
        } finally {
            endReasoning();
        }
        endLine();
        return stream.answer();
    }

    private void print(ChatPart part) {
        switch (part.kind()) {
            case REASONING -> printReasoning(part.text());
            case TEXT -> {
                endReasoning();
                put(part.text());
                last = part.kind();
            }
            case TOOL_CALL -> {
                endReasoning();
                endLine();
                put(line(part.toolCall().orElseThrow()));
                last = part.kind();
            }
            default -> {
                // The complete call is what is printed.
            }
        }
    }

    private void printReasoning(String thought) {
        if (reasoning == null) {
            return;
        }
        if (last != ChatPart.Kind.REASONING) {
            reasoning.accept(styled ? DIM : "");
        }
        last = ChatPart.Kind.REASONING;
        reasoning.accept(thought);
    }

    private void endReasoning() {
        if (last == ChatPart.Kind.REASONING) {
            reasoning.accept(styled ? PLAIN + "\n" : "\n");
            last = null;
        }
    }

    private void endLine() {
        if (!atLineStart) {
            put("\n");
        }
    }

    private void put(String piece) {
        if (!piece.isEmpty()) {
            text.accept(piece);
            atLineStart = piece.endsWith("\n");
        }
    }

    /** A call as one line of JSON. */
    static String line(ToolCall call) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("name", call.name());
        // As the model wrote it; line ends between its tokens are all that JSON allows.
        json.put("arguments", new Json.Raw(call.arguments().replaceAll("[\r\n]+", " ")));
        return Json.write(json) + "\n";
    }
}
