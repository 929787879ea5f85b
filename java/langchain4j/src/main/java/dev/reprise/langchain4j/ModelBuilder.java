package dev.reprise.langchain4j;

import dev.langchain4j.model.chat.listener.ChatModelListener;
import dev.langchain4j.model.chat.request.ChatRequestParameters;
import dev.langchain4j.model.chat.request.DefaultChatRequestParameters;
import dev.reprise.ChatOptions;
import dev.reprise.Model;
import java.util.List;
import java.util.Objects;

/**
 * What chat models are built from.
 *
 * @param <B> the builder itself
 */
public abstract sealed class ModelBuilder<B extends ModelBuilder<B>>
        permits RepriseChatModel.Builder, RepriseStreamingChatModel.Builder {
    private final Model model;
    private String modelName;
    private ChatOptions options = ChatOptions.defaults();
    private ChatRequestParameters defaults = DefaultChatRequestParameters.EMPTY;
    private List<ChatModelListener> listeners = List.of();

    ModelBuilder(Model model) {
        this.model = Objects.requireNonNull(model, "model");
        modelName = model.metadata().string("general.name", "reprise");
    }

    @SuppressWarnings("unchecked")
    private B self() {
        return (B) this;
    }

    /** What responses call the model by, and requests that name one; what the file says unless told otherwise. */
    public B modelName(String modelName) {
        this.modelName = Objects.requireNonNull(modelName, "modelName");
        return self();
    }

    /** How conversations are opened and answers drawn where a request does not say it: context, template, reasoning. */
    public B options(ChatOptions options) {
        this.options = Objects.requireNonNull(options, "options");
        return self();
    }

    /** What requests have unless they say otherwise; goes before the options. */
    public B defaultRequestParameters(ChatRequestParameters defaults) {
        this.defaults = Objects.requireNonNull(defaults, "defaults");
        return self();
    }

    /** Told of requests, responses and errors. */
    public B listeners(List<ChatModelListener> listeners) {
        this.listeners = List.copyOf(listeners);
        return self();
    }

    Model model() {
        return model;
    }

    String modelName() {
        return modelName;
    }

    ChatOptions options() {
        return options;
    }

    ChatRequestParameters defaults() {
        return defaults;
    }

    List<ChatModelListener> listeners() {
        return listeners;
    }
}
