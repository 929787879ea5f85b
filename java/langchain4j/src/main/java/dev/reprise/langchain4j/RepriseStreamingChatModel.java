package dev.reprise.langchain4j;

import dev.langchain4j.model.chat.Capability;
import dev.langchain4j.model.chat.StreamingChatModel;
import dev.langchain4j.model.chat.listener.ChatModelListener;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.request.ChatRequestParameters;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.reprise.Model;
import java.util.List;
import java.util.Set;

/**
 * A model in this process as LangChain4j's {@link StreamingChatModel}; all that is said of {@link RepriseChatModel}
 * holds. A request returns at once, and its handler is called on a thread of its own. {@code
 * StreamingHandle.cancel()} ends the answer within a step; the handler hears nothing more then.
 */
public final class RepriseStreamingChatModel implements StreamingChatModel {
    private final Requests requests;
    private final List<ChatModelListener> listeners;

    private RepriseStreamingChatModel(Builder builder) {
        requests = new Requests(builder);
        listeners = builder.listeners();
    }

    /** A chat model with the options that {@link Model#newChat()} has. */
    public static RepriseStreamingChatModel of(Model model) {
        return builder(model).build();
    }

    public static Builder builder(Model model) {
        return new Builder(model);
    }

    @Override
    public void doChat(ChatRequest request, StreamingChatResponseHandler handler) {
        Answering answering = new Answering(requests, request, handler);
        new Worker<>(answering).start();
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

        public RepriseStreamingChatModel build() {
            return new RepriseStreamingChatModel(this);
        }
    }
}
