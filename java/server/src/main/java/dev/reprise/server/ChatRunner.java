package dev.reprise.server;

import dev.reprise.CancelledException;
import dev.reprise.Chat;
import dev.reprise.ChatAnswer;
import dev.reprise.ChatOptions;
import dev.reprise.ChatPart;
import dev.reprise.ChatStream;
import dev.reprise.ContextOverflowException;
import dev.reprise.FinishReason;
import dev.reprise.Model;
import dev.reprise.TemplateException;
import dev.reprise.Token;
import java.util.List;

/** Generates the answers to a conversation, each in a session of its own. */
final class ChatRunner {
    private final Exchange exchange;
    private final Metrics metrics;
    private final String modelName;
    private final AnswerWriter writer;
    private final Usage usage = new Usage();

    ChatRunner(Exchange exchange, Metrics metrics, String modelName, AnswerWriter writer) {
        this.exchange = exchange;
        this.metrics = metrics;
        this.modelName = modelName;
        this.writer = writer;
    }

    /** Runs until all answers are written, or the thread is interrupted. */
    void run(Model model, ChatCall call) throws InterruptedException {
        checkTemplate(model, modelName);
        for (int answer = 0; answer < call.answers(); answer++) {
            ChatOptions options = call.optionsOf(answer);
            try (Chat chat = model.newChat(options)) {
                run(chat, call, options, answer);
                metrics.session(modelName, chat.statistics());
            }
        }
        writer.finish(usage);
    }

    /** A model without a template can only continue texts. */
    static void checkTemplate(Model model, String name) {
        try {
            model.chatTemplate();
        } catch (TemplateException e) {
            throw ApiException.badRequest("no_chat_template", "model",
                    "the model " + name + " has no chat template: it can continue texts at /v1/completions", e);
        }
    }

    private void run(Chat chat, ChatCall call, ChatOptions options, int answer) throws InterruptedException {
        ChatStream stream = send(chat, call, options);
        int promptTokens = chat.position();
        metrics.prompt(promptTokens);
        if (answer == 0) {
            usage.prompt(promptTokens, (int) chat.statistics().prefixTokens());
        }
        writer.begin(answer, usage);
        boolean cut = false;
        long first = 0;
        int seen = 0;
        int reasoning = 0;
        for (ChatPart part : stream) {
            if (first == 0) {
                first = System.nanoTime();
                metrics.firstToken(exchange.seconds());
            }
            List<Token> tokens = stream.tokens();
            List<Token> fresh = List.copyOf(tokens.subList(Math.min(seen, tokens.size()), tokens.size()));
            seen = tokens.size();
            reasoning += part.kind() == ChatPart.Kind.REASONING ? fresh.size() : 0;
            writer.part(answer, part, fresh);
            if (part.kind() == ChatPart.Kind.TOOL_CALL && !call.severalCalls()) {
                cut = true;
                break;
            }
        }
        stream.close();
        ChatAnswer result = stream.answer();
        if (result.finishReason() == FinishReason.CANCELLED && !cut) {
            throw new CancelledException("the answer was cancelled");
        }
        usage.completion(result.tokens().size(), reasoning);
        metrics.generated(result.tokens().size(), (System.nanoTime() - first) / 1e9);
        writer.end(answer, result);
    }

    private ChatStream send(Chat chat, ChatCall call, ChatOptions options) {
        try {
            return chat.send(call.messages(), options);
        } catch (ContextOverflowException e) {
            throw ApiException.badRequest("context_length_exceeded", "messages",
                    "the prompt has " + chat.model().promptIds(call.messages(), options).length
                            + " tokens and the context " + chat.contextLength()
                            + ": shorten it, or serve the model with a longer context", e);
        } catch (IllegalArgumentException | UnsupportedOperationException e) {
            String param = e.getMessage().contains("logit_bias") ? "logit_bias"
                    : call.generation().constraint().isPresent() ? call.formatParam()
                    : options.tools().isEmpty() ? null : "tools";
            throw ApiException.badRequest(null, param, e.getMessage(), e);
        }
    }
}
