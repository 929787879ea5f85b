package dev.reprise.server;

import dev.reprise.FinishReason;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Answers of {@code /v1/responses}, as a whole or as a stream. */
final class ResponseWriter extends BlockWriter {
    private final Fields request;
    private final String model;
    private final String id = Ids.random("resp_", 32);
    private final long created = System.currentTimeMillis() / 1000;
    private int events;

    ResponseWriter(Exchange exchange, Fields request, String model) {
        super(exchange, request.isTrue("stream"));
        this.request = request;
        this.model = model;
    }

    private void send(String type, Object... members) throws InterruptedException {
        Map<String, Object> event = Doc.of("type", type, "sequence_number", events++);
        event.putAll(Doc.of(members));
        exchange.event(type, event);
    }

    // ---- the response ----------------------------------------------------------------------------------------------

    private Map<String, Object> response(String status, List<Object> output, Usage usage) {
        Map<String, Object> response = Doc.of(
                "id", id,
                "object", "response",
                "created_at", created,
                "status", status,
                "background", false,
                "error", null,
                "incomplete_details", status.equals("incomplete") ? Doc.of("reason", "max_output_tokens") : null,
                "model", model,
                "output", output,
                "previous_response_id", null,
                "store", false,
                "parallel_tool_calls", given("parallel_tool_calls", true),
                "reasoning", given("reasoning", Doc.of("effort", null, "summary", null)),
                "text", given("text", Doc.of("format", Doc.of("type", "text"))),
                "tool_choice", given("tool_choice", "auto"),
                "tools", given("tools", List.of()),
                "truncation", given("truncation", "disabled"),
                "metadata", given("metadata", Doc.of()));
        for (String key : List.of("instructions", "max_output_tokens", "temperature", "top_p", "user")) {
            response.put(key, request.value(key));
        }
        response.put("usage", usage == null ? null : Doc.of(
                "input_tokens", usage.promptTokens(),
                "input_tokens_details", Doc.of("cached_tokens", usage.cachedTokens()),
                "output_tokens", usage.completionTokens(),
                "output_tokens_details", Doc.of("reasoning_tokens", usage.reasoningTokens()),
                "total_tokens", usage.promptTokens() + usage.completionTokens()));
        return response;
    }

    private Object given(String key, Object otherwise) {
        return request.has(key) ? request.value(key) : otherwise;
    }

    private String status() {
        FinishReason reason = answer.finishReason();
        return reason == FinishReason.MAX_TOKENS || reason == FinishReason.CONTEXT_FULL ? "incomplete" : "completed";
    }

    private List<Object> output() {
        List<Object> output = new ArrayList<>();
        blocks.forEach(block -> output.add(item(block, true)));
        return output;
    }

    @Override
    Object document(Usage usage) {
        return response(status(), output(), usage);
    }

    // ---- items -----------------------------------------------------------------------------------------------------

    private static Map<String, Object> item(Block block, boolean complete) {
        String status = complete ? "completed" : "in_progress";
        List<Object> content = complete ? List.of(part(block, true)) : List.of();
        return switch (block.kind) {
            case TEXT -> Doc.of("id", block.id, "type", "message", "status", status, "role", "assistant",
                    "content", content);
            case REASONING -> Doc.of("id", block.id, "type", "reasoning", "status", status, "summary", List.of(),
                    "content", content);
            case CALL -> Doc.of("id", block.id, "type", "function_call", "status", status, "call_id", block.callId,
                    "name", block.name, "arguments", complete ? block.text.toString() : "");
        };
    }

    private static Map<String, Object> part(Block block, boolean complete) {
        String text = complete ? block.text.toString() : "";
        return block.kind == Kind.TEXT
                ? Doc.of("type", "output_text", "text", text, "annotations", List.of(), "logprobs", List.of())
                : Doc.of("type", "reasoning_text", "text", text);
    }

    @Override
    String idOf(Kind kind) {
        return Ids.random(kind == Kind.TEXT ? "msg_" : kind == Kind.REASONING ? "rs_" : "fc_", 24);
    }

    // ---- the stream ------------------------------------------------------------------------------------------------

    @Override
    void started(Usage usage) throws InterruptedException {
        send("response.created", "response", response("in_progress", List.of(), null));
        send("response.in_progress", "response", response("in_progress", List.of(), null));
    }

    @Override
    void opened(Block block) throws InterruptedException {
        send("response.output_item.added", "output_index", block.index, "item", item(block, false));
        if (block.kind != Kind.CALL) {
            send("response.content_part.added", "item_id", block.id, "output_index", block.index,
                    "content_index", 0, "part", part(block, false));
        }
    }

    @Override
    void grown(Block block, String piece) throws InterruptedException {
        switch (block.kind) {
            case TEXT -> send("response.output_text.delta", "item_id", block.id, "output_index", block.index,
                    "content_index", 0, "delta", piece, "logprobs", List.of());
            case REASONING -> send("response.reasoning_text.delta", "item_id", block.id, "output_index", block.index,
                    "content_index", 0, "delta", piece);
            case CALL -> send("response.function_call_arguments.delta", "item_id", block.id,
                    "output_index", block.index, "delta", piece);
            default -> throw new AssertionError(block.kind);
        }
    }

    @Override
    void closed(Block block) throws InterruptedException {
        String text = block.text.toString();
        switch (block.kind) {
            case TEXT -> send("response.output_text.done", "item_id", block.id, "output_index", block.index,
                    "content_index", 0, "text", text, "logprobs", List.of());
            case REASONING -> send("response.reasoning_text.done", "item_id", block.id, "output_index", block.index,
                    "content_index", 0, "text", text);
            case CALL -> send("response.function_call_arguments.done", "item_id", block.id,
                    "output_index", block.index, "name", block.name, "arguments", text);
            default -> throw new AssertionError(block.kind);
        }
        if (block.kind != Kind.CALL) {
            send("response.content_part.done", "item_id", block.id, "output_index", block.index,
                    "content_index", 0, "part", part(block, true));
        }
        send("response.output_item.done", "output_index", block.index, "item", item(block, true));
    }

    @Override
    void ended(Usage usage) throws InterruptedException {
        String status = status();
        send("response." + status, "response", response(status, output(), usage));
    }
}
