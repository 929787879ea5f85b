package dev.reprise.server;

import dev.reprise.CancelledException;
import dev.reprise.Chat;
import dev.reprise.ChatAnswer;
import dev.reprise.ChatOptions;
import dev.reprise.ChatPart;
import dev.reprise.ChatStream;
import dev.reprise.FinishReason;
import dev.reprise.Model;
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
        for (int answer = 0; answer < call.answers(); answer++) {
            ChatOptions options = call.optionsOf(answer);
            try (Chat chat = model.newChat(options)) {
                run(chat, call, options, answer);
                metrics.session(modelName, chat.statistics());
            }
        }
        writer.finish(usage);
    }

    private void run(Chat chat, ChatCall call, ChatOptions options, int answer) throws InterruptedException {
        ChatStream stream = chat.send(call.messages(), options);
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
}
