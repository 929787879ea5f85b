package dev.reprise.langchain4j;

import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.CompleteToolCall;
import dev.langchain4j.model.chat.response.PartialResponse;
import dev.langchain4j.model.chat.response.PartialResponseContext;
import dev.langchain4j.model.chat.response.PartialThinking;
import dev.langchain4j.model.chat.response.PartialThinkingContext;
import dev.langchain4j.model.chat.response.PartialToolCall;
import dev.langchain4j.model.chat.response.PartialToolCallContext;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.chat.response.StreamingHandle;
import dev.reprise.Chat;
import dev.reprise.ChatPart;
import dev.reprise.ChatStream;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Supplier;
import java.util.logging.Level;
import java.util.logging.Logger;

/** One answer that streams. */
final class Answering implements Supplier<Void>, StreamingHandle {
    private static final Logger LOG = Logger.getLogger("dev.reprise.langchain4j");

    private final Requests requests;
    private final ChatRequest request;
    private final StreamingChatResponseHandler handler;
    private final Map<Integer, String> callNames = new HashMap<>();
    private ChatStream stream;
    private volatile boolean cancelled;

    Answering(Requests requests, ChatRequest request, StreamingChatResponseHandler handler) {
        this.requests = requests;
        this.request = request;
        this.handler = handler;
    }

    @Override
    public synchronized void cancel() {
        cancelled = true;
        if (stream != null) {
            stream.cancel();
        }
    }

    @Override
    public boolean isCancelled() {
        return cancelled;
    }

    private synchronized void begun(ChatStream begun) {
        stream = begun;
    }

    @Override
    public Void get() {
        ChatResponse response;
        try (Chat chat = requests.chat(request); ChatStream parts = requests.send(chat, request)) {
            begun(parts);
            for (ChatPart part : parts) {
                if (!cancelled) {
                    guarded(() -> tell(part));
                }
                if (cancelled) {
                    return null;
                }
            }
            response = requests.response(chat, parts.answer());
        } catch (RuntimeException e) {
            if (!cancelled) {
                fail(Failures.of(e));
            }
            return null;
        } catch (Error e) {
            fail(e);
            throw e;
        }
        guarded(() -> handler.onCompleteResponse(response));
        return null;
    }

    /** A handler's own exceptions go to its onError(), and the answer goes on. */
    private void guarded(Runnable call) {
        try {
            call.run();
        } catch (RuntimeException e) {
            fail(e);
        }
    }

    private void fail(Throwable failure) {
        try {
            handler.onError(failure);
        } catch (RuntimeException e) {
            LOG.log(Level.WARNING, "onError() of a handler failed", e);
        }
    }

    private void tell(ChatPart part) {
        switch (part.kind()) {
            case TEXT -> handler.onPartialResponse(
                    new PartialResponse(part.text()), new PartialResponseContext(this));
            case REASONING -> handler.onPartialThinking(
                    new PartialThinking(part.text()), new PartialThinkingContext(this));
            case TOOL_CALL_START -> callNames.put(part.index(), part.text());
            case TOOL_CALL_ARGUMENTS -> handler.onPartialToolCall(
                    PartialToolCall.builder().index(part.index()).name(callNames.get(part.index()))
                            .partialArguments(part.text()).build(),
                    new PartialToolCallContext(this));
            case TOOL_CALL -> handler.onCompleteToolCall(
                    new CompleteToolCall(part.index(), Requests.call(part.toolCall().orElseThrow())));
            default -> throw new AssertionError(part.kind());
        }
    }
}
