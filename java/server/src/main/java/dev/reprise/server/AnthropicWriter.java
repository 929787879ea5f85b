package dev.reprise.server;

import dev.reprise.FinishReason;
import dev.reprise.Tokenizer;
import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Answers of {@code /v1/messages}, as a whole or as a stream. */
final class AnthropicWriter extends BlockWriter {
    private final Map<String, Object> head;
    private final List<String> stops;
    private final Tokenizer tokenizer;

    AnthropicWriter(Exchange exchange, String model, boolean streams, List<String> stops, Tokenizer tokenizer) {
        super(exchange, streams);
        this.stops = stops;
        this.tokenizer = tokenizer;
        head = Doc.of("id", Ids.random("msg_", 24), "type", "message", "role", "assistant", "model", model);
    }

    private static Map<String, Object> usage(Usage usage) {
        return Doc.of(
                "input_tokens", usage.promptTokens() - usage.cachedTokens(),
                "cache_creation_input_tokens", 0,
                "cache_read_input_tokens", usage.cachedTokens(),
                "output_tokens", usage.completionTokens());
    }

    private void send(String type, Object... members) throws InterruptedException {
        Map<String, Object> event = Doc.of("type", type);
        event.putAll(Doc.of(members));
        exchange.event(type, event);
    }

    @Override
    String idOf(Kind kind) {
        return "";  // only calls have one
    }

    @Override
    void started(Usage usage) throws InterruptedException {
        Map<String, Object> message = new LinkedHashMap<>(head);
        message.putAll(Doc.of("content", List.of(), "stop_reason", null, "stop_sequence", null,
                "usage", usage(usage)));
        send("message_start", "message", message);
        send("ping");
    }

    private static Map<String, Object> content(Block block, boolean empty) {
        String text = empty ? "" : block.text.toString();
        return switch (block.kind) {
            case TEXT -> Doc.of("type", "text", "text", text);
            case REASONING -> Doc.of("type", "thinking", "thinking", text, "signature", "");
            case CALL -> Doc.of("type", "tool_use", "id", block.callId, "name", block.name,
                    "input", new Json.Raw(text.isBlank() ? "{}" : text));
        };
    }

    @Override
    void opened(Block block) throws InterruptedException {
        send("content_block_start", "index", block.index, "content_block", content(block, true));
    }

    @Override
    void grown(Block block, String piece) throws InterruptedException {
        Map<String, Object> delta = switch (block.kind) {
            case TEXT -> Doc.of("type", "text_delta", "text", piece);
            case REASONING -> Doc.of("type", "thinking_delta", "thinking", piece);
            case CALL -> Doc.of("type", "input_json_delta", "partial_json", piece);
        };
        send("content_block_delta", "index", block.index, "delta", delta);
    }

    @Override
    void closed(Block block) throws InterruptedException {
        send("content_block_stop", "index", block.index);
    }

    private String stopReason() {
        if (!answer.toolCalls().isEmpty()) {
            return "tool_use";
        }
        return switch (answer.finishReason()) {
            case MAX_TOKENS -> "max_tokens";
            case CONTEXT_FULL -> "model_context_window_exceeded";
            case STOP -> "stop_sequence";
            default -> "end_turn";
        };
    }

    /** Which of the stop texts came first; null: none. */
    private String stopSequence() {
        if (answer.finishReason() != FinishReason.STOP) {
            return null;
        }
        String text = tokenizer.decode(answer.ids());
        String first = null;
        int at = Integer.MAX_VALUE;
        for (String stop : stops) {
            int found = text.lastIndexOf(stop);
            if (found >= 0 && found < at) {
                at = found;
                first = stop;
            }
        }
        return first;
    }

    @Override
    void ended(Usage usage) throws InterruptedException {
        send("message_delta", "delta", Doc.of("stop_reason", stopReason(), "stop_sequence", stopSequence()),
                "usage", usage(usage));
        send("message_stop");
    }

    @Override
    Object document(Usage usage) {
        Map<String, Object> document = new LinkedHashMap<>(head);
        List<Object> content = new ArrayList<>();
        blocks.forEach(block -> content.add(content(block, false)));
        document.putAll(Doc.of("content", content, "stop_reason", stopReason(), "stop_sequence", stopSequence(),
                "usage", usage(usage)));
        return document;
    }
}
