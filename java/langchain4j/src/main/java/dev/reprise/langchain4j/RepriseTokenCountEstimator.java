package dev.reprise.langchain4j;

import dev.langchain4j.data.message.ChatMessage;
import dev.langchain4j.model.TokenCountEstimator;
import dev.reprise.Message;
import dev.reprise.Model;
import java.util.List;
import java.util.Objects;

/**
 * Counts tokens as a model does: texts exactly. Of messages the texts are counted, reasoning and calls included, and
 * {@value #AROUND_A_MESSAGE} for what a template writes around each.
 */
public final class RepriseTokenCountEstimator implements TokenCountEstimator {
    private static final int AROUND_A_MESSAGE = 5;

    private final Model model;

    public RepriseTokenCountEstimator(Model model) {
        this.model = Objects.requireNonNull(model, "model");
    }

    @Override
    public int estimateTokenCountInText(String text) {
        return model.tokenizer().encodeContinuation(text, false).length;
    }

    @Override
    public int estimateTokenCountInMessage(ChatMessage message) {
        return estimateTokenCountInMessages(List.of(message));
    }

    @Override
    public int estimateTokenCountInMessages(Iterable<ChatMessage> messages) {
        int count = 0;
        for (Message message : Requests.messages(messages)) {
            count += AROUND_A_MESSAGE + estimateTokenCountInText(message.text());
            count += message.reasoning().map(this::estimateTokenCountInText).orElse(0);
            count += message.toolCalls().stream()
                    .mapToInt(call -> estimateTokenCountInText(call.name() + call.arguments())).sum();
        }
        return count;
    }
}
