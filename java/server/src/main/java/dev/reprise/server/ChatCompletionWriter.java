package dev.reprise.server;

import dev.reprise.ChatAnswer;
import dev.reprise.ChatPart;
import dev.reprise.FinishReason;
import dev.reprise.Token;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Answers of {@code /v1/chat/completions}, as a whole or as a stream. */
final class ChatCompletionWriter implements AnswerWriter {
    private final Exchange exchange;
    private final boolean streams;
    private final boolean usageInStream;
    private final boolean logprobs;
    private final TokenDocs tokenDocs;
    private final Map<String, Object> head;

    private final List<Object> choices = new ArrayList<>();
    /** Of the answer in progress: its calls, and tokens of its text. */
    private final Map<Integer, String> callIds = new HashMap<>();
    private final List<Map<String, Object>> calls = new ArrayList<>();
    private final List<Token> textTokens = new ArrayList<>();
    private final List<Token> pending = new ArrayList<>();

    ChatCompletionWriter(Exchange exchange, String model, boolean streams, boolean usageInStream, boolean logprobs,
            TokenDocs tokenDocs) {
        this.exchange = exchange;
        this.streams = streams;
        this.usageInStream = usageInStream;
        this.logprobs = logprobs;
        this.tokenDocs = tokenDocs;
        head = Doc.of("id", Ids.random("chatcmpl-", 24),
                "object", streams ? "chat.completion.chunk" : "chat.completion",
                "created", System.currentTimeMillis() / 1000,
                "model", model);
    }

    // ---- pieces ----------------------------------------------------------------------------------------------------

    @Override
    public void begin(int choice, Usage usage) throws InterruptedException {
        callIds.clear();
        calls.clear();
        textTokens.clear();
        pending.clear();
        if (streams) {
            exchange.beginEvents();
            chunk(choice, Doc.of("role", "assistant", "content", ""), null, null);
        }
    }

    @Override
    public void part(int choice, ChatPart part, List<Token> tokens) throws InterruptedException {
        pending.addAll(tokens);
        switch (part.kind()) {
            case TEXT -> text(choice, part.text());
            case REASONING -> stream(choice, Doc.of("reasoning_content", part.text()));
            case TOOL_CALL_START -> startCall(choice, part);
            case TOOL_CALL_ARGUMENTS -> stream(choice, callDelta(part.index(),
                    Doc.of("function", Doc.of("arguments", part.text()))));
            case TOOL_CALL -> calls.add(Doc.of(
                    "id", callIds.get(part.index()),
                    "type", "function",
                    "function", Doc.of("name", part.toolCall().orElseThrow().name(),
                            "arguments", part.toolCall().orElseThrow().arguments())));
            default -> throw new AssertionError(part.kind());
        }
        if (part.kind() != ChatPart.Kind.TEXT) {
            pending.clear();
        }
    }

    private void text(int choice, String text) throws InterruptedException {
        if (streams) {
            Object probabilities = logprobs
                    ? Doc.of("content", tokenDocs.content(pending), "refusal", null) : null;
            chunk(choice, Doc.of("content", text), probabilities, null);
        } else {
            textTokens.addAll(pending);
        }
        pending.clear();
    }

    private void startCall(int choice, ChatPart part) throws InterruptedException {
        String id = Ids.call();
        callIds.put(part.index(), id);
        stream(choice, callDelta(part.index(), Doc.of("id", id, "type", "function",
                "function", Doc.of("name", part.text(), "arguments", ""))));
    }

    private static Map<String, Object> callDelta(int index, Map<String, Object> more) {
        Map<String, Object> call = Doc.of("index", index);
        call.putAll(more);
        return Doc.of("tool_calls", List.of(call));
    }

    private void stream(int choice, Map<String, Object> delta) throws InterruptedException {
        if (streams) {
            chunk(choice, delta, null, null);
        }
    }

    private void chunk(int choice, Map<String, Object> delta, Object probabilities, String finish)
            throws InterruptedException {
        exchange.event(null, chunk(List.of(
                Doc.of("index", choice, "delta", delta, "logprobs", probabilities, "finish_reason", finish)), null));
    }

    private Map<String, Object> chunk(List<Object> chunkChoices, Map<String, Object> usage) {
        Map<String, Object> chunk = new LinkedHashMap<>(head);
        chunk.put("choices", chunkChoices);
        if (usageInStream) {
            chunk.put("usage", usage);
        }
        return chunk;
    }

    // ---- ends ------------------------------------------------------------------------------------------------------

    @Override
    public void end(int choice, ChatAnswer answer) throws InterruptedException {
        String finish = finishReason(answer);
        if (streams) {
            chunk(choice, Doc.of(), null, finish);
            return;
        }
        boolean called = !calls.isEmpty();
        Map<String, Object> message = Doc.of("role", "assistant",
                "content", called && answer.text().isEmpty() ? null : answer.text(),
                "refusal", null);
        answer.message().reasoning().ifPresent(reasoning -> message.put("reasoning_content", reasoning));
        if (called) {
            message.put("tool_calls", List.copyOf(calls));
        }
        choices.add(Doc.of("index", choice, "message", message,
                "logprobs", logprobs ? Doc.of("content", tokenDocs.content(textTokens), "refusal", null) : null,
                "finish_reason", finish));
    }

    private static String finishReason(ChatAnswer answer) {
        if (!answer.toolCalls().isEmpty()) {
            return "tool_calls";
        }
        return finishReason(answer.finishReason());
    }

    static String finishReason(FinishReason reason) {
        return reason == FinishReason.MAX_TOKENS || reason == FinishReason.CONTEXT_FULL ? "length" : "stop";
    }

    @Override
    public void finish(Usage usage) throws InterruptedException {
        if (streams) {
            if (usageInStream) {
                exchange.event(null, chunk(List.of(), usage.document()));
            }
            exchange.event(null, "[DONE]");
            exchange.endEvents();
            return;
        }
        Map<String, Object> document = new LinkedHashMap<>(head);
        document.put("choices", choices);
        document.put("usage", usage.document());
        exchange.json(200, document);
    }
}
