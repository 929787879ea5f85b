package dev.reprise.langchain4j;

import dev.langchain4j.model.chat.Capability;
import dev.langchain4j.model.chat.ChatModel;
import dev.langchain4j.model.chat.listener.ChatModelListener;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.request.ChatRequestParameters;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.reprise.Chat;
import dev.reprise.ChatStream;
import dev.reprise.Model;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/**
 * A model in this process as LangChain4j's {@link ChatModel}. Thread-safe: every request has a conversation of its own,
 * with the whole history of the request, so that none sees what another one said. Requests at the same time share
 * steps, and those that begin alike share what was evaluated.
 *
 * <p>It borrows the {@link Model}, which its owner closes, after the last request.
 *
 * <p>A prompt that the context has no room for, and whatever else is wrong with a request, is an {@link
 * dev.langchain4j.exception.InvalidRequestException}; what Reprise does not have (images, audio) an {@link
 * dev.langchain4j.exception.UnsupportedFeatureException}. A thread that is interrupted gets a {@link
 * dev.reprise.CancelledException} and stays interrupted.
 */
public final class RepriseChatModel implements ChatModel {
    private final Requests requests;
    private final List<ChatModelListener> listeners;

    private RepriseChatModel(Builder builder) {
        requests = new Requests(builder);
        listeners = builder.listeners();
    }

    /** A chat model with the options that {@link Model#newChat()} has. */
    public static RepriseChatModel of(Model model) {
        return builder(model).build();
    }

    public static Builder builder(Model model) {
        return new Builder(model);
    }

    @Override
    public ChatResponse doChat(ChatRequest request) {
        try (Chat chat = requests.chat(request); ChatStream stream = requests.send(chat, request)) {
            stream.forEach(part -> { });
            return requests.response(chat, stream.answer());
        } catch (RuntimeException e) {
            throw Failures.of(e);
        }
    }

    /** Runs on a thread of its own, which cancelling the future stops. */
    @Override
    public CompletableFuture<ChatResponse> doChatAsync(ChatRequest request) {
        Worker<ChatResponse> worker = new Worker<>(() -> doChat(request));
        worker.start();
        return worker.future();
    }

    @Override
    public ChatRequestParameters defaultRequestParameters() {
        return requests.defaults();
    }

    @Override
    public List<ChatModelListener> listeners() {
        return listeners;
    }

    @Override
    public Set<Capability> supportedCapabilities() {
        return Set.of(Capability.RESPONSE_FORMAT_JSON_SCHEMA);
    }

    /** Sets what requests do not say themselves. */
    public static final class Builder extends ModelBuilder<Builder> {
        private Builder(Model model) {
            super(model);
        }

        public RepriseChatModel build() {
            return new RepriseChatModel(this);
        }
    }
}
